// Package cuda is the backend that computes on a GPU, over the kernels of kernels/ and a device of kernels/cu: NVIDIA's
// driver, or a device in software. Activations are bfloat16 matrices (float32 where a stage asks for that), in one
// piece of memory whose size a rehearsal finds out before the run; weights become bfloat16 on their way to the device
// and stay there, but for those that pass through lanes where they do not all fit (lanes.go).
//
// It refuses heads wider than 512 columns and group normalisations of more than 2048, which no published model has.
package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
	"kleinbild/kernels"
	"kleinbild/kernels/cu"
)

// Backend implements backend.Backend. Operations queue kernels and return; nothing waits for the device but Sync,
// Download, operations whose weights are still on their way, and weights that leave to make room.
type Backend struct {
	options Options
	info    cu.DeviceInfo
	// dev is nil for a rehearsal, and where the device could not be started again. opened guards it for Room.
	dev       *device
	opened    sync.Mutex
	rehearsal bool
	// rehearsed is shared with rehearsals.
	rehearsed *rehearsed

	arena arena
	// kept is the bytes of Keep in a rehearsal.
	kept int64

	ctx context.Context
	err error
	// pending are operations that the device's thread has not been handed yet: a hand-over costs more than a launch.
	pending []operation
	// last is the operation queued last: an error of the device is its own or an earlier one's.
	last string
	// recording forbids what a replay could not repeat; capturing says that the device records.
	recording, capturing bool
	replays              map[any]*replay

	parts []*part
	load  *load
	// laneBytes is the size of each network's lanes, 0 if it has none; lanes are those that are there.
	laneBytes map[string]int64
	lanes     map[string]*lanes
	// noLanes are the networks for whose lanes there was no memory since Reserve.
	noLanes map[string]bool
	// misplaced says that weights had to leave that should have stayed: the next operation places all anew.
	misplaced bool
	// aheadOf is the part behind which parts were sent for last; aheadWaits says that more shall be once a lane is free.
	aheadOf    *part
	aheadWaits bool
	// clock counts operations; a part's is that of its last use. drops counts parts that have left.
	clock, drops int64
	// planned is what Reserve was told last, keeping the bytes of Keep that are alive.
	planned backend.Memory
	keeping atomic.Int64
}

var _ backend.Planned = (*Backend)(nil)

// Options say which device to use and how.
type Options struct {
	// Open starts the device, at first and after a fault.
	Open func() (cu.Context, error)
	// ChunkBytes is the size of the two page-locked buffers through which weights pass; 32 MiB where 0.
	ChunkBytes int
	// PartBytes is the size of a network's parts, which come and go on their own where not all fit; 256 MiB where 0.
	PartBytes int64
	// MarginBytes of the device's memory are left to its driver, for kernels and graphs.
	MarginBytes int64
	// Eager compiles all kernels in the background as soon as the device is there, beside the upload of weights.
	Eager bool
	// Choices is the folder where what was measured of competing kernels is kept; nothing is measured if "". TuneBudget is
	// the time that measuring may take at a time, 5 s where 0.
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

// Begin ties the operations that follow to ctx. After a fault it starts the device anew; where that fails, Sync says
// so.
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

// usable says whether the device takes calls.
func (b *Backend) usable() bool { return b.dev != nil && !b.dev.lost }

// stopped says whether operations do nothing: after a failure, or once the context is done, which is one.
func (b *Backend) stopped() bool {
	if b.err == nil && b.ctx.Err() != nil {
		b.err = context.Cause(b.ctx)
	}
	return b.err != nil
}

// lostError is a fault of the device.
type lostError struct{ error }

// Unwrap returns the device's own error, Is makes it backend.ErrLost.
func (e lostError) Unwrap() error        { return e.error }
func (e lostError) Is(target error) bool { return target == backend.ErrLost }

// fail makes err stick, with the operation's name.
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

// blame is fail for an error that the device told late.
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
	// On that thread f must not wait for another goroutine's compilation, which needs the thread.
	if err := b.dev.compiled(o); err != nil {
		b.fail(name, err)
		return
	}
	for _, w := range weights { // no part of the operation's leaves for another
		if w != nil {
			w.(*weight).part.used = b.clock
		}
	}
	for _, w := range weights {
		if w != nil && !b.need(name, w.(*weight)) {
			return
		}
	}
	if b.pending = append(b.pending, operation{name, f}); len(b.pending) == handOver {
		b.flush()
	}
}

// operation is one that waits to be queued.
type operation struct {
	name string
	f    func(q *kernels.Queue) error
}

// handOver is the number of operations that the device's thread is given at a time.
const handOver = 16

// flush queues what is pending. It comes before everything that the device is told otherwise.
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

// Close waits for the device and gives everything back.
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
