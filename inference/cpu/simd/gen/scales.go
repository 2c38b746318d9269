package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// widenNVFP4 writes the function for nvfp4 of ComfyUI's files or, if lowFirst is set, of NVIDIA ModelOpt's.
func (l *lanes) widenNVFP4(format string, lowFirst bool) {
	where := map[bool]string{false: "upper", true: "lower"}[lowFirst]
	TEXT("widen"+format+l.suffix(), NOSPLIT, "func(dst *float32, src *byte, scales *float32, groups int)")
	text := "widen" + format + l.suffix() + " converts groups of 16 values of float4_e2m1, the even ones in the " + where +
		"\nhalves of bytes, to float32 and multiplies each group by its scale."
	if l.bf16 {
		text += " It stores bfloat16, ties to even: two groups\ntogether, and the next two 2048 bytes behind them, as in " +
			"a panel of a kernel with Tiles. groups is even. It needs\nAVX512-BF16."
	}
	doc(text)
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
		if lowFirst {
			VMOVUPS(table("shiftsLow", func(i int) uint32 { return uint32(i%2) * 4 }), shifts)
		} else {
			VMOVUPS(table("shifts", func(i int) uint32 { return 4 - uint32(i%2)*4 }), shifts)
		}
	} else {
		VMOVDQU(e2m1(), values.AsX())
		if lowFirst {
			VMOVDQU(constant(0x0f0f0f0f), low)
		} else {
			VMOVDQU(constant(0x0f000f00), low)
		}
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
			l.store(x, dst, 16*i)
			return
		}
		even, odd := XMM(), XMM()
		VMULPS(half, scale, scale)
		VPMOVZXBW(at(src, 8*i), even)
		if lowFirst {
			VPSLLW(operand.U8(4), even, odd)
			VPOR(odd, even, even)
			VPAND(low, even, even)
		} else {
			VPSLLW(operand.U8(8), even, odd)
			VPSRLW(operand.U8(4), even, even)
			VPAND(low, odd, odd)
			VPOR(odd, even, even)
		}
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
		if l.bf16 {
			ADDQ(operand.I32(groupBytes*16*groups/groupValues), dst)
		} else {
			ADDQ(operand.I32(64*groups), dst)
		}
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
	if l.bf16 { // two are left
		group(0)
		group(1)
	} else {
		group(0)
		advance(1)
		DECQ(n)
		JNZ(operand.LabelRef("single"))
	}
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

func swizzledF8() {
	TEXT("swizzledF8AVX2", NOSPLIT, "func(dst *float32, src *byte, groups int, scale float32)")
	doc("swizzledF8AVX2 stores groups of four scales in float8_e4m3fn, which are 512 bytes apart, times scale.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("groups"), GP64())
	scale := YMM()
	VBROADCASTSS(mustParam("scale"), scale)
	SUBQ(operand.I32(2), n)
	JLT(operand.LabelRef("tail"))
	Label("loop")
	PREFETCHT0(at(src, 8*512))
	PREFETCHT0(at(src, 9*512))
	pair := YMM()
	VMOVD(at(src, 0), pair.AsX())
	VPINSRD(operand.U8(1), at(src, 512), pair.AsX(), pair.AsX())
	VPMOVZXBD(pair.AsX(), pair)
	wide := widenF8([]reg.VecVirtual{pair})
	VMULPS(scale, wide, wide)
	VMOVUPS(wide, at(dst, 0))
	ADDQ(operand.I32(1024), src)
	ADDQ(operand.I8(32), dst)
	SUBQ(operand.I32(2), n)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.I32(2), n)
	JZ(operand.LabelRef("done"))
	x := YMM()
	VPMOVZXBD(at(src, 0), x.AsX())
	y := widenF8([]reg.VecVirtual{x})
	VMULPS(scale, y, y)
	VMOVUPS(y.AsX(), at(dst, 0))
	Label("done")
	VZEROUPPER()
	RET()
}

