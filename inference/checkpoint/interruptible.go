package checkpoint

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Interruptible returns what work returns, or the cause of ctx as soon as that ends: reading from a disk that does not answer
// cannot be stopped, but nobody has to wait for it. What work returns after that, without an error, goes to discard.
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
			panic(o.panicked) // on the caller's goroutine, where it may be guarded
		}
		return o.result, o.err
	case <-ctx.Done():
		return result, context.Cause(ctx)
	}
}
