package ptxsim

import (
	"encoding/binary"
	"math"
	"strings"
)

// matrixOps are the warp-wide matrix operations.
//
// An mma computes every product exactly, adds them to the accumulator in float64 in the order of k, and rounds the sum
// to the nearest float32 once. NVIDIA does not document a GPU's order of addition and truncation. For 16-bit elements
// the difference is within the rounding of a float32 sum. For e4m3 and e5m2 it can be larger: published measurements
// find that the tensor cores of sm_89 and sm_90 align such products to the largest one and keep about 14 bits. Sums of
// 8-bit integers are exact, as on a GPU.
var matrixOps = map[string]func(d *decoder){
	"ldmatrix": decodeLdmatrix,
	"mma":      decodeMma,
	"stmatrix": decodeStmatrix,
	"movmatrix": func(d *decoder) {
		d.want("sync")
		d.want("aligned")
		d.want("m8n8")
		if !d.has("trans") || d.typ() != "b16" || !d.operands(2, 2) {
			d.fail("movmatrix wants .trans.b16")
			return
		}
		d.in.d, d.in.a, d.in.lanes = d.write(0, 32), d.read(1, 32), fullWarp
		d.in.run = func(w *warp, in *instr, active uint32) {
			w.r32[in.d] = transpose(&w.r32[in.a])
			w.def32[in.d] = allLanes
		}
	},
}

// transpose transposes an 8×8 matrix of 16-bit elements, of which each lane has two neighbours of a row.
func transpose(a *[32]uint32) (t [32]uint32) {
	for l := range t {
		row, col := l>>2, l&3*2 // of the result
		for half := range 2 {
			from := (col+half)*4 + row>>1
			t[l] |= a[from] >> (row & 1 * 16) & 0xffff << (half * 16)
		}
	}
	return t
}

// matrixShape decodes the modifiers of ldmatrix and stmatrix: the number of matrices, and whether to transpose them.
func (d *decoder) matrixShape() (count int, trans bool) {
	d.want("sync")
	d.want("aligned")
	d.want("m8n8")
	count = map[string]int{"x1": 1, "x2": 2, "x4": 4}[d.want("x1", "x2", "x4")]
	trans = d.has("trans")
	d.want("shared", "shared::cta")
	if t := d.typ(); t != "b16" {
		d.fail("type .%s, want .b16", t)
	}
	d.in.lanes = fullWarp
	return count, trans
}

// decodeLdmatrix decodes ldmatrix, which loads 8×8 matrices. Lanes 8j … 8j+7 have the addresses of the rows of matrix
// j.
func decodeLdmatrix(d *decoder) {
	count, trans := d.matrixShape()
	if !d.operands(2, 2) {
		return
	}
	d.in.list = d.writeVector(0, count, 32)
	d.locate(1)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for j, row := range in.list {
			t := &w.scratch32
			for i := range 8 {
				l := j*8 + i
				s := w.view(in, l, spaceShared, w.address(in, l), 16, load)
				for q := range 4 {
					t[i*4+q] = binary.LittleEndian.Uint32(s[q*4:])
				}
			}
			if trans {
				w.r32[row] = transpose(t)
			} else {
				w.r32[row] = *t
			}
			w.def32[row] = allLanes
		}
	}
}

func decodeStmatrix(d *decoder) {
	d.needHopper()
	count, trans := d.matrixShape()
	if !d.operands(2, 2) {
		return
	}
	d.locate(0)
	d.in.list = d.readVector(1, count, 32)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for j, row := range in.list {
			t := w.r32[row]
			if trans {
				t = transpose(&t)
			}
			for i := range 8 {
				l := j*8 + i
				s := w.view(in, l, spaceShared, w.address(in, l), 16, store)
				for q := range 4 {
					binary.LittleEndian.PutUint32(s[q*4:], t[i*4+q])
				}
			}
		}
	}
}

