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
	store, desk, jobs, loaded := s.desks, s.desk(), s.waitingJobs(), s.loaded
	return func() error {
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		if s.writer.done {
			return nil
		}
		err := store.SaveDesk(desk)
		if loaded { // before that, the file has more than the window
			err = errors.Join(err, store.SaveQueue(jobs))
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
	desk, jobs, loaded := s.desk(), s.waitingJobs(), s.loaded
	_ = write()
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	if s.writer.done {
		return
	}
	s.writer.done = true
	if loaded {
		_ = s.desks.Prune([]studio.Desk{desk}, jobs, true)
	}
	_ = s.desks.Close()
}

// waitingJobs are the jobs that wait, with what is left of the one being made in front.
func (s *session) waitingJobs() (jobs []studio.Job) {
	if r := s.run; r != nil && r.done < r.job.count && !s.dropped {
		k := r.job.kept()
		k.Seed += uint64(r.done)
		k.Count -= r.done
		jobs = append(jobs, k)
	}
	for _, j := range s.queue.jobs {
		jobs = append(jobs, j.kept())
	}
	return append(jobs, s.broken...)
}
