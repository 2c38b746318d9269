package matmul

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// convolve computes a convolution in float64.
func convolve(src Matrix, pic Picture, w tensor.Tensor, precision Precision) (out [][]float64) {
	in, kh, kw := w.Shape[1], w.Shape[2], w.Shape[3]
	up := 1
	if pic.Upsample {
		up = 2
	}
	at := func(y, x, c int) float64 {
		if y < 0 || x < 0 || y >= pic.Height*up || x >= pic.Width*up {
			return 0
		}
		return rounded(src.get(y/up*pic.Width+x/up, c), precision)
	}
	weights := w.Float32s()
	height, width := Conv2DSize(pic, kh, kw)
	for y := range height {
		for x := range width {
			pixel := make([]float64, w.Shape[0])
			for o := range pixel {
				for c := range in {
					for i := range kh {
						for j := range kw {
							sy, sx := y-kh/2+i, x-kw/2+j
							if pic.Downsample {
								sy, sx = 2*y+i, 2*x+j
							}
							pixel[o] += at(sy, sx, c) * rounded(float64(weights[((o*in+c)*kh+i)*kw+j]), precision)
						}
					}
				}
			}
			out = append(out, pixel)
		}
	}
	return out
}

func TestConv2D(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, c := range []struct {
			name      string
			pic       Picture
			in, out   int
			kernel    int
			w         tensor.DType
			src, dst  bool
			precision Precision
			residual  bool
		}{
			{"3×3", Picture{Height: 7, Width: 9}, 16, 17, 3, tensor.BF16, false, false, Float32, false},
			{"3×3 bfloat16", Picture{Height: 13, Width: 6}, 24, 33, 3, tensor.BF16, true, true, BFloat16, true},
			{"3×3 rounded", Picture{Height: 5, Width: 6}, 8, 5, 3, tensor.F32, false, false, BFloat16, false},
			{"blocks of k", Picture{Height: 6, Width: 7}, 104, 7, 3, tensor.BF16, true, false, Float32, true},
			{"blocks of pairs", Picture{Height: 6, Width: 7}, 104, 7, 3, tensor.BF16, true, false, BFloat16, false},
			{"three channels", Picture{Height: 8, Width: 12}, 3, 16, 3, tensor.F32, false, true, Float32, false},
			{"three channels rounded", Picture{Height: 8, Width: 12}, 3, 16, 3, tensor.BF16, true, true, BFloat16, false},
			{"to three", Picture{Height: 11, Width: 17}, 16, 3, 3, tensor.F16, true, false, Float32, false},
			{"1×1", Picture{Height: 5, Width: 7}, 32, 31, 1, tensor.BF16, false, false, Float32, false},
			{"float8", Picture{Height: 5, Width: 7}, 16, 6, 3, tensor.F8E4M3, false, false, Float32, false},
			{"upsample", Picture{Height: 5, Width: 6, Upsample: true}, 16, 17, 3, tensor.BF16, false, false, Float32, true},
			{"down even", Picture{Height: 8, Width: 10, Downsample: true}, 16, 7, 3, tensor.BF16, false, false, Float32, false},
			{"down odd", Picture{Height: 9, Width: 7, Downsample: true}, 16, 7, 3, tensor.BF16, true, false, BFloat16, false},
			{"one pixel", Picture{Height: 1, Width: 1}, 8, 4, 3, tensor.F32, false, false, Float32, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				src := randomMatrix(r, c.pic.Height*c.pic.Width, c.in, c.src)
				scale := float32(1)
				if c.w == tensor.F8E4M3 {
					scale = 0.3
				}
				w := randomWeight(r, c.w, scale, c.out, c.in, c.kernel, c.kernel)
				height, width := Conv2DSize(c.pic, c.kernel, c.kernel)
				dst := randomMatrix(r, height*width, c.out, c.dst)
				before := clone(dst)
				ep := Epilogue{Bias: randomMatrix(r, 1, c.out, false).F32, Residual: c.residual}
				Conv2D(nil, dst, src, c.pic, w, c.precision, ep)
				for i, row := range convolve(src, c.pic, w, c.precision) {
					for j, want := range row {
						want += float64(ep.Bias[j])
						if c.residual {
							want += before.get(i, j)
						}
						within(t, fmt.Sprintf("pixel %d channel %d", i, j), dst.get(i, j), want, bound(c.in*c.kernel*c.kernel), c.dst)
					}
					for j := c.out; j < dst.Stride; j++ {
						if dst.get(i, j) != before.get(i, j) {
							t.Fatalf("wrote past pixel %d", i)
						}
					}
				}
			})
		}
	})
}

// TestConv2DNaN checks that a NaN in one pixel reaches only the results whose kernel covers that pixel: padding is 0,
// and is not read from memory beside the picture's rows.
func TestConv2DNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		src := randomMatrix(r, 5*6, 8, false)
		w := randomWeight(r, tensor.BF16, 1, 4, 8, 3, 3)
		dst := randomMatrix(r, 5*6, 4, false)
		nan := src.F32[0] - src.F32[0]
		src.F32[0] = nan / nan
		Conv2D(nil, dst, src, Picture{Height: 5, Width: 6}, w, Float32, Epilogue{})
		for i := range 30 {
			near := i/6 <= 1 && i%6 <= 1
			if got := dst.get(i, 0); (got != got) != near {
				t.Fatalf("pixel %d is %v", i, got)
			}
		}
	})
}
