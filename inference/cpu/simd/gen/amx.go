package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The Go assembler does not know the tile instructions, which are VEX-encoded in map 0F38 (Intel SDM, volume 2). They
// are written as bytes under a comment with their text. TestEncodings compares the text with a disassembler's.
const (
	ppNone = iota
	pp66
	ppF3
	ppF2
)

// vex writes a comment with text, the three bytes of the VEX prefix with W = 0 and L = 0, the opcode, and rest. The R,
// X, B and vvvv bits are stored inverted; R is always 0, since there are only eight tiles.
func vex(text string, pp, x, b, vvvv, opcode uint8, rest ...uint8) {
	Comment(text)
	code := []uint8{0xc4, 1<<7 | (^x&1)<<6 | (^b&1)<<5 | 0b00010, (^vvvv&15)<<3 | pp, opcode}
	for _, v := range append(code, rest...) {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(v)}})
	}
}

var gpNames = []string{
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
}

// onTile writes an instruction with a tile and the memory at base + disp, where the tile's rows are index bytes apart.
func onTile(name string, pp, opcode uint8, tile int, base, index reg.Register, disp int32) {
	b, x := number(base), number(index)
	at := fmt.Sprintf("0x%x(%%%s,%%%s,1)", disp, gpNames[b], gpNames[x])
	text := fmt.Sprintf("%s %s,%%tmm%d", name, at, tile)
	if name == "tilestored" {
		text = fmt.Sprintf("%s %%tmm%d,%s", name, tile, at)
	}
	vex(text, pp, x>>3, b>>3, 0, opcode, 0b10<<6|uint8(tile)<<3|0b100, (x&7)<<3|b&7,
		uint8(disp), uint8(disp>>8), uint8(disp>>16), uint8(disp>>24))
}

func tileLoad(tile int, base, index reg.Register, disp int32) {
	onTile("tileloadd", ppF2, 0x4b, tile, base, index, disp)
}

// tileStream is tileLoad with the hint that the memory shall not be kept in the first-level cache.
func tileStream(tile int, base, index reg.Register, disp int32) {
	onTile("tileloaddt1", pp66, 0x4b, tile, base, index, disp)
}

func tileStore(tile int, base, index reg.Register, disp int32) {
	onTile("tilestored", ppF3, 0x4b, tile, base, index, disp)
}

func tileZero(tile int) {
	vex(fmt.Sprintf("tilezero %%tmm%d", tile), ppF2, 0, 0, 0, 0x49, 0b11<<6|uint8(tile)<<3)
}

func tileRelease() { vex("tilerelease", ppNone, 0, 0, 0, 0x49, 0xc0) }

// loadTileConfig writes the instruction that reads a configuration of 64 bytes at base, which must be one of the first
// eight registers.
func loadTileConfig(base reg.Register) {
	b := number(base)
	vex(fmt.Sprintf("ldtilecfg (%%%s)", gpNames[b]), ppNone, 0, 0, 0, 0x49, b)
}

// tdpbf16ps writes the instruction that adds the product of tiles a and b to tile acc.
func tdpbf16ps(acc, a, b int) {
	vex(fmt.Sprintf("tdpbf16ps %%tmm%d,%%tmm%d,%%tmm%d", b, a, acc), ppF3, 0, 0, uint8(b), 0x5c,
		0b11<<6|uint8(acc)<<3|uint8(a))
}

// tdpbssd is tdpbf16ps for quads of signed bytes and sums of int32.
func tdpbssd(acc, a, b int) {
	vex(fmt.Sprintf("tdpbssd %%tmm%d,%%tmm%d,%%tmm%d", b, a, acc), ppF2, 0, 0, uint8(b), 0x5e,
		0b11<<6|uint8(acc)<<3|uint8(a))
}

// The first tiles of the results, of A and of B.
const tileAcc, tileA, tileB = 0, 4, 6

// amx writes the functions for AMX. A kernel makes 32×32 results: four tiles accumulate them, two hold rows of A, and
// two hold pairs of rows of B.
func amx() {
	config := GLOBL("tiles", 8|16) // RODATA|NOPTR
	DATA(0, operand.U64(1))        // the palette
	DATA(8, operand.U64(0))
	for at := 16; at < 64; at += 8 {
		switch {
		case at < 32: // eight sizes of a row in bytes, of 16 bits each
			DATA(at, operand.U64(0x0040_0040_0040_0040))
		case at == 48: // eight numbers of rows, of 8 bits each
			DATA(at, operand.U64(0x1010_1010_1010_1010))
		default:
			DATA(at, operand.U64(0))
		}
	}
	configure := func() {
		LEAQ(config, reg.RAX)
		loadTileConfig(reg.RAX)
	}
	gemmAMX("gemmAMX32x32", configure, tdpbf16ps, "A word is a pair of bfloat16, and a group has 16 words:")
	gemmAMX("gemmAMXInt8x32x32", configure, tdpbssd,
		"A word is a quad of int8, sums are int32, and a group has 16 words:")
	peakOfTiles("peakAMX", configure, tdpbf16ps)
	peakOfTiles("peakAMXInt8", configure, tdpbssd)

	packRows()
	packPairs()
	prefetch()
}

