package cuda

import (
	"flag"
	"testing"

	"kleinbild/inference/backend"
	"kleinbild/inference/backend/backendtest"
	"kleinbild/kernels/cu"
	"kleinbild/kernels/ptxsim"
)

// deviceName chooses what runs the tests that any device can run: go test ./inference/cuda -device cuda takes the GPU.
var deviceName = flag.String("device", "sim", "sim or cuda")

// openTest opens a backend whose weights come in many small chunks.
func openTest(t *testing.T) *Backend {
	t.Helper()
	open := OpenSoftware
	if *deviceName == "cuda" {
		open = OpenGPU
	}
	return openOn(t, open)
}

func openOn(t *testing.T, open func() (cu.Context, error)) *Backend {
	t.Helper()
	b, err := New(Options{Open: open, ChunkBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Backend { return openTest(t) })
}

var _ = ptxsim.Open
