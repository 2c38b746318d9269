package app

import (
	"errors"
	"sync"
	"time"

	"kleinbild/app/studio"
)

// deskWriter writes desk and queue, one write at a time.
type deskWriter struct {
	timer  *time.Timer
	busy   bool // a write is under way
	again  bool // and something has changed since it began
	failed bool // the last write has failed, and the user knows

	mu   sync.Mutex // held while files are written
	done bool       // the last write was made; guarded by mu
}

// writing returns what writes the desk and the queue as they are now. It may run on any goroutine.
func (s *session) writing() func() error {
	store, desk, batches, loaded := s.desks, s.desk(), s.waitingBatches(), s.loaded
	return func() error {
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		if s.writer.done {
			return nil
		}
		err := store.SaveDesk(desk)
		if loaded { // before that, the file has more than the window
			err = errors.Join(err, store.SaveQueue(batches))
		}
		return err
	}
}

// writeLast writes desk and queue for the last time and gives the folder back. What fails now, nobody can be told.
func (s *session) writeLast() {
	if s.desks == nil {
		return
	}
	write := s.writing()
	desk, batches, loaded := s.desk(), s.waitingBatches(), s.loaded
	_ = write()
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	if s.writer.done {
		return
	}
	s.writer.done = true
	if loaded {
		_ = s.desks.Prune([]studio.Desk{desk}, batches, true)
	}
	_ = s.desks.Close()
}

// waiting are the batches that wait, with what is left of the one being made in front.
func (s *session) waitingBatches() (batches []studio.Batch) {
	if r := s.run; r != nil && r.done < r.batch.Count && !s.dropped {
		batches = append(batches, r.batch.After(r.done))
	}
	batches = append(batches, s.queue.Batches()...)
	return append(batches, s.broken...)
}
