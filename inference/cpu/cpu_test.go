package cpu_test

import (
	"testing"

	"kleinbild/inference/backend"
	"kleinbild/inference/backend/backendtest"
	"kleinbild/inference/cpu"
	"kleinbild/inference/tensor"
)

func TestConformance(t *testing.T) {
	for _, activation := range []tensor.DType{tensor.F32, tensor.BF16} {
		t.Run(activation.String(), func(t *testing.T) {
			backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(activation) })
		})
	}
}
