package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blocks writes the functions that convert quantised weights to float32. The layouts are described in package tensor.
func blocks() {
	for _, l := range []*lanes{{n: 8}, {n: 16}} {
		l.widenQ8_0()
		l.widenQ4("Q4_0", 18, 2, 0, false)
		l.widenQ4("Q4_1", 20, 4, 0, true)
		l.widenQ4("Q5_0", 22, 6, 2, false)
		l.widenQ4("Q5_1", 24, 8, 4, true)
		l.widenTable("IQ4_NL")
		l.widenTable("MXFP4")
		l.widenIQ4XS()
		l.widenQ4K("Q4K", false)
		l.widenQ4K("Q5K", true)
		l.widenQ6K()
		l.widenNVFP4()
		l.scaleI8()
	}
	swizzledF8()
	scaleBlocks()
	rotate16()
	rotateStage()
	row{name: "mulAVX2", doc: "a·b", in: f32, inputs: 2, body: func(v []reg.VecVirtual) reg.VecVirtual {
		VMULPS(v[1], v[0], v[0])
		return v[0]
	}}.generate()
}

// blockLoop writes a function func(dst *float32, src *byte, blocks int) for vectors of l. body writes the code for a
// block of values values and size bytes at src, and may use registers that setup has filled.
func (l *lanes) blockLoop(format string, values, size int, setup func(), body func(dst, src reg.Register)) {
	TEXT("widen"+format+l.suffix(), NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	doc(fmt.Sprintf("widen%s%s converts blocks of %s to float32.", format, l.suffix(), format))
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("blocks"), GP64())
	setup()
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	for i := 0; i < size; i += 64 {
		PREFETCHT0(at(src, prefetchFar+i))
	}
	body(dst, src)
	ADDQ(operand.I32(size), src)
	ADDQ(operand.I32(4*values), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// prefetchFar is how far ahead of a block its successors are prefetched. The processor's own prefetching stops at the
// end of a page.
const prefetchFar = 1024

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

// half returns a register whose lanes all are the IEEE half at m, as float32.
func (l *lanes) half(m operand.Mem) reg.VecVirtual {
	d := l.vec()
	if l.n == 16 {
		VPBROADCASTW(m, d.AsY())
		VCVTPH2PS(d.AsY(), d)
		return d
	}
	VPBROADCASTW(m, d.AsX())
	VCVTPH2PS(d.AsX(), d)
	return d
}

// and writes dst = a & b.
func (l *lanes) and(a operand.Op, b, dst reg.Register) {
	if l.n == 16 {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}

// merge writes dst = dst | bits & mask. It may change bits.
func (l *lanes) merge(bits, mask, dst reg.Register) {
	if l.n == 16 {
		VPTERNLOGD(operand.U8(0b11111000), mask, bits, dst)
	} else {
		VPAND(mask, bits, bits)
		VPOR(bits, dst, dst)
	}
}

// integers returns a register with a constant in all lanes.
func (l *lanes) integers(v uint32) reg.VecVirtual {
	r := l.vec()
	VMOVUPS(constant(v), r)
	return r
}

func (l *lanes) widenQ8_0() {
	l.blockLoop("Q8_0", 32, 34, func() {}, func(dst, src reg.Register) {
		d := l.half(at(src, 0))
		for i := 0; i < 32; i += l.n {
			x := l.vec()
			VPMOVSXBD(at(src, 2+i), x)
			VCVTDQ2PS(x, x)
			VMULPS(d, x, x)
			VMOVUPS(x, at(dst, 4*i))
		}
	})
}

// widenQ4 writes the function for Q4_0, Q4_1, Q5_0 or Q5_1: d, with least also m, 32 fifth bits at high unless that is
// 0, and 16 bytes of lower bits at low. Without least, q·d − 8·d or q·d − 16·d is one rounding of a number with few
// bits.
func (l *lanes) widenQ4(format string, size, low, high int, least bool) {
	var mask, sixteen, shifts reg.VecVirtual
	setup := func() {
		mask = l.integers(15)
		if high > 0 {
			sixteen = l.integers(16)
			shifts = l.vec()
			VMOVUPS(table("indices", func(i int) uint32 { return uint32(i) }), shifts)
		}
	}
	l.blockLoop(format, 32, size, setup, func(dst, src reg.Register) {
		d := l.half(at(src, 0))
		var m reg.VecVirtual
		switch {
		case least:
			m = l.half(at(src, 2))
		case high > 0:
			m = l.vec()
			VMULPS(float(-16), d, m)
		default:
			m = l.vec()
			VMULPS(float(-8), d, m)
		}
		var fifth reg.VecVirtual
		if high > 0 {
			fifth = l.vec()
			VPBROADCASTD(at(src, high), fifth)
			VPSRLVD(shifts, fifth, fifth)
		}
		for i := 0; i < 16; i += l.n {
			x, y := l.vec(), l.vec()
			VPMOVZXBD(at(src, low+i), x)
			VPSRLD(operand.U8(4), x, y)
			l.and(mask, x, x)
			for half, v := range []reg.VecVirtual{x, y} {
				if high > 0 { // bit i + 16·half of the 32, as bit 4
					bit := l.vec()
					l.shift(4-i-16*half, fifth, bit)
					l.merge(bit, sixteen, v)
				}
				VCVTDQ2PS(v, v)
				VFMADD213PS(m, d, v)
				VMOVUPS(v, at(dst, 64*half+4*i))
			}
		}
	})
}

var tables = map[string]operand.Mem{}

// table returns the memory of 16 words of 32 bits, or of a table that exists already.
func table(name string, word func(i int) uint32) operand.Mem {
	if m, ok := tables[name]; ok {
		return m
	}
	m := GLOBL(name, 8|16) // RODATA|NOPTR
	for i := range 16 {
		DATA(4*i, operand.U32(word(i)))
	}
	tables[name] = m
	return m
}

// bytesTable returns the memory of 16 bytes.
func bytesTable(name string, low, high uint64) operand.Mem {
	if m, ok := tables[name]; ok {
		return m
	}
	m := GLOBL(name, 8|16)
	DATA(0, operand.U64(low))
	DATA(8, operand.U64(high))
	tables[name] = m
	return m
}

// iq4 returns the memory of the values of IQ4_NL and IQ4_XS, and e2m1 that of the doubled values of E2M1, as signed
// bytes.
func iq4() operand.Mem  { return bytesTable("iq4", 0xf6eaddcfbfad9881, 0x7159453526190d01) }
func e2m1() operand.Mem { return bytesTable("e2m1Twice", 0x0c08060403020100, 0xf4f8fafcfdfeff00) }

// nibbles converts the 16 bytes at m by a table of signed bytes, and stores the values of the lower halves times scale
// at dst and those of the upper halves behind them.
func (l *lanes) nibbles(m, dst operand.Mem, table, mask, scale reg.VecVirtual) {
	low, high := XMM(), XMM()
	VMOVDQU(m, low)
	VPSRLW(operand.U8(4), low, high)
	VPAND(mask.AsX(), low, low)
	VPAND(mask.AsX(), high, high)
	for half, v := range []reg.VecVirtual{low, high} {
		VPSHUFB(v, table.AsX(), v)
		for i := 0; i < 16; i += l.n {
			x := l.vec()
			VPMOVSXBD(v, x)
			if l.n == 8 && i == 0 {
				VPSRLDQ(operand.U8(8), v, v)
			}
			VCVTDQ2PS(x, x)
			VMULPS(scale, x, x)
			VMOVUPS(x, dst.Offset(64*half+4*i))
		}
	}
}

// widenTable writes the function for IQ4_NL, with the scale d, or for MXFP4, with the scale 2^(e−128).
func (l *lanes) widenTable(format string) {
	var values, mask reg.VecVirtual
	size, first := 18, 2
	if format == "MXFP4" {
		size, first = 17, 1
	}
	setup := func() {
		values, mask = XMM(), XMM()
		if format == "MXFP4" {
			VMOVDQU(e2m1(), values)
		} else {
			VMOVDQU(iq4(), values)
		}
		VMOVDQU(constant(0x0f0f0f0f), mask)
	}
	l.blockLoop(format, 32, size, setup, func(dst, src reg.Register) {
		var d reg.VecVirtual
		if format == "MXFP4" {
			// In two factors, of which each is a normal number: 2^(e/2 − 64) and 2^(e − e/2 − 64).
			e, first, second := GP32(), GP32(), XMM()
			d = l.vec()
			MOVBLZX(at(src, 0), e)
			MOVL(e, first)
			SHRL(operand.U8(1), first)
			SUBL(first, e)
			for i, part := range []reg.GPVirtual{first, e} {
				ADDL(operand.I8(63), part)
				SHLL(operand.U8(23), part)
				VMOVD(part, []reg.VecVirtual{d.AsX().(reg.VecVirtual), second}[i])
			}
			VMULSS(second, d.AsX(), d.AsX())
			VBROADCASTSS(d.AsX(), d)
		} else {
			d = l.half(at(src, 0))
		}
		l.nibbles(at(src, first), at(dst, 0), values, mask, d)
	})
}

func (l *lanes) widenIQ4XS() {
	var values, mask reg.VecVirtual
	setup := func() {
		values, mask = XMM(), XMM()
		VMOVDQU(iq4(), values)
		VMOVDQU(constant(0x0f0f0f0f), mask)
	}
	l.blockLoop("IQ4XS", 256, 136, setup, func(dst, src reg.Register) {
		d := l.half(at(src, 0))
		low, high := GP32(), GP32()
		MOVL(at(src, 4), low)
		MOVWLZX(at(src, 2), high)
		for i := range 8 {
			s, t := GP32(), GP32()
			MOVL(low, s)
			ANDL(operand.I8(15), s)
			MOVL(high, t)
			ANDL(operand.I8(3), t)
			SHLL(operand.U8(4), t)
			ORL(t, s)
			SUBL(operand.I8(32), s)
			SHRL(operand.U8(4), low)
			SHRL(operand.U8(2), high)
			scale := l.vec()
			VMOVD(s, scale.AsX())
			VPBROADCASTD(scale.AsX(), scale)
			VCVTDQ2PS(scale, scale)
			VMULPS(d, scale, scale)
			l.nibbles(at(src, 8+16*i), at(dst, 128*i), values, mask, scale)
		}
	})
}

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
					VMOVUPS(v, at(dst, 256*i+128*half+4*c))
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
					VMOVUPS(v, at(dst, 512*half+128*part+4*c))
				}
			}
		}
	})
}

