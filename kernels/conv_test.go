package kernels

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

func TestConv(t *testing.T) { onEachDevice(t, testConv) }

func testConv(h *harness) {
	for _, s := range []struct {
		height, width, in, out, kernel int
		up, down, add                  bool
		l                              layout
	}{
		{1, 1, 8, 8, 3, false, false, false, whole},
		{7, 5, 48, 136, 3, false, false, true, whole},
		{17, 16, 16, 24, 3, false, false, false, whole},
		{6, 8, 80, 32, 1, false, false, true, whole},
		{5, 3, 16, 16, 3, true, false, false, whole},
		{18, 20, 72, 144, 3, true, false, true, whole},
		{8, 6, 32, 40, 3, false, true, false, whole},
		{7, 9, 16, 8, 3, false, true, true, whole},
		{9, 11, 64, 3, 3, false, false, false, whole}, // the last one of a decoder: from channels to colours
		{6, 7, 3, 16, 3, false, false, false, ragged}, // the first one of an encoder
		{4, 6, 3, 17, 3, true, false, true, ragged},
		{5, 4, 33, 7, 1, false, false, true, ragged},
	} {
		x := h.random(s.height*s.width, s.in)
		w := h.random(s.out, s.in*s.kernel*s.kernel)
		bias := h.random(1, s.out)
		shape := ConvParams{Height: s.height, Width: s.width, Kernel: s.kernel, Upsample: s.up, Downsample: s.down}
		oh, ow := shape.OutputSize()
		old := h.random(oh*ow, s.out)
		want := convolved(x, w, bias[0], shape)
		if s.add {
			want = sum(want, old)
		}
		filters := h.upload(byTaps(w, s.kernel*s.kernel), layout{})
		mx := h.upload(x, s.l)
		var first []byte
		for variant, name := range OpConv.Variants(Shape{Conv: shape}) {
			l, have := s.l, s.l.alignment()
			if s.out%8 != 0 {
				l, have = ragged, max(have, loose)
			}
			if !h.tries(Shape{Operation: conv, Conv: shape}, variant, have) {
				continue
			}
			dst := h.fenced(oh*ow, s.out, l)
			if s.add {
				h.must(h.Copy(dst, h.upload(old, l)))
			}
			h.must(h.Conv(dst, mx, filters, h.row(bias[0], DType(variant%2)), shape, s.add, Variant(variant)))
			h.check(fmt.Sprintf("%s %+v", name, s), dst, want, true)
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s %+v: not the bits of the first", name, s)
			}
		}
		to := layout{F32, 0, 0}
		dst := h.fenced(oh*ow, s.out, to)
		if s.add {
			h.must(h.Copy(dst, h.upload(old, to)))
		}
		h.must(h.Conv(dst, mx, filters, h.row(bias[0], F32), shape, s.add, Auto))
		h.check(fmt.Sprintf("to F32 %+v", s), dst, want, true)
	}
}

// TestConvNorm compares convolutions of a normalised picture with float64 loops, on devices whose kernels normalise
// while loading and on devices that normalise before.
func TestConvNorm(t *testing.T) { onEachDevice(t, testConvNorm) }

