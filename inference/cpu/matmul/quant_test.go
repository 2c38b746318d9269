package matmul

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// quantisedWeight returns a random matrix in a quantised format with values of up to about 1.
func quantisedWeight(r *rand.Rand, dtype tensor.DType, n, k int) tensor.Tensor {
	w := tensor.Tensor{Name: "w", DType: dtype, Shape: []int{n, k}, Scale: 1, Data: make([]byte, dtype.Bytes(n*k))}
	for i := range w.Data {
		w.Data[i] = byte(r.Uint32())
	}
	// The halves d, m and dmin, and the exponents, so that values are neither infinite nor tiny.
	halves := map[tensor.DType][]int{
		tensor.Q4_0: {0}, tensor.Q4_1: {0, 2}, tensor.Q5_0: {0}, tensor.Q5_1: {0, 2}, tensor.Q8_0: {0},
		tensor.Q2_K: {80, 82}, tensor.Q3_K: {108}, tensor.Q4_K: {0, 2}, tensor.Q5_K: {0, 2}, tensor.Q6_K: {208},
		tensor.IQ4_NL: {0}, tensor.IQ4_XS: {0},
	}
	for at := 0; at < len(w.Data); at += dtype.BlockBytes() {
		block := w.Data[at:]
		for _, offset := range halves[dtype] {
			binary.LittleEndian.PutUint16(block[offset:], uint16(0x0c00+r.UintN(0x800))) // 2^-12 to 2^-10
		}
		switch dtype {
		case tensor.MXFP4:
			block[0] = byte(120 + r.UintN(6))
		case tensor.NVFP4:
			for i := range 4 {
				block[i] = byte(0x10 + r.UintN(0x10))
			}
		case tensor.F8E4M3:
			block[0] &= 0xbf
		}
	}
	return w
}

// quantisedKinds are the formats with blocks, and those with scales beside the values.
func quantisedKinds(r *rand.Rand, n, k int) map[string]tensor.Tensor {
	kinds := map[string]tensor.Tensor{}
	for dtype := tensor.Q4_0; dtype <= tensor.NVFP4; dtype++ {
		kinds[dtype.String()] = quantisedWeight(r, dtype, n, k)
	}
	rows, columns := make([]float32, n), make([]float32, k)
	for i := range rows {
		rows[i] = 0.004 + r.Float32()/200
	}
	for i := range columns {
		columns[i] = 0.5 + r.Float32()
	}
	bytes := func(size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(0x28 + r.UintN(0x10)) // scales of e4m3 from 1/4 to 1
		}
		return b
	}
	add := func(name string, dtype tensor.DType, scale float32, quant *tensor.Quant) {
		w := quantisedWeight(r, dtype, n, k)
		w.Scale, w.Quant = scale, quant
		kinds[name] = w
	}
	swizzled := func(width int) *tensor.BlockScales {
		stride := roundUp(k/width, 4)
		return &tensor.BlockScales{
			DType: tensor.F8E4M3, Data: bytes(roundUp(n, 128) * stride), Height: 1, Width: width, Stride: stride,
			Swizzled: true, Rows: n,
		}
	}
	mx := swizzled(32)
	mx.DType = tensor.F8E8M0
	for i := range mx.Data {
		mx.Data[i] = byte(118 + r.UintN(8))
	}
	blocks := &tensor.BlockScales{DType: tensor.F32, Height: 128, Width: 128, Stride: ceilDiv(k, 128), Rows: n}
	for range ceilDiv(n, 128) * blocks.Stride {
		blocks.Data = binary.LittleEndian.AppendUint32(blocks.Data, math.Float32bits(0.5+r.Float32()))
	}
	add("nvfp4", tensor.F4E2M1, 0.25, &tensor.Quant{Blocks: swizzled(16)})
	linear := &tensor.BlockScales{
		DType: tensor.F8E4M3, Data: bytes(n * k / 16), Height: 1, Width: 16, Stride: k / 16, Rows: n,
	}
	add("nvfp4 of ModelOpt", tensor.F4E2M1Low, 0.25, &tensor.Quant{Blocks: linear})
	add("nvfp4 and columns", tensor.F4E2M1, 0.25, &tensor.Quant{Blocks: swizzled(16), Columns: columns})
	add("mxfp8", tensor.F8E4M3, 1, &tensor.Quant{Blocks: mx})
	add("fp8 in blocks", tensor.F8E4M3, 1, &tensor.Quant{Blocks: blocks})
	add("fp8 by row", tensor.F8E4M3, 1, &tensor.Quant{Rows: rows})
	add("e5m2", tensor.F8E5M2, 1, nil)
	for i, b := range kinds["e5m2"].Data {
		kinds["e5m2"].Data[i] = b&0x80 | b%0x3c // up to 1
	}
	add("int8", tensor.I8, 0.01, nil)
	add("int8 by row", tensor.I8, 1, &tensor.Quant{Rows: rows})
	for _, group := range []int{16, 64, 256} {
		if k%group == 0 {
			add(fmt.Sprintf("int8 by row, rotated by %d", group), tensor.I8, 1, &tensor.Quant{Rows: rows, Rotation: group})
		}
	}
	return kinds
}

