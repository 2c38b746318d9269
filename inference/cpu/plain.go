package cpu

import (
	"math"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
)

func instructionSet(tensor.DType) string { return "plain Go" }

func widenBF16(dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = tensor.BF16ToF32(v)
	}
}

func roundBF16(dst []uint16, src []float32) {
	for i, v := range src {
		dst[i] = tensor.F32ToBF16(v)
	}
}

func silu(dst, src []float32) {
	for i, v := range src {
		dst[i] = v / (1 + float32(math.Exp(float64(-v))))
	}
}

func sumSquares(x []float32) (s float64) {
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}

func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	n := len(a) &^ 3
	for i := 0; i < n; i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for i := n; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func (b *Backend) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	t := w.(*weight)
	n, k := dst.Cols, x.Cols
	mustHave(tensor.Elements(t.Tensor.Shape) == n*k, "Linear [%d %d] %v", x.Rows, x.Cols, t.Tensor.Shape)
	wide := t.floats()
	bias := vectorOf(ep.Bias)
	var gate []float32
	if ep.Gate.Buffer != nil {
		gate = vector(ep.Gate)
	}
	b.mapRows(dst, x, func(i int, out, in []float32) {
		var old []float32
		if ep.Add {
			old = append(old, load(dst, i, make([]float32, n))...)
		}
		for j := range n {
			y := dot(in, wide[j*k:(j+1)*k])
			if bias != nil {
				y += bias[j]
			}
			if gate != nil {
				y *= gate[j]
			}
			if old != nil {
				y += old[j]
			}
			out[j] = y
		}
	})
}

func (b *Backend) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	s := backend.NewScope(b)
	defer s.Free()
	g := s.Alloc(dst.Rows, dst.Cols)
	u := s.Alloc(dst.Rows, dst.Cols)
	b.Linear(g, x, gate, backend.Epilogue{})
	b.Linear(u, x, up, backend.Epilogue{})
	b.combine("SwiGLU", dst, g, u, func(out, p, q []float32) {
		for i, v := range p {
			out[i] = v / (1 + float32(math.Exp(float64(-v)))) * q[i]
		}
	})
}

func (b *Backend) Attention(dst, q, k, v backend.Matrix, p backend.AttentionParams) {
	d := q.Cols / p.Heads
	for h := range p.Heads {
		kh := h * p.KVHeads / p.Heads
		kk, vv := k.ColRange(kh*d, (kh+1)*d), v.ColRange(kh*d, (kh+1)*d)
		b.mapRows(dst.ColRange(h*d, (h+1)*d), q.ColRange(h*d, (h+1)*d), func(i int, out, in []float32) {
			keys := p.Keys
			if p.Causal {
				keys = min(keys, i+1)
			}
			s := make([]float32, keys)
			m := float32(math.Inf(-1))
			for j := range s {
				s[j] = dot(in, load(kk, j, make([]float32, d))) * p.Scale
				m = max(m, s[j])
			}
			var sum float32
			acc := make([]float32, d)
			for j := range s {
				e := float32(math.Exp(float64(s[j] - m)))
				sum += e
				for c, x := range load(vv, j, make([]float32, d)) {
					acc[c] += e * x
				}
			}
			for c := range out {
				out[c] = acc[c] / sum
			}
		})
	}
}

func (b *Backend) Conv2D(dst, x backend.Matrix, w backend.Weight, p backend.ConvParams) {
	t := w.(*weight)
	ks := t.Tensor.Shape[2]
	cin := x.Cols
	oh, ow := p.OutputSize()
	wide := t.floats()
	perm := make([]float32, len(wide))
	for o := range dst.Cols {
		for c := range cin {
			for s := range ks * ks {
				perm[(o*ks*ks+s)*cin+c] = wide[(o*cin+c)*ks*ks+s]
			}
		}
	}
	bias := vectorOf(p.Bias)
	pad := ks / 2
	stride := 1
	h, wd := p.Height, p.Width
	if p.Downsample {
		stride, pad = 2, 0
	}
	if p.Upsample {
		h, wd = 2*h, 2*wd
	}
	b.parallel(oh*ow, 16, func(from, to int) {
		out := make([]float32, dst.Cols)
		for i := from; i < to; i++ {
			oy, ox := i/ow, i%ow
			patch := make([]float32, ks*ks*cin)
			for s := range ks * ks {
				y, xx := oy*stride+s/ks-pad, ox*stride+s%ks-pad
				if y < 0 || xx < 0 || y >= h || xx >= wd {
					continue
				}
				if p.Upsample {
					y, xx = y/2, xx/2
				}
				copy(patch[s*cin:], load(x, y*p.Width+xx, make([]float32, cin)))
			}
			old := load(dst, i, make([]float32, dst.Cols))
			res := out
			for o := range res {
				v := dot(patch, perm[o*len(patch):(o+1)*len(patch)])
				if bias != nil {
					v += bias[o]
				}
				if p.Add {
					v += old[o]
				}
				res[o] = v
			}
			copy(target(dst, i, out), res)
			store(dst, i, res)
		}
	})
}
