package studio

import "slices"

// Queue holds the batches that wait, the next one first. A paused queue gives none out. The queue is paused if a batch
// could not be saved, or met a fault that passes, because the next ones would meet it too, and if batches come back
// that waited when the program ended.
type Queue struct {
	Changed Signal

	batches []Batch
	paused  bool
	lastID  uint64
}

// Batches returns the batches that wait. The caller must not change them.
func (q *Queue) Batches() []Batch { return q.batches }

// Empty says whether nothing waits.
func (q *Queue) Empty() bool { return len(q.batches) == 0 }

// Paused says whether the queue gives out no batch before GoOn is called.
func (q *Queue) Paused() bool { return q.paused }

// Pictures returns the number of pictures that wait.
func (q *Queue) Pictures() (n int) {
	for _, b := range q.batches {
		n += b.Count
	}
	return n
}

// EachPictures returns the number of pictures that wait of one instruction for many; 0 if each is 0.
func (q *Queue) EachPictures(each uint64) (n int) {
	for _, b := range q.batches {
		if each != 0 && b.Each == each {
			n += b.Count
		}
	}
	return n
}

// Add puts batches behind the others and lets the queue go on. In a paused queue they go first: what the user asks for
// now does not wait for the batches that were paused.
func (q *Queue) Add(batches ...Batch) {
	batches = slices.Clone(batches)
	for i := range batches {
		q.lastID++
		batches[i].ID = q.lastID
	}
	at := len(q.batches)
	if q.paused {
		at = 0
	}
	q.paused = false
	q.Insert(at, batches...)
}

// Insert puts batches that have IDs back to place i, or to the end of a shorter queue.
func (q *Queue) Insert(i int, batches ...Batch) {
	q.batches = slices.Insert(slices.Clone(q.batches), min(i, len(q.batches)), batches...)
	q.Changed.tell()
}

// BringBack puts batches that waited when the program ended behind those that were added since, and pauses the queue.
// It returns them with their IDs.
func (q *Queue) BringBack(batches []Batch) []Batch {
	if len(batches) == 0 {
		return nil
	}
	batches = slices.Clone(batches)
	for i := range batches {
		q.lastID++
		batches[i].ID = q.lastID
	}
	q.batches = append(slices.Clone(q.batches), batches...)
	q.paused = true
	q.Changed.tell()
	return batches
}

// First returns the batch that Take would return, without removing it.
func (q *Queue) First() (b Batch, ok bool) {
	if q.Empty() || q.paused {
		return b, false
	}
	return q.batches[0], true
}

// Take removes the next batch and returns it; ok is false if there is none to give out.
func (q *Queue) Take() (b Batch, ok bool) {
	if b, ok = q.First(); ok {
		q.Withdraw(b.ID)
	}
	return b, ok
}

// Withdraw removes a batch, if it still waits.
func (q *Queue) Withdraw(id uint64) {
	q.batches = slices.DeleteFunc(slices.Clone(q.batches), func(b Batch) bool { return b.ID == id })
	q.Changed.tell()
}

// WithdrawEach removes all batches of one instruction for many pictures.
func (q *Queue) WithdrawEach(each uint64) {
	q.batches = slices.DeleteFunc(slices.Clone(q.batches), func(b Batch) bool { return b.Each == each })
	q.Changed.tell()
}

// Move takes batch i to place to; the batches between them make room.
func (q *Queue) Move(i, to int) {
	b := q.batches[i]
	q.batches = slices.Insert(slices.Delete(slices.Clone(q.batches), i, i+1), to, b)
	q.Changed.tell()
}

// Clear removes all.
func (q *Queue) Clear() {
	q.batches = nil
	q.Changed.tell()
}

// Pause has the batches wait until GoOn is called. An empty queue is not paused.
func (q *Queue) Pause() {
	q.paused = !q.Empty()
	q.Changed.tell()
}

// GoOn lets a paused queue go on.
func (q *Queue) GoOn() {
	q.paused = false
	q.Changed.tell()
}
