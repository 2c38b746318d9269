package ptxsim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// fragmentModule returns a module that loads sixteen registers %r0 … %r15 of each lane, runs code, and stores them.
func fragmentModule(code, declare, target string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".version 8.4\n.target %s\n.address_size 64\n", target)
	b.WriteString(".visible .entry test(.param .u64 in, .param .u64 out)\n{\n")
	b.WriteString(".reg .pred %p<8>;\n.reg .b32 %r<40>;\n.reg .b64 %d<8>;\n" + declare)
	b.WriteString("ld.param.u64 %d0, [in];\nld.param.u64 %d1, [out];\nmov.u32 %r20, %tid.x;\n")
	b.WriteString("mad.wide.u32 %d0, %r20, 64, %d0;\nmad.wide.u32 %d1, %r20, 64, %d1;\n")
	for i := range 4 {
		fmt.Fprintf(&b, "ld.global.v4.b32 {%%r%d, %%r%d, %%r%d, %%r%d}, [%%d0+%d];\n", 4*i, 4*i+1, 4*i+2, 4*i+3, 16*i)
	}
	b.WriteString(code)
	for i := range 4 {
		fmt.Fprintf(&b, "\nst.global.v4.b32 [%%d1+%d], {%%r%d, %%r%d, %%r%d, %%r%d};", 16*i, 4*i, 4*i+1, 4*i+2, 4*i+3)
	}
	b.WriteString("\nret;\n}\n")
	return b.String()
}

// registers has the sixteen registers of each lane.
type registers [][16]uint32

