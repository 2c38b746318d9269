package tensor

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// known has the values of one block of each format, computed with ggml's own functions. The block is filled with bytes
// 73·i + 41; then d is 0.25 and the minimum 0.125, where the format has them, e of MXFP4 is 127, and the scales of
// NVFP4 are 38 30 41 07 (hex).
var known = []struct {
	dtype DType
	// d and m are the offsets of the half d and of the half m or dmin, or −1.
	d, m          int
	first         [4]float32
	middle, last  [2]float32
	weighted, abs float64 // Σ y[i]·(i mod 7 + 1) and Σ |y[i]|
}{
	{Q4_0, 0, -1, [4]float32{0.75, -1, 1.25, -0.5}, [2]float32{-1.5, 0.75}, [2]float32{0.75, -2}, -26.5, 32.75},
	{Q4_1, 0, 2, [4]float32{3.375, 1.625, 3.875, 2.125}, [2]float32{1.125, 1.125}, [2]float32{1.125, 2.375}, 211.5, 60.25},
	{Q5_0, 0, -1, [4]float32{3.75, 2, -3.75, 2.5}, [2]float32{-2.5, 3.25}, [2]float32{-0.75, 0.5}, -74, 78.75},
	{Q5_1, 0, 2, [4]float32{4.375, 2.625, 4.875, 7.125}, [2]float32{6.125, 5.875}, [2]float32{1.625, 2.875}, 510, 129.25},
	{Q8_0, 0, -1, [4]float32{-17.25, 1, 19.25, -26.5}, [2]float32{0.5, 18.75}, [2]float32{18.25, -27.5}, 496.5, 504.5},
	{
		Q2_K, 80, 82, [4]float32{2, 4.25, 6.5, -0.25}, [2]float32{3.75, -0.625}, [2]float32{-0.875, -0.875},
		2061.875, 645.25,
	},
	{Q3_K, 108, -1, [4]float32{-1.75, 3.5, -5.25, 7}, [2]float32{-24, 6}, [2]float32{6, -6}, 132.5, 1877},
	{
		Q4_K, 0, 2, [4]float32{23.125, 0.375, 29.625, 6.875}, [2]float32{108.5, 44.125}, [2]float32{-2.875, -2.875},
		52000.125, 13616.5,
	},
	{
		Q5_K, 0, 2, [4]float32{75.125, 0.375, 81.625, 6.875}, [2]float32{128.5, 128.125}, [2]float32{-2.875, -2.875},
		109792.125, 27735.25,
	},
	{
		Q6_K, 208, -1, [4]float32{40.25, -11.5, -155.25, 161}, [2]float32{-12, -85.75}, [2]float32{-180, 72},
		-45774.25, 65008,
	},
	{
		IQ4_NL, 0, -1, [4]float32{9.5, -12.25, 17.25, -5.5}, [2]float32{-20.75, 9.5}, [2]float32{9.5, -31.75},
		-399.25, 459.75,
	},
	{
		IQ4_XS, 0, -1, [4]float32{-754, 181.25, -471.25, 384.25}, [2]float32{-49.5, 442}, [2]float32{262.5, -187.5},
		-3720.25, 61066,
	},
	{MXFP4, -1, -1, [4]float32{1, -1.5, 2, -3}, [2]float32{-0.5, 6}, [2]float32{6, -1.5}, 54, 71.5},
	{
		NVFP4, -1, -1, [4]float32{-3, 4, -6, 0}, [2]float32{-0.25, -6.75}, [2]float32{-0.041015625, 0.013671875},
		-92.48535156, 124.9238281,
	},
}

func TestKnownBlocks(t *testing.T) {
	for _, k := range known {
		t.Run(k.dtype.String(), func(t *testing.T) {
			block := make([]byte, k.dtype.BlockBytes())
			for i := range block {
				block[i] = byte(73*i + 41)
			}
			if k.d >= 0 {
				binary.LittleEndian.PutUint16(block[k.d:], 0x3400)
			}
			if k.m >= 0 {
				binary.LittleEndian.PutUint16(block[k.m:], 0x3000)
			}
			switch k.dtype {
			case MXFP4:
				block[0] = 127
			case NVFP4:
				copy(block, []byte{0x38, 0x30, 0x41, 0x07})
			}
			// Two blocks, so that a function that reads or writes past its block is noticed.
			n := k.dtype.BlockValues()
			y := make([]float32, 2*n)
			Widen(y, k.dtype, slices.Concat(block, block))
			if !slices.Equal(y[:n], y[n:]) {
				t.Error("two equal blocks give different values")
			}
			y = y[:n]
			have := append(append(slices.Clone(y[:4]), y[n/2-1:n/2+1]...), y[n-2:]...)
			want := append(append(slices.Clone(k.first[:]), k.middle[:]...), k.last[:]...)
			if !slices.Equal(have, want) {
				t.Errorf("values %v, want %v", have, want)
			}
			var weighted, abs float64
			for i, v := range y {
				weighted += float64(v) * float64(i%7+1)
				abs += math.Abs(float64(v))
			}
			// The known sums have ten digits.
			if math.Abs(weighted-k.weighted) > 5e-9*math.Abs(k.weighted) || math.Abs(abs-k.abs) > 5e-9*k.abs {
				t.Errorf("sums %v and %v, want %v and %v", weighted, abs, k.weighted, k.abs)
			}
		})
	}
}

