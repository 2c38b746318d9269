package cli

import (
	"context"
	"io"
)

// interruptible reads standard input and ends with its context: a read of a terminal or a pipe cannot be broken off, so
// that it is left behind in a goroutine.
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
		// p is the caller's again as soon as the context ends.
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
