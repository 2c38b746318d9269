package server

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// held returns how many places and bytes admitted requests have.
func (q *queue) held() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.places.total + q.bytes.total
}

// join admits a request that waits for a turn at once. The request ends with its turn.
func (q *queue) join(client string, bytes int64) (*queued, error) {
	a, err := q.admit(client, bytes)
	if err != nil {
		return nil, err
	}
	t, err := a.join()
	if err != nil {
		a.end()
		return nil, err
	}
	return &queued{t, a}, nil
}

type queued struct {
	*ticket
	admission *admission
}

func (p *queued) leave() {
	p.ticket.leave()
	p.admission.end()
}

func statusOf(err error) int {
	var e *apiError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// TestQueueOrder checks that each client has one turn in a round.
func TestQueueOrder(t *testing.T) {
	for _, row := range []struct{ name, arrivals, want string }{
		{"one client", "a1 a2 a3", "a1 a2 a3"},
		{"a flood and one more", "a1 a2 a3 a4 b1", "a1 b1 a2 a3 a4"},
		{"two floods", "a1 a2 a3 b1 b2 b3", "a1 b1 a2 b2 a3 b3"},
		{"three", "a1 a2 b1 c1 a3 b2 c2", "a1 b1 c1 a2 b2 c2 a3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := newQueue(100)
			tickets := map[*ticket]string{}
			places := map[*ticket]*queued{}
			for name := range strings.SplitSeq(row.arrivals, " ") {
				place, err := q.join(name[:1], 0)
				if err != nil {
					t.Fatal(err)
				}
				tickets[place.ticket], places[place.ticket] = name, place
			}
			var order []string
			for q.running != nil {
				now := q.running
				if err := now.wait(context.Background()); err != nil {
					t.Fatal(err)
				}
				order = append(order, tickets[now])
				places[now].leave()
			}
			if have := strings.Join(order, " "); have != row.want {
				t.Errorf("order %s, want %s", have, row.want)
			}
			if q.held() != 0 || len(q.waiting) != 0 {
				t.Errorf("%d places and bytes, %d waiting are left", q.held(), len(q.waiting))
			}
		})
	}
}

// TestQueueLateClient checks that a late client begins in the present round: it neither waits for all requests of
// others, nor goes before them because it has had fewer turns.
func TestQueueLateClient(t *testing.T) {
	q := newQueue(100)
	join := func(client string) *queued {
		t.Helper()
		place, err := q.join(client, 0)
		if err != nil {
			t.Fatal(err)
		}
		return place
	}
	for range 5 {
		join("a").leave()
	}
	first, second := join("a"), join("a")
	late := join("b")
	if q.running != first.ticket || q.waiting[0] != late.ticket || q.waiting[1] != second.ticket {
		t.Errorf("running %v, waiting %v", q.running, q.waiting)
	}
	if late.position() != 1 || second.position() != 2 || first.position() != 0 {
		t.Errorf("positions %d %d %d", first.position(), late.position(), second.position())
	}
}

func TestQueueBounds(t *testing.T) {
	q := newQueue(2)
	running, _ := q.join("a", 5)
	waiting, _ := q.join("a", 0)
	if _, err := q.join("b", maxHeldBytes); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := q.join("b", 7); err != nil {
		t.Errorf("the second waiting one: %v", err)
	}
	if _, err := q.join("b", 0); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("the third waiting one: %v", err)
	}
	if err := q.room("c"); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("room: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("gone")
	cancel(cause)
	if err := waiting.wait(ctx); err != cause {
		t.Errorf("wait: %v", err)
	}
	waiting.leave()
	if err := q.room("c"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	q.close()
	last, err := q.join("c", 0)
	if statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("closed: %v %v", last, err)
	}
	if err := running.wait(context.Background()); err != nil {
		t.Errorf("the running one goes on: %v", err)
	}
	running.leave()
	if q.running != nil {
		t.Error("a closed queue has started another turn")
	}
}

