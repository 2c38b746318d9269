package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scalesQ4K stores the eight scales times d and the eight minimums times −dmin of a block of Q4_K or Q5_K at scratch.
func scalesQ4K(src reg.Register, scratch operand.Mem) {
	y := &lanes{n: 8}
	d, dmin := y.half(at(src, 0)), y.half(at(src, 2))
	const six, four, two = 0x3f3f3f3f, 0x0f0f0f0f, 0x03030303
	c := GP32()
	MOVL(at(src, 12), c)
	for i, factor := range []reg.VecVirtual{d, dmin} {
		// Four values are the lower six bits of bytes. The other four have their upper two bits from the same bytes, and
		// four bits from c.
		word, t, u := GP32(), GP32(), GP32()
		MOVL(at(src, 4+4*i), word)
		MOVL(word, t)
		SHRL(operand.U8(6), t)
		ANDL(operand.U32(two), t)
		SHLL(operand.U8(4), t)
		MOVL(c, u)
		if i > 0 {
			SHRL(operand.U8(4), u)
		}
		ANDL(operand.U32(four), u)
		ORL(u, t)
		ANDL(operand.U32(six), word)
		SHLQ(operand.U8(32), t.As64())
		ORQ(word.As64(), t.As64())
		values := YMM()
		VMOVQ(t.As64(), values.AsX())
		VPMOVZXBD(values.AsX(), values)
		VCVTDQ2PS(values, values)
		VMULPS(factor, values, values)
		if i > 0 {
			VXORPS(constant(1<<31), values, values)
		}
		VMOVUPS(values, scratch.Offset(32*i))
	}
}

// widenQ4K writes the function for Q4_K or, with a fifth bit, for Q5_K.
func (l *lanes) widenQ4K(format string, fifth bool) {
	size, first := 144, 16
	if fifth {
		size, first = 176, 48
	}
	var mask, sixteen reg.VecVirtual
	var scratch operand.Mem
	setup := func() {
		mask = l.integers(15)
		if fifth {
			sixteen = l.integers(16)
		}
		scratch = AllocLocal(64)
	}
	l.blockLoop(format, 256, size, setup, func(dst, src reg.Register) {
		scalesQ4K(src, scratch)
		var high []reg.VecVirtual
		for c := 0; fifth && c < 32; c += l.n {
			high = append(high, l.vec())
			VPMOVZXBD(at(src, 16+c), high[c/l.n])
		}
		for i := range 4 {
			var scale, least [2]reg.VecVirtual
			for half := range 2 {
				scale[half], least[half] = l.vec(), l.vec()
				VBROADCASTSS(scratch.Offset(4*(2*i+half)), scale[half])
				VBROADCASTSS(scratch.Offset(32+4*(2*i+half)), least[half])
			}
			for c := 0; c < 32; c += l.n {
				x, y := l.vec(), l.vec()
				VPMOVZXBD(at(src, first+32*i+c), x)
				VPSRLD(operand.U8(4), x, y)
				l.and(mask, x, x)
				for half, v := range []reg.VecVirtual{x, y} {
					if fifth {
						bit := l.vec()
						l.shift(4-2*i-half, high[c/l.n], bit)
						l.merge(bit, sixteen, v)
					}
					VCVTDQ2PS(v, v)
					VFMADD213PS(least[half], scale[half], v)
					l.store(v, dst, 64*i+32*half+c)
				}
			}
		}
	})
}

// shift writes the shift of src to the left by n bits, or to the right by −n.
func (l *lanes) shift(n int, src, dst reg.Register) {
	switch {
	case n > 0:
		VPSLLD(operand.U8(n), src, dst)
	case n < 0:
		VPSRLD(operand.U8(-n), src, dst)
	default:
		VMOVAPS(src, dst)
	}
}

func (l *lanes) widenQ2K() {
	var low, two reg.VecVirtual
	var scratch operand.Mem
	setup := func() {
		low, two = l.integers(15), l.integers(3)
		scratch = AllocLocal(128)
	}
	l.blockLoop("Q2K", 256, 84, setup, func(dst, src reg.Register) {
		d, dmin := l.half(at(src, 80)), l.half(at(src, 82))
		for i := 0; i < 16; i += l.n {
			s, m := l.vec(), l.vec()
			VPMOVZXBD(at(src, i), s)
			VPSRLD(operand.U8(4), s, m)
			l.and(low, s, s)
			VCVTDQ2PS(s, s)
			VCVTDQ2PS(m, m)
			VMULPS(d, s, s)
			VMULPS(dmin, m, m)
			VXORPS(constant(1<<31), m, m)
			VMOVUPS(s, scratch.Offset(4*i))
			VMOVUPS(m, scratch.Offset(64+4*i))
		}
		for half := range 2 {
			for c := 0; c < 32; c += l.n {
				x := l.vec()
				VPMOVZXBD(at(src, 16+32*half+c), x)
				for part := range 4 {
					v, scale, least := l.vec(), l.vec(), l.vec()
					l.shift(-2*part, x, v)
					l.and(two, v, v)
					VCVTDQ2PS(v, v)
					i := 8*half + 2*part + c/16
					VBROADCASTSS(scratch.Offset(4*i), scale)
					VBROADCASTSS(scratch.Offset(64+4*i), least)
					VFMADD213PS(least, scale, v)
					l.store(v, dst, 128*half+32*part+c)
				}
			}
		}
	})
}

