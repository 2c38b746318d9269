package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile describes a micro-kernel, which keeps mr rows by nv vectors of results in registers. Each step of k loads nv
// vectors of the B panel and broadcasts mr values of the A panel.
type tile struct {
	name   string
	doc    string
	mr, nv int
	unroll int
	vec    []reg.Register
	bytes  int // the size of a vector
	// madd writes the instructions that add a·b to acc; all are vector registers.
	madd func(acc, a, b reg.Register)
	zero func(r reg.Register)
	// held is the number of registers at the end of vec that madd and load use; begin sets them.
	held  int
	begin func()
	// load writes the load of a vector of B; a plain one if it is nil.
	load func(m operand.Mem, b reg.Register)
	// ints says that results are integers.
	ints bool
}

// gemm writes the micro-kernels and the functions that measure their peak.
func gemm() {
	tile{
		name: "gemm6x16", mr: 6, nv: 2, unroll: 4, vec: ymm, bytes: 32,
		doc:  "It needs AVX2 and FMA. 12 of 16 registers accumulate.",
		madd: func(acc, a, b reg.Register) { VFMADD231PS(a, b, acc) },
		zero: func(r reg.Register) { VXORPS(r, r, r) },
	}.generate()
	tile{
		name: "gemm12x32", mr: 12, nv: 2, unroll: 4, vec: zmm, bytes: 64,
		doc:  "It needs AVX-512. 24 of 32 registers accumulate.",
		madd: func(acc, a, b reg.Register) { VFMADD231PS(a, b, acc) },
		zero: func(r reg.Register) { VPXORD(r, r, r) },
	}.generate()
	tile{
		name: "gemmBF16x12x32", mr: 12, nv: 2, unroll: 2, vec: zmm, bytes: 64,
		doc: "It needs AVX512-BF16. A word of a or b is a pair of bfloat16, and a step of k adds two products.\n" +
			"VDPBF16PS reads denormals as zero, flushes denormal results to zero and rounds the sum of each pair\n" +
			"in a way of its own; MXCSR does not change that.",
		madd: vdpbf16ps,
		zero: func(r reg.Register) { VPXORD(r, r, r) },
	}.generate()
	chain("peakAVX2", ymm[:12], ymm[12:14], func(acc, a, b reg.Register) { VFMADD231PS(a, b, acc) },
		func(r reg.Register) { VXORPS(r, r, r) })
	chain("peakAVX512", zmm[:24], zmm[24:26], func(acc, a, b reg.Register) { VFMADD231PS(a, b, acc) },
		func(r reg.Register) { VPXORD(r, r, r) })
	chain("peakBF16", zmm[:24], zmm[24:26], vdpbf16ps, func(r reg.Register) { VPXORD(r, r, r) })
}

