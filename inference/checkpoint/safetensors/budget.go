package safetensors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrBudget is wrapped by the error for a file that was not read because too much had been read before.
var ErrBudget = errors.New("is not looked at: this search has read enough, the next one goes on from here")

// fileBytes is what a file costs a budget beside its header: looking at it takes time, however little it holds.
const fileBytes = 4 << 10

type budgetKey struct{}

// WithBudget returns a context with which Open and OpenSet read headers and indexes of so many bytes altogether.
func WithBudget(ctx context.Context, bytes int64) context.Context {
	left := new(atomic.Int64)
	left.Store(bytes)
	return context.WithValue(ctx, budgetKey{}, left)
}

// spend takes the bytes of a header or index at path from the budget of ctx, if it has one.
func spend(ctx context.Context, path string, bytes int64) error {
	left, ok := ctx.Value(budgetKey{}).(*atomic.Int64)
	if ok && left.Add(-bytes-fileBytes) < 0 {
		return fmt.Errorf("safetensors: %s: %w", path, ErrBudget)
	}
	return nil
}
