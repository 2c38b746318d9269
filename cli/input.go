package cli

import (
	"context"
	"io"
)

// interruptible is a reader of standard input whose Read returns when ctx ends. A read of a terminal or a pipe cannot
// be cancelled, so that each read runs in a goroutine, which is left behind.
type interruptible struct {
	ctx  context.Context
	in   io.Reader
	done chan read
}

type read struct {
	data []byte
	err  error
}

func newInterruptible(ctx context.Context, in io.Reader) *interruptible {
	return &interruptible{ctx, in, make(chan read, 1)}
}

func (r *interruptible) Read(p []byte) (int, error) {
	go func() {
		// This goroutine must not write to p, which belongs to the caller again when the context ends.
		own := make([]byte, len(p))
		n, err := r.in.Read(own)
		r.done <- read{own[:n], err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	case got := <-r.done:
		return copy(p, got.data), got.err
	}
}
