package ptxsim

import "math/bits"

// The functions lanes1 to lanes3wide return an exec that calls f for each active lane. They do not call f for the
// others, where it could panic (a division by zero).

func lanes1(f func(a uint32) uint32) exec {
	return func(w *warp, in *instr, active uint32) {
		a, d := &w.r32[in.a], &w.r32[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l])
		}
		w.def32[in.d] |= active
	}
}

func lanes2(f func(a, b uint32) uint32) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, d := &w.r32[in.a], &w.r32[in.b], &w.r32[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l], b[l])
		}
		w.def32[in.d] |= active
	}
}

func lanes3(f func(a, b, c uint32) uint32) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, c, d := &w.r32[in.a], &w.r32[in.b], &w.r32[in.c], &w.r32[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l], b[l], c[l])
		}
		w.def32[in.d] |= active
	}
}

func lanes1wide(f func(a uint64) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, d := &w.r64[in.a], &w.r64[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l])
		}
		w.def64[in.d] |= active
	}
}

func lanes2wide(f func(a, b uint64) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, d := &w.r64[in.a], &w.r64[in.b], &w.r64[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l], b[l])
		}
		w.def64[in.d] |= active
	}
}

func lanes3wide(f func(a, b, c uint64) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, c, d := &w.r64[in.a], &w.r64[in.b], &w.r64[in.c], &w.r64[in.d]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			d[l] = f(a[l], b[l], c[l])
		}
		w.def64[in.d] |= active
	}
}

// shiftWide returns an operation on a 64-bit value and a 32-bit amount. It calls f for all lanes.
func shiftWide(f func(a uint64, n uint32) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r64[in.a], &w.r32[in.b], w.begin64(in.d, active)
		for l := range t {
			t[l] = f(a[l], b[l])
		}
		w.end64(in.d, active)
	}
}

// narrow returns an operation on a 64-bit value with a 32-bit result. It calls f for all lanes.
func narrow(f func(a uint64) uint32) exec {
	return func(w *warp, in *instr, active uint32) {
		a, t := &w.r64[in.a], w.begin32(in.d, active)
		for l := range t {
			t[l] = f(a[l])
		}
		w.end32(in.d, active)
	}
}

// widen returns an operation on a 32-bit value with a 64-bit result. It calls f for all lanes.
func widen(f func(a uint32) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, t := &w.r32[in.a], w.begin64(in.d, active)
		for l := range t {
			t[l] = f(a[l])
		}
		w.end64(in.d, active)
	}
}

// elementwise decodes a destination and sources of the same width.
func (d *decoder) elementwise(bits, sources int) {
	if !d.operands(sources+1, sources+1) {
		return
	}
	d.in.d = d.write(0, bits)
	at := [3]*int32{&d.in.a, &d.in.b, &d.in.c}
	for i := range sources {
		*at[i] = d.read(i+1, bits)
	}
}
