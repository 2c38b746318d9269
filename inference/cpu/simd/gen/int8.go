package main

import (
	"fmt"

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
			madd:  func(acc, a, b reg.Register) { vpdpbusd(acc, b, a) },
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
	chain("peakI8AVX512VNNI", zmm[:24], zmm[24:26], vpdpbusd, clearVector)
	magnitude()
	roundI8()
	rotate256("F32", 64, func(m operand.Mem, x reg.Register) { VMOVUPS(m, x) })
	rotate256("BF16", 32, func(m operand.Mem, x reg.Register) {
		VPMOVZXWD(m, x)
		VPSLLD(operand.U8(16), x, x)
	})
	roundI8AVX512()
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

// vpdpbusd writes VPDPBUSD acc, a, b for zmm registers: EVEX.512.66.0F38.W0 50 /r (Intel SDM, volume 2). Bytes of a are
// unsigned, those of b signed.
func vpdpbusd(acc, a, b reg.Register) { evex("vpdpbusd", pp66, 0x50, acc, a, b) }

// vexDot writes VPDPBUSD acc, a, b of AVX-VNNI for ymm registers, which the Go assembler does not know:
// VEX.256.66.0F38.W0 50 /r (Intel SDM, volume 2). Bytes of a are unsigned, those of b signed.
func vexDot(acc, a, b reg.Register) {
	dst, src1, src2 := number(acc), number(a), number(b)
	Comment(fmt.Sprintf("{vex} vpdpbusd %%ymm%d,%%ymm%d,%%ymm%d", src2, src1, dst))
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
	returnGreatest(m[0])
}

// returnGreatest ends a function with the greatest of the eight int32 of y.
func returnGreatest(y reg.VecVirtual) {
	h, x := XMM(), y.AsX()
	VEXTRACTI128(operand.U8(1), y, h)
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
	TEXT("roundI8AVX2", NOSPLIT, "func(dst *int8, a *float32, n int, r float32)")
	doc("roundI8AVX2 stores a·r for n elements, a multiple of 32, rounded to the nearest integer, ties to even. It\n" +
		"stores -128 if a·r is no number, or too large for an int32.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	r, order := YMM(), YMM()
	VBROADCASTSS(mustParam("r"), r)
	VMOVDQU(table("order", func(i int) uint32 { return uint32(i%2*4 + i/2) }), order)
	SHRQ(operand.U8(5), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	var x [4]reg.VecVirtual
	for i := range x {
		x[i] = YMM()
		VMULPS(at(a, 32*i), r, x[i])
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

// roundI8AVX512 writes the quantisation of a row with vectors of 512 bits.
func roundI8AVX512() {
	TEXT("roundI8AVX512", NOSPLIT, "func(dst *int8, a *float32, n int, r float32)")
	doc("roundI8AVX512 is roundI8AVX2 for n elements, a multiple of 64.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	r := ZMM()
	VBROADCASTSS(mustParam("r"), r)
	SHRQ(operand.U8(6), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	for i := range 4 {
		x := ZMM()
		VMULPS(at(a, 64*i), r, x)
		VCVTPS2DQ(x, x)
		VPMOVSDB(x, at(dst, 16*i))
	}
	ADDQ(operand.I32(256), a)
	ADDQ(operand.I32(64), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// rotate256 writes the rotation of groups of 256 values, which are kept in 16 registers for all four stages: the first
// two work inside a register, on neighbours and on quarters, and the others on whole registers.
func rotate256(format string, stride int, load func(m operand.Mem, x reg.Register)) {
	name := "rotate256" + format + "AVX512"
	goType := map[string]string{"F32": "float32", "BF16": "uint16"}[format]
	TEXT(name, NOSPLIT, "func(dst *float32, a *"+goType+", groups int) float32")
	doc(name + " stores rotated groups of 256 values, 16 times as large as they are, and returns the largest of\n" +
		"their magnitudes, or NaN if there is one.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	n := Load(Param("groups"), GP64())
	two, mask, largest := ZMM(), ZMM(), ZMM()
	VMOVUPS(float(2), two)
	VMOVUPS(constant(0x7fffffff), mask)
	VPXORD(largest, largest, largest)
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	var x [16]reg.VecVirtual
	for i := range x {
		x[i] = ZMM()
		load(at(a, stride*i), x[i])
		s, t := ZMM(), ZMM()
		VPERMILPS(operand.U8(0xb1), x[i], s) // b a d c
		VADDPS(x[i], s, s)
		VPERMILPS(operand.U8(0x4e), s, t)
		VADDPS(t, s, s)
		VPERMILPS(operand.U8(0x1b), x[i], t) // d c b a
		VFNMADD231PS(two, t, s)
		x[i] = ZMM()
		VSHUFF32X4(operand.U8(0x4e), s, s, t) // c d a b
		VADDPS(s, t, t)
		VSHUFF32X4(operand.U8(0xb1), t, t, x[i])
		VADDPS(t, x[i], x[i])
		VSHUFF32X4(operand.U8(0x1b), s, s, t) // d c b a
		VFNMADD231PS(two, t, x[i])
	}
	for _, step := range []int{1, 4} {
		for first := range 16 {
			if first/step%4 != 0 {
				continue
			}
			v := [4]reg.VecVirtual{x[first], x[first+step], x[first+2*step], x[first+3*step]}
			s, t := ZMM(), ZMM()
			VADDPS(v[0], v[1], s)
			VADDPS(v[2], v[3], t)
			VADDPS(t, s, s)
			for i := range v {
				VFNMADD213PS(s, two, v[3-i])
				x[first+i*step] = v[3-i]
			}
		}
	}
	for i, v := range x {
		VMOVUPS(v, at(dst, 64*i))
		VPANDD(mask, v, v)
		VPMAXSD(v, largest, largest)
	}
	ADDQ(operand.I32(1024), dst)
	ADDQ(operand.I32(16*stride), a)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	y := YMM()
	VEXTRACTF64X4(operand.U8(1), largest, y)
	VPMAXSD(y, largest.AsY(), y)
	returnGreatest(y)
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
