package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/tensor/tensortest"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// everyCode returns weights with all codes of the formats of eight bits, and with the scales of MXFP4 that have powers
// of their own.
func everyCode() []tensor.Tensor {
	var codes [256]byte
	for i := range codes {
		codes[i] = byte(i)
	}
	mxfp4 := make([]byte, 4*17)
	for i, e := range []byte{0, 1, 250, 255} {
		copy(mxfp4[i*17:], codes[:17])
		mxfp4[i*17] = e
	}
	return []tensor.Tensor{
		{Name: "E4M3, all codes", DType: tensor.F8E4M3, Shape: []int{2, 128}, Data: codes[:], Scale: 1},
		{Name: "E5M2, all codes", DType: tensor.F8E5M2, Shape: []int{2, 128}, Data: codes[:], Scale: 1},
		{Name: "int8, all codes", DType: tensor.I8, Shape: []int{2, 128}, Data: codes[:], Scale: 1},
		{Name: "E2M1, all codes", DType: tensor.F4E2M1, Shape: []int{2, 256}, Data: codes[:], Scale: 1},
		{Name: "MXFP4, powers", DType: tensor.MXFP4, Shape: []int{2, 64}, Data: mxfp4, Scale: 1},
	}
}

// TestWiden widens a weight of each format, and of each kind of scales. The bits are those of package tensor, but for
// the payload of NaN.
func TestWiden(t *testing.T) {
	h := newHarness(t)
	formatOf := map[tensor.DType]Format{
		tensor.Q4_0: Q4_0, tensor.Q4_1: Q4_1, tensor.Q5_0: Q5_0, tensor.Q5_1: Q5_1, tensor.Q8_0: Q8_0, tensor.Q2_K: Q2_K,
		tensor.Q3_K: Q3_K, tensor.Q4_K: Q4_K, tensor.Q5_K: Q5_K, tensor.Q6_K: Q6_K, tensor.IQ4_NL: IQ4_NL,
		tensor.IQ4_XS: IQ4_XS, tensor.MXFP4: MXFP4, tensor.NVFP4: NVFP4, tensor.F8E4M3: E4M3, tensor.F8E5M2: E5M2,
		tensor.I8: Int8, tensor.F4E2M1: E2M1, tensor.F4E2M1Low: E2M1Low,
	}
	scaleFormats := map[tensor.DType]ScaleFormat{
		tensor.F32: ScaleF32, tensor.F16: ScaleF16, tensor.BF16: ScaleBF16, tensor.F8E4M3: ScaleE4M3,
		tensor.F8E8M0: ScaleE8M0,
	}
	seen := map[Format]bool{}
	for _, row := range append(tensortest.Quantised(h.rng), everyCode()...) {
		format := formatOf[row.DType]
		seen[format] = true
		n, cols := row.Shape[0], row.Shape[1]
		p := Packed{Format: format, Data: h.stored(row.Data), Rows: n, Cols: cols, Scale: row.Scale}
		if quant := row.Quant; quant != nil {
			plain := *quant
			plain.Rotation = 0 // a weight stays rotated
			row.Quant = &plain
			p.RowScales, p.ColumnFactors = h.floats(quant.Rows), h.floats(quant.Columns)
			if b := quant.Blocks; b != nil {
				p.Blocks = Blocks{
					Data: h.stored(b.Data), Format: scaleFormats[b.DType], Height: b.Height, Width: b.Width, Stride: b.Stride,
					Swizzled: b.Swizzled, First: b.First, Rows: b.Rows,
				}
			}
		}
		dst := h.fenced(n, cols, layout{dtype: BF16, offset: 8})
		h.must(h.Widen(dst, p))
		b := h.bytes(dst)
		for i, v := range row.Float32s() {
			have, want := binary.LittleEndian.Uint16(b[2*i:]), tensor.F32ToBF16(v)
			if nan := want&0x7fff > 0x7f80; nan && have&0x7fff <= 0x7f80 || !nan && have != want {
				t.Fatalf("%s: value %d is %v, want %v", row.Name, i, widen(have), widen(want))
			}
		}
	}
	for f := Q4_0; f.known(); f++ {
		if !seen[f] {
			t.Errorf("no row for %v", f)
		}
	}
}

// stored uploads bytes.
func (h *harness) stored(b []byte) cu.DevicePtr {
	h.Helper()
	at := h.memory(len(b))
	h.must(h.stream.MemcpyHtoDAsync(at, b))
	return at
}

// floats uploads float32 values; none gives the null pointer.
func (h *harness) floats(v []float32) cu.DevicePtr {
	h.Helper()
	if v == nil {
		return 0
	}
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return h.stored(b)
}

// TestRotate compares with tensor.Rotate, whose sums have the same order: the bits are the same.
func TestRotate(t *testing.T) {
	h := newHarness(t)
	for _, s := range []struct {
		rows, cols, group int
		dst, x            layout
	}{
		{3, 2304, 256, whole, whole}, {2, 192, 64, ragged, whole}, {3, 48, 16, whole, wide}, {2, 20, 4, ragged, ragged},
		// Rounding to bfloat16 hides the order of the sums, float32 shows it.
		{3, 2304, 256, wide, wide},
	} {
		x := each(s.rows, s.cols, func(int, int) float64 {
			return widen(round(math.Ldexp(h.rng.NormFloat64(), h.rng.IntN(12))))
		})
		want := make(table, s.rows)
		for i, row := range x {
			v := make([]float32, len(row))
			for j := range row {
				v[j] = float32(row[j])
			}
			tensor.Rotate(v, s.group)
			for _, y := range v {
				if s.dst.dtype == BF16 {
					y = tensor.BF16ToF32(tensor.F32ToBF16(y))
				}
				want[i] = append(want[i], float64(y))
			}
		}
		dst := h.fenced(s.rows, s.cols, s.dst)
		h.must(h.Rotate(dst, h.upload(x, s.x), s.group))
		h.checkWithin(fmt.Sprint(s), dst, want, true, 0)
	}
	if slices.ContainsFunc([]int{0, 2, 8, 128, 1024}, Rotates) {
		t.Error("a group that no kernel takes")
	}
}
