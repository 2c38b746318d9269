// Package cpu is the backend that computes on the processor's cores. Weights stay where the checkpoint was
// mapped and are widened or rounded a panel at a time; activations are float32 or bfloat16 matrices in memory.
package cpu

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
)

// Backend implements backend.Backend. Operations are synchronous; a cancelled context stops the one under way
// between tiles.
type Backend struct {
	activation tensor.DType
	threads    int

	stop   *atomic.Bool
	detach func() bool
	ctx    context.Context

	pool pool
}

var _ backend.Backend = (*Backend)(nil)

// New returns a backend that uses all cores. activation is F32, or BF16 to keep activations as the reference's
// bfloat16 run does.
func New(activation tensor.DType) *Backend {
	b := &Backend{activation: activation, threads: runtime.GOMAXPROCS(0)}
	b.Begin(context.Background())
	return b
}

// Name describes the instruction set and the threads used.
func (b *Backend) Name() string {
	return fmt.Sprintf("CPU (%s, %d threads)", instructionSet(b.activation), b.threads)
}

// Activation is the format of activations.
func (b *Backend) Activation() tensor.DType { return b.activation }

// Begin ties the operations that follow to ctx.
func (b *Backend) Begin(ctx context.Context) {
	if b.detach != nil {
		b.detach()
	}
	stop := new(atomic.Bool)
	b.ctx, b.stop = ctx, stop
	b.detach = context.AfterFunc(ctx, func() { stop.Store(true) })
}

// Sync returns the context's error if it stopped an operation since Begin.
func (b *Backend) Sync() error {
	if b.stop.Load() {
		return context.Cause(b.ctx)
	}
	return nil
}

// Close gives all memory back.
func (b *Backend) Close() error {
	b.detach()
	b.pool.drop()
	return nil
}

// parallel calls body for pieces of [0, n) of at most grain items, on all cores, until done or stopped.
func (b *Backend) parallel(n, grain int, body func(from, to int)) {
	grain = max(grain, 1)
	pieces := (n + grain - 1) / grain
	workers := min(b.threads, pieces)
	var next atomic.Int64
	work := func() {
		for !b.stop.Load() {
			i := int(next.Add(1)) - 1
			if i >= pieces {
				return
			}
			body(i*grain, min((i+1)*grain, n))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
