package ptxsim

import "math/bits"

// The functions here lift an operation on one lane to an exec. They visit the active lanes only, so that what is
// undefined in others (a division by zero) does no harm.

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

// shiftWide has a 64-bit value and a 32-bit amount.
func shiftWide(f func(a uint64, n uint32) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r64[in.a], &w.r32[in.b], w.begin64(in.d, active)
		for l := range t {
			t[l] = f(a[l], b[l])
		}
		w.end64(in.d, active)
	}
}

// narrow has a 64-bit value and a 32-bit result.
func narrow(f func(a uint64) uint32) exec {
	return func(w *warp, in *instr, active uint32) {
		a, t := &w.r64[in.a], w.begin32(in.d, active)
		for l := range t {
			t[l] = f(a[l])
		}
		w.end32(in.d, active)
	}
}

// widen has a 32-bit value and a 64-bit result.
func widen(f func(a uint32) uint64) exec {
	return func(w *warp, in *instr, active uint32) {
		a, t := &w.r32[in.a], w.begin64(in.d, active)
		for l := range t {
			t[l] = f(a[l])
		}
		w.end64(in.d, active)
	}
}

// elementwise decodes destination and sources of one width.
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
