package server

// shares counts what clients hold of something that is limited. A client may hold half of what all others leave: one
// client alone gets half, and the next always finds something. Whoever holds nothing may take what is there.
type shares struct {
	total int64
	held  map[string]int64
}

func newShares() shares { return shares{held: map[string]int64{}} }

// most is what client may hold of limit at most, beside what it may take while it holds nothing.
func (s *shares) most(client string, limit int64) int64 {
	return (limit - (s.total - s.held[client])) / 2
}

// fits says whether client may take n more.
func (s *shares) fits(client string, n, limit int64) bool {
	held := s.held[client]
	return s.total+n <= limit && (held == 0 || held+n <= s.most(client, limit))
}

// take counts n more for client, whether or not they fit; a negative n gives back.
func (s *shares) take(client string, n int64) {
	s.total += n
	if s.held[client] += n; s.held[client] == 0 {
		delete(s.held, client)
	}
}
