package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// memory shares out the bytes that clients' uploads and fetched references may hold. They are taken as they arrive.
//
// A client gets half of what the others leave, but one of its requests always as much as a request may have. A request
// that finds no room waits. Several that wait for each other would wait for ever: hence the first of each client may go
// beyond the client's share, and the first of all beyond the total, by what a request may have.
type memory struct {
	total int64 // of all requests
	most  int64 // of one request

	mu      sync.Mutex
	shares  shares
	leases  []*lease // those that hold any, in the order in which they began to
	waiting []*memoryWaiter
}

// lease is what one request holds.
type lease struct {
	m      *memory
	client string
	seen   int64  // bytes that came, those in the lane included
	held   int64  // bytes of the budget
	hurry  func() // for uploads that may stand still, when somebody begins to wait for their bytes; guarded by m.mu
}

type memoryWaiter struct {
	lease *lease
	bytes int64
	ready chan struct{} // closed once the bytes are taken
}

func newMemory(most int64) *memory {
	return &memory{total: uploadBodies * most, most: most, shares: newShares()}
}

func (m *memory) lease(client string) *lease { return &lease{m: m, client: client} }

// errMemory is for requests that waited too long.
func errMemory() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, detail: "too many uploads at once", retryAfter: 10 * time.Second}
}

// take counts n more bytes. Where there is no room for them it waits, at most for patience.
func (l *lease) take(ctx context.Context, n int64, patience time.Duration) error {
	l.seen += n
	if l.seen > l.m.most+laneBytes {
		return errorf(http.StatusRequestEntityTooLarge, "the request and what it names have more than %d bytes together", l.m.most)
	}
	need := l.seen - laneBytes - l.held
	if need <= 0 {
		return nil
	}
	m := l.m
	m.mu.Lock()
	if m.fits(l, need) {
		m.grant(l, need)
		m.mu.Unlock()
		return nil
	}
	w := &memoryWaiter{l, need, make(chan struct{})}
	m.waiting = append(m.waiting, w)
	for _, other := range m.leases {
		if other.hurry != nil && m.hurries(w, other) {
			other.hurry()
		}
	}
	m.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errMemory()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := slices.Index(m.waiting, w); at >= 0 {
		m.waiting = slices.Delete(m.waiting, at, at+1)
		return err
	}
	return nil // the bytes came at the last moment
}

// give returns the last n bytes.
func (l *lease) give(n int64) {
	l.seen -= n
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.release(l, l.held-max(l.seen-laneBytes, 0))
}

// end returns all.
func (l *lease) end() { l.give(l.seen) }

func (m *memory) fits(l *lease, n int64) bool {
	if !m.first(l, false) && m.shares.total+n > m.total {
		return false
	}
	return m.first(l, true) || m.shares.held[l.client]+n <= m.shares.most(l.client, m.total)
}

// first says whether no request holds bytes for longer than l: none at all, or none of the same client.
func (m *memory) first(l *lease, ofClient bool) bool {
	for _, other := range m.leases {
		if other == l {
			return true
		}
		if !ofClient || other.client == l.client {
			return false
		}
	}
	return true
}

func (m *memory) grant(l *lease, n int64) {
	if l.held == 0 {
		m.leases = append(m.leases, l)
	}
	l.held += n
	m.shares.take(l.client, n)
}

func (m *memory) release(l *lease, n int64) {
	if n == 0 {
		return
	}
	l.held -= n
	m.shares.take(l.client, -n)
	if l.held == 0 {
		m.leases = slices.DeleteFunc(m.leases, func(other *lease) bool { return other == l })
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(w *memoryWaiter) bool {
		if !m.fits(w.lease, w.bytes) {
			return false
		}
		m.grant(w.lease, w.bytes)
		close(w.ready)
		return true
	})
}

// hurried says whether somebody waits for bytes that l holds.
func (m *memory) hurried(l *lease) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.held > 0 && slices.ContainsFunc(m.waiting, func(w *memoryWaiter) bool { return m.hurries(w, l) })
}

// hurries says whether w waits for bytes of l: of the total, or of the same client's share.
func (m *memory) hurries(w *memoryWaiter, l *lease) bool {
	return w.lease != l && (w.lease.client == l.client || m.shares.total+w.bytes > m.total)
}

// onHurry sets hurry, nil for none.
func (l *lease) onHurry(hurry func()) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.hurry = hurry
}

// inUse is how many bytes are held.
func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shares.total
}
