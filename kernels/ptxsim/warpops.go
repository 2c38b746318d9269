package ptxsim

import (
	"math/bits"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// warpOps exchange data between the lanes of a warp. All but activemask wait for the lanes of their member mask.
var warpOps = map[string]func(d *decoder){
	"shfl":       decodeShfl,
	"vote":       decodeVote,
	"match":      decodeMatch,
	"redux":      decodeRedux,
	"activemask": decodeActivemask,
	"elect":      decodeElect,
}

// resultPair returns the operands d and p of "d|p". second is nil if there is only d.
func (d *decoder) resultPair() (first, second *ptx.Operand) {
	o := d.operand(0)
	if o.Kind == ptx.PairOperand {
		return &o.List[0], &o.List[1]
	}
	return o, nil
}

// members decodes the member mask and .sync.
func (d *decoder) members(operand int) {
	d.want("sync")
	d.in.e = d.read(operand, 32)
	d.in.lanes = maskLanes
}

// decodeShfl decodes shfl, following the pseudo code of the PTX manual: c has the last lane of a segment and the mask
// of the segment.
func decodeShfl(d *decoder) {
	mode := d.want("up", "down", "bfly", "idx")
	if t := d.typ(); t != "b32" || !d.operands(5, 5) {
		d.fail("type .%s of shfl", t)
		return
	}
	first, second := d.resultPair()
	d.in.d = d.writeTo(first, 32)
	p := int32(-1)
	if second != nil {
		p = d.writeTo(second, 1)
	}
	d.in.a, d.in.b, d.in.c = d.read(1, 32), d.read(2, 32), d.read(3, 32)
	d.members(4)
	d.in.run = func(w *warp, in *instr, active uint32) {
		a := w.r32[in.a]
		var t [32]uint32
		var valid uint32
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			b, c := int(w.r32[in.b][l]&31), w.r32[in.c][l]
			clamp, segment := int(c&31), int(c>>8&31)
			low := l & segment
			last := low | clamp&^segment
			from, ok := 0, false
			switch mode {
			case "up":
				from = l - b
				ok = from >= last
			case "down":
				from = l + b
				ok = from <= last
			case "bfly":
				from = l ^ b
				ok = from <= last
			case "idx":
				from = low | b&^segment
				ok = from <= last
			}
			if !ok {
				from = l
			}
			if w.r32[in.e][l]>>from&1 == 0 || active>>from&1 == 0 {
				w.fault(in, 1<<l, "shfl reads lane %d, which is not in the member mask %#x", from, w.r32[in.e][l])
			}
			t[l] = a[from]
			valid |= one(ok) << l
		}
		r := &w.r32[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			r[l] = t[l]
		}
		w.def32[in.d] |= active
		if p >= 0 {
			w.setPredicate(p, active, valid)
		}
	}
}

// forEachMask calls f once for each set of lanes with the same member mask.
func (w *warp) forEachMask(in *instr, active uint32, f func(lanes uint32)) {
	for active != 0 {
		lanes := w.r32[in.e][bits.TrailingZeros32(active)&31] & active
		f(lanes)
		active &^= lanes
	}
}

func decodeVote(d *decoder) {
	mode := d.want("all", "any", "uni", "ballot")
	t := d.typ()
	if (t == "b32") != (mode == "ballot") || t != "b32" && t != "pred" || !d.operands(3, 3) {
		d.fail("type .%s of vote.%s", t, mode)
		return
	}
	d.in.d = d.write(0, width(t))
	d.in.c = d.read(1, 1)
	d.members(2)
	d.in.run = func(w *warp, in *instr, active uint32) {
		votes := w.selector(in)
		w.forEachMask(in, active, func(lanes uint32) {
			yes := votes & lanes
			switch mode {
			case "ballot":
				w.broadcast(in.d, lanes, yes)
			case "all":
				w.setPredicate(in.d, lanes, -one(yes == lanes))
			case "any":
				w.setPredicate(in.d, lanes, -one(yes != 0))
			case "uni":
				w.setPredicate(in.d, lanes, -one(yes == 0 || yes == lanes))
			}
		})
	}
}

