// Package cuda is the backend that computes on a GPU, over the kernels of kernels/ and a device of kernels/cu, which is
// NVIDIA's driver or a device in software. Activations are bfloat16 matrices, or float32 if a stage asks for that. They
// are in one allocation, whose size a rehearsal finds out before the run. Quantised weights stay in their own bytes on
// the device and are widened before each product (packed.go), or are multiplied in 8 bits (narrow.go); all others
// become bfloat16 on their way to it. Weights stay there; if they do not all fit, some pass through lanes instead
// (lanes.go).
//
// It refuses heads wider than 512 columns and group normalisations of more than 2048 columns. No published model has
// any.
package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Backend implements backend.Backend. Operations queue kernels and return; nothing waits for the device but Sync,
// Download, operations whose weights are still on their way, and weights that leave to make room.
type Backend struct {
	options Options
	info    cu.DeviceInfo
	// dev is nil for a rehearsal, and if the device could not be started again. opened guards it for Room.
	dev       *device
	opened    sync.Mutex
	rehearsal bool
	// rehearsed is shared with rehearsals.
	rehearsed *rehearsed

	arena arena
	// kept is the number of bytes of Keep in a rehearsal.
	kept int64

	ctx context.Context
	err error
	// pending are operations that have not been handed to the device's thread yet. A hand-over costs more than a launch.
	pending []operation
	// last is the operation queued last. An error of the device comes from it or from an earlier one.
	last string
	// recording forbids calls that a replay could not repeat. capturing says that the device records.
	recording, capturing bool
	// borrowed is the working memory of operations inside the replay that records.
	borrowed borrowed
	// unchanged is what Unchanged keeps.
	unchanged unchanged
	replays   map[any]*replay // by the key that Replay was given

	parts []*part
	load  *load // the last upload, which may have ended; nil before the first
	// laneBytes is the size of each network's lanes, 0 if it has none. lanes are those that are allocated.
	laneBytes map[string]int64
	lanes     map[string]*lanes
	// noLanes has the networks for whose lanes there was no memory since the last Reserve.
	noLanes map[string]bool
	// misplaced says that weights were evicted that should have stayed. The next operation places all weights anew.
	misplaced bool
	// aheadOf is the part for which ahead was called last. aheadWaits says that it has to be called again, once a lane is
	// free.
	aheadOf    *part
	aheadWaits bool
	// clock counts operations; part.used is its value at the part's last use. drops counts parts that were removed.
	clock, drops int64
	// planned is what Reserve was told last. keeping is the number of bytes of matrices of Keep.
	planned backend.Memory
	keeping atomic.Int64
}

var _ backend.Planned = (*Backend)(nil)

// Options say which device to use and how.
type Options struct {
	// Open starts the device, at first and after a fault.
	Open func() (cu.Context, error)
	// Narrow, unless nil, says what is computed in 8 bits.
	Narrow *Narrow
	// ChunkBytes is the size of the two page-locked buffers through which weights pass; 32 MiB if 0.
	ChunkBytes int
	// PartBytes is the size of the parts of a network, which come and go one by one if they do not all fit; 256 MiB if 0.
	PartBytes int64
	// MarginBytes of the device's memory are left to its driver, for kernels and graphs.
	MarginBytes int64
	// Eager compiles all kernels in the background as soon as the device is there, while weights are uploaded.
	Eager bool
	// Choices is the folder where measurements of competing kernels are kept; nothing is measured if it is "". TuneBudget
	// is the time that measuring before one run may take, 5 s if 0.
	Choices    string
	TuneBudget time.Duration
}

// New starts the device. Errors are those of kernels/cu.
func New(o Options) (*Backend, error) {
	if o.ChunkBytes == 0 {
		o.ChunkBytes = 32 << 20
	}
	if o.PartBytes == 0 {
		o.PartBytes = 256 << 20
	}
	b := &Backend{options: o, rehearsed: new(rehearsed), ctx: context.Background(), laneBytes: map[string]int64{}}
	if err := b.start(); err != nil {
		return nil, err
	}
	b.info = b.dev.ctx.Device()
	if n := o.Narrow; n != nil && n.DType == tensor.F8E4M3 && !kernels.SM89.RunsOn(b.info) {
		err := fmt.Errorf("cuda: %s has %w", b.Name(), ErrNoFP8)
		b.Close()
		return nil, err
	}
	return b, nil
}

// Name tells the device and the kernels that it runs.
func (b *Backend) Name() string {
	return fmt.Sprintf("%s (sm_%d%d)", b.info.Name, b.info.Major, b.info.Minor)
}