// decodeMma decodes mma. It supports float32 accumulators with m16n8k16 and m16n8k8 of f16 and bf16, m16n8k4 and
// m16n8k8 of tf32, and m16n8k16 and m16n8k32 of e4m3 and e5m2, and s32 accumulators with m16n8k16 and m16n8k32 of 8-bit
// integers.
func decodeMma(d *decoder) {
	d.want("sync")
	d.want("aligned")
	shape := d.want("m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32")
	d.want("row")
	d.want("col")
	saturate := d.has("satfinite")
	types := strings.Join(d.mods, ".")
	names := d.mods
	d.mods = nil
	if !d.operands(4, 4) {
		return
	}
	k := map[string]int{"m16n8k4": 4, "m16n8k8": 8, "m16n8k16": 16, "m16n8k32": 32}[shape]
	d.in.lanes = fullWarp
	element := 0 // bits
	if len(names) == 4 && names[0] == names[3] {
		element = elementBits(names[0], names[1], names[2])
	}
	perRegister := 0
	if element > 0 {
		perRegister = 32 / element
	}
	if element == 0 || k != 4*perRegister && k != 8*perRegister || saturate && types[0] != 's' {
		d.fail("mma of shape %s and types %s is not supported", shape, types)
		return
	}
	if names[0] == "f32" && element == 8 {
		d.needTarget("mma of types "+types, 89)
		d.needVersion("mma of types "+types, map[int]string{16: "8.7", 32: "8.4"}[k])
	}
	registers := k / (4 * perRegister) // of b; a has twice as many
	out := d.writeVector(0, 4, 32)
	a, b, c := d.readVector(1, 2*registers, 32), d.readVector(2, registers, 32), d.readVector(3, 4, 32)
	if names[0] == "s32" {
		sa, sb := names[1] == "s8", names[2] == "s8"
		d.in.run = func(w *warp, in *instr, active uint32) { w.mmaInteger(out, a, b, c, k, sa, sb, saturate) }
		return
	}
	if types == "f32.bf16.bf16.f32" && k == 16 {
		d.in.run = func(w *warp, in *instr, active uint32) { w.mmaBF16(out, a, b, c) }
		return
	}
	valueA, valueB := elementDecoder(names[1]), elementDecoder(names[2])
	d.in.run = func(w *warp, in *instr, active uint32) { w.mmaFloat(out, a, b, c, k, perRegister, valueA, valueB) }
}

// elementBits returns the size of the elements of a and b for an accumulator, or 0 if no matrix operation has these
// types.
func elementBits(accumulator, a, b string) int {
	float8 := func(t string) bool { return t == "e4m3" || t == "e5m2" }
	integer8 := func(t string) bool { return t == "s8" || t == "u8" }
	switch {
	case accumulator == "f32" && a == b && (a == "bf16" || a == "f16"):
		return 16
	case accumulator == "f32" && a == b && a == "tf32":
		return 32
	case accumulator == "f32" && float8(a) && float8(b), accumulator == "s32" && integer8(a) && integer8(b):
		return 8
	}
	return 0
}

// elementDecoder returns the function from an element's bits to its value, or nil for another type.
func elementDecoder(t string) func(uint32) float64 {
	switch t {
	case "bf16":
		return func(v uint32) float64 { return float64(f32(v << 16)) }
	case "f16":
		return formatF16.decode
	case "e4m3", "e5m2":
		f, _ := formatOf(t)
		values := new([256]float64)
		for i := range values {
			values[i] = f.decode(uint32(i))
		}
		return func(v uint32) float64 { return values[v&0xff] }
	case "s8":
		return func(v uint32) float64 { return float64(int8(v)) }
	case "u8":
		return func(v uint32) float64 { return float64(uint8(v)) }
	case "tf32": // the lower 13 bits are ignored
		return func(v uint32) float64 { return float64(f32(v &^ 0x1fff)) }
	}
	return nil
}

// mmaBF16 computes m16n8k16 of bfloat16, which takes most of the time of a matrix product.
func (w *warp) mmaBF16(out, a, b, c []int32) {
	var x [16][16]float64 // rows of a
	var y [16][8]float64  // rows of b, because eight independent sums at a time are faster than one
	for h := range 4 {
		r := &w.r32[a[h]]
		rows, k := x[h&1*8:h&1*8+8], h>>1*8
		for l, v := range r {
			p := (*[2]float64)(rows[l>>2][k+l&3*2:])
			p[0], p[1] = float64(f32(v<<16)), float64(f32(v&0xffff0000))
		}
	}
	for h := range 2 {
		r := &w.r32[b[h]]
		for l, v := range r {
			k := h*8 + l&3*2
			y[k][l>>2], y[k+1][l>>2] = float64(f32(v<<16)), float64(f32(v&0xffff0000))
		}
	}
	var sums [16][8]float64
	w.loadAccumulators(c, &sums)
	for i := range sums {
		s := &sums[i]
		s0, s1, s2, s3, s4, s5, s6, s7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		for k, v := range &x[i] {
			q := &y[k]
			s0 += float64(v * q[0])
			s1 += float64(v * q[1])
			s2 += float64(v * q[2])
			s3 += float64(v * q[3])
			s4 += float64(v * q[4])
			s5 += float64(v * q[5])
			s6 += float64(v * q[6])
			s7 += float64(v * q[7])
		}
		s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = s0, s1, s2, s3, s4, s5, s6, s7
	}
	w.storeAccumulators(out, &sums)
}