// runFragment runs a fragment module for as many lanes as there are registers.
func runFragment(t *testing.T, d Device, text string, in registers) (registers, error) {
	t.Helper()
	r := newRig(t, d)
	m, err := r.LoadModule([]byte(text), cu.ModuleOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	n := len(in) * 64
	p, q := r.alloc(n, bytesOf(in)), r.alloc(n, nil)
	if err := r.function(m, "test").Launch(dim(1), dim(len(in)), 0, r.stream,
		new(cu.Args).Ptr(p).Ptr(q).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := r.stream.Synchronize(); err != nil {
		return nil, err
	}
	out := make(registers, len(in))
	for i, b := range r.read(q, n/4*4)[:n] {
		out[i/64][i%64/4] |= uint32(b) << (i % 4 * 8)
	}
	return out, nil
}

// TestMMA multiplies random matrices, whose elements are in the lanes as the figures of the PTX manual's chapter on mma
// show: g is the number of a lane's group of four lanes, t the lane's number in it, and i the element.
func TestMMA(t *testing.T) {
	for _, row := range []struct {
		name    string // shape.types
		k, bits int
		element string
		aRow    func(i int) int // plus g
		aCol    func(t, i int) int
		bRow    func(t, i int) int
	}{
		{"m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, "bf16", func(i int) int { return i / 2 % 2 * 8 },
			func(t, i int) int { return t*2 + i&1 + i/4*8 }, func(t, i int) int { return t*2 + i&1 + i/2*8 }},
		{"m16n8k8.row.col.f32.bf16.bf16.f32", 8, 16, "bf16", func(i int) int { return i / 2 * 8 },
			func(t, i int) int { return t*2 + i&1 }, func(t, i int) int { return t*2 + i }},
		{"m16n8k16.row.col.f32.f16.f16.f32", 16, 16, "f16", func(i int) int { return i / 2 % 2 * 8 },
			func(t, i int) int { return t*2 + i&1 + i/4*8 }, func(t, i int) int { return t*2 + i&1 + i/2*8 }},
		{"m16n8k8.row.col.f32.tf32.tf32.f32", 8, 32, "tf32", func(i int) int { return i % 2 * 8 },
			func(t, i int) int { return t + i/2*4 }, func(t, i int) int { return t + i*4 }},
		{"m16n8k4.row.col.f32.tf32.tf32.f32", 4, 32, "tf32", func(i int) int { return i * 8 },
			func(t, i int) int { return t }, func(t, i int) int { return t }},
		{"m16n8k32.row.col.f32.e4m3.e4m3.f32", 32, 8, "e4m3", func(i int) int { return i / 4 % 2 * 8 },
			func(t, i int) int { return t*4 + i&3 + i/8*16 }, func(t, i int) int { return t*4 + i&3 + i/4*16 }},
		{"m16n8k32.row.col.f32.e5m2.e5m2.f32", 32, 8, "e5m2", func(i int) int { return i / 4 % 2 * 8 },
			func(t, i int) int { return t*4 + i&3 + i/8*16 }, func(t, i int) int { return t*4 + i&3 + i/4*16 }},
		{"m16n8k32.row.col.s32.s8.s8.s32", 32, 8, "s8", func(i int) int { return i / 4 % 2 * 8 },
			func(t, i int) int { return t*4 + i&3 + i/8*16 }, func(t, i int) int { return t*4 + i&3 + i/4*16 }},
		{"m16n8k32.row.col.satfinite.s32.u8.s8.s32", 32, 8, "u8", func(i int) int { return i / 4 % 2 * 8 },
			func(t, i int) int { return t*4 + i&3 + i/8*16 }, func(t, i int) int { return t*4 + i&3 + i/4*16 }},
		{"m16n8k16.row.col.s32.s8.s8.s32", 16, 8, "s8", func(i int) int { return i / 4 * 8 },
			func(t, i int) int { return t*4 + i&3 }, func(t, i int) int { return t*4 + i }},
	} {
		t.Run(row.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, 7))
			element := func(signed bool) (uint32, float64) {
				switch row.element {
				case "s8", "u8":
					v := uint32(random.Uint32() & 0xff)
					if signed {
						return v, float64(int8(v))
					}
					return v, float64(v)
				case "tf32":
					v := math.Float32bits(random.Float32()*2-1) &^ 0x1fff
					return v, float64(math.Float32frombits(v))
				}
				f, _ := formatOf(row.element)
				v := f.encode(random.Float64()*2-1, toNearest, false)
				return v, f.decode(v)
			}
			perRegister := 32 / row.bits
			var a [16][32]float64
			var b [32][8]float64
			in := make(registers, 32)
			aRegisters, bRegisters := row.k*16/32/perRegister, row.k*8/32/perRegister
			for l := range in {
				g, tid := l/4, l%4
				for i := range aRegisters * perRegister {
					bits, v := element(row.element != "u8")
					in[l][i/perRegister] |= bits << (i % perRegister * row.bits)
					a[g+row.aRow(i)][row.aCol(tid, i)] = v
				}
				for i := range bRegisters * perRegister {
					bits, v := element(true)
					in[l][4+i/perRegister] |= bits << (i % perRegister * row.bits)
					b[row.bRow(tid, i)][g] = v
				}
				for i := range 4 {
					in[l][8+i] = uint32(i * 1000)
					if !strings.Contains(row.name, "s32") {
						in[l][8+i] = math.Float32bits(float32(i))
					}
				}
			}
			list := func(from, n int) string {
				var s []string
				for i := range n {
					s = append(s, fmt.Sprintf("%%r%d", from+i))
				}
				return "{" + strings.Join(s, ", ") + "}"
			}
			code := fmt.Sprintf("mma.sync.aligned.%s %s, %s, %s, %s;",
				row.name, list(12, 4), list(0, aRegisters), list(4, bRegisters), list(8, 4))
			out, err := runFragment(t, Device{Major: 8, Minor: 9}, fragmentModule(code, "", "sm_89"), in)
			if err != nil {
				t.Fatal(err)
			}
			for l := range out {
				for i := range 4 {
					m, n := l/4+i/2*8, l%4*2+i%2
					want := float64(i)
					integer := strings.Contains(row.name, "s32")
					if integer {
						want = float64(i * 1000)
					}
					for k := range row.k {
						want += a[m][k] * b[k][n]
					}
					got := float64(math.Float32frombits(out[l][12+i]))
					if integer {
						got = float64(int32(out[l][12+i]))
					}
					if got != want && (integer || math.Abs(got-want) > math.Abs(want)*0x1p-23) { // one rounding to float32
						t.Fatalf("element %d, %d: %g, want %g", m, n, got, want)
					}
				}
			}
		})
	}
}

