package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blocks writes the functions that convert quantised weights to float32 or bfloat16. The layouts are described in
// package tensor.
func blocks() {
	for _, l := range []*lanes{{n: 8}, {n: 16}, {n: 16, bf16: true}} {
		l.widenQ8_0()
		l.widenQ4("Q4_0", 18, 2, 0, false)
		l.widenQ4("Q4_1", 20, 4, 0, true)
		l.widenQ4("Q5_0", 22, 6, 2, false)
		l.widenQ4("Q5_1", 24, 8, 4, true)
		l.widenTable("IQ4_NL")
		l.widenIQ4XS()
		l.widenQ2K()
		l.widenQ3K()
		l.widenQ4K("Q4K", false)
		l.widenQ4K("Q5K", true)
		l.widenQ6K()
		if l.bf16 {
			l.scaled("I8", "int8", func() func(m operand.Mem, x reg.VecVirtual) {
				return func(m operand.Mem, x reg.VecVirtual) {
					VPMOVSXBD(m, x)
					VCVTDQ2PS(x, x)
				}
			})
			l.scaled("F8", "float8_e4m3fn", halfOfF8)
			l.widenNVFP4("NVFP4", false)
			l.widenNVFP4("NVFP4Low", true)
			continue
		}
		l.widenTable("MXFP4") // may give denormals, which the conversion to bfloat16 would flush to zero
		l.widenNVFP4("NVFP4", false)
		l.widenNVFP4("NVFP4Low", true)
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
	what := "to float32."
	if l.bf16 {
		what = "to bfloat16, ties to even. Groups of 32 values are 2048\nbytes apart, as in a panel of a kernel with " +
			"Tiles. It needs AVX512-BF16."
	}
	doc(fmt.Sprintf("widen%s%s converts blocks of %s %s", format, l.suffix(), format, what))
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
	if l.bf16 {
		ADDQ(operand.I32(groupBytes*values/groupValues), dst)
	} else {
		ADDQ(operand.I32(4*values), dst)
	}
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// groupValues is the number of bfloat16 values of a row that lie together in a panel of a kernel with Tiles, and
// groupBytes the distance of two such groups.
const (
	groupValues = 32
	groupBytes  = 32 * 64
)

// store writes the storing of values i to i+l.n of a block whose result is at dst. With bf16 x is not denormal.
func (l *lanes) store(x reg.VecVirtual, dst reg.Register, i int) {
	if !l.bf16 {
		VMOVUPS(x, at(dst, 4*i))
		return
	}
	// The bytes of the conversion name registers, which therefore must be known here.
	VMOVAPS(x, reg.Z31)
	vcvtneps2bf16(reg.Z31, reg.Y31)
	VMOVUPS(reg.Y31, at(dst, groupBytes*(i/groupValues)+2*(i%groupValues)))
}

// scaled writes a function that multiplies bytes by a scale and stores them as bfloat16. begin sets registers and
// returns what writes the load of 16 values; those of F8 are 256 times too small.
func (l *lanes) scaled(format, what string, begin func() func(m operand.Mem, x reg.VecVirtual)) {
	TEXT("scale"+format+l.suffix(), NOSPLIT, "func(dst *float32, src *byte, groups int, scale float32)")
	doc(fmt.Sprintf("scale%s%s converts groups of 32 values of %s, multiplied by scale, to bfloat16, ties to even.\n"+
		"Groups are 2048 bytes apart, as in a panel of a kernel with Tiles. It needs AVX512-BF16.",
		format, l.suffix(), what))
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("groups"), GP64())
	scale := l.vec()
	VBROADCASTSS(mustParam("scale"), scale)
	if format == "F8" {
		VMULPS(float(256), scale, scale)
	}
	load := begin()
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	PREFETCHT0(at(src, prefetchFar))
	for i := 0; i < groupValues; i += l.n {
		x := l.vec()
		load(at(src, i), x)
		VMULPS(scale, x, x)
		l.store(x, dst, i)
	}
	ADDQ(operand.I8(groupValues), src)
	ADDQ(operand.I32(groupBytes), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// halfOfF8 loads values of float8_e4m3fn by moving their bits into those of IEEE halves, which have the same order of
// exponent and fraction, also for denormals: only the bias of the exponent is another one. The code of NaN is replaced.
func halfOfF8() func(m operand.Mem, x reg.VecVirtual) {
	bits, magnitude, nan := YMM(), YMM(), YMM()
	VMOVDQU(constant(0xbf80bf80), bits)
	VMOVDQU(constant(0x7fff7fff), magnitude)
	VMOVDQU(constant(0x3f803f80), nan)
	return func(m operand.Mem, x reg.VecVirtual) {
		y, isNaN := YMM(), YMM()
		VPMOVSXBW(m, y)
		VPSLLW(operand.U8(7), y, y)
		VPAND(bits, y, y)
		VPAND(magnitude, y, isNaN)
		VPCMPEQW(nan, isNaN, isNaN)
		VPOR(isNaN, y, y)
		VCVTPH2PS(y, x)
	}
}

// prefetchFar is how far ahead of a block its successors are prefetched. The processor's own prefetching stops at the
// end of a page.
const prefetchFar = 2048

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
			l.store(x, dst, i)
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
				l.store(v, dst, 16*half+i)
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
// from value first of dst on and those of the upper halves behind them.
func (l *lanes) nibbles(m operand.Mem, dst reg.Register, first int, table, mask, scale reg.VecVirtual) {
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
			l.store(x, dst, first+16*half+i)
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
		l.nibbles(at(src, first), dst, 0, values, mask, d)
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
			l.nibbles(at(src, 8+16*i), dst, 32*i, values, mask, scale)
		}
	})
}