func testConvNorm(h *harness) {
	const eps = 1e-6
	for _, s := range []struct {
		height, width, in, out, groups, kernel int
		silu, add                              bool
		l                                      layout
	}{
		{1, 1, 8, 8, 2, 3, true, false, whole},
		{9, 17, 40, 136, 4, 3, true, true, whole}, // patches and slices of channels that are not full
		{8, 33, 72, 48, 8, 3, false, false, whole},
		{11, 5, 32, 3, 4, 3, true, false, whole}, // colours out
		{17, 16, 96, 32, 16, 3, true, true, whole},
		{6, 7, 16, 24, 4, 1, true, false, whole},
		{5, 6, 6, 7, 2, 3, true, false, ragged},
	} {
		x, w, bias := h.around(3, s.height*s.width, s.in), h.random(s.out, s.in*s.kernel*s.kernel), h.random(1, s.out)
		gamma, beta, old := h.random(1, s.in), h.random(1, s.in), h.random(s.height*s.width, s.out)
		width := s.in / s.groups
		normed := make(table, len(x))
		for i := range x {
			normed[i] = make([]float64, s.in)
		}
		for g := range s.groups {
			var all []float64
			for _, row := range x {
				all = append(all, row[g*width:(g+1)*width]...)
			}
			mean, variance := moments(all)
			for i := range x {
				for c := g * width; c < (g+1)*width; c++ {
					v := (x[i][c]-mean)/math.Sqrt(variance+eps)*gamma[0][c] + beta[0][c]
					if s.silu {
						v = siluOf(v)
					}
					normed[i][c] = widen(round(v)) // it is rounded before it is multiplied
				}
			}
		}
		shape := ConvParams{Height: s.height, Width: s.width, Kernel: s.kernel}
		want := convolved(normed, w, bias[0], shape)
		if s.add {
			want = sum(want, old)
		}
		filters := h.upload(byTaps(w, s.kernel*s.kernel), layout{})
		l := s.l
		if s.out%8 != 0 {
			l = ragged
		}
		n := GroupNormParams{
			Groups: s.groups, Gamma: h.row(gamma[0], BF16), Beta: h.row(beta[0], F32), Eps: eps, SiLU: s.silu,
			Work: h.memory(int(GroupNormBytes(len(x), s.in, s.groups))),
		}
		mx, have := h.upload(x, s.l), l.alignment()
		var first []byte
		for variant, name := range OpConvNorm.Variants(Shape{Conv: shape}) {
			if variant > 0 && !(FoldsNorm(h.set.ctx.Device(), mx, shape) && OpConvNorm.tiles[variant].fits(have, SM80)) {
				continue
			}
			dst := h.fenced(s.height*s.width, s.out, l)
			if s.add {
				h.must(h.Copy(dst, h.upload(old, l)))
			}
			h.must(
				h.ConvNorm(dst, mx, filters, h.row(bias[0], F32), shape, s.add, n, h.alloc(len(x), s.in, s.l), Variant(variant)),
			)
			h.check(fmt.Sprintf("%s %+v", name, s), dst, want, true)
			h.check(fmt.Sprintf("the input of %s %+v", name, s), mx, x, false)
			if have := h.bytes(dst); first == nil {
				first = have
			} else if !bytes.Equal(first, have) {
				h.Errorf("%s %+v: not the bits of the first", name, s)
			}
		}
	}
}

// convolved is the convolution in float64. A row of w has its values by channel, then by tap.
func convolved(x, w table, bias []float64, s ConvParams) table {
	height, width, shrink := s.Height, s.Width, 1
	if s.Upsample {
		height, width, shrink = 2*height, 2*width, 2
	}
	step, pad := 1, s.Kernel/2
	if s.Downsample {
		step, pad = 2, 0
	}
	oh, ow := s.OutputSize()
	return each(oh*ow, len(w), func(i, o int) float64 {
		total := bias[o]
		for tap := range s.Kernel * s.Kernel {
			y, x0 := i/ow*step+tap/s.Kernel-pad, i%ow*step+tap%s.Kernel-pad
			if y < 0 || x0 < 0 || y >= height || x0 >= width {
				continue
			}
			for c, v := range x[y/shrink*s.Width+x0/shrink] {
				total += v * w[o][c*s.Kernel*s.Kernel+tap]
			}
		}
		return total
	})
}

// byTaps reorders rows of filters, whose values are by channel and then tap, as Conv takes them: by tap and then
// channel.
func byTaps(w table, taps int) table {
	return each(len(w), len(w[0]), func(i, j int) float64 {
		channels := len(w[0]) / taps
		return w[i][j%channels*taps+j/channels]
	})
}

func sum(a, b table) table {
	return each(len(a), len(a[0]), func(i, j int) float64 { return a[i][j] + b[i][j] })
}