// TestMMAIntegerLimits multiplies matrices of one value, which are the same in any layout, with accumulators near the
// limits of 32 bits. Every sum is that of k equal products.
func TestMMAIntegerLimits(t *testing.T) {
	const least, most = math.MinInt32, math.MaxInt32
	for _, row := range []struct {
		name         string // modifiers
		k            int64
		a, b         int64
		accumulators [4]int32
	}{
		{"m16n8k32.row.col.s32.s8.s8.s32", 32, -128, -128, [4]int32{0, most, most - 32*128*128, most - 32*128*128 + 1}},
		{"m16n8k32.row.col.s32.s8.s8.s32", 32, -128, 127, [4]int32{0, least, least + 32*128*127, least + 32*128*127 - 1}},
		{"m16n8k32.row.col.s32.s8.s8.s32", 32, 127, 127, [4]int32{-1, most, least, 1 << 24}},
		{"m16n8k32.row.col.s32.u8.s8.s32", 32, 255, -128, [4]int32{0, least, most, -1 << 24}},
		{"m16n8k32.row.col.s32.u8.u8.s32", 32, 255, 255, [4]int32{0, least, most, 1 << 24}},
		{"m16n8k32.row.col.satfinite.s32.s8.s8.s32", 32, -128, -128,
			[4]int32{0, most, most - 32*128*128, most - 32*128*128 + 1}},
		{"m16n8k32.row.col.satfinite.s32.s8.s8.s32", 32, -128, 127,
			[4]int32{0, least, least + 32*128*127, least + 32*128*127 - 1}},
		{"m16n8k16.row.col.s32.s8.s8.s32", 16, -128, -128, [4]int32{0, most, least, 5}},
		{"m16n8k16.row.col.satfinite.s32.s8.u8.s32", 16, -128, 255, [4]int32{0, most, least, 5}},
	} {
		in := make(registers, 32)
		for l := range in {
			for i := range 4 {
				in[l][i] = uint32(row.a&0xff) * 0x01010101
				in[l][4+i] = uint32(row.b&0xff) * 0x01010101
				in[l][8+i] = uint32(row.accumulators[i])
			}
		}
		operands := "{%r0, %r1, %r2, %r3}, {%r4, %r5}"
		if row.k == 16 {
			operands = "{%r0, %r1}, {%r4}"
		}
		code := fmt.Sprintf("mma.sync.aligned.%s {%%r12, %%r13, %%r14, %%r15}, %s, {%%r8, %%r9, %%r10, %%r11};",
			row.name, operands)
		out, err := runFragment(t, Device{}, fragmentModule(code, "", "sm_80"), in)
		if err != nil {
			t.Fatal(err)
		}
		for l := range out {
			for i, c := range row.accumulators {
				sum := int64(c) + row.k*row.a*row.b
				want := int32(sum) // the low 32 bits
				if strings.Contains(row.name, "satfinite") {
					want = int32(min(max(sum, least), most))
				}
				if got := int32(out[l][12+i]); got != want {
					t.Errorf("%s of %d and %d, lane %d, accumulator %d: %d, want %d", row.name, row.a, row.b, l, c, got, want)
				}
			}
		}
	}
}

// TestNewerTargets checks the errors for instructions that the module's target or PTX version does not have, and for a
// module that the device cannot run. ptxas 13 has the same limits.
func TestNewerTargets(t *testing.T) {
	const operands = "{%r8, %r9, %r10, %r11}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%r8, %r9, %r10, %r11};"
	const mma = "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 " + operands
	const declare = ".reg .b16 %h<2>;\n"
	for _, row := range []struct{ version, target, code, want string }{
		{"8.4", "sm_80", mma, "needs target sm_89 or newer, the module is for sm_80"},
		{"8.3", "sm_89", mma, "needs PTX 8.4 or newer, the module has 8.3"},
		{"8.4", "sm_89", mma, ""},
		{"8.4", "sm_90a", mma, "module for sm_90a, the device is sm_89"},
		{"8.6", "sm_89", "mma.sync.aligned.m16n8k16.row.col.f32.e4m3.e4m3.f32 " +
			"{%r8, %r9, %r10, %r11}, {%r0, %r1}, {%r4}, {%r8, %r9, %r10, %r11};", "needs PTX 8.7 or newer"},
		{"8.7", "sm_120", mma, "module for sm_120, the device is sm_89"},
		{"8.1", "sm_86", "cvt.rn.satfinite.e4m3x2.f32 %h0, %r0, %r1;", "needs target sm_89"},
		{"8.0", "sm_89", "cvt.rn.f16x2.e4m3x2 %r0, %h0;", "needs PTX 8.1"},
		{"8.1", "sm_89", "cvt.rn.satfinite.e4m3x2.f32 %h0, %r0, %r1;", ""},
		{"7.0", "sm_80", "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 " + operands, ""},
	} {
		text := fragmentModule(row.code, declare, row.target)
		text = strings.Replace(text, ".version 8.4", ".version "+row.version, 1)
		_, err := newRig(t, Device{Major: 8, Minor: 9}).LoadModule([]byte(text), cu.ModuleOptions{Name: "test"})
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s, PTX %s, %s: %v, want %q", row.target, row.version, row.code, err, row.want)
		}
	}
}