// TestQuantised multiplies by weights in every quantised format and compares with sums in float64 of the values that
// tensor.Float32s gives.
func TestQuantised(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		const n, k = 70, 768 // a ragged panel, and two and a half blocks of k of the usual depth
		for name, w := range quantisedKinds(r, n, k) {
			for _, precision := range []Precision{Float32, BFloat16} {
				for _, m := range []int{1, 3, 17} {
					a := randomMatrix(r, m, k, false)
					dst := Matrix{Rows: m, Cols: n, Stride: n, F32: make([]float32, m*n)}
					Linear(nil, dst, a, w, precision, Epilogue{})
					checkQuantised(t, fmt.Sprintf("%s, %d rows, precision %d", name, m, precision), dst, a, w, precision)
					sliced := w.Slice(13, 44)
					part := Matrix{Rows: m, Cols: 31, Stride: 31, F32: make([]float32, m*31)}
					Linear(nil, part, a, sliced, precision, Epilogue{})
					checkQuantised(t, fmt.Sprintf("rows 13 to 43 of %s, %d rows", name, m), part, a, sliced, precision)
				}
			}
		}
	})
}

func checkQuantised(t *testing.T, name string, have, a Matrix, w tensor.Tensor, precision Precision) {
	t.Helper()
	rotated := w.Quant != nil && w.Quant.Rotation > 0
	rounding := precision
	if rotated { // the factors are rounded after the rotation
		rounding = Float32
	}
	values := Matrix{Rows: w.Shape[0], Cols: a.Cols, Stride: a.Cols, F32: w.Float32s()}
	x, y := factors(a, rounding), factors(values, rounding)
	for i := range x {
		norm := 0.0
		for _, v := range x[i] {
			norm += v * v
		}
		for j := range y {
			want, sum, square := 0.0, 0.0, 0.0
			for c, v := range x[i] {
				want += v * y[j][c]
				sum += math.Abs(v * y[j][c])
				square += y[j][c] * y[j][c]
			}
			// A sum's roundings as in bound, relative to the magnitudes. A rotation keeps norms, so that its roundings are
			// relative to those of the factors; two roundings to bfloat16 of independent values have about 2^-9/√3 each.
			allowed := 2 * float64(a.Cols+8) * 0x1p-24 * sum
			if rotated {
				size := math.Sqrt(norm * square)
				allowed = 2e-6 * size
				if precision == BFloat16 {
					allowed = 0x1p-8 * size / 4
				}
			}
			if got := have.get(i, j); !(math.Abs(got-want) <= allowed) {
				t.Fatalf("%s: [%d,%d] is %v, want %v ± %.2g", name, i, j, got, want, allowed)
			}
		}
	}
}

// BenchmarkQuantised multiplies by weights in quantised formats, and reports the time as a multiple of that of bfloat16
// weights. Both take turns, and the best turn of each counts, so that other programs disturb less.
func BenchmarkQuantised(b *testing.B) {
	const m, n, k = 768, 3072, 3072
	r := rand.New(rand.NewPCG(1, 2))
	kinds := quantisedKinds(r, n, k)
	eachPath(b, func(b *testing.B, precision Precision) {
		a, dst, plain := filled(m, k), filled(m, n), randomWeight(r, tensor.BF16, 1, n, k)
		for _, name := range []string{"Q8_0", "Q4_K", "Q6_K", "Q4_0", "Q2_K", "nvfp4", "mxfp8", "fp8 in blocks",
			"int8 by row", "int8 by row, rotated by 256"} {
			b.Run(name, func(b *testing.B) {
				best := [2]time.Duration{time.Hour, time.Hour}
				for b.Loop() {
					for i, w := range []tensor.Tensor{plain, kinds[name]} {
						begin := time.Now()
						Linear(nil, dst, a, w, precision, Epilogue{})
						best[i] = min(best[i], time.Since(begin))
					}
				}
				b.ReportMetric(float64(best[1])/float64(best[0]), "×bf16")
			})
		}
	})
}
