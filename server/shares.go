package server

// shares counts how many units of a limited resource each client holds. A client may hold half of what the other
// clients leave, so that one client alone gets half and there is always something left for the next one. A client that
// holds nothing may take all that is free.
type shares struct {
	total int64
	held  map[string]int64
}

func newShares() shares { return shares{held: map[string]int64{}} }

// most returns how much of limit client may hold, apart from the rule for a client that holds nothing.
func (s *shares) most(client string, limit int64) int64 {
	return (limit - (s.total - s.held[client])) / 2
}

// fits says whether client may take n more.
func (s *shares) fits(client string, n, limit int64) bool {
	held := s.held[client]
	return s.total+n <= limit && (held == 0 || held+n <= s.most(client, limit))
}

// take adds n to what client holds, whether or not n fits. A negative n gives back.
func (s *shares) take(client string, n int64) {
	s.total += n
	if s.held[client] += n; s.held[client] == 0 {
		delete(s.held, client)
	}
}
