package checkpoint

import "context"

// Interruptible returns what work returns, or the cause of ctx as soon as that ends: reading from a disk that does not answer
// cannot be stopped, but nobody has to wait for it. What work returns after that, without an error, goes to discard.
func Interruptible[T any](ctx context.Context, work func() (T, error), discard func(T)) (result T, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome)
	go func() {
		r, err := work()
		select {
		case done <- outcome{r, err}:
		case <-ctx.Done():
			if err == nil {
				discard(r)
			}
		}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return result, context.Cause(ctx)
	}
}
