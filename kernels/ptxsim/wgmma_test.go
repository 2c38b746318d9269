package ptxsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// drawElement returns a random element of a type: its bits and its value. One integer of four is the least or the
// greatest of its type.
func drawElement(random *rand.Rand, name string) (uint32, float64) {
	switch name {
	case "s8", "u8":
		v := uint32(random.Uint32() & 0xff)
		if random.IntN(4) == 0 {
			v = map[string][2]uint32{"s8": {0x80, 0x7f}, "u8": {0, 0xff}}[name][v&1]
		}
		return v, elementDecoder(name)(v)
	case "bf16":
		v := bf16(random.Float32()*2 - 1)
		return v, elementDecoder(name)(v)
	}
	f, _ := formatOf(name)
	v := f.encode(random.Float64()*16-8, toNearest, false)
	return v, f.decode(v)
}

// TestWgmma multiplies with every swizzle, both orders of the second matrix, the first matrix in registers or in shared
// memory, and with accumulators that are added to or not. The threads write the tiles chunk by chunk in the layouts of
// the PTX manual.
func TestWgmma(t *testing.T) {
	for _, types := range []string{"f32.bf16.bf16", "f32.e4m3.e4m3", "f32.e5m2.e4m3", "s32.s8.s8", "s32.u8.s8",
		"satfinite.s32.s8.s8"} {
		for mode, swizzle := range []cu.TensorMapSwizzle{cu.SwizzleNone, cu.Swizzle128B, cu.Swizzle64B, cu.Swizzle32B} {
			for option := range 8 {
				c := wgmmaCase{types: types, mode: mode, swizzle: swizzle,
					inRegisters: option&1 != 0, add: option&2 != 0, transposed: option&4 != 0}
				if c.transposed && types != "f32.bf16.bf16" {
					continue // only elements of 16 bits can be transposed
				}
				t.Run(fmt.Sprintf("%s, swizzle %d, transposed %v, registers %v, add %v",
					types, 16<<swizzle, c.transposed, c.inRegisters, c.add), c.run)
			}
		}
	}
}

// wgmmaCase is a product of a[64, k] and b[k, 16] with k elements in 32 bytes.
type wgmmaCase struct {
	types                        string
	mode                         int // of the descriptors
	swizzle                      cu.TensorMapSwizzle
	transposed, inRegisters, add bool
}

func (c wgmmaCase) run(t *testing.T) {
	const n = 16
	names := strings.Split(strings.TrimPrefix(c.types, "satfinite."), ".")
	integer, size := names[0] == "s32", 1
	if names[1] == "bf16" {
		size = 2
	}
	k := 32 / size
	random := rand.New(rand.NewPCG(9, 9))
	var aBits [64][32]uint32
	var a [64][32]float64
	var bBits [n][32]uint32
	var b [n][32]float64 // by column
	for c := range k {
		for i := range a {
			aBits[i][c], a[i][c] = drawElement(random, names[1])
		}
		for j := range b {
			bBits[j][c], b[j][c] = drawElement(random, names[2])
		}
	}
	// Atoms have eight rows of the swizzle's width; the atoms of the other direction follow directly.
	width := 16 << c.swizzle
	atom := 8 * width
	image := make([]byte, 16384)
	put := func(base, at int, v uint32) {
		at += base
		at ^= map[cu.TensorMapSwizzle]int{cu.Swizzle32B: at >> 3 & 0x10, cu.Swizzle64B: at >> 3 & 0x30,
			cu.Swizzle128B: at >> 3 & 0x70}[c.swizzle]
		for i := range size {
			image[at+i] = byte(v >> (8 * i))
		}
	}
	// place returns the offset of an element in a matrix with the given number of groups of eight rows, whose rows are
	// contiguous in c.
	place := func(r, c, groups int) int {
		across := c * size / width
		return across*groups*atom + r/8*atom + r%8*width + c*size%width
	}
	for col := range k {
		for i := range a {
			put(0, place(i, col, 8), aBits[i][col])
		}
		for j := range n {
			if c.transposed {
				put(8192, place(col, j, 2), bBits[j][col])
			} else {
				put(8192, place(j, col, 2), bBits[j][col])
			}
		}
	}
	descriptor := func(base, leading, stride int) uint64 {
		return uint64(base>>4) | uint64(leading>>4)<<16 | uint64(stride>>4)<<32 | uint64(c.mode)<<62
	}
	da := descriptor(0, 8*atom, atom)
	db := descriptor(8192, 2*atom, atom)
	if c.transposed && c.swizzle == cu.SwizzleNone {
		// Without a swizzle, the two strides of the transposed layout are exchanged.
		db = descriptor(8192, atom, 2*atom)
	}
	source, tail := "%d4", ""
	if c.inRegisters {
		source = "{%r0, %r1, %r2, %r3}"
	}
	if !integer {
		tail = ", 1, 1"
	}
	if size == 2 && !c.inRegisters {
		tail += ", 0"
	}
	if size == 2 {
		tail += fmt.Sprintf(", %d", one(c.transposed))
	}
	code := fmt.Sprintf(`mov.u32 %%r21, tile;
ld.param.u64 %%d2, [in];
add.s64 %%d2, %%d2, 8192;
mad.wide.u32 %%d2, %%r20, 128, %%d2;
mad.lo.u32 %%r22, %%r20, 128, %%r21;
mov.b32 %%r23, 0;
again: ld.global.v4.b32 {%%r24, %%r25, %%r26, %%r27}, [%%d2];
st.shared.v4.b32 [%%r22], {%%r24, %%r25, %%r26, %%r27};
add.s64 %%d2, %%d2, 16;
add.u32 %%r22, %%r22, 16;
add.u32 %%r23, %%r23, 1;
setp.lt.u32 %%p1, %%r23, 8;
@%%p1 bra again;
fence.proxy.async;
bar.sync 0;
shr.u32 %%r21, %%r21, 4;
cvt.u64.u32 %%d3, %%r21;
add.s64 %%d4, %%d3, %d;
add.s64 %%d5, %%d3, %d;
setp.ne.u32 %%p2, %d, 0;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n16k%d.%s
	{%%r8, %%r9, %%r10, %%r11, %%r12, %%r13, %%r14, %%r15}, %s, %%d5, %%p2%s;
wgmma.commit_group.sync.aligned;
wgmma.wait_group.sync.aligned 0;`, int64(da), int64(db), one(c.add), k, c.types, source, tail)
	in := make(registers, 128+256) // the registers, followed by the content of shared memory
	for l := range 128 {
		per := 4 / size // elements in a register
		for h := range 4 {
			i, col := l/32*16+l%32/4+h%2*8, l%4*per+h/2*4*per
			for e := range per {
				in[l][h] |= aBits[i][col+e] << (8 * size * e)
			}
		}
		for e := range 8 {
			in[l][8+e] = math.Float32bits(float32(e) - 3)
			if integer {
				in[l][8+e] = [4]uint32{5, math.MaxInt32, 1 << 31, math.MaxUint32}[e%4]
			}
		}
	}
	for i := 0; i < len(image); i += 4 {
		in[128+i/64][i%64/4] = binary.LittleEndian.Uint32(image[i:])
	}
	out := runWide(t, fragmentModule(code, ".shared .align 1024 .b8 tile[16384];\n", "sm_90a"), in, 128)
	for l := range out {
		for e := range 8 {
			i, j := l/32*16+l%32/4+e/2%2*8, e/4*8+l%4*2+e%2
			accumulator := in[l][8+e]
			want := float64(math.Float32frombits(accumulator))
			if integer {
				want = float64(int32(accumulator))
			}
			if !c.add {
				want = 0
			}
			for c := range k {
				want += a[i][c] * b[j][c]
			}
			got := float64(f32(out[l][8+e]))
			tolerance := math.Abs(want) * 0x1p-23 // one rounding to float32
			if integer {
				got, tolerance = float64(int32(out[l][8+e])), 0
				if strings.HasPrefix(c.types, "satfinite.") {
					want = min(max(want, math.MinInt32), math.MaxInt32)
				}
				want = float64(int32(int64(want))) // wraps around
			}
			if !(math.Abs(got-want) <= tolerance) {
				t.Fatalf("element %d, %d: %g, want %g", i, j, got, want)
			}
		}
	}
}

