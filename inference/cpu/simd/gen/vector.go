package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func vector() {
	y := &lanes{n: 8}
	for _, r := range []row{
		{name: "expAVX2", doc: "exp(a)", in: f32, body: func(v []reg.VecVirtual) reg.VecVirtual { return y.exp(v[0]) }},
		{name: "siluAVX2", doc: "a / (1 + exp(-a))", in: f32,
			body: func(v []reg.VecVirtual) reg.VecVirtual { return y.silu(v[0]) }},
		{name: "reluAVX2", doc: "max(a, 0)", in: f32, body: func(v []reg.VecVirtual) reg.VecVirtual {
			zero := YMM()
			VXORPS(zero, zero, zero)
			VMAXPS(v[0], zero, v[0]) // gives the second source, v[0], if that is NaN or −0
			return v[0]
		}},
		{name: "siluMulAVX2", doc: "a / (1 + exp(-a)) · b", in: f32, inputs: 2,
			body: func(v []reg.VecVirtual) reg.VecVirtual {
				s := y.silu(v[0])
				VMULPS(v[1], s, s)
				return s
			}},
		{name: "addAVX2", doc: "a + b", in: f32, inputs: 2, body: func(v []reg.VecVirtual) reg.VecVirtual {
			VADDPS(v[1], v[0], v[0])
			return v[0]
		}},
		{name: "mulAddAVX2", doc: "a·b + c, rounded once,", in: f32, inputs: 3,
			body: func(v []reg.VecVirtual) reg.VecVirtual {
				VFMADD213PS(v[2], v[1], v[0])
				return v[0]
			}},
		{name: "scaleAVX2", doc: "s·a", in: f32, scalars: []string{"s"}, body: func(v []reg.VecVirtual) reg.VecVirtual {
			VMULPS(v[1], v[0], v[0])
			return v[0]
		}},
		{name: "normalizeAVX2", doc: "(a - mean)·r", in: f32, scalars: []string{"mean", "r"},
			body: func(v []reg.VecVirtual) reg.VecVirtual {
				VSUBPS(v[1], v[0], v[0])
				VMULPS(v[2], v[0], v[0])
				return v[0]
			}},
		{name: "widenBF16AVX2", doc: "bfloat16 a as float32", in: bf16, body: func(v []reg.VecVirtual) reg.VecVirtual {
			VPSLLD(operand.U8(16), v[0], v[0])
			return v[0]
		}},
		{name: "widenF16AVX2", doc: "IEEE half a as float32", in: f16,
			body: func(v []reg.VecVirtual) reg.VecVirtual { return v[0] }},
		{name: "widenF8AVX2", doc: "float8_e4m3fn a as float32", in: f8, body: widenF8},
		{name: "roundBF16AVX2", doc: "a rounded to bfloat16, ties to even,", in: f32, out: bf16, body: roundBF16},
		{name: "pairBF16AVX2", doc: "words of bfloat16 a (lower half) and b", in: bf16, inputs: 2,
			body: func(v []reg.VecVirtual) reg.VecVirtual {
				VPSLLD(operand.U8(16), v[1], v[1])
				VPOR(v[1], v[0], v[0])
				return v[0]
			}},
	} {
		r.generate()
	}
	sum("sumAVX2", "a", "func(a *float32, n int) float64", false)
	sum("sumSquaresAVX2", "(a - shift)²", "func(a *float32, n int, shift float64) float64", true)
	dot("dotAVX2", f32)
	dot("dotBF16AVX2", bf16)
	maximum()
	for _, l := range []*lanes{{n: 8}, {n: 16}} {
		l.panelMax()
		l.panelExp()
		l.panelScale()
	}
	panelPairs()
}

// elem is the format of a row's elements.
type elem struct {
	goType string
	bytes  int
	load   func(m operand.Mem, r reg.Register) // writes the load of eight elements, as float32 or as integers
}

var (
	f32  = elem{"float32", 4, func(m operand.Mem, r reg.Register) { VMOVUPS(m, r) }}
	bf16 = elem{"uint16", 2, func(m operand.Mem, r reg.Register) { VPMOVZXWD(m, r) }}
	f16  = elem{"uint16", 2, func(m operand.Mem, r reg.Register) { VCVTPH2PS(m, r) }}
	f8   = elem{"uint8", 1, func(m operand.Mem, r reg.Register) { VPMOVZXBD(m, r) }}
)

