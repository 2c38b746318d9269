package checkpoint

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Interruptible calls work on a goroutine and returns its result, or the cause of ctx as soon as ctx ends. It is for
// reads from a disk that may not answer, which cannot be stopped. If work returns a result later, without an error,
// Interruptible calls discard with it. A panic of work is a panic of Interruptible.
func Interruptible[T any](ctx context.Context, work func() (T, error), discard func(T)) (result T, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	type outcome struct {
		result   T
		err      error
		panicked any
	}
	done := make(chan outcome)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			select {
			case done <- o:
			case <-ctx.Done():
				if o.panicked == nil && o.err == nil {
					discard(o.result)
				}
			}
		}()
		o.result, o.err = work()
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked) // on the caller's goroutine, which may recover it
		}
		return o.result, o.err
	case <-ctx.Done():
		return result, context.Cause(ctx)
	}
}
