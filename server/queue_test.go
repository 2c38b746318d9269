package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func statusOf(err error) int {
	var e *apiError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// TestQueueOrder: each client has one turn in a round.
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
			for name := range strings.SplitSeq(row.arrivals, " ") {
				ticket, err := q.join(name[:1], 0)
				if err != nil {
					t.Fatal(err)
				}
				tickets[ticket] = name
			}
			var order []string
			for q.running != nil {
				now := q.running
				if err := now.wait(context.Background()); err != nil {
					t.Fatal(err)
				}
				order = append(order, tickets[now])
				now.leave()
			}
			if have := strings.Join(order, " "); have != row.want {
				t.Errorf("order %s, want %s", have, row.want)
			}
			if q.bytes != 0 || len(q.waiting) != 0 {
				t.Errorf("%d bytes, %d waiting are left", q.bytes, len(q.waiting))
			}
		})
	}
}

// TestQueueLateClient: who comes late is not behind the rounds that others have had already, nor before them.
func TestQueueLateClient(t *testing.T) {
	q := newQueue(100)
	join := func(client string) *ticket {
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
	if q.running != first || q.waiting[0] != late || q.waiting[1] != second {
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
	if _, err := q.join("b", maxWaitingBytes); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := q.join("b", 7); err != nil {
		t.Errorf("the second waiting one: %v", err)
	}
	if _, err := q.join("b", 0); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("the third waiting one: %v", err)
	}
	if err := q.room(0); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("room: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("gone")
	cancel(cause)
	if err := waiting.wait(ctx); err != cause {
		t.Errorf("wait: %v", err)
	}
	waiting.leave()
	if err := q.room(0); err != nil {
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

// TestQueueAtRandom: whatever the order of joins and leaves, one runs at a time and nothing is lost.
func TestQueueAtRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	q := newQueue(8)
	var places []*ticket
	for range 20000 {
		if len(places) == 0 || r.IntN(2) == 0 {
			place, err := q.join(string(rune('a'+r.IntN(4))), int64(r.IntN(100)))
			if full := len(places) == 9; (err != nil) != full {
				t.Fatalf("%d places: %v", len(places), err)
			}
			if err == nil {
				places = append(places, place)
			}
		} else {
			i := r.IntN(len(places))
			places[i].leave()
			places = slices.Delete(places, i, i+1)
		}
		var bytes int64
		for _, place := range places {
			bytes += place.bytes
			if (place == q.running) == slices.Contains(q.waiting, place) {
				t.Fatal("a place neither runs nor waits, or does both")
			}
		}
		rounds := slices.IsSortedFunc(q.waiting, func(a, b *ticket) int { return a.round - b.round })
		if bytes != q.bytes || (q.running == nil) != (len(places) == 0) || !rounds {
			t.Fatalf("%d bytes, want %d; running %v; in order %v", q.bytes, bytes, q.running, rounds)
		}
	}
}

// TestQueueRejoin: the next picture of a request that had a turn is let in where others are refused, behind them in the round.
func TestQueueRejoin(t *testing.T) {
	q := newQueue(1)
	running, _ := q.join("a", 0)
	waiting, _ := q.join("b", 0)
	if _, err := q.join("a", 0); statusOf(err) != http.StatusTooManyRequests {
		t.Errorf("a new request: %v", err)
	}
	next, err := q.rejoin("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	running.leave()
	if q.running != waiting || next.position() != 1 {
		t.Errorf("running %v, want the one that waited; %d turns before the next picture", q.running, next.position())
	}
	q.close()
	if _, err := q.rejoin("a", 0); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("closed: %v", err)
	}
}