// broadcast writes v to some lanes of a row.
func (w *warp) broadcast(row int32, lanes, v uint32) {
	w.def32[row] |= lanes
	for m := lanes; m != 0; m &= m - 1 {
		w.r32[row][bits.TrailingZeros32(m)&31] = v
	}
}

func decodeMatch(d *decoder) {
	all := d.want("any", "all") == "all"
	t := d.typ()
	if t != "b32" && t != "b64" || !d.operands(3, 3) {
		d.fail("type .%s of match", t)
		return
	}
	first, second := d.resultPair()
	d.in.d = d.writeTo(first, 32)
	p := int32(-1)
	if second != nil && all {
		p = d.writeTo(second, 1)
	} else if second != nil {
		d.fail("match.any has one result")
	}
	d.in.a = d.read(1, width(t))
	d.members(2)
	wide := t == "b64"
	d.in.run = func(w *warp, in *instr, active uint32) {
		var values [32]uint64
		for l := range values {
			if wide {
				values[l] = w.r64[in.a][l]
			} else {
				values[l] = uint64(w.r32[in.a][l])
			}
		}
		same := func(lanes uint32, v uint64) uint32 {
			var found uint32
			for m := lanes; m != 0; m &= m - 1 {
				l := bits.TrailingZeros32(m) & 31
				found |= one(values[l] == v) << l
			}
			return found
		}
		w.forEachMask(in, active, func(lanes uint32) {
			if all {
				found := same(lanes, values[bits.TrailingZeros32(lanes)&31])
				if found != lanes {
					found = 0
				}
				w.broadcast(in.d, lanes, found)
				if p >= 0 {
					w.setPredicate(p, lanes, -one(found != 0))
				}
				return
			}
			for m := lanes; m != 0; m &= m - 1 {
				l := bits.TrailingZeros32(m) & 31
				w.broadcast(in.d, 1<<l, same(lanes, values[l]))
			}
		})
	}
}

func decodeRedux(d *decoder) {
	op := d.want("add", "min", "max", "and", "or", "xor")
	t := d.typ()
	logic := op == "and" || op == "or" || op == "xor"
	if logic && t != "b32" || !logic && t != "u32" && t != "s32" || !d.operands(3, 3) {
		d.fail("redux.%s.%s", op, t)
		return
	}
	d.in.d, d.in.a = d.write(0, 32), d.read(1, 32)
	d.members(2)
	signed := t == "s32"
	d.in.run = func(w *warp, in *instr, active uint32) {
		w.forEachMask(in, active, func(lanes uint32) {
			a := &w.r32[in.a]
			r := a[bits.TrailingZeros32(lanes)&31]
			for m := lanes & (lanes - 1); m != 0; m &= m - 1 {
				v := a[bits.TrailingZeros32(m)&31]
				less := v < r
				if signed {
					less = int32(v) < int32(r)
				}
				switch op {
				case "add":
					r += v
				case "and":
					r &= v
				case "or":
					r |= v
				case "xor":
					r ^= v
				case "min":
					if less {
						r = v
					}
				case "max":
					if !less {
						r = v
					}
				}
			}
			w.broadcast(in.d, lanes, r)
		})
	}
}

func decodeActivemask(d *decoder) {
	if t := d.typ(); t != "b32" || !d.operands(1, 1) {
		d.fail("type .%s of activemask", t)
		return
	}
	d.in.d = d.write(0, 32)
	d.in.run = func(w *warp, in *instr, active uint32) { w.broadcast(in.d, active, active) }
}

// decodeElect decodes elect.sync, which chooses the lowest lane of the member mask.
func decodeElect(d *decoder) {
	if !d.operands(2, 2) {
		return
	}
	first, second := d.resultPair()
	if second == nil {
		d.fail("elect without a predicate")
		return
	}
	d.in.d, d.in.c = d.writeTo(first, 32), d.writeTo(second, 1)
	d.members(1)
	d.needHopper()
	d.in.run = func(w *warp, in *instr, active uint32) {
		w.forEachMask(in, active, func(lanes uint32) {
			l := bits.TrailingZeros32(lanes)
			w.broadcast(in.d, lanes, uint32(l))
			w.setPredicate(in.c, lanes, 1<<l)
		})
	}
}