func scaleBlocks() {
	TEXT("scaleBlocksAVX2", NOSPLIT, "func(dst, scales *float32, blocks, vectors int)")
	doc("scaleBlocksAVX2 multiplies blocks of `vectors` times 8 values of dst by a scale each; neither number is 0.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	scales := Load(Param("scales"), GP64())
	n := Load(Param("blocks"), GP64())
	vectors := Load(Param("vectors"), GP64())
	left := GP64()
	Label("loop")
	scale := YMM()
	VBROADCASTSS(at(scales, 0), scale)
	MOVQ(vectors, left)
	Label("inner")
	x := YMM()
	VMULPS(at(dst, 0), scale, x)
	VMOVUPS(x, at(dst, 0))
	ADDQ(operand.I8(32), dst)
	DECQ(left)
	JNZ(operand.LabelRef("inner"))
	ADDQ(operand.I8(4), scales)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// rotate16 writes the first two stages of a rotation. A stage replaces four values a, b, c, d by s − 2d, s − 2c, s −
// 2b, s − 2a with s = a + b + c + d. In the first stage they are neighbours, in the second they are four apart.
func rotate16() {
	TEXT("rotate16AVX2", NOSPLIT, "func(x *float32, groups int, norm float32)")
	doc("rotate16AVX2 applies the first two stages of a rotation to groups of 16 values, and multiplies them by norm.")
	Pragma("noescape")
	x0 := Load(Param("x"), GP64())
	n := Load(Param("groups"), GP64())
	norm, two := YMM(), YMM()
	VBROADCASTSS(mustParam("norm"), norm)
	VMOVUPS(float(2), two)
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	v := [2]reg.VecVirtual{YMM(), YMM()}
	for i, x := range v {
		s, r := YMM(), YMM()
		VMULPS(at(x0, 32*i), norm, x)
		VPERMILPS(operand.U8(0xb1), x, s) // b a d c
		VADDPS(x, s, s)
		VPERMILPS(operand.U8(0x1b), x, r) // d c b a
		VPERMILPS(operand.U8(0x4e), s, x)
		VADDPS(x, s, s)
		VFNMADD231PS(two, r, s)
		VMOVAPS(s, x)
	}
	// The halves of v[0] are a and b, those of v[1] c and d.
	s, r := YMM(), [2]reg.VecVirtual{YMM(), YMM()}
	VADDPS(v[0], v[1], s)
	VPERM2F128(operand.U8(1), s, s, r[0])
	VADDPS(r[0], s, s)
	for i := range 2 {
		VPERM2F128(operand.U8(1), v[1-i], v[1-i], r[i])
		VFNMADD213PS(s, two, r[i])
		VMOVUPS(r[i], at(x0, 32*i))
	}
	ADDQ(operand.I8(64), x0)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

func rotateStage() {
	TEXT("rotateStageAVX2", NOSPLIT, "func(x *float32, groups, step int)")
	doc("rotateStageAVX2 applies a stage of a rotation to groups of 4·step values, in which the four values are step\n" +
		"apart. step is a multiple of 8.")
	Pragma("noescape")
	a := Load(Param("x"), GP64())
	n := Load(Param("groups"), GP64())
	step := Load(Param("step"), GP64())
	triple, left, count := GP64(), GP64(), GP64()
	MOVQ(step, count)
	SHRQ(operand.U8(3), count)
	SHLQ(operand.U8(2), step)
	LEAQ(operand.Mem{Base: step, Index: step, Scale: 2}, triple)
	two := YMM()
	VMOVUPS(float(2), two)
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	MOVQ(count, left)
	Label("inner")
	places := []operand.Mem{
		{Base: a}, {Base: a, Index: step, Scale: 1}, {Base: a, Index: step, Scale: 2}, {Base: a, Index: triple, Scale: 1},
	}
	v := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for i, p := range places {
		VMOVUPS(p, v[i])
	}
	s, t := YMM(), YMM()
	VADDPS(v[0], v[1], s)
	VADDPS(v[2], v[3], t)
	VADDPS(t, s, s)
	for i, p := range places {
		VFNMADD213PS(s, two, v[3-i])
		VMOVUPS(v[3-i], p)
	}
	ADDQ(operand.I8(32), a)
	DECQ(left)
	JNZ(operand.LabelRef("inner"))
	ADDQ(triple, a)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
