package cpu_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/backend/backendtest"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestConformance runs the conformance suite with float32 activations, and with bfloat16 ones for each path that the
// processor has.
func TestConformance(t *testing.T) {
	t.Run("F32", func(t *testing.T) {
		backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.F32) })
	})
	for _, path := range cpu.Paths() {
		t.Run(fmt.Sprintf("BF16 %v", path), func(t *testing.T) {
			restore, err := cpu.Use(path)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.BF16) })
		})
	}
	// The Go model of AMX tests the code around the tiles on processors without AMX.
	t.Run("BF16 tiles in plain Go", func(t *testing.T) {
		defer simd.UseTileModel()()
		backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.BF16) })
	})
}

// TestOutOfMemory allocates more than a process can map. Operations on that matrix must do nothing, Sync must return
// the error, and the next run must work.
func TestOutOfMemory(t *testing.T) {
	b := cpu.New(tensor.F32)
	defer b.Close()
	huge := b.Alloc(1<<31, 1<<14, tensor.F32)
	small := b.Alloc(4, 4, tensor.F32)
	b.Affine(huge, huge, small.RowRange(0, 1), small.RowRange(1, 2))
	b.Copy(huge.RowRange(7, 8).ColRange(0, 4), small.RowRange(0, 1))
	if b.Sync() == nil {
		t.Fatal("Sync: no error after an allocation of 128 TB")
	}
	b.Free(huge)
	b.Begin(t.Context())
	b.Upload(small, make([]float32, 16))
	if err := b.Sync(); err != nil {
		t.Fatalf("Sync after a new Begin: %v", err)
	}
}

// TestCloseFreesAll checks that Close frees matrices that were not freed, such as those of caches.
func TestCloseFreesAll(t *testing.T) {
	before := mappings(t)
	b := cpu.New(tensor.F32)
	for range 20 {
		b.Alloc(1<<10, 1<<10, tensor.F32)
	}
	b.Free(b.Alloc(1<<10, 1<<10, tensor.BF16))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after := mappings(t); after > before+4<<20 {
		t.Errorf("%d bytes mapped before, %d after Close", before, after)
	}
}

// mappings returns the size of the process's address space in bytes.
func mappings(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the system has no /proc")
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		t.Fatal(err)
	}
	return n * os.Getpagesize()
}