// widenNVFP4 writes the function for nvfp4 of ComfyUI's files.
func (l *lanes) widenNVFP4() {
	TEXT("widenNVFP4"+l.suffix(), NOSPLIT, "func(dst *float32, src *byte, scales *float32, groups int)")
	doc("widenNVFP4" + l.suffix() + " converts groups of 16 values of float4_e2m1, the even ones in the upper halves\n" +
		"of bytes, to float32 and multiplies each group by its scale.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	scales := Load(Param("scales"), GP64())
	n := Load(Param("groups"), GP64())
	values, spread, shifts, low, half := l.vec(), l.vec(), l.vec(), XMM(), YMM()
	if l.n == 16 {
		e2m1 := []float32{0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6} // by code
		VMOVUPS(table("e2m1", func(i int) uint32 { return math.Float32bits(e2m1[i]) }), values)
		VMOVUPS(table("spread", func(i int) uint32 { return 0x80808000 | uint32(i/2) }), spread)
		VMOVUPS(table("shifts", func(i int) uint32 { return 4 - uint32(i%2)*4 }), shifts)
	} else {
		VMOVDQU(e2m1(), values.AsX())
		VMOVDQU(constant(0x0f000f00), low)
		VMOVUPS(float(0.5), half)
	}
	group := func(i int) {
		scale := l.vec()
		VBROADCASTSS(at(scales, 4*i), scale)
		if l.n == 16 {
			// Words 2k and 2k+1 get byte k, and the even ones are shifted. VPERMPS takes the lowest four bits.
			x := ZMM()
			VPBROADCASTQ(at(src, 8*i), x)
			VPSHUFB(spread, x, x)
			VPSRLVD(shifts, x, x)
			VPERMPS(values, x, x)
			VMULPS(scale, x, x)
			VMOVUPS(x, at(dst, 64*i))
			return
		}
		even, odd := XMM(), XMM()
		VMULPS(half, scale, scale)
		VPMOVZXBW(at(src, 8*i), even)
		VPSLLW(operand.U8(8), even, odd)
		VPSRLW(operand.U8(4), even, even)
		VPAND(low, odd, odd)
		VPOR(odd, even, even)
		VPSHUFB(even, values.AsX(), even)
		x, y := YMM(), YMM()
		VPMOVSXBD(even, x)
		VPSRLDQ(operand.U8(8), even, even)
		VPMOVSXBD(even, y)
		for k, v := range []reg.VecVirtual{x, y} {
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, at(dst, 64*i+32*k))
		}
	}
	advance := func(groups int) {
		ADDQ(operand.I32(8*groups), src)
		ADDQ(operand.I32(64*groups), dst)
		ADDQ(operand.I32(4*groups), scales)
	}
	const together = 4
	SUBQ(operand.I32(together), n)
	JLT(operand.LabelRef("tail"))
	Label("loop")
	PREFETCHT0(at(src, prefetchFar))
	for i := range together {
		group(i)
	}
	advance(together)
	SUBQ(operand.I32(together), n)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.I32(together), n)
	JZ(operand.LabelRef("done"))
	Label("single")
	group(0)
	advance(1)
	DECQ(n)
	JNZ(operand.LabelRef("single"))
	Label("done")
	VZEROUPPER()
	RET()
}

func (l *lanes) scaleI8() {
	TEXT("scaleI8"+l.suffix(), NOSPLIT, "func(dst *float32, a *uint8, n int, s float32)")
	doc("scaleI8" + l.suffix() + " stores s·a for n signed bytes, a multiple of 64.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	s := l.vec()
	VBROADCASTSS(mustParam("s"), s)
	SHRQ(operand.U8(6), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	PREFETCHT0(at(a, prefetchFar))
	for i := 0; i < 64; i += l.n {
		x := l.vec()
		VPMOVSXBD(at(a, i), x)
		VCVTDQ2PS(x, x)
		VMULPS(s, x, x)
		VMOVUPS(x, at(dst, 4*i))
	}
	ADDQ(operand.I8(64), a)
	ADDQ(operand.I32(256), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
