package cuda

import "slices"

// arena gives out pieces of one range of device memory. It knows offsets alone, and the first gap that is wide enough
// serves: the same requests get the same pieces whatever lies behind the last of them, so that a run can be rehearsed.
type arena struct {
	gaps []span // by offset, none touching another
	// peak is the end of the highest piece given out since reset, used the bytes now given out.
	peak, used int64
}

// span is the bytes [from, to).
type span struct{ from, to int64 }

// pieceAlign is what pieces are multiples of, as memory of the driver is.
const pieceAlign = 256

// endless is the size of an arena that finds out how much is needed.
const endless = 1 << 62

func aligned(bytes int64) int64 { return (bytes + pieceAlign - 1) / pieceAlign * pieceAlign }

// reset makes [0, size) one gap.
func (a *arena) reset(size int64) {
	a.gaps, a.peak, a.used = a.gaps[:0], 0, 0
	if size > 0 {
		a.gaps = append(a.gaps, span{0, size})
	}
}

// take returns the offset of a new piece, unless no gap is wide enough.
func (a *arena) take(bytes int64) (int64, bool) {
	bytes = aligned(bytes)
	for i, g := range a.gaps {
		if g.to-g.from < bytes {
			continue
		}
		if a.gaps[i].from += bytes; a.gaps[i].from == g.to {
			a.gaps = slices.Delete(a.gaps, i, i+1)
		}
		a.used += bytes
		a.peak = max(a.peak, g.from+bytes)
		return g.from, true
	}
	return 0, false
}

// give returns a piece.
func (a *arena) give(from, bytes int64) {
	bytes = aligned(bytes)
	a.used -= bytes
	i, _ := slices.BinarySearchFunc(a.gaps, from, func(g span, from int64) int { return int(min(max(g.from-from, -1), 1)) })
	a.gaps = slices.Insert(a.gaps, i, span{from, from + bytes})
	if i+1 < len(a.gaps) && a.gaps[i].to == a.gaps[i+1].from {
		a.gaps[i].to = a.gaps[i+1].to
		a.gaps = slices.Delete(a.gaps, i+1, i+2)
	}
	if i > 0 && a.gaps[i-1].to == a.gaps[i].from {
		a.gaps[i-1].to = a.gaps[i].to
		a.gaps = slices.Delete(a.gaps, i, i+1)
	}
}
