package cuda

import (
	"encoding/binary"
	"math"
	"testing"

	"kleinbild/inference/tensor"
	"kleinbild/kernels"
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
