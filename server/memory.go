package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// memory is the budget of bytes that the clients' uploads and fetched references may hold. A request takes bytes from
// it as they arrive, and waits if there is no room.
//
// A client may hold half of what the other clients leave. Requests that hold bytes and wait for more could wait for
// each other for ever. Two exceptions prevent that: the oldest request of each client may go beyond the client's share,
// and the oldest request of all may go beyond the total. Either may hold as many bytes as one request may have.
type memory struct {
	total int64 // the budget of all requests
	most  int64 // the most that one request may hold

	mu      sync.Mutex
	shares  shares
	leases  []*lease // those that hold bytes, oldest first
	waiting []*memoryWaiter
}

// lease holds the bytes of one request.
type lease struct {
	m      *memory
	client string
	seen   int64 // how many bytes have arrived
	held   int64 // how many of them count in the budget: all but the first uncountedBytes
	// hurry is called when another request begins to wait for bytes of this lease. It is nil unless the lease belongs to a
	// body that is being read. m.mu guards it.
	hurry func()
}

// memoryWaiter is a request that waits for bytes.

type memoryWaiter struct {
	lease *lease
	bytes int64
	ready chan struct{} // closed once the bytes are taken
}

func newMemory(most int64) *memory {
	return &memory{total: uploadBodies * most, most: most, shares: newShares()}
}

func (m *memory) lease(client string) *lease { return &lease{m: m, client: client} }

// errMemory returns the error of a request that has waited too long.
func errMemory() *apiError {
	return &apiError{
		status: http.StatusServiceUnavailable, detail: "too many uploads at once", retryAfter: 10 * time.Second,
	}
}

// take adds n bytes that have arrived. If there is no room for them, it waits, at most for the time patience.
func (l *lease) take(ctx context.Context, n int64, patience time.Duration) error {
	l.seen += n
	if l.seen > l.m.most+uncountedBytes {
		return errorf(http.StatusRequestEntityTooLarge,
			"the request and the files that it names have more than %d bytes together, want at most that", l.m.most)
	}
	need := l.seen - uncountedBytes - l.held
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
	return nil // the bytes were granted at the last moment
}

// shrink gives n bytes back.
func (l *lease) shrink(n int64) {
	l.seen -= n
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.release(l, l.held-max(l.seen-uncountedBytes, 0))
}

// end gives all bytes back.
func (l *lease) end() { l.shrink(l.seen) }

// fits says whether l may take n more bytes now.
func (m *memory) fits(l *lease, n int64) bool {
	if !m.first(l, false) && m.shares.total+n > m.total {
		return false
	}
	return m.first(l, true) || m.shares.held[l.client]+n <= m.shares.most(l.client, m.total)
}

// first says whether l is the oldest lease, or would be if it held bytes: of all leases, or of its client's if
// ofClient.
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

// hurried says whether another request waits for bytes that l holds.
func (m *memory) hurried(l *lease) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.held > 0 && slices.ContainsFunc(m.waiting, func(w *memoryWaiter) bool { return m.hurries(w, l) })
}

// hurries says whether w would profit if l gave bytes back: w waits for the total, or both belong to one client.
func (m *memory) hurries(w *memoryWaiter, l *lease) bool {
	return w.lease != l && (w.lease.client == l.client || m.shares.total+w.bytes > m.total)
}

// onHurry sets the function that is called when another request begins to wait for bytes of l; nil for none.
func (l *lease) onHurry(hurry func()) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.hurry = hurry
}

// inUse returns how many bytes of the budget are held.
func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shares.total
}
