package cuda

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
	"github.com/kleinbild/kleinbild/kernels/tune"
)

// device is everything that belongs to one context and is lost with it after a fault.
type device struct {
	ctx   cu.Context
	tuner *tune.Tuner
	queue *kernels.Queue
	// compute is the stream of the operations and of the copies that they need.
	compute cu.Stream
	staging *staging
	// weights has the buffers through which weights pass. The first upload makes it.
	weights *staging
	// base and size are the arena's memory.
	base cu.DevicePtr
	size int64
	// held is the number of bytes of the arena, of lanes, and of parts that have memory of their own.
	held atomic.Int64
	// undefine, if not nil, makes the software device treat memory as never written, so that it reports who reads old
	// values.
	undefine func(cu.DevicePtr, int64) error
	lost     bool
	// recalled says that the choices that other processes have measured were read.
	recalled bool
	// eager is closed when the compilation in the background has ended.
	eager chan struct{}
}

// stagingBytes is the size of a buffer for activations. A reference of a megapixel takes a few of them.
const stagingBytes = 2 << 20

// start opens the device. Nothing of what the last one held remains.
func (b *Backend) start() error {
	b.stopLoading()
	if b.dev != nil {
		// The fault that it was lost by has been reported.
		_ = b.dev.close()
		b.use(nil)
	}
	for _, p := range b.parts {
		p.leave()
	}
	b.replays, b.aheadOf = nil, nil
	b.lanes, b.noLanes, b.misplaced = map[string]*lanes{}, map[string]bool{}, false
	b.arena.reset(0)
	b.keeping.Store(0)

	ctx, err := b.options.Open()
	if err != nil {
		return err
	}
	d := &device{ctx: ctx, tuner: tune.New(ctx), eager: make(chan struct{})}
	if d.compute, err = ctx.MakeStream(); err == nil {
		d.staging, err = newStaging(ctx, d.compute, stagingBytes)
	}
	if err != nil {
		return errors.Join(err, ctx.Close())
	}
	if sim, ok := ctx.(interface {
		Undefine(cu.DevicePtr, int64) error
	}); ok {
		d.undefine = sim.Undefine
	}
	d.queue = d.tuner.Set().On(d.compute)
	go func() {
		defer close(d.eager)
		for _, f := range kernels.Families() {
			if !b.options.Eager || d.tuner.Set().Load(f) != nil {
				return // the operation that needs the family reports the error
			}
		}
	}()
	b.use(d)
	return nil
}

func (b *Backend) use(d *device) {
	b.opened.Lock()
	b.dev = d
	b.opened.Unlock()
}

// weightStaging returns the buffers for the upload of weights. There is one upload at a time.
func (d *device) weightStaging(bytes int) (*staging, error) {
	if d.weights != nil {
		return d.weights, nil
	}
	stream, err := d.ctx.MakeStream()
	if err != nil {
		return nil, err
	}
	if d.weights, err = newStaging(d.ctx, stream, bytes); err != nil {
		return nil, errors.Join(err, stream.Destroy())
	}
	return d.weights, nil
}

func (d *device) close() error {
	<-d.eager
	return d.ctx.Close()
}

// staging has two page-locked buffers: one is filled or read while the other is copied.
type staging struct {
	ctx     cu.Context
	stream  cu.Stream
	buffers [2][]byte
	passed  [2]cu.Event
	turn    int
}

func newStaging(ctx cu.Context, stream cu.Stream, bytes int) (*staging, error) {
	s := &staging{ctx: ctx, stream: stream}
	for i := range s.buffers {
		var err error
		if s.buffers[i], err = ctx.MemAllocHost(bytes); err != nil {
			return nil, errors.Join(err, s.free())
		}
		if s.passed[i], err = ctx.MakeEvent(false); err != nil {
			return nil, errors.Join(err, s.free())
		}
	}
	return s, nil
}

// nextBuffer waits for the last copy out of the next buffer, and returns the buffer.
func (s *staging) nextBuffer() ([]byte, error) {
	s.turn = 1 - s.turn
	return s.buffers[s.turn], s.passed[s.turn].Synchronize()
}

// send queues the copy of the first n bytes of the buffer that nextBuffer returned.
func (s *staging) send(to cu.DevicePtr, n int) error {
	return s.ctx.Do(func() error {
		if err := s.stream.MemcpyHtoDAsync(to, s.buffers[s.turn][:n]); err != nil {
			return err
		}
		return s.passed[s.turn].Record(s.stream)
	})
}

// receive copies n bytes into that buffer and waits for the copy.
func (s *staging) receive(from cu.DevicePtr, n int) error {
	err := s.ctx.Do(func() error {
		if err := s.stream.MemcpyDtoHAsync(s.buffers[s.turn][:n], from); err != nil {
			return err
		}
		return s.passed[s.turn].Record(s.stream)
	})
	if err != nil {
		return err
	}
	return s.passed[s.turn].Synchronize()
}

// wait returns once all copies are done.
func (s *staging) wait() error {
	return errors.Join(s.passed[0].Synchronize(), s.passed[1].Synchronize())
}

// free frees the buffers and events that exist.
func (s *staging) free() (err error) {
	for i, b := range s.buffers {
		if s.passed[i] != nil {
			err = errors.Join(err, s.passed[i].Destroy())
		}
		if b != nil {
			err = errors.Join(err, s.ctx.MemFreeHost(b))
		}
	}
	return err
}

// OpenGPU makes a context on the GPU with the most memory among those that can be used.
func OpenGPU() (cu.Context, error) {
	d, err := Driver()
	if err != nil {
		return nil, err
	}
	best, _, err := bestGPU(d)
	if err != nil {
		return nil, err
	}
	return d.MakeContext(best)
}

// bestGPU returns the GPU with the most memory. If none can be used, it returns the error of the first.
func bestGPU(d cu.Driver) (best int, info cu.DeviceInfo, err error) {
	n, err := d.NumDevices()
	if err != nil {
		return 0, info, err
	}
	for i := range n {
		one, e := d.Info(i)
		if e == nil && (one.Major < cu.OldestMajor || one.Major == cu.OldestMajor && one.Minor < cu.OldestMinor) {
			e = &cu.DeviceTooOldError{
				Name: one.Name, FoundMajor: one.Major, FoundMinor: one.Minor, WantMajor: cu.OldestMajor, WantMinor: cu.OldestMinor,
			}
		}
		if e != nil {
			if err == nil {
				err = e
			}
		} else if one.TotalBytes > info.TotalBytes {
			best, info = i, one
		}
	}
	if info.TotalBytes > 0 {
		err = nil
	}
	return best, info, err
}

// OpenSoftware makes a context on the software device, which checks all that kernels do. It has products of fp8.
func OpenSoftware() (cu.Context, error) { return ptxsim.Open(ptxsim.Device{Major: 8, Minor: 9}), nil }

// Describe names the GPU that OpenGPU would take, its memory and what its driver knows, or says why there is none.
func Describe() (string, error) {
	info, err := gpu()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s (sm_%d%d), %.1f GB, driver for CUDA %d.%d", info.Name, info.Major, info.Minor,
		float64(info.TotalBytes)/1e9, info.DriverVersion/1000, info.DriverVersion%1000/10), nil
}

// TotalBytes returns the memory of the GPU that OpenGPU would take.
func TotalBytes() (int64, error) {
	info, err := gpu()
	return info.TotalBytes, err
}

// gpu describes the GPU that OpenGPU would take.
func gpu() (info cu.DeviceInfo, err error) {
	d, err := Driver()
	if err != nil {
		return info, err
	}
	_, info, err = bestGPU(d)
	return info, err
}
