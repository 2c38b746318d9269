package server

import (
	"context"
	"sync"
	"time"
)

// slots lets a number of things be under way at once, shared out between clients.
type slots struct {
	limit int64
	each  int64 // of a client; 0 for its share of the limit

	mu     sync.Mutex
	shares shares
	freed  chan struct{} // closed, and made anew, whenever one is free
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

// take waits for a slot, at most for patience. It says whether there is one; release gives it back.
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
