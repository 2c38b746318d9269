package cuda

import (
	"cmp"
	"slices"
)

// arena allocates pieces of one range of device memory. It knows offsets only, and takes the first gap that is wide
// enough. The same requests therefore get the same pieces, whatever the size of the range, so that a run can be
// rehearsed.
type arena struct {
	gaps []span // by offset, none touching another
	// peak is the end of the highest piece allocated since reset, used the number of bytes allocated now.
	peak, used int64
}

// span is the bytes [from, to).
type span struct{ from, to int64 }

// pieceAlign divides the offsets and sizes of pieces, as it does those of the driver's allocations.
const pieceAlign = 256

// endless is the size of an arena in a rehearsal, which finds out how much memory is needed.
const endless = 1 << 62

func aligned(bytes int64) int64 { return (bytes + pieceAlign - 1) / pieceAlign * pieceAlign }

// reset makes [0, size) one gap.
func (a *arena) reset(size int64) {
	a.gaps, a.peak, a.used = a.gaps[:0], 0, 0
	if size > 0 {
		a.gaps = append(a.gaps, span{0, size})
	}
}

// alloc returns the offset of a new piece. ok is false if no gap is wide enough.
func (a *arena) alloc(bytes int64) (offset int64, ok bool) {
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

// vacant says whether all bytes of s are in a gap.
func (a *arena) vacant(s span) bool {
	return slices.ContainsFunc(a.gaps, func(g span) bool { return g.from <= s.from && s.to <= g.to })
}

// free makes a piece a gap again.
func (a *arena) free(from, bytes int64) {
	bytes = aligned(bytes)
	a.used -= bytes
	i, _ := slices.BinarySearchFunc(a.gaps, from, func(g span, from int64) int { return cmp.Compare(g.from, from) })
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