// DeviceName is the name of the device alone.
func (b *Backend) DeviceName() string { return b.info.Name }

// Activation is the format of activations.
func (b *Backend) Activation() tensor.DType { return tensor.BF16 }

// Begin ties the operations that follow to ctx. After a fault it starts the device anew. If that fails, Sync returns
// the error.
func (b *Backend) Begin(ctx context.Context) {
	b.flush()
	b.ctx, b.err, b.last = ctx, nil, "begin"
	if b.rehearsal {
		b.arena.reset(endless)
		b.kept = 0
		return
	}
	if b.dev == nil || b.dev.lost {
		if err := b.start(); err != nil {
			b.err = fmt.Errorf("cuda: start %s again: %w", b.info.Name, err)
			return
		}
	}
	b.forget()
}

// Sync waits for the device and returns the first failure since Begin.
func (b *Backend) Sync() error {
	if b.rehearsal {
		return nil
	}
	b.flush()
	if b.usable() {
		if err := b.dev.compute.Synchronize(); err != nil {
			b.blame(err)
		}
	}
	if b.err == nil {
		b.stopped()
	}
	return b.err
}

// usable says whether the device can be called.
func (b *Backend) usable() bool { return b.dev != nil && !b.dev.lost }

// stopped says whether operations do nothing: after a failure, or when the context has ended, which becomes the
// failure.
func (b *Backend) stopped() bool {
	if b.err == nil && b.ctx.Err() != nil {
		b.err = context.Cause(b.ctx)
	}
	return b.err != nil
}

// lostError is a fault of the device.
type lostError struct{ error }

// Unwrap returns the device's error, and Is makes it equal to backend.ErrLost.
func (e lostError) Unwrap() error        { return e.error }
func (e lostError) Is(target error) bool { return target == backend.ErrLost }

// fail remembers err, with the operation's name, unless there was an earlier failure.
func (b *Backend) fail(operation string, err error) {
	err = fmt.Errorf("cuda: %s: %w", operation, err)
	if errors.Is(err, cu.ErrContextLost) {
		err = lostError{err}
		b.dev.lost = true
	}
	if b.err == nil {
		b.err = err
	}
}

// blame is fail for an error that an earlier operation may have caused.
func (b *Backend) blame(err error) { b.fail(b.last+", or an operation before it", err) }

// issue queues f, which launches a kernels' operation that reads weights, some of which may be nil. f runs on the
// thread that owns the device.
func (b *Backend) issue(name string, o *kernels.Operation, f func(q *kernels.Queue) error, weights ...backend.Weight) {
	if b.rehearsal || b.stopped() {
		return
	}
	b.clock++
	if b.misplaced && !b.capturing {
		if err := b.place(); err != nil {
			b.fail(name, err)
			return
		}
	}
	if err := b.dev.tuner.Set().LoadFor(o); err != nil { // f runs inside Do
		b.fail(name, err)
		return
	}
	for _, w := range weights { // so that no part of the operation is evicted for another
		if w, ok := w.(*weight); ok { // and not nil or a matrix, which is on the device
			w.part.used = b.clock
		}
	}
	for _, w := range weights {
		if w, ok := w.(*weight); ok && !b.ensureOnDevice(name, w) {
			return
		}
	}
	if b.pending = append(b.pending, operation{name, f}); len(b.pending) == handOver {
		b.flush()
	}
}

// operation is an operation that waits to be queued.
type operation struct {
	name string
	f    func(q *kernels.Queue) error
}

// handOver is the number of operations that are handed to the device's thread at a time.
const handOver = 16

// flush queues the pending operations. It is called before every other call of the device.
func (b *Backend) flush() {
	pending := b.pending
	b.pending = b.pending[:0]
	if len(pending) == 0 || !b.usable() || b.stopped() {
		return
	}
	err := b.dev.ctx.Do(func() error {
		for _, o := range pending {
			b.last = o.name
			if err := o.f(b.dev.queue); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.fail(b.last, err)
	}
	clear(pending) // closures hold matrices
}

// Close waits for the device and frees everything.
func (b *Backend) Close() error {
	if b.rehearsal || b.dev == nil {
		return nil
	}
	b.flush()
	b.stopLoading()
	err := b.dev.close()
	b.use(nil)
	b.options.Open = func() (cu.Context, error) { return nil, cu.ErrClosed }
	return err
}

func mustHave(ok bool, format string, args ...any) {
	if !ok {
		panic("cuda: " + fmt.Sprintf(format, args...))
	}
}
