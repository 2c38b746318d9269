package server

import "time"

// pace computes the deadlines of a peer that sends or receives bytes. The peer may stop for the time stall. Each byte
// moves the deadline on by the time that it takes at the minimum rate, but never to more than stall from now. So
// neither a peer that stops nor one that is slower than the minimum rate holds a connection for long.
type pace struct {
	due time.Time // the present deadline
	end time.Time // the latest deadline of all; zero if there is none
}

// newPace returns the pace of a peer that begins now. whole is the time that all bytes may take together, 0 for no
// limit.

func newPace(stall, whole time.Duration) *pace {
	now := time.Now()
	p := &pace{due: now.Add(stall)}
	if whole > 0 {
		p.end = now.Add(whole)
	}
	return p
}

// moved adds n bytes and returns the new deadline.
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

// excuse moves the deadline on by the time waited, in which the server was not ready for the peer's bytes.
func (p *pace) excuse(waited time.Duration) { p.due = p.due.Add(waited) }
