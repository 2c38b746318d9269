package cuda

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/tune"
)

// rehearsed is the shapes of the operations that rehearsals have issued. Rehearsals may go on beside a run.
type rehearsed struct {
	mu     sync.Mutex
	shapes []kernels.Shape
}

// rehearse remembers the shape of an operation if this backend is a rehearsal, so that the kernels that compete for it
// are measured before a run. s is the shape without the rows and columns, which are those of dst. Kernels compete only
// for results in bfloat16.
func (b *Backend) rehearse(dst backend.Matrix, s kernels.Shape) {
	if !b.rehearsal || dst.DType != tensor.BF16 {
		return
	}
	s.Rows, s.Cols = dst.Rows, dst.Cols
	b.rehearsed.mu.Lock()
	defer b.rehearsed.mu.Unlock()
	if !slices.Contains(b.rehearsed.shapes, s) {
		b.rehearsed.shapes = append(b.rehearsed.shapes, s)
	}
}

// RehearsedShapes lists the shapes of the products, attentions and convolutions that rehearsals have issued, each once,
// in their order.
func (b *Backend) RehearsedShapes() []kernels.Shape {
	b.rehearsed.mu.Lock()
	defer b.rehearsed.mu.Unlock()
	return slices.Clone(b.rehearsed.shapes)
}

// Tune measures the kernels that compete for the rehearsed shapes on this device, which should be idle. It returns what
// is known of the shapes for which kernels compete.
func (b *Backend) Tune(ctx context.Context, o tune.Options) ([]tune.Measurement, error) {
	b.flush()
	var shapes []kernels.Shape
	for _, s := range b.RehearsedShapes() {
		if s.Check() != nil {
			continue
		}
		rivals, err := b.dev.tuner.Set().Rivals(s)
		if err != nil {
			return nil, err
		}
		if len(rivals) > 1 {
			shapes = append(shapes, s)
		}
	}
	return b.dev.tuner.Tune(ctx, shapes, o)
}

// Target names the kind of GPU that the kernels of an operation are made for.
func (b *Backend) Target(o *kernels.Operation) (string, error) {
	t, err := b.dev.tuner.Set().Target(o)
	return t.String(), err
}

// tune measures the kernels that compete for rehearsed shapes which no process has measured on this device. Results do
// not change, and a shape that cannot be measured only runs slower, so that only a lost device is an error.
func (b *Backend) tune() {
	if b.options.Choices == "" {
		return
	}
	if !b.dev.recalled {
		b.dev.tuner.Recall(b.options.Choices)
		b.dev.recalled = true
	}
	missing, err := b.dev.tuner.Missing(b.RehearsedShapes())
	if err == nil && len(missing) > 0 {
		_, err = b.dev.tuner.Tune(b.ctx, missing, tune.Options{Dir: b.options.Choices, Budget: b.options.TuneBudget})
	}
	if errors.Is(err, cu.ErrContextLost) {
		b.fail("tune", err)
	}
}
