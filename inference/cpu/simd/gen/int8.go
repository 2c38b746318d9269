package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// int8s writes the micro-kernels of integers with sums of int32, their peaks, and the functions on rows around them.
func int8s() {
	const pairs = "A word of a or b is a pair of int16."
	const quads = "A word of a or b is a quad of int8. Bytes of b are used as unsigned ones of b + 128, so that the\n" +
		"result of row i is too large by 128 times the sum of the bytes of row i of a. Sums wrap around."
	for _, t := range []tile{
		{name: "gemmI16x6x16", doc: "It needs AVX2. " + pairs, mr: 6, nv: 2, vec: ymm, bytes: 32, held: 1,
			madd: vpmaddwd(reg.Y15)},
		{name: "gemmI16x12x32", doc: "It needs AVX-512. " + pairs, mr: 12, nv: 2, vec: zmm, bytes: 64, held: 1,
			madd: vpmaddwd(reg.Z31)},
		{name: "gemmI8x6x16", doc: "It needs AVX-VNNI. " + quads, mr: 6, nv: 2, vec: ymm, bytes: 32, held: 1,
			madd:  func(acc, a, b reg.Register) { vexDot(acc, b, a) },
			begin: func() { VPBROADCASTD(constant(0x80808080), reg.Y15) },
			load:  func(m operand.Mem, b reg.Register) { VPXOR(m, reg.Y15, b) }},
		{name: "gemmI8x12x32", doc: "It needs AVX512-VNNI. " + quads, mr: 12, nv: 2, vec: zmm, bytes: 64, held: 1,
			madd:  func(acc, a, b reg.Register) { evex(pp66, 0x50, acc, b, a) },
			begin: func() { VPBROADCASTD(constant(0x80808080), reg.Z31) },
			load:  func(m operand.Mem, b reg.Register) { VPXORD(m, reg.Z31, b) }},
	} {
		t.unroll, t.ints = 2, true
		t.zero = func(r reg.Register) { clearVector(r) }
		t.generate()
	}
	chain("peakI16AVX2", ymm[:12], ymm[12:14], vpmaddwd(reg.Y15), clearVector)
	chain("peakI16AVX512", zmm[:24], zmm[24:26], vpmaddwd(reg.Z31), clearVector)
	chain("peakI8AVXVNNI", ymm[:12], ymm[12:14], vexDot, clearVector)
	chain("peakI8AVX512VNNI", zmm[:24], zmm[24:26],
		func(acc, a, b reg.Register) { evex(pp66, 0x50, acc, a, b) }, clearVector)
	magnitude()
	roundI8()
	scaleI32()
	widenI8()
}

func clearVector(r reg.Register) {
	if r.Size() == 64 {
		VPXORD(r, r, r)
	} else {
		VPXOR(r, r, r)
	}
}

// vpmaddwd returns a function that writes the addition of products of pairs of int16. It overwrites t.
func vpmaddwd(t reg.Register) func(acc, a, b reg.Register) {
	return func(acc, a, b reg.Register) {
		VPMADDWD(a, b, t)
		VPADDD(t, acc, acc)
	}
}

// vexDot writes VPDPBUSD acc, a, b of AVX-VNNI for ymm registers, which the Go assembler does not know:
// VEX.256.66.0F38.W0 50 /r (Intel SDM, volume 2). Bytes of a are unsigned, those of b signed.
func vexDot(acc, a, b reg.Register) {
	dst, src1, src2 := number(acc), number(a), number(b)
	for _, v := range []uint8{
		0xc4, (^(dst>>3)&1)<<7 | 1<<6 | (^(src2>>3)&1)<<5 | 0b00010, (^src1&15)<<3 | 1<<2 | pp66, 0x50,
		0xc0 | dst&7<<3 | src2&7,
	} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(v)}})
	}
}