// TestFloat8 converts each of the 256 patterns of e4m3 and e5m2 to float16 and back, and compares the values with the
// definition: (-1)^s·2^(e-bias)·1.m, or for e = 0 (-1)^s·2^(1-bias)·0.m. e4m3 has no infinities.
func TestFloat8(t *testing.T) {
	for _, kind := range []struct {
		name           string
		mantissa, bias int
		special        uint32 // the first magnitude that is not a finite number
	}{{"e4m3", 3, 7, 0x7f}, {"e5m2", 2, 15, 0x7c}} {
		in := make(registers, 128)
		for l := range in {
			in[l][0] = uint32(2*l) | uint32(2*l+1)<<8
		}
		code := fmt.Sprintf(`cvt.u16.u32 %%h0, %%r0;
cvt.rn.f16x2.%[1]sx2 %%r1, %%h0;
cvt.rn.satfinite.%[1]sx2.f16x2 %%h1, %%r1;
cvt.u32.u16 %%r2, %%h1;`, kind.name)
		out, err := runFragment(t, Device{Major: 8, Minor: 9}, fragmentModule(code, ".reg .b16 %h<2>;\n", "sm_89"), in)
		if err != nil {
			t.Fatal(err)
		}
		for b := range uint32(256) {
			half := out[b/2][1] >> (b % 2 * 16) & 0xffff
			got, back := formatF16.decode(half), out[b/2][2]>>(b%2*8)&0xff
			magnitude := b & 0x7f
			e, m := int(magnitude>>kind.mantissa), float64(magnitude&(1<<kind.mantissa-1))
			want := math.Ldexp(m, 1-kind.bias-kind.mantissa)
			if e > 0 {
				want = math.Ldexp(m+float64(int(1)<<kind.mantissa), e-kind.bias-kind.mantissa)
			}
			if b >= 128 {
				want = -want
			}
			switch {
			case magnitude > kind.special || kind.name == "e4m3" && magnitude == kind.special:
				if got == got || back != 0x7f {
					t.Errorf("%s %#x: %g and back %#x, want NaN and %#x", kind.name, b, got, back, 0x7f)
				}
			case magnitude == kind.special: // infinity, which .satfinite turns into the largest number
				if !math.IsInf(got, 0) || back != b-1 {
					t.Errorf("%s %#x: %g and back %#x, want infinity and %#x", kind.name, b, got, back, b-1)
				}
			case got != want || math.Signbit(got) != (b >= 128) || back != b:
				t.Errorf("%s %#x: %g and back %#x, want %g", kind.name, b, got, back, want)
			}
		}
	}
}

// TestLdmatrix loads four matrices whose elements encode their coordinates, with and without transposing.
func TestLdmatrix(t *testing.T) {
	const tile = ".shared .align 128 .b8 tile[1024];\n"
	in := make(registers, 32)
	for l := range in { // lane l holds row l: 8 elements of 100·row + column
		for q := range 4 {
			in[l][q] = uint32(100*l+2*q) | uint32(100*l+2*q+1)<<16
		}
	}
	for _, trans := range []bool{false, true} {
		mod := ""
		if trans {
			mod = ".trans"
		}
		code := `mov.u32 %r21, tile;
mad.lo.u32 %r21, %r20, 16, %r21;
st.shared.v4.b32 [%r21], {%r0, %r1, %r2, %r3};
bar.warp.sync -1;
ldmatrix.sync.aligned.m8n8.x4` + mod + `.shared.b16 {%r4, %r5, %r6, %r7}, [%r21];`
		out, err := runFragment(t, Device{}, fragmentModule(code, tile, "sm_80"), in)
		if err != nil {
			t.Fatal(err)
		}
		for l := range out {
			for j := range 4 {
				row, col := l/4, l%4*2
				first, second := 100*(8*j+row)+col, 100*(8*j+row)+col+1
				if trans {
					first, second = 100*(8*j+col)+row, 100*(8*j+col+1)+row
				}
				if want := uint32(first) | uint32(second)<<16; out[l][4+j] != want {
					t.Fatalf("trans %v, lane %d, matrix %d: %#x, want %#x", trans, l, j, out[l][4+j], want)
				}
			}
		}
	}
}

