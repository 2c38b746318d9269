package server

import "time"

// pace is the patience with a peer that sends or receives. The peer may stand still for the time stall. What it moves
// buys time at rate, but never more than stall from now, so that neither a peer that stops nor one that creeps holds
// anything for long.
type pace struct {
	due time.Time // when patience ends
	end time.Time // of all; none where zero
}

func newPace(stall, whole time.Duration) *pace {
	now := time.Now()
	p := &pace{due: now.Add(stall)}
	if whole > 0 {
		p.end = now.Add(whole)
	}
	return p
}

// moved counts n bytes and returns the next deadline.
func (p *pace) moved(n int, rate int64, stall time.Duration) time.Time {
	if n > 0 {
		p.due = p.due.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	}
	if latest := time.Now().Add(stall); p.due.After(latest) {
		p.due = latest
	}
	if !p.end.IsZero() && p.due.After(p.end) {
		p.due = p.end
	}
	return p.due
}

// excuse gives the peer the time back for which it was not its turn to move.
func (p *pace) excuse(waited time.Duration) { p.due = p.due.Add(waited) }