// TestWgmmaShapes checks the errors for shapes, types and operands that wgmma does not have. ptxas 13 refuses the same.
func TestWgmmaShapes(t *testing.T) {
	for _, row := range []struct {
		mods, tail string
		n          int
		want       string
	}{
		{"m64n24k32.s32.s8.s8", "1", 24, ""},
		{"m64n48k32.s32.s8.s8", "1", 48, ""},
		{"m64n40k32.s32.s8.s8", "1", 40, "shape m64n40k32 and types s32.s8.s8 is not supported"},
		{"m64n40k32.f32.e4m3.e4m3", "1, 1, -1", 40, ""},
		{"m64n16k16.s32.s8.s8", "1", 16, "not supported"},
		{"m64n16k32.s32.s8.s8", "1, 1, 1", 16, "operands"},
		{"m64n16k32.f32.e4m3.e4m3", "1, 1, 1, 0, 0", 16, "operands"},
		{"m64n16k32.f32.e4m3.e4m3", "1, 2, 1", 16, "scales 2 and 1"},
		{"m64n16k32.satfinite.f32.e4m3.e4m3", "1, 1, 1", 16, "not supported"},
		{"m64n16k32.s32.s8.s4", "1", 16, "not supported"},
		{"m64n16k32.f32.e4m3.bf16", "1, 1, 1", 16, "not supported"},
	} {
		var list []string
		for i := range row.n / 2 {
			list = append(list, fmt.Sprintf("%%r%d", i))
		}
		code := fmt.Sprintf("wgmma.fence.sync.aligned;\nwgmma.mma_async.sync.aligned.%s {%s}, %%d0, %%d1, %s;\n",
			row.mods, strings.Join(list, ", "), row.tail)
		text := fragmentModule(code, "", "sm_90a")
		_, err := newRig(t, Device{Major: 9}).LoadModule([]byte(text), cu.ModuleOptions{Name: "test"})
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s, %s: %v, want %q", row.mods, row.tail, err, row.want)
		}
	}
}

// runWide is runFragment for the given number of lanes. in may have more elements, which code can read as well.
func runWide(t *testing.T, text string, in registers, lanes int) registers {
	t.Helper()
	r := newRig(t, Device{Major: 9})
	m, err := r.LoadModule([]byte(text), cu.ModuleOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	p, q := r.alloc(len(in)*64, bytesOf(in)), r.alloc(lanes*64, nil)
	r.launch(r.function(m, "test"), dim(1), dim(lanes), 0, new(cu.Args).Ptr(p).Ptr(q))
	out := make(registers, lanes)
	for i, b := range r.read(q, lanes*64) {
		out[i/64][i%64/4] |= uint32(b) << (i % 4 * 8)
	}
	return out
}
