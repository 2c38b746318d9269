package server

import (
	"context"
	"sync"
	"time"
)

// slots is a semaphore that is fair between clients.
type slots struct {
	limit int64 // the number of slots
	each  int64 // how many slots a client may have; 0 for its share of limit

	mu     sync.Mutex
	shares shares
	freed  chan struct{} // closed, and replaced by a new channel, whenever a slot becomes free
}

func newSlots(limit, each int64) *slots {
	return &slots{limit: limit, each: each, shares: newShares(), freed: make(chan struct{})}
}

func (s *slots) fits(client string) bool {
	if s.each > 0 {
		return s.shares.total < s.limit && s.shares.held[client] < s.each
	}
	return s.shares.fits(client, 1, s.limit)
}

// take waits for a slot, at most for the time patience. ok says whether client got one. release gives it back.
func (s *slots) take(ctx context.Context, client string, patience time.Duration) (ok bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.fits(client) {
			s.shares.take(client, 1)
			s.mu.Unlock()
			return true
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		}
	}
}

func (s *slots) release(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares.take(client, -1)
	close(s.freed)
	s.freed = make(chan struct{})
}
