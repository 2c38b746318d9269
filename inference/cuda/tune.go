package cuda

import (
	"errors"
	"slices"
	"sync"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
	"kleinbild/kernels"
	"kleinbild/kernels/cu"
)

// met is the shapes that rehearsals have met, which may go on beside a run.
type met struct {
	mu     sync.Mutex
	shapes []kernels.Shape
}

// note remembers a rehearsal's operation with a choice of kernels: those for aligned results in bfloat16.
func (b *Backend) note(dst backend.Matrix, s kernels.Shape) {
	if !b.rehearsal || dst.DType != tensor.BF16 {
		return
	}
	s.Rows, s.Cols = dst.Rows, dst.Cols
	b.met.mu.Lock()
	defer b.met.mu.Unlock()
	if !slices.Contains(b.met.shapes, s) {
		b.met.shapes = append(b.met.shapes, s)
	}
}

// tune measures which kernels are fastest for what rehearsals have met and no process has measured on this device. Results
// do not change, and what cannot be measured only runs slower: only a lost device is an error.
func (b *Backend) tune() {
	if b.options.Choices == "" {
		return
	}
	if !b.dev.recalled {
		b.dev.set.Recall(b.options.Choices)
		b.dev.recalled = true
	}
	b.met.mu.Lock()
	shapes := slices.Clone(b.met.shapes)
	b.met.mu.Unlock()
	missing, err := b.dev.set.Missing(shapes)
	if err == nil && len(missing) > 0 {
		_, err = b.dev.set.Tune(b.ctx, missing, kernels.TuneOptions{Dir: b.options.Choices, Budget: b.options.TuneBudget})
	}
	if errors.Is(err, cu.ErrContextLost) {
		b.fail("tune", err)
	}
}
