// Package cpu is the backend for processors. Weights stay in the checkpoint's mapping; products convert them to float32
// or bfloat16 a panel at a time. Activations are float32 or bfloat16 matrices in memory.
package cpu

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/matmul"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Backend implements backend.Backend. Operations are synchronous. If the context ends, the running operation stops
// after its current tiles.
type Backend struct {
	activation tensor.DType

	stop   *atomic.Bool // true after an error, or after ctx has ended
	detach func() bool  // stops the watching of ctx
	ctx    context.Context
	err    error // the first error since Begin

	pool pool
	// ints is not nil if products with weights of int8 are computed in integers.
	ints      *Int8
	quantised quantisedWeights
	unchanged unchanged
}

var _ backend.Backend = (*Backend)(nil)

// New returns a backend that uses all cores. activation is the format of activations: F32, or BF16 as in the
// reference's bfloat16 run.
func New(activation tensor.DType) *Backend {
	b := &Backend{activation: activation, pool: pool{used: map[*buffer]bool{}}}
	b.Begin(context.Background())
	return b
}

// Int8 says what a backend computes in int8.
type Int8 struct {
	// Quantise says that weights of LinearWeight in bfloat16, float16 and float32 are quantised when they are first used.
	// Weights that are stored as int8 are used as they are in any case.
	Quantise bool
	// Release, unless nil, is called with the data of a weight that was quantised, which is not read again.
	Release func(data []byte)
}

// NewInt8 is like New for a backend that computes products with weights of int8 in integers.
func NewInt8(activation tensor.DType, options Int8) *Backend {
	b := New(activation)
	b.ints = &options
	return b
}

// Name returns "CPU" and the instruction set. The last bits of results depend on the instruction set, but not on the
// number of threads.
func (b *Backend) Name() string {
	level := simd.Current()
	if b.activation == tensor.F32 {
		level = min(level, simd.AVX512) // higher levels differ only in products of bfloat16
	}
	return fmt.Sprintf("CPU (%v)", level)
}

// Activation returns the format of activations.
func (b *Backend) Activation() tensor.DType { return b.activation }

// Begin starts a run, whose operations stop if ctx ends.
func (b *Backend) Begin(ctx context.Context) {
	if b.detach != nil {
		b.detach()
	}
	stop := new(atomic.Bool)
	b.ctx, b.stop, b.err = ctx, stop, nil
	b.detach = context.AfterFunc(ctx, func() { stop.Store(true) })
}

// Sync returns the first error since Begin, or the cause of the context if that has ended.
func (b *Backend) Sync() error {
	if b.err == nil && b.stop.Load() {
		return context.Cause(b.ctx)
	}
	return b.err
}

// Replay calls f. Recording operations would save a processor nothing.
func (b *Backend) Replay(_ any, f func()) { f() }

// fail keeps err, unless an earlier error is kept, and stops all operations.
func (b *Backend) fail(err error) {
	if b.err == nil {
		b.err = err
	}
	b.stop.Store(true)
}

// recoverFault is deferred by operations that read weights, with the result of debug.SetPanicOnFault(true). If a page
// of the weights' file cannot be read, the run fails instead of the program.
func (b *Backend) recoverFault(before bool) {
	debug.SetPanicOnFault(before)
	if fault := tensor.FaultOf(recover()); fault != nil {
		b.fail(fault)
	}
}

// Close frees all memory.
func (b *Backend) Close() error {
	b.detach()
	b.pool.freeAll()
	b.quantised.free()
	return nil
}

// parallel calls body on all cores for ranges of at most grain items that cover [0, n). If the backend stops, no
// further range is begun.
func (b *Backend) parallel(n, grain int, body func(from, to int)) {
	matmul.For(b.stop, (n+grain-1)/grain, func(i int) { body(i*grain, min((i+1)*grain, n)) })
}