// gemmAMX writes a kernel of 32×32 results. product writes the instruction that adds the product of tiles.
func gemmAMX(name string, configure func(), product func(acc, a, b int), words string) {
	const acc, as, bs = tileAcc, tileA, tileB
	TEXT(name, NOSPLIT, "func(groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int, "+
		"ahead *float32)")
	doc(name + " multiplies `panels` panels of 32 rows by one panel of 32 columns. Panels of a are\n" +
		"aPanel bytes apart, their results cPanel bytes apart, and rows of c ldc bytes apart. If add is not\n" +
		"0, the results are added to c. " + words + "\n" +
		"a[(group·32+i)·16+word], b[(group·16+word)·32+j]. a is loaded past the first-level cache (T1), so\n" +
		"that b stays in it. In each group the function prefetches, to the second-level cache, the next 256\n" +
		"bytes at ahead: one line of each 128 bytes, because the processor also fetches the other one. The\n" +
		"address may be invalid.\n" +
		"The tiles are configured at the beginning and released at the end, because goroutines move between\n" +
		"threads. Go does not move one in between, since it does not preempt assembly. The kernel saves the\n" +
		"tiles if it preempts the thread or delivers a signal.")
	Pragma("noescape")
	a, b, c, ldc := reg.RSI, reg.RDX, reg.RDI, reg.R8
	groups, lower, rowA, rowB, next := reg.RCX, reg.R9, reg.RBX, reg.R15, reg.RAX
	ahead, nextC := reg.R10, reg.R13
	configure()
	Load(Param("a"), a)
	Load(Param("c"), c)
	Load(Param("ldc"), ldc)
	Load(Param("ahead"), ahead)
	MOVQ(operand.I32(64), rowA)
	MOVQ(operand.I32(128), rowB)
	MOVQ(ldc, lower)
	SHLQ(operand.U8(4), lower)
	ADDQ(c, lower)
	CMPQ(mustParam("add"), operand.I8(0))
	JEQ(operand.LabelRef("clear"))
	for t := range 4 {
		tileLoad(acc+t, []reg.Register{c, lower}[t/2], ldc, int32(64*(t%2)))
	}
	JMP(operand.LabelRef("panel"))
	Label("clear")
	for t := range 4 {
		tileZero(acc + t)
	}
	Label("panel")
	Load(Param("b"), b)
	Load(Param("groups"), groups)
	MOVQ(a, next)
	Label("loop")
	tileStream(as, next, rowA, 0)
	tileLoad(bs, b, rowB, 0)
	tileLoad(bs+1, b, rowB, 64)
	product(acc, as, bs)
	tileStream(as+1, next, rowA, 1024)
	product(acc+1, as, bs+1)
	PREFETCHT1(operand.Mem{Base: ahead})
	PREFETCHT1(operand.Mem{Base: ahead, Disp: 128})
	ADDQ(operand.I32(256), ahead)
	product(acc+2, as+1, bs)
	product(acc+3, as+1, bs+1)
	ADDQ(operand.I32(2048), next)
	ADDQ(operand.I32(2048), b)
	DECQ(groups)
	JNZ(operand.LabelRef("loop"))
	store := func(t int) { tileStore(acc+t, []reg.Register{c, lower}[t/2], ldc, int32(64*(t%2))) }
	DECQ(mustParam("panels"))
	JZ(operand.LabelRef("last"))
	ADDQ(mustParam("aPanel"), a)
	MOVQ(c, nextC)
	ADDQ(mustParam("cPanel"), nextC)
	MOVQ(ldc, next)
	SHLQ(operand.U8(4), next)
	ADDQ(nextC, next)
	CMPQ(mustParam("add"), operand.I8(0))
	JEQ(operand.LabelRef("clearNext"))
	// The next results are loaded while the last products of this panel run.
	for t := range 4 {
		store(t)
		tileLoad(acc+t, []reg.Register{nextC, next}[t/2], ldc, int32(64*(t%2)))
	}
	MOVQ(nextC, c)
	MOVQ(next, lower)
	JMP(operand.LabelRef("panel"))
	Label("clearNext")
	for t := range 4 {
		store(t)
		tileZero(acc + t)
	}
	MOVQ(nextC, c)
	MOVQ(next, lower)
	JMP(operand.LabelRef("panel"))
	Label("last")
	for t := range 4 {
		store(t)
	}
	tileRelease()
	RET()
}

// peakOfTiles writes a function that measures the rate of products of tiles.
func peakOfTiles(name string, configure func(), product func(acc, a, b int)) {
	TEXT(name, NOSPLIT, "func(n int)")
	doc(name + " executes n rounds of 4 independent products of tiles.")
	n := Load(Param("n"), reg.RCX)
	configure()
	for t := range 8 {
		tileZero(t)
	}
	Label("loop")
	for t := range 4 {
		product(tileAcc+t, tileA+t/2, tileB+t%2)
	}
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	tileRelease()
	RET()
}