// TestBlockFormats checks that every format with blocks has a function that converts it.
func TestBlockFormats(t *testing.T) {
	for i := range blockFormats {
		d := Q4_0 + DType(i)
		if n := d.BlockValues(); d < F4E2M1 && blockWidener(d) == nil || !d.Float() || d.SizeBytes() != 0 ||
			d.Bytes(3*n) != 3*d.BlockBytes() {
			t.Errorf("%v: want a format of weights with blocks of %d values", d, n)
		}
		if got, err := ParseDType(d.String()); err == nil {
			t.Errorf("ParseDType(%q): %v, want an error: no safetensors header may name it", d.String(), got)
		}
	}
}

// TestE2M1 has the order of the two values in a byte.
func TestE2M1(t *testing.T) {
	have := make([]float32, 4)
	for _, row := range []struct {
		dtype DType
		want  []float32
	}{{F4E2M1, []float32{0.5, -6, 2, 1.5}}, {F4E2M1Low, []float32{-6, 0.5, 1.5, 2}}} {
		if Widen(have, row.dtype, []byte{0x1f, 0x43}); !slices.Equal(have, row.want) {
			t.Errorf("%v: %v, want %v", row.dtype, have, row.want)
		}
	}
}

// TestE5M2 compares with the definition: the format is the upper half of an IEEE half.
func TestE5M2(t *testing.T) {
	for b := range 256 {
		want := F16ToF32(uint16(b) << 8)
		if have := F8E5M2ToF32(byte(b)); have != want && (have == have || want == want) {
			t.Errorf("F8E5M2ToF32(%#02x): %v, want %v", b, have, want)
		}
	}
	if F8E5M2ToF32(0x3d) != 1.25 || F8E5M2ToF32(0xc0) != -2 {
		t.Error("F8E5M2ToF32: want 1.25 for 0x3d and −2 for 0xc0")
	}
}

// hadamard returns H[i][j]·√group of Rotate, by its definition as a Kronecker power.
func hadamard(i, j, group int) float64 {
	h := 1.0
	for ; group > 1; group /= 4 {
		if i%4+j%4 == 3 {
			h = -h
		}
		i, j = i/4, j/4
	}
	return h
}

func TestRotate(t *testing.T) {
	for _, group := range []int{1, 4, 16, 64, 256} {
		x := make([]float32, 2*group)
		for i := range x {
			x[i] = float32(math.Sin(float64(3*i + 1)))
		}
		y := slices.Clone(x)
		Rotate(y, group)
		for i := range y {
			want, from := 0.0, i/group*group
			for j := range group {
				want += float64(x[from+j]) * hadamard(i-from, j, group) / math.Sqrt(float64(group))
			}
			if d := float64(y[i]) - want; !(math.Abs(d) < 1e-6) {
				t.Fatalf("group %d: value %d is %v, want %v", group, i, y[i], want)
			}
		}
		Rotate(y, group)
		for i := range y {
			if d := y[i] - x[i]; !(math.Abs(float64(d)) < 1e-6) {
				t.Fatalf("group %d: value %d is %v after two rotations, want %v", group, i, y[i], x[i])
			}
		}
	}
}

