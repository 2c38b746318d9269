package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// queue gives turns on the engine, one at a time. It is fair between clients: each client has one turn in every round,
// however many requests it has, and within a round turns go in the order of arrival. No client may have more than its
// share of the places, so that there are always places for others.
type queue struct {
	limit     int   // the number of places; a request has one while it is prepared, and while it waits for its turn
	mostBytes int64 // the most memory that all admitted requests may hold

	mu      sync.Mutex
	places  shares
	bytes   shares    // the memory of admitted requests: references and pictures
	waiting []*ticket // in the order of their turns
	running *ticket   // the ticket that has its turn, nil if none has
	round   int       // the round of the last turn
	closed  bool
	ended   chan struct{} // closed when the queue is closed and no turn is under way any more
	last    time.Duration // how long the last turn took; Retry-After says it
}

// admission is a request in the queue, from before its references are decoded until the client has its pictures. It has
// a place from the start, so that there are never more requests that decode references than may wait.
type admission struct {
	q          *queue
	client     string
	bytes      int64
	holdsPlace bool // until join gives the place to a ticket
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
		limit: limit, mostBytes: maxHeldBytes, places: newShares(), bytes: newShares(), ended: make(chan struct{}),
		last: time.Second,
	}
}

func errClosed() *apiError {
	return &apiError{
		status: http.StatusServiceUnavailable, detail: "the server is shutting down", retryAfter: 10 * time.Second,
		final: true,
	}
}

// room returns the error that admit would return now, nil if there is room. It is called before a body is read.
func (q *queue) room(client string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.check(client, 0)
}

func (q *queue) check(client string, bytes int64) error {
	places := int64(q.limit)
	if q.running == nil {
		places++ // the next request gets its turn at once and gives its place back
	}
	detail := ""
	switch {
	case q.closed:
		return errClosed()
	case q.places.total >= places, q.bytes.total+bytes > q.mostBytes:
		detail = "the queue is full"
	case !q.places.fits(client, 1, places):
		detail = "too many requests of this client wait; the other places are for other clients"
	case !q.bytes.fits(client, bytes, q.mostBytes):
		detail = "too many pictures of this client wait to be made or read"
	default:
		return nil
	}
	return q.full(detail)
}

// full returns the error for a request that does not fit in the queue.
func (q *queue) full(detail string) *apiError {
	return &apiError{status: http.StatusTooManyRequests, detail: detail, retryAfter: max(q.last, time.Second)}
}

// admit admits a request of client. bytes is the memory that its references and pictures may take. The caller must end
// the admission.
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

// end gives the place and the memory of the request back. The caller must have called leave on all of its tickets.
func (a *admission) end() {
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	if a.holdsPlace {
		a.q.places.take(a.client, -1)
	}
	a.q.bytes.take(a.client, -a.bytes)
}

// hold changes the memory that the request holds to bytes. If they do not fit, nothing changes, and the error is that
// of admit.
func (a *admission) hold(bytes int64) error {
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes.take(a.client, -a.bytes) // what it holds already is no reason against it
	if bytes > a.bytes && !q.bytes.fits(a.client, bytes, q.mostBytes) {
		q.bytes.take(a.client, a.bytes)
		return q.full("too many pictures wait to be made or read")
	}
	q.bytes.take(a.client, bytes)
	a.bytes = bytes
	return nil
}

// join returns a ticket that waits for a turn. The caller must call leave on it. A request for several pictures calls
// join once for each: it was admitted with all of them, so that a full queue does not refuse the second one, but each
// picture waits for its turn as all others do.
func (a *admission) join() (*ticket, error) {
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed()
	}
	if !a.holdsPlace {
		q.places.take(a.client, 1)
	}
	a.holdsPlace = false
	return q.enqueue(a.client), nil
}

// enqueue adds a ticket of client to the earliest round in which none of the client's tickets waits or runs, after the
// other tickets of that round.
func (q *queue) enqueue(client string) *ticket {
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

// next gives the first waiting ticket its turn if no turn is under way.
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

// wait returns nil when the turn has come. It returns an error if ctx ends or the queue closes before.
func (t *ticket) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.turn:
		return t.check()
	}
}

// check returns an error if t.turn was closed because the queue has closed, not because the turn has come.
func (t *ticket) check() error {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	if t.q.running != t {
		return errClosed()
	}
	return nil
}

// position returns the number of turns before the ticket's, the present one included; 0 if its turn has come.
func (t *ticket) position() int {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	return slices.Index(t.q.waiting, t) + 1
}

// leave ends the ticket: its turn if it has come, otherwise its place among those that wait.
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

// close refuses all tickets that wait, and all requests from now on. The turn under way goes on.
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

// length returns how many turns are under way, 0 or 1, and how many requests have a place: they wait for their turn or
// are being prepared.
func (q *queue) length() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != nil {
		running = 1
	}
	return running, int(q.places.total)
}