// TestWarpOperations runs code and compares %r5 of each lane with a function of the lane.
func TestWarpOperations(t *testing.T) {
	in := make(registers, 32)
	for l := range in {
		in[l][0] = uint32(l*l) % 7
		in[l][1] = uint32(l)
	}
	sum := func(lanes uint32) (s uint32) {
		for l := range 32 {
			if lanes>>l&1 != 0 {
				s += in[l][0]
			}
		}
		return s
	}
	for _, row := range []struct {
		code string
		want func(l int) uint32
	}{
		{"shfl.sync.up.b32 %r5|%p1, %r1, 3, 0, -1;",
			func(l int) uint32 { return map[bool]uint32{true: uint32(l - 3), false: uint32(l)}[l >= 3] }},
		{"shfl.sync.down.b32 %r5, %r1, 5, 31, -1;",
			func(l int) uint32 { return map[bool]uint32{true: uint32(l + 5), false: uint32(l)}[l+5 < 32] }},
		{"shfl.sync.bfly.b32 %r5, %r1, 21, 31, -1;", func(l int) uint32 { return uint32(l ^ 21) }},
		{"shfl.sync.idx.b32 %r5, %r1, 2, 0x181f, -1;", func(l int) uint32 { return uint32(l&24 | 2) }}, // segments of eight
		{"shfl.sync.idx.b32 %r5|%p1, %r1, 7, 0x1c03, -1; selp.b32 %r5, 1, 0, %p1;", func(l int) uint32 { return 1 }},
		{"shfl.sync.down.b32 %r5|%p1, %r1, 2, 0x1c03, -1; selp.b32 %r5, 1, 0, %p1;",
			func(l int) uint32 { return map[bool]uint32{true: 1}[l&3 < 2] }},
		{"setp.eq.u32 %p1, %r0, 1; vote.sync.ballot.b32 %r5, %p1, -1;", func(int) uint32 {
			var m uint32
			for l := range 32 {
				m |= one(in[l][0] == 1) << l
			}
			return m
		}},
		{"setp.lt.u32 %p1, %r1, 32; vote.sync.all.pred %p2, %p1, -1; selp.b32 %r5, 1, 0, %p2;",
			func(int) uint32 { return 1 }},
		{"setp.lt.u32 %p1, %r1, 31; vote.sync.all.pred %p2, %p1, -1; selp.b32 %r5, 1, 0, %p2;",
			func(int) uint32 { return 0 }},
		{"setp.lt.u32 %p1, %r1, 1; vote.sync.any.pred %p2, %p1, -1; selp.b32 %r5, 1, 0, %p2;", func(int) uint32 { return 1 }},
		{"setp.lt.u32 %p1, %r1, 1; vote.sync.uni.pred %p2, !%p1, -1; selp.b32 %r5, 1, 0, %p2;",
			func(int) uint32 { return 0 }},
		{"match.any.sync.b32 %r5, %r0, -1;", func(l int) uint32 {
			var m uint32
			for k := range 32 {
				m |= one(in[k][0] == in[l][0]) << k
			}
			return m
		}},
		{"match.all.sync.b32 %r5|%p1, %r0, -1;", func(int) uint32 { return 0 }},
		{"redux.sync.add.u32 %r5, %r0, -1;", func(int) uint32 { return sum(allLanes) }},
		{"redux.sync.max.s32 %r5, %r0, -1;", func(int) uint32 { return 4 }},
		{"redux.sync.or.b32 %r5, %r1, -1;", func(int) uint32 { return 31 }},
		// Two parts of the warp run the collective with different masks; they must not affect each other.
		{"setp.lt.u32 %p1, %r1, 10; mov.b32 %r6, 0x3ff; @!%p1 mov.b32 %r6, 0xfffffc00; redux.sync.add.u32 %r5, %r0, %r6;",
			func(l int) uint32 { return map[bool]uint32{true: sum(0x3ff), false: sum(0xfffffc00)}[l < 10] }},
		{"setp.lt.u32 %p1, %r1, 10; @%p1 bra low; redux.sync.add.u32 %r5, %r0, 0xfffffc00; bra done; " +
			"low: redux.sync.add.u32 %r5, %r0, 0x3ff; done:",
			func(l int) uint32 { return map[bool]uint32{true: sum(0x3ff), false: sum(0xfffffc00)}[l < 10] }},
		// A loop of a different length in each lane, followed by a collective.
		{"mov.b32 %r5, 0; again: add.u32 %r5, %r5, 1; setp.le.u32 %p1, %r5, %r1; @%p1 bra again; " +
			"redux.sync.add.u32 %r5, %r5, -1;", func(int) uint32 { return 32 * 33 / 2 }},
		{"mov.b32 %r5, 0; setp.lt.u32 %p1, %r1, 8; bar.red.popc.u32 %r5, 0, %p1;", func(int) uint32 { return 8 }},
		{"mov.u32 %r6, words; mov.b32 %r7, 0; st.shared.b32 [%r6], %r7; bar.warp.sync -1; " +
			"atom.shared.add.u32 %r7, [%r6], %r1; bar.sync 0; ld.shared.b32 %r5, [%r6];",
			func(int) uint32 { return 31 * 32 / 2 }},
		{"mov.u32 %r6, words; mov.b32 %r7, 0; st.shared.b32 [%r6], %r7; bar.warp.sync -1; " +
			"red.shared.max.u32 [%r6], %r1; atom.shared.cas.b32 %r7, [%r6], 31, 99; bar.sync 0; ld.shared.b32 %r5, [%r6];",
			func(int) uint32 { return 99 }},
		{"mov.u32 %r6, words; mov.b32 %r7, 0; st.shared.b32 [%r6], %r7; bar.warp.sync -1; " +
			"red.shared.add.noftz.bf16x2 [%r6], 0x3f804000; bar.sync 0; ld.shared.b32 %r5, [%r6];",
			func(int) uint32 { return 0x42004280 }},
		{"elect.sync %r6|%p1, -1; selp.b32 %r5, 1, 0, %p1;", func(l int) uint32 { return one(l == 0) }},
	} {
		t.Run(row.code, func(t *testing.T) {
			text := fragmentModule(strings.ReplaceAll(row.code, "; ", ";\n"), ".shared .align 4 .b32 words[4];\n", "sm_90")
			out, err := runFragment(t, Device{Major: 9}, text, in)
			if err != nil {
				t.Fatal(err)
			}
			for l := range out {
				if want := row.want(l); out[l][5] != want {
					t.Fatalf("lane %d: %#x, want %#x", l, out[l][5], want)
				}
			}
		})
	}
}