// magnitude writes the largest magnitude. The bits of a float32 without its sign, read as an integer, have the order of
// the magnitudes, and those of a NaN are above all others.
func magnitude() {
	TEXT("magnitudeAVX2", NOSPLIT, "func(a *float32, n int) float32")
	doc("magnitudeAVX2 returns the largest magnitude, or NaN if there is one; n is a multiple of 32.")
	Pragma("noescape")
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	mask := YMM()
	VPBROADCASTD(constant(0x7fffffff), mask)
	var m [4]reg.VecVirtual
	for i := range m {
		m[i] = YMM()
		VPXOR(m[i], m[i], m[i])
	}
	SHRQ(operand.U8(5), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	for i := range m {
		x := YMM()
		VPAND(at(a, 32*i), mask, x)
		VPMAXSD(x, m[i], m[i])
	}
	ADDQ(operand.U8(128), a)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VPMAXSD(m[1], m[0], m[0])
	VPMAXSD(m[3], m[2], m[2])
	VPMAXSD(m[2], m[0], m[0])
	h, x := XMM(), m[0].AsX()
	VEXTRACTI128(operand.U8(1), m[0], h)
	VPMAXSD(h, x, x)
	VPSHUFD(operand.U8(0x4e), x, h)
	VPMAXSD(h, x, x)
	VPSHUFD(operand.U8(0xb1), x, h)
	VPMAXSD(h, x, x)
	Store(x, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// roundI8 writes the quantisation of a row.
func roundI8() {
	TEXT("roundI8AVX2", NOSPLIT, "func(dst *int8, a *float32, n int, s float32)")
	doc("roundI8AVX2 stores a / s for n elements, a multiple of 32, rounded to the nearest integer, ties to even. It\n" +
		"stores -128 if a / s is no number, or too large for an int32.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	s, order := YMM(), YMM()
	VBROADCASTSS(mustParam("s"), s)
	VMOVDQU(table("order", func(i int) uint32 { return uint32(i%2*4 + i/2) }), order)
	SHRQ(operand.U8(5), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	var x [4]reg.VecVirtual
	for i := range x {
		x[i] = YMM()
		VMOVUPS(at(a, 32*i), x[i])
		VDIVPS(s, x[i], x[i])
		VCVTPS2DQ(x[i], x[i])
	}
	// Packing works inside the halves of vectors.
	VPACKSSDW(x[1], x[0], x[0])
	VPACKSSDW(x[3], x[2], x[2])
	VPACKSSWB(x[2], x[0], x[0])
	VPERMD(x[0], order, x[0])
	VMOVDQU(x[0], operand.Mem{Base: dst})
	ADDQ(operand.U8(128), a)
	ADDQ(operand.U8(32), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// scaleI32 writes the scaling of sums.
func scaleI32() {
	TEXT("scaleI32AVX2", NOSPLIT, "func(dst, a, scales *float32, n int, s float32, offset int)")
	doc("scaleI32AVX2 stores (a + offset)·s·scales for n elements, a multiple of 8. a and offset are int32, and their\n" +
		"sum wraps around.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	scales := Load(Param("scales"), GP64())
	n := Load(Param("n"), GP64())
	s, offset := YMM(), YMM()
	VBROADCASTSS(mustParam("s"), s)
	VPBROADCASTD(mustParam("offset"), offset)
	SHRQ(operand.U8(3), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	x := YMM()
	VPADDD(operand.Mem{Base: a}, offset, x)
	VCVTDQ2PS(x, x)
	VMULPS(s, x, x)
	VMULPS(operand.Mem{Base: scales}, x, x)
	VMOVUPS(x, operand.Mem{Base: dst})
	for _, p := range []reg.Register{a, scales, dst} {
		ADDQ(operand.U8(32), p)
	}
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// widenI8 writes the widening to int16.
func widenI8() {
	TEXT("widenI8AVX2", NOSPLIT, "func(dst *int16, a *byte, n int)")
	doc("widenI8AVX2 stores int8 a as int16 for n elements, a multiple of 16.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	SHRQ(operand.U8(4), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	x := YMM()
	VPMOVSXBW(operand.Mem{Base: a}, x)
	VMOVDQU(x, operand.Mem{Base: dst})
	ADDQ(operand.U8(16), a)
	ADDQ(operand.U8(32), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