// TestSwizzle has the known answer of the layout: with six columns of scales, that of row 130 and column 5 is at 1569.
func TestSwizzle(t *testing.T) {
	b := &BlockScales{DType: F8E4M3, Data: make([]byte, 256*8), Height: 1, Width: 16, Stride: 8, Swizzled: true, Rows: 256}
	b.Data[1569] = 0x38
	if v := b.At(130, 5); v != 1 {
		t.Errorf("scale (130, 5) is %v, want 1", v)
	}
	if v := b.skip(100).At(30, 5); v != 1 {
		t.Errorf("scale (30, 5) of the rows from 100 on is %v, want 1", v)
	}
	if v := b.skip(200).At(186, 5); v != 1 {
		t.Errorf("scale (186, 5) of the rows from 200 on, which end with the first ones, is %v, want 1", v)
	}
	for i := range b.Data {
		b.Data[i] = byte(i * 7 % 120)
	}
	for c := range 8 {
		for n := range 9 - c {
			have := make([]float32, n)
			b.Row(have, 77, c, 0.5)
			for i, v := range have {
				if want := 0.5 * b.At(77, c+i); v != want {
					t.Fatalf("Row: scale %d of columns [%d, %d) is %v, want %v", i, c, c+n, v, want)
				}
			}
		}
	}
}

// TestQuant computes each value of a quantised matrix by the formula in the comment of Quant.
func TestQuant(t *testing.T) {
	const rows, cols = 6, 64
	w := Tensor{Name: "w", DType: I8, Shape: []int{rows, cols}, Scale: 0.5, Data: make([]byte, rows*cols)}
	for i := range w.Data {
		w.Data[i] = byte(i * 37)
	}
	scales := make([]byte, 4*3*4)
	for i := range 12 {
		binary.LittleEndian.PutUint32(scales[4*i:], math.Float32bits(float32(i+1)))
	}
	columns := make([]float32, cols)
	for i := range columns {
		columns[i] = 1 + float32(i)/8
	}
	all := &Quant{
		Rows: []float32{1, 2, 4, 8, 16, 32}, Columns: columns,
		Blocks: &BlockScales{DType: F32, Data: scales, Height: 2, Width: 16, Stride: 4, Rows: rows},
	}
	for _, row := range []struct {
		name  string
		quant Quant
	}{
		{"rows", Quant{Rows: all.Rows}},
		{"blocks", Quant{Blocks: all.Blocks}},
		{"columns", Quant{Columns: columns}},
		{"all", *all},
		{"rotation", Quant{Rows: all.Rows, Rotation: 16}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := w
			w.Quant = &row.quant
			want := make([]float32, rows*cols)
			for i := range want {
				r, c := i/cols, i%cols
				s := w.Scale
				if w.Quant.Rows != nil {
					s *= w.Quant.Rows[r]
				}
				if w.Quant.Blocks != nil {
					s *= float32(r/2*4 + c/16 + 1)
				}
				want[i] = float32(int8(w.Data[i])) * s
				if w.Quant.Columns != nil {
					want[i] *= columns[c]
				}
			}
			Rotate(want, w.Quant.Rotation)
			if have := w.Float32s(); !slices.Equal(have, want) {
				t.Errorf("values %v, want %v", have, want)
			}
			if have := w.Slice(3, 6).Float32s(); !slices.Equal(have, want[3*cols:]) {
				t.Errorf("rows 3 to 5 are %v, want %v", have, want[3*cols:])
			}
			part := make([]float32, 101)
			w.Values(part, 27)
			if !slices.Equal(part, want[27:128]) {
				t.Errorf("values 27 to 127 are %v, want %v", part, want[27:128])
			}
			swapped := w
			swapped.Data = slices.Concat(w.Data[3*cols:], w.Data[:3*cols])
			swapped.Quant = w.Quant.SwapHalves(rows)
			if w.Quant.Blocks != nil { // a block of two rows cannot be cut in the middle
				return
			}
			if have := swapped.Float32s(); !slices.Equal(have, slices.Concat(want[3*cols:], want[:3*cols])) {
				t.Errorf("swapped halves are %v, want %v", have, want)
			}
		})
	}
}

// TestRaggedValues reads parts of rows that begin and end inside blocks.
func TestRaggedValues(t *testing.T) {
	for _, dtype := range []DType{Q4_0, Q4_K, F4E2M1, F4E2M1Low, NVFP4} {
		const rows, cols = 3, 512
		w := Tensor{Name: "w", DType: dtype, Shape: []int{rows, cols}, Scale: 1, Data: make([]byte, dtype.Bytes(rows*cols))}
		for i := range w.Data {
			w.Data[i] = byte(i*73+41) & 0x3f // no exponent of infinity
		}
		all := w.Float32s()
		for _, at := range []int{0, 1, 31, 255, 500, 511, 1000} {
			for _, n := range []int{1, 2, 33, 300} {
				part := make([]float32, n)
				w.Values(part, at)
				if !slices.Equal(part, all[at:at+n]) {
					t.Fatalf("%v: values [%d, %d) differ from those of the whole tensor", dtype, at, at+n)
				}
			}
		}
	}
}