func (w *warp) loadAccumulators(c []int32, sums *[16][8]float64) {
	c0, c1, c2, c3 := &w.r32[c[0]], &w.r32[c[1]], &w.r32[c[2]], &w.r32[c[3]]
	for l := range 32 {
		i, j := l>>2, l&3*2
		sums[i][j], sums[i][j+1] = float64(f32(c0[l])), float64(f32(c1[l]))
		sums[i+8][j], sums[i+8][j+1] = float64(f32(c2[l])), float64(f32(c3[l]))
	}
}

func (w *warp) storeAccumulators(out []int32, sums *[16][8]float64) {
	d0, d1, d2, d3 := &w.r32[out[0]], &w.r32[out[1]], &w.r32[out[2]], &w.r32[out[3]]
	for l := range 32 {
		i, j := l>>2, l&3*2
		d0[l], d1[l] = u32(float32(sums[i][j])), u32(float32(sums[i][j+1]))
		d2[l], d3[l] = u32(float32(sums[i+8][j])), u32(float32(sums[i+8][j+1]))
	}
	for _, row := range out {
		w.def32[row] = allLanes
	}
}

// mmaFloat computes an mma with float32 accumulators. depth is k. A register has per elements with consecutive k; the
// figures of the PTX manual show which rows and columns each register has.
func (w *warp) mmaFloat(out, a, b, c []int32, depth, per int, valueA, valueB func(uint32) float64) {
	var x [16][32]float64
	var y [32][8]float64 // rows of b, as in mmaBF16
	element := 32 / per
	mask := uint32(allLanes) >> (32 - element)
	for h, row := range a {
		for l, v := range w.r32[row] {
			for e := range per {
				x[l>>2+h&1*8][l&3*per+h>>1*4*per+e] = valueA(v >> (e * element) & mask)
			}
		}
	}
	for h, row := range b {
		for l, v := range w.r32[row] {
			for e := range per {
				y[l&3*per+h*4*per+e][l>>2] = valueB(v >> (e * element) & mask)
			}
		}
	}
	var sums [16][8]float64
	w.loadAccumulators(c, &sums)
	for i := range sums {
		s := &sums[i]
		for k, v := range x[i][:depth] {
			q := &y[k]
			for j := range s {
				s[j] += float64(v * q[j])
			}
		}
	}
	w.storeAccumulators(out, &sums)
}

// mmaInteger computes an mma of 8-bit integers. The sum of the products fits 32 bits. The accumulator's overflow wraps
// around, or is clamped if saturate is true.
func (w *warp) mmaInteger(out, a, b, c []int32, depth int, signedA, signedB, saturate bool) {
	var x [16][32]int32
	var y [32][8]int32 // rows of b, as in mmaBF16
	for h, row := range a {
		for l, v := range w.r32[row] {
			p := (*[4]int32)(x[l>>2+h&1*8][l&3*4+h>>1*16:])
			for e := range p {
				p[e] = int32(extend(v>>(8*e)&0xff, signedA, 8))
			}
		}
	}
	for h, row := range b {
		for l, v := range w.r32[row] {
			p := (*[4][8]int32)(y[l&3*4+h*16:])
			for e := range p {
				p[e][l>>2] = int32(extend(v>>(8*e)&0xff, signedB, 8))
			}
		}
	}
	var sums [16][8]int32
	for i := range sums {
		var s0, s1, s2, s3, s4, s5, s6, s7 int32
		for k, v := range x[i][:depth] {
			q := &y[k]
			s0 += v * q[0]
			s1 += v * q[1]
			s2 += v * q[2]
			s3 += v * q[3]
			s4 += v * q[4]
			s5 += v * q[5]
			s6 += v * q[6]
			s7 += v * q[7]
		}
		sums[i] = [8]int32{s0, s1, s2, s3, s4, s5, s6, s7}
	}
	for h, row := range out {
		r, from := &w.r32[row], w.r32[c[h]]
		for l := range r {
			sum := int64(int32(from[l])) + int64(sums[l>>2+h>>1*8][l&3*2+h&1])
			if saturate {
				sum = min(max(sum, math.MinInt32), math.MaxInt32)
			}
			r[l] = uint32(sum)
		}
		w.def32[row] = allLanes
	}
}