// TestQueueAtRandom checks, for random orders of requests, joins and leaves, that one turn is under way at a time, that
// no client has more than its share, and that nothing is left at the end.
func TestQueueAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const limit = 8
	q := newQueue(limit)
	type request struct {
		*admission
		ticket *ticket
	}
	var all []*request
	refused := map[bool]int{}
	for range 20000 {
		switch n := r.IntN(6); {
		case n < 3 || len(all) == 0:
			client := string(rune('a' + r.IntN(6)))
			room := limit
			if q.running == nil {
				room++
			}
			mine, others := 0, 0
			for _, p := range all {
				if p.ticket == nil || p.ticket != q.running {
					if p.client == client {
						mine++
					} else {
						others++
					}
				}
			}
			full := mine+others >= room
			a, err := q.admit(client, int64(r.IntN(100)))
			if want := full || mine > 0 && mine+1 > (room-others)/2; (err != nil) != want {
				t.Fatalf("%d of the client's, %d of others: %v", mine, others, err)
			}
			if err == nil {
				all = append(all, &request{admission: a})
			} else {
				refused[full]++
			}
		case n < 5:
			if p := all[r.IntN(len(all))]; p.ticket == nil {
				p.ticket, _ = p.join()
			}
		default:
			i := r.IntN(len(all))
			if all[i].ticket != nil {
				all[i].ticket.leave()
			}
			all[i].end()
			all = slices.Delete(all, i, i+1)
		}
		var bytes, places int64
		for _, p := range all {
			bytes += p.bytes
			if p.ticket == nil || p.ticket != q.running {
				places++
			}
			if p.ticket != nil && (p.ticket == q.running) == slices.Contains(q.waiting, p.ticket) {
				t.Fatal("a place neither runs nor waits, or does both")
			}
		}
		rounds := slices.IsSortedFunc(q.waiting, func(a, b *ticket) int { return a.round - b.round })
		if bytes != q.bytes.total || places != q.places.total || q.running == nil && len(q.waiting) > 0 || !rounds {
			t.Fatalf("%d bytes, want %d; %d places, want %d; running %v; in order %v", q.bytes.total, bytes, q.places.total,
				places, q.running, rounds)
		}
	}
	if refused[true] < 100 || refused[false] < 100 {
		t.Errorf("refused for a full queue and for a full share: %v, want both often", refused)
	}
}

// TestQueueShares checks that many requests of one client leave places for other clients.
func TestQueueShares(t *testing.T) {
	q := newQueue(32)
	have := map[string]int{}
	for _, client := range []string{"flood", "second", "third", "fourth", "fifth", "sixth"} {
		for {
			if _, err := q.join(client, 0); err != nil {
				if statusOf(err) != http.StatusTooManyRequests {
					t.Fatal(err)
				}
				break
			}
			have[client]++
		}
	}
	// The first request of the client has its turn, and no place.
	want := map[string]int{"flood": 17, "second": 8, "third": 4, "fourth": 2, "fifth": 1, "sixth": 1}
	if !maps.Equal(have, want) {
		t.Errorf("places %v, want %v", have, want)
	}
}

// TestQueueRejoin checks that a request that has had a turn may join again although the queue is full, and that it
// waits behind the others of the round.
func TestQueueRejoin(t *testing.T) {
	q := newQueue(1)
	running, _ := q.join("a", 0)
	waiting, _ := q.join("b", 0)
	if _, err := q.join("a", 0); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("a new request: %v", err)
	}
	next, err := running.admission.join()
	if err != nil {
		t.Fatal(err)
	}
	running.ticket.leave()
	if q.running != waiting.ticket || next.position() != 1 {
		t.Errorf("running %v, want the one that waited; %d turns before the next picture", q.running, next.position())
	}
	q.close()
	if _, err := running.admission.join(); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("closed: %v", err)
	}
}

// TestMemoryOfAnotherModel lets a request wait while the demo model gives way to a model with larger pictures. Its
// memory must be that of the model that makes it, or it must be refused.
func TestMemoryOfAnotherModel(t *testing.T) {
	for _, row := range []struct {
		name   string
		most   int64
		status int
		real   int // how many pictures the larger model makes
	}{
		{"there is room", 100 * 1024 * 1024 * pixelBytes, http.StatusOK, 1},
		{"there is none", 512 * 512 * pixelBytes, http.StatusTooManyRequests, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			small := &fakeEngine{native: 64, gate: make(chan struct{})}
			large := &fakeEngine{native: 1024, gate: make(chan struct{})}
			s := start(t, small, nil, func(s *Server) { s.queue.mostBytes = row.most })
			first, second := make(chan got, 1), make(chan got, 1)
			ask := func(answer chan got) { answer <- s.generateWith(t, prompt()) }
			go ask(first)
			eventually(t, "the first is made", func() bool { return small.runs() == 1 })
			go ask(second)
			eventually(t, "the second waits", func() bool { return s.waitingPlaces() == 1 })
			before := s.queue.held()
			s.mu.Lock()
			s.model = Model{Engine: large}
			s.mu.Unlock()
			small.gate <- struct{}{}
			if g := <-first; g.status != http.StatusOK {
				t.Fatalf("the first: %d %s", g.status, g.body)
			}
			if row.real > 0 {
				eventually(t, "the second is made", func() bool { return large.runs() == row.real })
				if held := s.queue.held(); held < before+512*512*pixelBytes {
					t.Errorf("%d bytes are held, want those of the larger picture", held)
				}
				large.gate <- struct{}{}
			}
			if g := <-second; g.status != row.status {
				t.Errorf("the second: %d %s", g.status, g.body)
			}
			eventually(t, "nothing is held", func() bool { return s.queue.held() == 0 })
			if n := large.runs(); n != row.real {
				t.Errorf("the larger model made %d, want %d", n, row.real)
			}
		})
	}
}
