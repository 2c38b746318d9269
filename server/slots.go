package server

import (
	"context"
	"sync"
	"time"
)

// slots lets a number of things be under way at once, shared out between clients.
type slots struct {
	limit int64

	mu     sync.Mutex
	shares shares
	freed  chan struct{} // closed, and made anew, whenever one is free
}

func newSlots(limit int64) *slots {
	return &slots{limit: limit, shares: newShares(), freed: make(chan struct{})}
}

// take waits for a slot, at most for patience. It says whether there is one; release gives it back.
func (s *slots) take(ctx context.Context, client string, patience time.Duration) (ok bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.shares.fits(client, 1, s.limit) {
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