var ymm = []reg.Register{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

var zmm = []reg.Register{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// generate writes the micro-kernel.
func (t tile) generate() {
	TEXT(t.name, NOSPLIT, "func(k int, a, b, c *float32, ldc, add int)")
	doc(fmt.Sprintf("%s multiplies a panel of %d rows, a[k·%d+i], by a panel of %d columns, b[k·%d+j], in k steps and\n"+
		"stores the result in c, whose rows are ldc bytes apart. If add is not 0, it adds the result to c.\n%s",
		t.name, t.mr, t.mr, t.nv*t.bytes/4, t.nv*t.bytes/4, t.doc))
	Pragma("noescape")
	k := Load(Param("k"), reg.RCX)
	Load(Param("a"), reg.RSI)
	Load(Param("b"), reg.RDX)
	Load(Param("c"), reg.RDI)
	Load(Param("ldc"), reg.R8)
	acc := func(i, j int) reg.Register { return t.vec[i*t.nv+j] }
	bs := t.vec[t.mr*t.nv : t.mr*t.nv+t.nv]
	as := t.vec[t.mr*t.nv+t.nv : len(t.vec)-t.held]
	if t.begin != nil {
		t.begin()
	}
	if t.load == nil {
		t.load = func(m operand.Mem, b reg.Register) { VMOVUPS(m, b) }
	}
	Comment("Prefetch the rows of c, which are read or written after the loop")
	MOVQ(reg.RDI, reg.R9)
	for range t.mr {
		for line := 0; line < t.nv*t.bytes; line += 64 {
			PREFETCHT0(operand.Mem{Base: reg.R9, Disp: line})
		}
		ADDQ(reg.R8, reg.R9)
	}
	for i := range t.mr {
		for j := range t.nv {
			t.zero(acc(i, j))
		}
	}
	step := func(u int) {
		for j := range t.nv {
			t.load(operand.Mem{Base: reg.RDX, Disp: (u*t.nv + j) * t.bytes}, bs[j])
		}
		for i := range t.mr {
			a := as[i%len(as)]
			VBROADCASTSS(operand.Mem{Base: reg.RSI, Disp: (u*t.mr + i) * 4}, a)
			for j := range t.nv {
				t.madd(acc(i, j), a, bs[j])
			}
		}
	}
	advance := func(steps int) {
		ADDQ(operand.I32(steps*t.mr*4), reg.RSI)
		ADDQ(operand.I32(steps*t.nv*t.bytes), reg.RDX)
	}
	SUBQ(operand.I32(t.unroll), k)
	JLT(operand.LabelRef("tail"))
	Label("loop")
	for u := range t.unroll {
		step(u)
	}
	advance(t.unroll)
	SUBQ(operand.I32(t.unroll), k)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.I32(t.unroll), k)
	JZ(operand.LabelRef("done"))
	Label("single")
	step(0)
	advance(1)
	DECQ(k)
	JNZ(operand.LabelRef("single"))
	Label("done")
	CMPQ(mustParam("add"), operand.I8(0))
	JEQ(operand.LabelRef("store"))
	MOVQ(reg.RDI, reg.R9)
	for i := range t.mr {
		for j := range t.nv {
			old := operand.Mem{Base: reg.R9, Disp: j * t.bytes}
			if t.ints {
				VPADDD(old, acc(i, j), acc(i, j))
			} else {
				VADDPS(old, acc(i, j), acc(i, j))
			}
		}
		ADDQ(reg.R8, reg.R9)
	}
	Label("store")
	for i := range t.mr {
		for j := range t.nv {
			VMOVUPS(acc(i, j), operand.Mem{Base: reg.RDI, Disp: j * t.bytes})
		}
		ADDQ(reg.R8, reg.RDI)
	}
	VZEROUPPER()
	RET()
}

// mustParam returns the memory of a parameter. It panics if there is none.
func mustParam(name string) operand.Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// chain writes a function that executes n rounds of independent multiply-adds. Its rate is the peak of a micro-kernel.
func chain(name string, acc, ab []reg.Register, madd func(acc, a, b reg.Register), zero func(reg.Register)) {
	TEXT(name, NOSPLIT, "func(n int)")
	doc(fmt.Sprintf("%s executes n rounds of %d independent multiply-adds.", name, len(acc)))
	n := Load(Param("n"), reg.RCX)
	for _, r := range append(append([]reg.Register{}, acc...), ab...) {
		zero(r)
	}
	Label("loop")
	for _, r := range acc {
		madd(r, ab[0], ab[1])
	}
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// vdpbf16ps writes VDPBF16PS acc, a, b for zmm registers, which the Go assembler does not know:
// EVEX.512.F3.0F38.W0 52 /r (Intel SDM, volume 2).
func vdpbf16ps(acc, a, b reg.Register) { evex("vdpbf16ps", ppF3, 0x52, acc, a, b) }

// vcvtneps2bf16 writes VCVTNEPS2BF16 dst, a for a register zmm and one of ymm, which the Go assembler does not know:
// EVEX.512.F3.0F38.W0 72 /r (Intel SDM, volume 2). It reads denormals as zero.
func vcvtneps2bf16(a, dst reg.Register) {
	evexBytes(fmt.Sprintf("vcvtneps2bf16 %%zmm%d,%%ymm%d", number(a), number(dst)), ppF3, 0x72, dst, reg.Z0, a)
}

// evex writes an instruction of three zmm registers in map 0F38 with W = 0.
func evex(name string, pp, opcode uint8, acc, a, b reg.Register) {
	evexBytes(fmt.Sprintf("%s %%zmm%d,%%zmm%d,%%zmm%d", name, number(b), number(a), number(acc)), pp, opcode, acc, a, b)
}

// evexBytes writes a comment with text, which is what a disassembler says, and the bytes of an instruction. The R, X, B
// and V' bits are stored inverted.
func evexBytes(text string, pp, opcode uint8, acc, a, b reg.Register) {
	Comment(text)
	dst, src1, src2 := number(acc), number(a), number(b)
	inv := func(v, bit uint8) uint8 { return ^(v >> bit) & 1 }
	p0 := inv(dst, 3)<<7 | inv(src2, 4)<<6 | inv(src2, 3)<<5 | inv(dst, 4)<<4 | 0b010 // map 0F38
	p1 := (^src1&15)<<3 | 1<<2 | pp                                                   // W0
	p2 := uint8(0b10<<5) | inv(src1, 4)<<3                                            // 512 bits, no mask
	for _, v := range []uint8{0x62, p0, p1, p2, opcode, 0xc0 | dst&7<<3 | src2&7} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(v)}})
	}
}

func number(r reg.Register) uint8 { return uint8(r.(reg.Physical).PhysicalIndex()) }
