package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// queue gives turns on the engine, one at a time. It is fair between clients: each has a turn in every round, whatever
// the number of its requests, and within a round turns go in the order of arrival.
type queue struct {
	limit int

	mu      sync.Mutex
	waiting []*ticket // in the order of service
	running *ticket
	round   int // of the last turn
	bytes   int64
	closed  bool
	last    time.Duration // of the last turn: what Retry-After says
}

// maxWaitingBytes bounds the references of waiting requests, 4 MB for each at most.
const maxWaitingBytes = 512 << 20

// ticket is a place in the queue.
type ticket struct {
	q      *queue
	client string
	bytes  int64
	round  int
	turn   chan struct{} // closed when the turn has come, or the queue has closed
	began  time.Time
}

func newQueue(limit int) *queue { return &queue{limit: limit, last: time.Second} }

func errClosed() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, detail: "the server is shutting down", retryAfter: 10 * time.Second}
}

// room says whether join would succeed, before a body is read for it.
func (q *queue) room(bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.check(bytes)
}

func (q *queue) check(bytes int64) error {
	switch {
	case q.closed:
		return errClosed()
	case q.running != nil && (len(q.waiting) >= q.limit || q.bytes+bytes > maxWaitingBytes):
		return &apiError{
			status: http.StatusTooManyRequests, detail: "the queue is full",
			retryAfter: max(q.last, time.Second),
		}
	}
	return nil
}

// join takes a place for a request of client that holds bytes of references. The place must be left.
func (q *queue) join(client string, bytes int64) (*ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.check(bytes); err != nil {
		return nil, err
	}
	return q.place(client, bytes), nil
}

// rejoin takes a place for another picture of a request that has had a turn. It was let in with all of its pictures, so
// that a full queue does not refuse it, but it waits for its turn as all others do.
func (q *queue) rejoin(client string, bytes int64) (*ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed()
	}
	return q.place(client, bytes), nil
}

func (q *queue) place(client string, bytes int64) *ticket {
	t := &ticket{q: q, client: client, bytes: bytes, round: q.round, turn: make(chan struct{})}
	q.bytes += bytes
	if q.running != nil && q.running.client == client {
		t.round = q.running.round + 1
	}
	for _, w := range q.waiting {
		if w.client == client {
			t.round = max(t.round, w.round+1)
		}
	}
	at, _ := slices.BinarySearchFunc(q.waiting, t.round+1, func(w *ticket, round int) int { return w.round - round })
	q.waiting = slices.Insert(q.waiting, at, t)
	q.next()
	return t
}

// next starts the first waiting ticket where nothing runs.
func (q *queue) next() {
	if q.running != nil || len(q.waiting) == 0 {
		return
	}
	q.running = q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.round = q.running.round
	q.running.began = time.Now()
	close(q.running.turn)
}

// wait returns when the turn has come, or with why it will not.
func (t *ticket) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.turn:
		return t.check()
	}
}

// check tells a turn from the end of the queue.
func (t *ticket) check() error {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	if t.q.running != t {
		return errClosed()
	}
	return nil
}

// position is the number of turns before the ticket's.
func (t *ticket) position() int {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	return slices.Index(t.q.waiting, t) + 1
}

// leave gives the place or the turn back.
func (t *ticket) leave() {
	q := t.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= t.bytes
	if q.running == t {
		q.last = time.Since(t.began)
		q.running = nil
		q.next()
		return
	}
	if at := slices.Index(q.waiting, t); at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
	}
}

// close refuses whoever waits or comes; the running turn goes on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, t := range q.waiting {
		close(t.turn)
	}
	q.waiting = nil
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
