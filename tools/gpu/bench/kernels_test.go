package main

import (
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels"
)

// TestEveryOperationIsTimed: the network of the benchmark uses an operation, or shapeOf has a shape for it.
func TestEveryOperationIsTimed(t *testing.T) {
	shapes, err := inference.KernelShapes(inference.DeviceSim, picture.Size{Width: 1024, Height: 1024}, false)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, s := range shapes {
		used[s.Operation] = true
	}
	for _, o := range kernels.Operations() {
		if used[o.Name] {
			continue
		}
		for _, trial := range o.Trials {
			if _, err := shapeOf(o, trial.Format); err != nil {
				t.Error(err)
			}
		}
	}
	if len(used) < 6 {
		t.Errorf("the network uses %v, want products, attentions and convolutions", used)
	}
}