// prefetch writes prefetchLines.
func prefetch() {
	TEXT("prefetchLines", NOSPLIT, "func(at uintptr, lines int)")
	doc("prefetchLines prefetches lines of 64 bytes at an address, which may be invalid; lines is not 0.")
	at := Load(Param("at"), reg.RSI)
	lines := Load(Param("lines"), reg.RCX)
	Label("loop")
	PREFETCHT0(operand.Mem{Base: reg.RSI})
	ADDQ(operand.I8(64), at)
	DECQ(lines)
	JNZ(operand.LabelRef("loop"))
	RET()
}

// packRows writes the packing of A, which needs no transposition.
func packRows() {
	TEXT("packRowsAMX", NOSPLIT, "func(dst *float32, src *byte, offs *int, groups int)")
	doc("packRowsAMX copies 32 rows of `groups` times 64 bytes, row r from src+offs[r] bytes, and stores the\n" +
		"parts of a group together: dst[(group·32+r)·16+word].")
	Pragma("noescape")
	dst := Load(Param("dst"), reg.RDI)
	src := Load(Param("src"), reg.RSI)
	offs := Load(Param("offs"), reg.RAX)
	groups := Load(Param("groups"), reg.RCX)
	Label("loop")
	for r := range 32 {
		MOVQ(operand.Mem{Base: reg.RAX, Disp: 8 * r}, reg.R8)
		VMOVUPS(operand.Mem{Base: reg.RSI, Index: reg.R8, Scale: 1}, zmm[r%8])
		VMOVUPS(zmm[r%8], operand.Mem{Base: reg.RDI, Disp: 64 * r})
	}
	_ = offs
	ADDQ(operand.I32(64), src)
	ADDQ(operand.I32(2048), dst)
	DECQ(groups)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// packPairs writes the packing of B, which transposes four words of 16 rows at a time. The quarters of a vector hold
// rows r, r+4, r+8 and r+12, so that 4×4 transpositions inside the quarters complete the transposition.
func packPairs() {
	TEXT("packPairsAMX", NOSPLIT, "func(dst *float32, pitch int, src *byte, stride, groups int)")
	doc("packPairsAMX transposes 16 rows of `groups` times 16 32-bit words, which are stride bytes apart. The\n" +
		"columns of 16 words are stored pitch bytes apart.")
	Pragma("noescape")
	dst := Load(Param("dst"), reg.RDI)
	src := Load(Param("src"), reg.RSI)
	stride := Load(Param("stride"), reg.RDX)
	groups := Load(Param("groups"), reg.RCX)
	pitch := Load(Param("pitch"), reg.RAX)
	base := []reg.Register{src, reg.R8, reg.R9, reg.R10}
	triple, triplePitch := reg.R11, reg.RBX
	LEAQ(operand.Mem{Base: reg.RAX, Index: reg.RAX, Scale: 2}, triplePitch)
	LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, triple)
	for i := 1; i < 4; i++ {
		LEAQ(operand.Mem{Base: base[i-1], Index: stride, Scale: 4}, base[i])
	}
	at := func(r, disp int) operand.Mem {
		m := operand.Mem{Base: base[r/4], Disp: disp}
		switch r % 4 {
		case 1:
			m.Index, m.Scale = stride, 1
		case 2:
			m.Index, m.Scale = stride, 2
		case 3:
			m.Index, m.Scale = triple, 1
		}
		return m
	}
	Label("loop")
	x := []reg.Register{reg.X0, reg.X1, reg.X2, reg.X3}
	for quad := range 4 {
		for r := range 4 {
			VMOVUPS(at(r, 16*quad), x[r])
			for q := 1; q < 4; q++ {
				VINSERTF32X4(operand.U8(q), at(r+4*q, 16*quad), zmm[r], zmm[r])
			}
		}
		VUNPCKLPS(zmm[1], zmm[0], zmm[4])
		VUNPCKHPS(zmm[1], zmm[0], zmm[5])
		VUNPCKLPS(zmm[3], zmm[2], zmm[6])
		VUNPCKHPS(zmm[3], zmm[2], zmm[7])
		for k := range 4 {
			lo, hi := zmm[4+k/2], zmm[6+k/2]
			if k%2 == 0 {
				VUNPCKLPD(hi, lo, zmm[8+k])
			} else {
				VUNPCKHPD(hi, lo, zmm[8+k])
			}
			VMOVUPS(zmm[8+k], []operand.Mem{
				{Base: reg.RDI}, {Base: reg.RDI, Index: reg.RAX, Scale: 1}, {Base: reg.RDI, Index: reg.RAX, Scale: 2},
				{Base: reg.RDI, Index: triplePitch, Scale: 1},
			}[k])
		}
		LEAQ(operand.Mem{Base: reg.RDI, Index: reg.RAX, Scale: 4}, reg.RDI)
	}
	_, _ = dst, pitch
	for _, p := range base {
		ADDQ(operand.I8(64), p)
	}
	DECQ(groups)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
