// Package cpu is the backend that computes on the processor's cores. Weights stay where the checkpoint was
// mapped and are widened or rounded a panel at a time; activations are float32 or bfloat16 matrices in memory.
package cpu

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"kleinbild/inference/backend"
	"kleinbild/inference/cpu/matmul"
	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// Backend implements backend.Backend. Operations are synchronous; a cancelled context stops the one under way
// between tiles.
type Backend struct {
	activation tensor.DType

	stop   *atomic.Bool
	detach func() bool
	ctx    context.Context
	err    error

	pool pool
}

var _ backend.Backend = (*Backend)(nil)

// New returns a backend that uses all cores. activation is F32, or BF16 to keep activations as the reference's
// bfloat16 run does.
func New(activation tensor.DType) *Backend {
	b := &Backend{activation: activation, pool: pool{used: map[*buffer]bool{}}}
	b.Begin(context.Background())
	return b
}

// Name tells the instruction set, on which the last bits of results depend; they do not depend on the threads.
func (b *Backend) Name() string {
	level := simd.Current()
	if b.activation == tensor.F32 {
		level = min(level, simd.AVX512) // the levels above differ in their products of bfloat16
	}
	return fmt.Sprintf("CPU (%v)", level)
}

// Activation is the format of activations.
func (b *Backend) Activation() tensor.DType { return b.activation }

// Begin ties the operations that follow to ctx.
func (b *Backend) Begin(ctx context.Context) {
	if b.detach != nil {
		b.detach()
	}
	stop := new(atomic.Bool)
	b.ctx, b.stop, b.err = ctx, stop, nil
	b.detach = context.AfterFunc(ctx, func() { stop.Store(true) })
}

// Sync returns the first failure since Begin, or the context's error if that stopped an operation.
func (b *Backend) Sync() error {
	if b.err == nil && b.stop.Load() {
		return context.Cause(b.ctx)
	}
	return b.err
}

// Replay calls f: issuing operations costs a processor nothing.
func (b *Backend) Replay(_ any, f func()) { f() }

// fail makes err stick and stops all operations.
func (b *Backend) fail(err error) {
	if b.err == nil {
		b.err = err
	}
	b.stop.Store(true)
}

// caught ends an operation that reads weights: a page of their file that cannot be read fails the run, not the program.
// It is deferred with what debug.SetPanicOnFault(true) returned.
func (b *Backend) caught(before bool) {
	debug.SetPanicOnFault(before)
	if fault := tensor.FaultOf(recover()); fault != nil {
		b.fail(fault)
	}
}

// Close gives all memory back.
func (b *Backend) Close() error {
	b.detach()
	b.pool.drop()
	return nil
}

// parallel calls body for pieces of [0, n) of at most grain items, on all cores, until done or stopped.
func (b *Backend) parallel(n, grain int, body func(from, to int)) {
	matmul.For(b.stop, (n+grain-1)/grain, func(i int) { body(i*grain, min((i+1)*grain, n)) })
}
