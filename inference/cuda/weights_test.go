package cuda

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
)

// TestConvert converts pieces of every length and place, of every format, and compares them with the whole tensor.
func TestConvert(t *testing.T) {
	const out, in, k = 3, 5, 3
	for _, shape := range [][]int{{out, in, k, k}, {out, in, 1, 1}, {out * k, in * k}, {out * in * k * k}} {
		for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16, tensor.F8E4M3} {
			b := &Backend{rehearsal: true, options: Options{PartBytes: 1 << 20}}
			n := tensor.Elements(shape)
			x := tensor.Tensor{Name: "x", DType: dtype, Shape: shape, Scale: 1, Data: make([]byte, n*dtype.SizeBytes())}
			for i := range n {
				switch v := float32(i) / 8; dtype {
				case tensor.F32:
					binary.LittleEndian.PutUint32(x.Data[4*i:], math.Float32bits(v+1e-6))
				case tensor.BF16:
					binary.LittleEndian.PutUint16(x.Data[2*i:], tensor.F32ToBF16(v))
				case tensor.F16:
					binary.LittleEndian.PutUint16(x.Data[2*i:], uint16(0x3c00+i))
				default:
					x.Data[i], x.Scale = byte(i%0x7f), 0.5
				}
			}
			w, err := b.Weight(x)
			if err != nil {
				t.Fatal(err)
			}
			s := w.(*weight).stored
			values := x.Float32s()
			want := make([]float32, n)
			for i, v := range values {
				at := i
				if len(shape) == 4 {
					taps := shape[2] * shape[3]
					channel, tap := i/taps%in, i%taps
					at = (i/taps/in*taps+tap)*in + channel
				}
				if want[at] = v; s.dtype == kernels.BF16 {
					want[at] = tensor.BF16ToF32(tensor.F32ToBF16(v))
				}
			}
			for from := range n {
				for to := from + 1; to <= n; to += 7 {
					got := make([]float32, to-from)
					piece := make([]byte, (to-from)*s.dtype.SizeBytes())
					s.convert(piece, from, to-from)
					stored := tensor.BF16
					if s.dtype == kernels.F32 {
						stored = tensor.F32
					}
					tensor.Widen(got, stored, piece)
					for i, v := range got {
						if v != want[from+i] {
							t.Fatalf("%v of %v, values [%d, %d): number %d is %v, want %v", shape, dtype, from, to, from+i, v, want[from+i])
						}
					}
				}
			}
		}
	}
}

// TestConvertQuantised converts pieces of matrices that no kernel widens, of every place and many lengths, and compares
// them with the whole tensor.
func TestConvertQuantised(t *testing.T) {
	const rows = 3
	for _, row := range []struct {
		name  string
		cols  int
		dtype tensor.DType
		quant *tensor.Quant
	}{
		{"F16", 256, tensor.F16, nil},
		{"Q8_0 with scales of rows", 256, tensor.Q8_0, &tensor.Quant{Rows: []float32{0.5, 1, 2}}},
		{"int8 in rows of 60", 60, tensor.I8, &tensor.Quant{Rows: []float32{0.5, 1, 2}}},
		{"int8 in blocks of 4", 64, tensor.I8, &tensor.Quant{Blocks: &tensor.BlockScales{
			DType: tensor.F8E8M0, Data: slices.Repeat([]byte{126, 127, 128}, 16), Height: 1, Width: 4, Stride: 16, Rows: 3,
		}}},
		{"rotated in groups of 1024", 1024, tensor.I8, &tensor.Quant{Rows: []float32{0.5, 1, 2}, Rotation: 1024}},
	} {
		cols := row.cols
		x := tensor.Tensor{
			Name: "x", DType: row.dtype, Shape: []int{rows, cols}, Scale: 1, Quant: row.quant,
			Data: make([]byte, row.dtype.Bytes(rows*cols)),
		}
		for i := range x.Data {
			x.Data[i] = byte(i*73+41) & 0x3f
		}
		b := &Backend{rehearsal: true, options: Options{PartBytes: 1 << 20}}
		w, err := b.Weight(x)
		if err != nil {
			t.Fatal(err)
		}
		s, want := w.(*weight).stored, x.Float32s()
		if s.packed != nil {
			t.Errorf("%s: stays in its own bytes, want a format without a kernel", row.name)
			continue
		}
		for from := 0; from < rows*cols; from += 13 {
			for _, n := range []int{1, 31, 128, 300} {
				n = min(n, rows*cols-from)
				piece := make([]byte, 2*n)
				s.convert(piece, from, n)
				for i := range n {
					have := binary.LittleEndian.Uint16(piece[2*i:])
					if have != tensor.F32ToBF16(want[from+i]) {
						t.Fatalf("%s, values [%d, %d): number %d is %v, want %v", row.name, from, from+n, from+i,
							tensor.BF16ToF32(have), want[from+i])
					}
				}
			}
		}
	}
	kernel := tensor.Tensor{Name: "k", DType: tensor.Q8_0, Shape: []int{32, 32, 3, 3}, Data: make([]byte, 9792), Scale: 1}
	if _, err := (&Backend{rehearsal: true}).Weight(kernel); err == nil {
		t.Error("a convolution's kernel in blocks: no error")
	}
}
