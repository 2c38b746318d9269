package cuda

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// oneThread is a software device that one thread owns, like a GPU's context: calls that neither compile nor wait are
// handed to that thread. If a call on it waits for a goroutine that needs the thread, it waits forever.
type oneThread struct {
	*ptxsim.Context
	owner atomic.Int64
	jobs  chan func()
}

func openOneThread() (cu.Context, error) {
	c := &oneThread{Context: ptxsim.Open(ptxsim.Device{}), jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		c.owner.Store(int64(syscall.Gettid()))
		for job := range c.jobs {
			job()
		}
	}()
	return c, nil
}

func (c *oneThread) Do(f func() error) (err error) {
	if int64(syscall.Gettid()) == c.owner.Load() {
		return f()
	}
	done := make(chan struct{})
	c.jobs <- func() {
		defer close(done)
		err = f()
	}
	<-done
	return err
}

func (c *oneThread) MemGetInfo() (free, total int64, err error) {
	err = c.Do(func() (err error) { free, total, err = c.Context.MemGetInfo(); return err })
	return free, total, err
}

func (c *oneThread) MemAlloc(bytes int64) (p cu.DevicePtr, err error) {
	err = c.Do(func() (err error) { p, err = c.Context.MemAlloc(bytes); return err })
	return p, err
}

func (c *oneThread) MemFree(p cu.DevicePtr) error {
	return c.Do(func() error { return c.Context.MemFree(p) })
}

func (c *oneThread) MemAllocHost(bytes int) (b []byte, err error) {
	err = c.Do(func() (err error) { b, err = c.Context.MemAllocHost(bytes); return err })
	return b, err
}

func (c *oneThread) MakeStream() (s cu.Stream, err error) {
	err = c.Do(func() (err error) { s, err = c.Context.MakeStream(); return err })
	return s, err
}

func (c *oneThread) MakeEvent(timing bool) (e cu.Event, err error) {
	err = c.Do(func() (err error) { e, err = c.Context.MakeEvent(timing); return err })
	return e, err
}

func (c *oneThread) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	if int64(syscall.Gettid()) == c.owner.Load() {
		return nil, fmt.Errorf("%s is compiled on the thread that owns the device", o.Name)
	}
	m, err := c.Context.LoadModule(text, o)
	return oneThreadModule{m, c}, err
}

type oneThreadModule struct {
	cu.Module
	context *oneThread
}

func (m oneThreadModule) Function(name string) (f cu.Function, err error) {
	err = m.context.Do(func() (err error) { f, err = m.Module.Function(name); return err })
	return f, err
}

// TestOneThread compiles and uploads in the background while operations are issued.
func TestOneThread(t *testing.T) {
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		b, err := New(Options{Open: openOneThread, ChunkBytes: chunkBytes, Eager: true})
		if err != nil {
			t.Error(err)
			return
		}
		b.Network("first")
		w := bf16Weight(t, b, "w", 0.5, 64, 64)
		b.Network("second")
		conv := bf16Weight(t, b, "conv", 0.25, 8, 64, 3, 3)
		gamma := bf16Weight(t, b, "gamma", 1, 64)
		b.Begin(context.Background())
		if err := b.Reserve(backend.Memory{Parts: b.Memory().Parts, Activations: 1 << 20, Kept: 1 << 16}); err != nil {
			t.Error(err)
		}
		x, y, kept := upload(b, 16, 64, 1), b.Alloc(16, 64, tensor.BF16), b.Keep(16, 64, tensor.BF16)
		for range 3 {
			b.Replay("step", func() {
				b.Linear(y, x, w, backend.Epilogue{})
				b.RMSNorm(y, y, gamma, 0)
			})
		}
		b.Copy(kept, y)
		out := b.Alloc(16, 8, tensor.BF16)
		b.Conv2D(out, kept, conv, backend.ConvParams{Height: 4, Width: 4})
		b.GroupNorm(y, y, backend.GroupNormParams{Groups: 8, Gamma: gamma, Beta: gamma, Eps: 1})
		wantValues(t, b, out.RowRange(5, 6), 9*64*0.25)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-finished:
	case <-time.After(2 * time.Minute):
		t.Fatal("the device's thread waits for itself")
	}
}

// TestCompiledBefore: an operation compiles all kernels that it may launch before it is handed to the thread that owns
// the device. Each row is the first operation of a backend.
func TestCompiledBefore(t *testing.T) {
	angles := func(b *Backend, rows, cols int) backend.RoPE {
		m := b.Alloc(rows, cols, tensor.F32)
		b.Upload(m, make([]float32, rows*cols))
		return backend.RoPE{Cos: m, Sin: m}
	}
	for _, row := range []struct {
		name string
		run  func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight)
	}{
		{"heads that a product rotates", func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight) {
			qk := backend.QKNormRoPE{Cols: 128, Weight: weight(128), Eps: 1e-6, RoPE: angles(b, 16, 64)}
			b.Linear(b.Alloc(16, 128, tensor.BF16), x, weight(128, 64), backend.Epilogue{QKNormRoPE: qk})
		}},
		{"heads too narrow for that", func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight) {
			qk := backend.QKNormRoPE{Cols: 64, Weight: weight(32), Eps: 1e-6, RoPE: angles(b, 16, 16)}
			b.Linear(b.Alloc(16, 64, tensor.BF16), x, weight(64, 64), backend.Epilogue{QKNormRoPE: qk})
		}},
		{"a convolution that normalises", func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight) {
			n := backend.GroupNormParams{Groups: 8, Gamma: weight(64), Beta: weight(64), Eps: 1}
			p := backend.ConvParams{Height: 4, Width: 4, Norm: &n}
			b.Conv2D(b.Alloc(16, 8, tensor.BF16), x, weight(8, 64, 3, 3), p)
		}},
		{"group norm, then a convolution", func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight) {
			n := backend.GroupNormParams{Groups: 8, Gamma: weight(64), Beta: weight(64), Eps: 1}
			p := backend.ConvParams{Height: 4, Width: 4, Upsample: true, Norm: &n}
			b.Conv2D(b.Alloc(64, 8, tensor.BF16), x, weight(8, 64, 3, 3), p)
		}},
		{"group norm", func(b *Backend, x backend.Matrix, weight func(shape ...int) backend.Weight) {
			b.GroupNorm(x, x, backend.GroupNormParams{Groups: 8, Gamma: weight(64), Beta: weight(64), Eps: 1})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := openOn(t, openOneThread)
			b.Begin(t.Context())
			row.run(b, upload(b, 16, 64, 1), func(shape ...int) backend.Weight { return bf16Weight(t, b, "w", 0.5, shape...) })
			if err := b.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
}