// row describes a function that computes n elements, a multiple of 8, eight at a time.
type row struct {
	name, doc string
	in, out   elem // out is float32 if it is not set
	inputs    int  // 1 to 3; 0 means 1
	scalars   []string
	body      func(v []reg.VecVirtual) reg.VecVirtual // v holds the inputs, then the scalars in all lanes
}

func (r row) generate() {
	stored := r.out
	if stored.goType == "" {
		stored = f32
	}
	names := []string{"a", "b", "c"}[:max(r.inputs, 1)]
	signature := fmt.Sprintf("func(dst *%s, %s *%s, n int", stored.goType, strings.Join(names, ", "), r.in.goType)
	if len(r.scalars) > 0 {
		signature += ", " + strings.Join(r.scalars, ", ") + " float32"
	}
	TEXT(r.name, NOSPLIT, signature+")")
	doc(fmt.Sprintf("%s stores %s for n elements, a multiple of 8.", r.name, r.doc))
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	var in []reg.Register
	for _, p := range names {
		in = append(in, Load(Param(p), GP64()))
	}
	n := Load(Param("n"), GP64())
	var held []reg.VecVirtual
	for _, s := range r.scalars {
		v := YMM()
		VBROADCASTSS(mustParam(s), v)
		held = append(held, v)
	}
	SHRQ(operand.U8(3), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	var v []reg.VecVirtual
	for _, p := range in {
		x := YMM()
		r.in.load(operand.Mem{Base: p}, x)
		v = append(v, x)
	}
	out := r.body(append(v, held...))
	if stored.bytes == 2 {
		x := XMM()
		VEXTRACTI128(operand.U8(1), out, x)
		VPACKUSDW(x, out.AsX(), x)
		VMOVDQU(x, operand.Mem{Base: dst})
	} else {
		VMOVUPS(out, operand.Mem{Base: dst})
	}
	for _, p := range in {
		ADDQ(operand.I8(8*r.in.bytes), p)
	}
	ADDQ(operand.I8(8*stored.bytes), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// constant returns the memory of a constant: 64 bytes of a repeated 32-bit word, for vectors of both widths.
func constant(bits uint32) operand.Mem {
	name := fmt.Sprintf("c%08x", bits)
	if m, ok := constants[bits]; ok {
		return m
	}
	m := GLOBL(name, 8|16) // RODATA|NOPTR
	for i := range 16 {
		DATA(4*i, operand.U32(bits))
	}
	constants[bits] = m
	return m
}

var constants = map[uint32]operand.Mem{}

func float(v float32) operand.Mem { return constant(math.Float32bits(v)) }

// expQ holds the coefficients of q in lanes.exp, the lowest first.
var expQ = [5]float32{
	0.4999999343207783, 0.16666520398686446, 0.04166839079422825, 0.00836874514200802, 0.0013814539647636456,
}

// lanes writes code for vectors of n float32. With bf16 the results are stored as bfloat16.
type lanes struct {
	n    int
	bf16 bool
}

func (l *lanes) vec() reg.VecVirtual {
	if l.n == 16 {
		return ZMM()
	}
	return YMM()
}

func (l *lanes) suffix() string {
	if l.bf16 {
		return "BF16"
	}
	if l.n == 16 {
		return "AVX512"
	}
	return "AVX2"
}

// exp replaces x by its exponential 2^n·e^r with |r| ≤ ln2/2 and e^r = 1 + r + r²·q(r), where q is the polynomial of
// degree 4 with the least maximal relative error (2e-9). The power of two is applied in two factors, so that denormal
// results are rounded once and overflow gives infinity. NaN gives NaN.
func (l *lanes) exp(x reg.VecVirtual) reg.VecVirtual {
	n, p, m := l.vec(), l.vec(), l.vec()
	VMOVUPS(float(89), n)
	VMINPS(x, n, x) // gives the second source, x, if that is NaN
	VMOVUPS(float(-104), n)
	VMAXPS(x, n, x)
	VMULPS(float(math.Log2E), x, n)
	if l.n == 16 {
		VRNDSCALEPS(operand.U8(0), n, n)
	} else {
		VROUNDPS(operand.U8(0), n, n)
	}
	const hi = 0x1.62e4p-1 // ln 2 to 15 bits, so that n·hi is exact
	VFNMADD231PS(float(hi), n, x)
	VFNMADD231PS(float(math.Ln2-hi), n, x)
	VMOVUPS(float(expQ[4]), p)
	for i := 3; i >= 0; i-- {
		VFMADD213PS(float(expQ[i]), x, p)
	}
	VMULPS(x, x, m)
	VFMADD213PS(x, m, p) // r² q + r
	VADDPS(float(1), p, p)
	if l.n == 16 {
		VSCALEFPS(n, p, p) // replaces all instructions below
		return p
	}
	VCVTPS2DQ(n, n)
	VPSRAD(operand.U8(1), n, m)
	VPSUBD(m, n, n)
	VPADDD(constant(127), m, m)
	VPADDD(constant(127), n, n)
	VPSLLD(operand.U8(23), m, m)
	VPSLLD(operand.U8(23), n, n)
	VMULPS(m, p, p)
	VMULPS(n, p, p)
	return p
}

func (l *lanes) silu(x reg.VecVirtual) reg.VecVirtual {
	neg := l.vec()
	VXORPS(constant(1<<31), x, neg)
	e := l.exp(neg)
	VADDPS(float(1), e, e)
	VDIVPS(e, x, e)
	return e
}

// widenF8 shifts exponent and fraction into their float32 positions and corrects the bias by an addition. The format's
// denormals get the exponent of 2^-6 and an implicit 1, which a subtraction takes away again: a multiplication of
// float32 denormals would take a hundred times as long. The code of NaN, 0x7f, is handled separately.
func widenF8(v []reg.VecVirtual) reg.VecVirtual {
	x, nan, sign, small, one := v[0], YMM(), YMM(), YMM(), YMM()
	VPSLLD(operand.U8(24), x, sign)
	VPAND(constant(1<<31), sign, sign)
	VPAND(constant(0x7f), x, x)
	VPCMPEQD(constant(0x7f), x, nan)
	VMOVDQU(constant(8), small)
	VPCMPGTD(x, small, small)
	VPSLLD(operand.U8(20), x, x)
	VPADDD(constant(120<<23), x, x)
	VPAND(constant(1<<23), small, one)
	VPADDD(one, x, x)
	VPAND(float(0x1p-6), small, small)
	VSUBPS(small, x, x)
	VPSRLD(operand.U8(1), nan, nan)
	VPOR(nan, x, x)
	VPOR(sign, x, x)
	return x
}

func roundBF16(v []reg.VecVirtual) reg.VecVirtual {
	x, odd, nan, quiet := v[0], YMM(), YMM(), YMM()
	VCMPPS(operand.U8(3), x, x, nan)
	VPSRLD(operand.U8(16), x, odd)
	VPOR(constant(0x40), odd, quiet)
	VPAND(constant(1), odd, odd)
	VPADDD(constant(0x7fff), x, x)
	VPADDD(odd, x, x)
	VPSRLD(operand.U8(16), x, x)
	VBLENDVPS(nan, quiet, x, x)
	return x
}

// sum writes a sum in float64 of n float32, a multiple of 8, with two accumulators of four lanes.
func sum(name, what, signature string, square bool) {
	TEXT(name, NOSPLIT, signature)
	doc(fmt.Sprintf("%s returns the sum of %s in float64; n is a multiple of 8.", name, what))
	Pragma("noescape")
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	acc := [2]reg.VecVirtual{YMM(), YMM()}
	shift := YMM()
	for _, r := range acc {
		VXORPD(r, r, r)
	}
	if square {
		VBROADCASTSD(mustParam("shift"), shift)
	}
	SHRQ(operand.U8(3), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	for i, r := range acc {
		x := YMM()
		VCVTPS2PD(operand.Mem{Base: a, Disp: 16 * i}, x)
		if square {
			VSUBPD(shift, x, x)
			VFMADD231PD(x, x, r)
		} else {
			VADDPD(x, r, r)
		}
	}
	ADDQ(operand.I8(32), a)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VADDPD(acc[1], acc[0], acc[0])
	x, h := acc[0].AsX(), XMM()
	VEXTRACTF128(operand.U8(1), acc[0], h)
	VADDPD(h, x, x)
	VUNPCKHPD(x, x, h)
	VADDSD(h, x, x)
	Store(x, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// dot writes the dot product of n float32 a and n elements b of format other, n a multiple of 32, with four
// accumulators of eight lanes.
func dot(name string, other elem) {
	TEXT(name, NOSPLIT, fmt.Sprintf("func(a *float32, b *%s, n int) float32", other.goType))
	doc(fmt.Sprintf("%s returns the sum of a·b in float32, in 32 interleaved sums; n is a multiple of 32.", name))
	Pragma("noescape")
	a := Load(Param("a"), GP64())
	b := Load(Param("b"), GP64())
	n := Load(Param("n"), GP64())
	var acc [4]reg.VecVirtual
	for i := range acc {
		acc[i] = YMM()
		VXORPS(acc[i], acc[i], acc[i])
	}
	SHRQ(operand.U8(5), n)
	JZ(operand.LabelRef("done"))
	Label("loop")
	PREFETCHT0(operand.Mem{Base: b, Disp: 1024})
	for i, r := range acc {
		x := YMM()
		other.load(operand.Mem{Base: b, Disp: 8 * i * other.bytes}, x)
		if other.bytes == 2 {
			VPSLLD(operand.U8(16), x, x)
		}
		VFMADD231PS(operand.Mem{Base: a, Disp: 32 * i}, x, r)
	}
	ADDQ(operand.I32(128), a)
	ADDQ(operand.I32(32*other.bytes), b)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VADDPS(acc[1], acc[0], acc[0])
	VADDPS(acc[3], acc[2], acc[2])
	VADDPS(acc[2], acc[0], acc[0])
	x, h := acc[0].AsX(), XMM()
	VEXTRACTF128(operand.U8(1), acc[0], h)
	VADDPS(h, x, x)
	VUNPCKHPD(x, x, h)
	VADDPS(h, x, x)
	VMOVSHDUP(x, h)
	VADDSS(h, x, x)
	Store(x, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// maximum writes the maximum of n float32, a positive multiple of 8. VMAXPS can drop a NaN, so that NaNs are collected
// in a register of their own.
func maximum() {
	TEXT("maxAVX2", NOSPLIT, "func(a *float32, n int) float32")
	doc("maxAVX2 returns the largest element, or NaN if there is one; n is a positive multiple of 8.")
	Pragma("noescape")
	a := Load(Param("a"), GP64())
	n := Load(Param("n"), GP64())
	m, nan, x, t := YMM(), YMM(), YMM(), YMM()
	VMOVUPS(operand.Mem{Base: a}, m)
	VXORPS(nan, nan, nan)
	SHRQ(operand.U8(3), n)
	Label("loop")
	VMOVUPS(operand.Mem{Base: a}, x)
	VCMPPS(operand.U8(3), x, x, t)
	VORPS(t, nan, nan)
	VMAXPS(x, m, m)
	ADDQ(operand.I8(32), a)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	Comment("Reduce the lanes of the maxima and of the NaN masks; a mask of ones is a NaN")
	h, hn := XMM(), XMM()
	mx, nx := m.AsX(), nan.AsX()
	VEXTRACTF128(operand.U8(1), m, h)
	VEXTRACTF128(operand.U8(1), nan, hn)
	VMAXPS(h, mx, mx)
	VORPS(hn, nx, nx)
	VUNPCKHPD(mx, mx, h)
	VUNPCKHPD(nx, nx, hn)
	VMAXPS(h, mx, mx)
	VORPS(hn, nx, nx)
	VMOVSHDUP(mx, h)
	VMOVSHDUP(nx, hn)
	VMAXSS(h, mx, mx)
	VORPS(hn, nx, nx)
	VORPS(nx, mx, mx)
	Store(mx, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// panel writes a function on a panel of `rows` rows of two vectors. It works on columns, so that no operation crosses
// lanes. body gets the address of a row, and the two vectors of the parameter lane, which are stored at the end if
// result is lane.
func (l *lanes) panel(name, signature, text string, body func(p reg.Register, v [2]reg.VecVirtual), lane,
	result string) {
	name += l.suffix()
	TEXT(name, NOSPLIT, signature)
	doc(fmt.Sprintf("%s %s. Rows of p have %d values; rows is not 0.", name, text, 2*l.n))
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	rows := Load(Param("rows"), GP64())
	at := Load(Param(lane), GP64())
	v := [2]reg.VecVirtual{l.vec(), l.vec()}
	for i := range v {
		VMOVUPS(operand.Mem{Base: at, Disp: 4 * l.n * i}, v[i])
	}
	Label("loop")
	body(p, v)
	ADDQ(operand.I32(8*l.n), p)
	DECQ(rows)
	JNZ(operand.LabelRef("loop"))
	if result == lane {
		for i := range v {
			VMOVUPS(v[i], operand.Mem{Base: at, Disp: 4 * l.n * i})
		}
	}
	VZEROUPPER()
	RET()
}

func (l *lanes) panelMax() {
	l.panel("panelMax", "func(p *float32, rows int, m *float32)", "sets m to the maxima of m and the columns of p",
		func(p reg.Register, m [2]reg.VecVirtual) {
			for i := range m {
				VMAXPS(operand.Mem{Base: p, Disp: 4 * l.n * i}, m[i], m[i])
			}
		}, "m", "m")
}

func (l *lanes) panelScale() {
	l.panel("panelScale", "func(p *float32, rows int, s *float32)", "multiplies the columns of p by s",
		func(p reg.Register, s [2]reg.VecVirtual) {
			for i := range s {
				x := l.vec()
				VMULPS(operand.Mem{Base: p, Disp: 4 * l.n * i}, s[i], x)
				VMOVUPS(x, operand.Mem{Base: p, Disp: 4 * l.n * i})
			}
		}, "s", "")
}

func (l *lanes) panelExp() {
	name := "panelExp" + l.suffix()
	TEXT(name, NOSPLIT, "func(p *float32, rows int, m, sum *float32, scale float32)")
	doc(fmt.Sprintf("%s replaces p by exp((p - m)·scale) and adds the sums of the columns to sum. Rows of p have %d\n"+
		"values; rows is not 0.", name, 2*l.n))
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	rows := Load(Param("rows"), GP64())
	m := Load(Param("m"), GP64())
	at := Load(Param("sum"), GP64())
	scale := l.vec()
	VBROADCASTSS(mustParam("scale"), scale)
	sum := [2]reg.VecVirtual{l.vec(), l.vec()}
	for i := range sum {
		VMOVUPS(operand.Mem{Base: at, Disp: 4 * l.n * i}, sum[i])
	}
	Label("loop")
	for i := range sum {
		x := l.vec()
		VMOVUPS(operand.Mem{Base: p, Disp: 4 * l.n * i}, x)
		VSUBPS(operand.Mem{Base: m, Disp: 4 * l.n * i}, x, x)
		VMULPS(scale, x, x)
		x = l.exp(x)
		VADDPS(x, sum[i], sum[i])
		VMOVUPS(x, operand.Mem{Base: p, Disp: 4 * l.n * i})
	}
	ADDQ(operand.I32(8*l.n), p)
	DECQ(rows)
	JNZ(operand.LabelRef("loop"))
	for i := range sum {
		VMOVUPS(sum[i], operand.Mem{Base: at, Disp: 4 * l.n * i})
	}
	VZEROUPPER()
	RET()
}

// panelPairs writes the rounding of a panel to bfloat16. Unlike roundBF16 it does not handle NaN, since the sums of the
// same panel are NaN then.
func panelPairs() {
	TEXT("panelPairsAVX512", NOSPLIT, "func(dst, p *float32, pairs int)")
	doc("panelPairsAVX512 rounds rows 2i and 2i+1 of p to bfloat16 and stores them as row i of words, with\n" +
		"the even row in the lower halves. Rows have 32 values; pairs is not 0.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	p := Load(Param("p"), GP64())
	n := Load(Param("pairs"), GP64())
	one, half := ZMM(), ZMM()
	VMOVUPS(constant(1), one)
	VMOVUPS(constant(0x7fff), half)
	Label("loop")
	for i := range 2 {
		var v [2]reg.VecVirtual
		for r := range v {
			v[r] = ZMM()
			odd := ZMM()
			VMOVUPS(operand.Mem{Base: p, Disp: 128*r + 64*i}, v[r])
			VPSRLD(operand.U8(16), v[r], odd)
			VPANDD(one, odd, odd)
			VPADDD(half, v[r], v[r])
			VPADDD(odd, v[r], v[r])
		}
		VPSRLD(operand.U8(16), v[0], v[0])
		VPSRLD(operand.U8(16), v[1], v[1])
		VPSLLD(operand.U8(16), v[1], v[1])
		VPORD(v[1], v[0], v[0])
		VMOVUPS(v[0], operand.Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(operand.I32(256), p)
	ADDQ(operand.I32(128), dst)
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
