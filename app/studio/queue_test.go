package studio

import (
	"slices"
	"strings"
	"testing"
)

// prompts of what waits, in order.
func (q *Queue) prompts() string {
	var list []string
	for _, b := range q.Batches() {
		list = append(list, b.Desk.Prompt)
	}
	return strings.Join(list, " ")
}

func batch(prompt string) Batch { return Batch{Desk: Desk{Prompt: prompt}, Count: 2} }

func TestQueue(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(q *Queue)
		want   string
		paused bool
	}{
		{"nothing", func(q *Queue) {}, "a b c", false},
		{"add", func(q *Queue) { q.Add(batch("d")) }, "a b c d", false},
		{"add two", func(q *Queue) { q.Add(batch("d"), batch("e")) }, "a b c d e", false},
		{"add two to a paused one", func(q *Queue) { q.Pause(); q.Add(batch("d"), batch("e")) }, "d e a b c", false},
		{"forward", func(q *Queue) { q.Move(2, 1) }, "a c b", false},
		{"to the end", func(q *Queue) { q.Move(0, 2) }, "b c a", false},
		{"to the front", func(q *Queue) { q.Move(2, 0) }, "c a b", false},
		{"withdraw", func(q *Queue) { q.Withdraw(q.Batches()[1].ID) }, "a c", false},
		{"withdraw what is gone", func(q *Queue) { q.Withdraw(99) }, "a b c", false},
		{"put back", func(q *Queue) {
			b := q.Batches()[1]
			q.Withdraw(b.ID)
			q.Insert(1, b)
		}, "a b c", false},
		{"put back into a shorter queue", func(q *Queue) {
			b := q.Batches()[2]
			q.Clear()
			q.Insert(2, b)
		}, "c", false},
		{"take", func(q *Queue) { q.Take() }, "b c", false},
		{"pause", func(q *Queue) { q.Pause(); q.Take() }, "a b c", true},
		{"pause an empty one", func(q *Queue) { q.Clear(); q.Pause() }, "", false},
		{"go on", func(q *Queue) { q.Pause(); q.GoOn(); q.Take() }, "b c", false},
		{"add to a paused one", func(q *Queue) { q.Pause(); q.Add(batch("d")) }, "d a b c", false},
		{"bring back", func(q *Queue) { q.BringBack([]Batch{batch("y"), batch("z")}) }, "a b c y z", true},
		{"bring back nothing", func(q *Queue) { q.BringBack(nil) }, "a b c", false},
	} {
		var q Queue
		for _, p := range []string{"a", "b", "c"} {
			q.Add(batch(p))
		}
		changed := 0
		q.Changed.Subscribe(func() { changed++ })
		was := slices.Clone(q.Batches())
		row.do(&q)
		if got := q.prompts(); got != row.want || q.Paused() != row.paused || q.Pictures() != 2*len(q.Batches()) {
			t.Errorf("%s: %q wait, paused %v, %d pictures; want %q, %v",
				row.name, got, q.Paused(), q.Pictures(), row.want, row.paused)
		}
		same := slices.EqualFunc(was, q.Batches(), func(a, b Batch) bool { return a.ID == b.ID })
		if changed == 0 && (!same || row.paused) {
			t.Errorf("%s: nobody was told", row.name)
		}
		seen := map[uint64]bool{0: true}
		for _, b := range q.Batches() {
			if seen[b.ID] {
				t.Errorf("%s: two batches, or none, have the number %d", row.name, b.ID)
			}
			seen[b.ID] = true
		}
	}
}

func TestBatch(t *testing.T) {
	b := Batch{Desk: Desk{Prompt: "p"}, Seed: 1<<64 - 1, Count: 3, Steps: 4}
	rest := b.After(2)
	if rest.Seed != 1 || rest.Count != 1 || rest.Desk.Prompt != "p" || rest.Steps != 4 { // seeds go round
		t.Errorf("what is left: %+v", rest)
	}
}
