package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// queue gives turns on the engine, one at a time. It is fair between clients: each has a turn in every round, whatever
// the number of its requests, and within a round turns go in the order of arrival. No client may have more than its
// share of the places, so that the next one finds some.
type queue struct {
	limit     int   // places of requests that wait, or are prepared for that
	mostBytes int64 // of all that is admitted

	mu      sync.Mutex
	places  shares
	bytes   shares    // of references and pictures of admitted requests
	waiting []*ticket // in the order of service
	running *ticket
	round   int // of the last turn
	closed  bool
	ended   chan struct{} // closed when the queue is closed and nothing runs any more
	last    time.Duration // of the last turn: what Retry-After says
}

// admission is a request in the queue, from before its references are decoded until its pictures are delivered. It has
// a place from the start, so that no more requests decode than may wait.
type admission struct {
	q      *queue
	client string
	bytes  int64
	early  bool // its place is not a ticket's yet
}

// ticket is an admitted request's wait for one turn.
type ticket struct {
	q      *queue
	client string
	round  int
	turn   chan struct{} // closed when the turn has come, or the queue has closed
	began  time.Time
}

func newQueue(limit int) *queue {
	return &queue{
		limit: limit, mostBytes: maxHeldBytes, places: newShares(), bytes: newShares(), ended: make(chan struct{}), last: time.Second,
	}
}

func errClosed() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, detail: "the server is shutting down", retryAfter: 10 * time.Second, final: true}
}

// room says whether admit would succeed, before a body is read for it.
func (q *queue) room(client string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.check(client, 0)
}

func (q *queue) check(client string, bytes int64) error {
	places := int64(q.limit)
	if q.running == nil {
		places++ // for the one that runs next
	}
	detail := ""
	switch {
	case q.closed:
		return errClosed()
	case q.places.total >= places, q.bytes.total+bytes > q.mostBytes:
		detail = "the queue is full"
	case !q.places.fits(client, 1, places):
		detail = "too many requests of this client wait; the other places are kept for others"
	case !q.bytes.fits(client, bytes, q.mostBytes):
		detail = "too many pictures of this client wait to be made or read"
	default:
		return nil
	}
	return &apiError{status: http.StatusTooManyRequests, detail: detail, retryAfter: max(q.last, time.Second)}
}

// admit lets a request of client in that holds bytes of references and pictures. The admission must be ended.
func (q *queue) admit(client string, bytes int64) (*admission, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.check(client, bytes); err != nil {
		return nil, err
	}
	q.places.take(client, 1)
	q.bytes.take(client, bytes)
	return &admission{q, client, bytes, true}, nil
}

// end gives back what the request had. It must have no ticket any more.
func (a *admission) end() {
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	if a.early {
		a.q.places.take(a.client, -1)
	}
	a.q.bytes.take(a.client, -a.bytes)
}

// join waits in line for a turn; the ticket must be left. A request that has had a turn was let in with all of its
// pictures, so that a full queue does not refuse the next, but it waits for its turn as all others do.
func (a *admission) join() (*ticket, error) {
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed()
	}
	if !a.early {
		q.places.take(a.client, 1)
	}
	a.early = false
	return q.place(a.client), nil
}

func (q *queue) place(client string) *ticket {
	t := &ticket{q: q, client: client, round: q.round, turn: make(chan struct{})}
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
	q.places.take(q.running.client, -1)
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
	if q.running == t {
		q.last = time.Since(t.began)
		q.running = nil
		q.next()
		if q.closed {
			close(q.ended)
		}
		return
	}
	if at := slices.Index(q.waiting, t); at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
		q.places.take(t.client, -1)
	}
}

// close refuses whoever waits or comes; the running turn goes on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	if q.running == nil {
		close(q.ended)
	}
	for _, t := range q.waiting {
		q.places.take(t.client, -1)
		close(t.turn)
	}
	q.waiting = nil
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