// scalesQ3K unpacks the 16 scales of 6 bits of a block of Q3_K into the bytes of a register.
func scalesQ3K(src reg.Register) reg.VecVirtual {
	const four, two = 0x0f0f0f0f, 0x03030303
	top, x := GP32(), []reg.VecVirtual{XMM(), XMM()}
	MOVL(at(src, 104), top)
	for pair := range 2 { // the lower, then the upper four bits of eight bytes
		var words [2]reg.GPVirtual
		for i := range words {
			word, bits := GP32(), GP32()
			MOVL(at(src, 96+4*i), word)
			if pair > 0 {
				SHRL(operand.U8(4), word)
			}
			ANDL(operand.U32(four), word)
			MOVL(top, bits)
			if shift := 4*pair + 2*i; shift > 0 {
				SHRL(operand.U8(shift), bits)
			}
			ANDL(operand.U32(two), bits)
			SHLL(operand.U8(4), bits)
			ORL(bits, word)
			words[i] = word
		}
		SHLQ(operand.U8(32), words[1].As64())
		ORQ(words[0].As64(), words[1].As64())
		VMOVQ(words[1].As64(), x[pair])
	}
	VPUNPCKLQDQ(x[1], x[0], x[0])
	return x[0]
}

func (l *lanes) widenQ3K() {
	var two, four reg.VecVirtual
	var scratch operand.Mem
	setup := func() {
		two, four = l.integers(3), l.integers(4)
		scratch = AllocLocal(128)
	}
	l.blockLoop("Q3K", 256, 110, setup, func(dst, src reg.Register) {
		d, scales := l.half(at(src, 108)), scalesQ3K(src)
		for i := 0; i < 16; i += l.n {
			s, m := l.vec(), l.vec()
			if i > 0 {
				VPSRLDQ(operand.U8(8), scales, scales)
			}
			VPMOVZXBD(scales, s)
			VPSUBD(constant(32), s, s)
			VCVTDQ2PS(s, s)
			VMULPS(d, s, s)
			VMULPS(float(-4), s, m)
			VMOVUPS(s, scratch.Offset(4*i))
			VMOVUPS(m, scratch.Offset(64+4*i))
		}
		for c := 0; c < 32; c += l.n {
			high := l.vec()
			VPMOVZXBD(at(src, c), high)
			for half := range 2 {
				x := l.vec()
				VPMOVZXBD(at(src, 32+32*half+c), x)
				for part := range 4 {
					v, bit, scale, least := l.vec(), l.vec(), l.vec(), l.vec()
					l.shift(-2*part, x, v)
					l.and(two, v, v)
					l.shift(2-4*half-part, high, bit)
					l.merge(bit, four, v)
					VCVTDQ2PS(v, v)
					i := 8*half + 2*part + c/16
					VBROADCASTSS(scratch.Offset(4*i), scale)
					VBROADCASTSS(scratch.Offset(64+4*i), least)
					VFMADD213PS(least, scale, v) // scale·(q − 4), which has few bits, in one rounding
					l.store(v, dst, 128*half+32*part+c)
				}
			}
		}
	})
}

func (l *lanes) widenQ6K() {
	var mask, two reg.VecVirtual
	var scratch operand.Mem
	setup := func() {
		mask, two = l.integers(15), l.integers(0x30)
		scratch = AllocLocal(128)
	}
	l.blockLoop("Q6K", 256, 210, setup, func(dst, src reg.Register) {
		d := l.half(at(src, 208))
		for i := 0; i < 16; i += l.n {
			s, m := l.vec(), l.vec()
			VPMOVSXBD(at(src, 192+i), s)
			VCVTDQ2PS(s, s)
			VMULPS(d, s, s)
			VMOVUPS(s, scratch.Offset(4*i))
			VMULPS(float(-32), s, m)
			VMOVUPS(m, scratch.Offset(64+4*i))
		}
		for half := range 2 {
			for c := 0; c < 32; c += l.n { // values from c on of each of four parts of 32
				q, high := [2]reg.VecVirtual{l.vec(), l.vec()}, l.vec()
				VPMOVZXBD(at(src, 64*half+c), q[0])
				VPMOVZXBD(at(src, 64*half+32+c), q[1])
				VPMOVZXBD(at(src, 128+32*half+c), high)
				for part := range 4 {
					v, bits := l.vec(), l.vec()
					if part < 2 {
						l.and(mask, q[part], v)
					} else {
						VPSRLD(operand.U8(4), q[part-2], v)
					}
					l.shift(4-2*part, high, bits)
					l.merge(bits, two, v)
					VCVTDQ2PS(v, v)
					scale, least := l.vec(), l.vec()
					i := 8*half + 2*part + c/16
					VBROADCASTSS(scratch.Offset(4*i), scale)
					VBROADCASTSS(scratch.Offset(64+4*i), least)
					VFMADD213PS(least, scale, v) // scale·(q − 32), which has few bits, in one rounding
					l.store(v, dst, 128*half+32*part+c)
				}
			}
		}
	})
}
