package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestMemoryProgress checks that uploads that fill the memory together, each in part, do not wait for each other for
// ever, and never hold more than the total and one upload.
func TestMemoryProgress(t *testing.T) {
	const most = 1 << 20
	m := newMemory(most)
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			l := m.lease(fmt.Sprint("client ", i%7))
			for l.seen < most {
				if err := l.take(context.Background(), min(1+r.Int64N(64<<10), most-l.seen), time.Minute); err != nil {
					t.Error(err)
					break
				}
				if used := m.inUse(); used > m.total+most {
					t.Errorf("%d bytes in use, want at most %d", used, m.total+most)
				}
			}
			l.end()
		})
	}
	all.Wait()
	if m.inUse() != 0 || len(m.leases) != 0 || len(m.shares.held) != 0 || len(m.waiting) != 0 {
		t.Errorf("left: %d bytes, %d leases, %d clients, %d that wait", m.inUse(), len(m.leases), len(m.shares.held),
			len(m.waiting))
	}
}

// TestMemoryShares checks that one client alone has half of the memory, and that the first request of each client may
// take all that is free.
func TestMemoryShares(t *testing.T) {
	const most = 1 << 20
	m := newMemory(most)
	never := time.Millisecond
	take := func(client string, n int64) (*lease, error) {
		l := m.lease(client)
		return l, l.take(t.Context(), n, never)
	}
	first, err := take("a", most)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take("a", most); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("a second large upload of the same client: %v, want 503", err)
	}
	if _, err := take("a", uncountedBytes); err != nil {
		t.Errorf("a small one: %v", err)
	}
	if _, err := take("b", most); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := first.take(t.Context(), uncountedBytes+1, never); statusOf(err) != http.StatusRequestEntityTooLarge {
		t.Errorf("more than a request may have: %v, want 413", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	second := m.lease("a")
	if err := second.take(ctx, most, time.Minute); err != context.Canceled {
		t.Errorf("a client that leaves: %v", err)
	}
	first.end()
	if _, err := take("a", most); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}
