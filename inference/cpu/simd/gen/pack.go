package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func pack() {
	for _, rows := range []int{6, 8} {
		transpose(fmt.Sprintf("pack%d", rows), rows, false)
		transpose(fmt.Sprintf("pack%dBF16", rows), rows, true)
	}
}

// transpose writes a function that transposes `rows` rows of 32-bit words, four words of each row at a time. The halves
// of a vector hold rows r and r+4, so that 4×4 transpositions inside the halves complete the transposition. With bf16 a
// word is a pair of bfloat16, and a column of pairs gives two columns of float32.
func transpose(name string, rows int, bf16 bool) {
	TEXT(name, NOSPLIT, "func(dst *float32, stride int, src *byte, offs *int, quads int)")
	what := "32-bit words"
	if bf16 {
		what = "pairs of bfloat16, converted to float32"
	}
	doc(fmt.Sprintf("%s transposes %d rows of 4·quads %s. Row r begins at src+offs[r]\n"+
		"bytes. The columns of %d words are stored at dst, stride bytes apart.", name, rows, what, rows))
	Pragma("noescape")
	Load(Param("dst"), reg.RDI)
	Load(Param("stride"), reg.RDX)
	Load(Param("src"), reg.RSI)
	Load(Param("offs"), reg.RAX)
	Load(Param("quads"), reg.RCX)
	ptr := []reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R15, reg.RBX}[:rows]
	for r, p := range ptr {
		MOVQ(operand.Mem{Base: reg.RAX, Disp: 8 * r}, p)
		ADDQ(reg.RSI, p)
	}
	if bf16 {
		Comment("The upper half of each word")
		VPCMPEQD(reg.Y15, reg.Y15, reg.Y15)
		VPSLLD(operand.U8(16), reg.Y15, reg.Y15)
	}
	store := func(v reg.Register, x reg.Register) {
		if rows == 8 {
			VMOVUPS(v, operand.Mem{Base: reg.RDI})
		} else {
			VMOVUPS(x, operand.Mem{Base: reg.RDI})
			VEXTRACTF128(operand.U8(1), v, reg.X14)
			VMOVLPS(reg.X14, operand.Mem{Base: reg.RDI, Disp: 16})
		}
		ADDQ(reg.RDX, reg.RDI)
	}
	x := []reg.Register{reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9}
	TESTQ(reg.RCX, reg.RCX)
	JZ(operand.LabelRef("done"))
	Label("loop")
	for r := range 4 {
		VMOVUPS(operand.Mem{Base: ptr[r]}, x[r])
		if r+4 < rows {
			VINSERTF128(operand.U8(1), operand.Mem{Base: ptr[r+4]}, ymm[r], ymm[r])
		}
	}
	for _, p := range ptr {
		ADDQ(operand.I8(16), p)
	}
	VUNPCKLPS(ymm[1], ymm[0], ymm[4]) // r0k0 r1k0 r0k1 r1k1
	VUNPCKHPS(ymm[1], ymm[0], ymm[5])
	VUNPCKLPS(ymm[3], ymm[2], ymm[6])
	VUNPCKHPS(ymm[3], ymm[2], ymm[7])
	for k := range 4 {
		lo, hi := ymm[4+k/2], ymm[6+k/2]
		if k%2 == 0 {
			VUNPCKLPD(hi, lo, ymm[8])
		} else {
			VUNPCKHPD(hi, lo, ymm[8])
		}
		if bf16 {
			VPSLLD(operand.U8(16), ymm[8], ymm[9])
			store(ymm[9], x[9])
			VPAND(reg.Y15, ymm[8], ymm[8])
		}
		store(ymm[8], x[8])
	}
	DECQ(reg.RCX)
	JNZ(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
