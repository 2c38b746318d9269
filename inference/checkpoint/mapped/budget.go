package mapped

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrBudget is wrapped by the error of Spend for a file that was not read because the budget was spent.
var ErrBudget = errors.New("was not read: this search has reached its limit, the next search continues here")

// fileBytes is added to the bytes of each file that is counted, since opening even a small file takes time.
const fileBytes = 4 << 10

type budgetKey struct{}

// WithBudget returns a context that limits the headers and indexes that are read with it to bytes in total.
func WithBudget(ctx context.Context, bytes int64) context.Context {
	left := new(atomic.Int64)
	left.Store(bytes)
	return context.WithValue(ctx, budgetKey{}, left)
}

// Spend subtracts the size of the header or index at path from the budget of ctx, if ctx has one. It returns an error
// of caller if the budget is too small.
func Spend(ctx context.Context, caller, path string, bytes int64) error {
	left, ok := ctx.Value(budgetKey{}).(*atomic.Int64)
	if ok && left.Add(-bytes-fileBytes) < 0 {
		return fmt.Errorf("%s: %s: %w", caller, path, ErrBudget)
	}
	return nil
}