// TestCopies checks cp.async with sources that are shorter than the destination, which it fills with zeros.
func TestCopies(t *testing.T) {
	in := make(registers, 32)
	for l := range in {
		for i := range 16 {
			in[l][i] = uint32(l*16+i) + 1<<24 + 1<<16 + 1<<8
		}
	}
	for _, row := range []struct {
		name, copy string
		want       func(l, i int) uint32
	}{
		{"whole", "cp.async.cg.shared.global [%r21], [%d0], 16;", func(l, i int) uint32 { return in[l][i] }},
		{"part", "cp.async.ca.shared.global [%r21], [%d0], 16, 6;",
			func(l, i int) uint32 { return []uint32{in[l][0], in[l][1] & 0xffff, 0, 0}[i] }},
		{"nothing", "cp.async.cg.shared.global.L2::128B [%r21], [%d0], 16, 0;", func(l, i int) uint32 { return 0 }},
		{"ignored", "setp.lt.u32 %p1, %r20, 16; cp.async.cg.shared.global [%r21], [%d0], 16, %p1;",
			func(l, i int) uint32 { return in[l][i] * one(l >= 16) }},
		{"8 and 4", "cp.async.ca.shared.global [%r21], [%d0], 8; cp.async.ca.shared.global [%r21+8], [%d0+8], 4; " +
			"cp.async.ca.shared.global [%r21+12], [%d0+4], 4;",
			func(l, i int) uint32 { return in[l][[]int{0, 1, 2, 1}[i]] }},
	} {
		t.Run(row.name, func(t *testing.T) {
			code := "mov.u32 %r21, tile;\nmad.lo.u32 %r21, %r20, 16, %r21;\n" + row.copy +
				"\ncp.async.commit_group;\ncp.async.wait_group 0;\nld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r21];"
			out, err := runFragment(t, Device{}, fragmentModule(code, ".shared .align 16 .b8 tile[512];\n", "sm_80"), in)
			if err != nil {
				t.Fatal(err)
			}
			for l := range out {
				for i := range 4 {
					if want := row.want(l, i); out[l][4+i] != want {
						t.Fatalf("lane %d, word %d: %#x, want %#x", l, i, out[l][4+i], want)
					}
				}
			}
		})
	}
}
