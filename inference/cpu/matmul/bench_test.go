package matmul

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// measure runs f and reports its rate, and the share of the peak of all cores, which is measured right after.
func measure(b *testing.B, flops float64, precision Precision, f func()) {
	b.Helper()
	n := 0
	for b.Loop() {
		f()
		n++
	}
	rate := float64(n) * flops / b.Elapsed().Seconds()
	b.ReportMetric(rate*1e-9, "GFLOP/s")
	b.ReportMetric(100*rate/peak(precision), "%peak")
}

// peak returns the rate of multiply-adds in registers on all cores.
func peak(precision Precision) (rate float64) {
	f := simd.Peak
	if _, ok := simd.BF16(); ok && precision == BFloat16 {
		f = simd.PeakBF16
	}
	for range 5 {
		var wg sync.WaitGroup
		ops := make([]int, runtime.GOMAXPROCS(0))
		begin := time.Now()
		for i := range ops {
			wg.Go(func() { ops[i] = f(1_000_000) })
		}
		wg.Wait()
		total := 0
		for _, n := range ops {
			total += n
		}
		rate = max(rate, float64(total)/time.Since(begin).Seconds())
	}
	return rate
}

func filled(rows, cols int) Matrix {
	m := Matrix{Rows: rows, Cols: cols, Stride: cols, BF16: make([]uint16, rows*cols)}
	for i := range m.BF16 {
		m.BF16[i] = uint16(0x3c00 + i%509 - i%3<<15)
	}
	return m
}

// eachPath runs a benchmark for each path that this processor has.
func eachPath(b *testing.B, f func(b *testing.B, precision Precision)) {
	for _, path := range simd.Paths() {
		b.Run(path.String(), func(b *testing.B) {
			restore, err := simd.Use(path)
			if err != nil {
				b.Fatal(err)
			}
			defer restore()
			precision := Float32
			if path.MultipliesBF16() {
				precision = BFloat16
			}
			f(b, precision)
		})
	}
}

func BenchmarkLinear(b *testing.B) {
	eachPath(b, func(b *testing.B, precision Precision) {
		for _, shape := range [][3]int{
			{512, 9728, 2560}, {768, 3072, 3072}, {768, 27648, 3072}, {768, 3072, 12288}, {1536, 3072, 3072},
			{1536, 27648, 3072},
			{1536, 3072, 12288},
		} {
			m, n, k := shape[0], shape[1], shape[2]
			b.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(b *testing.B) {
				a, w, dst := filled(m, k), randomWeight(rand.New(rand.NewPCG(1, 2)), tensor.BF16, 1, n, k), filled(m, n)
				measure(b, 2*float64(m)*float64(n)*float64(k), precision, func() { Linear(nil, dst, a, w, precision, Epilogue{}) })
			})
		}
	})
	b.Run(fmt.Sprintf("%v/1x18432x3072", simd.Current()), func(b *testing.B) {
		a, w, dst := filled(1, 3072), randomWeight(rand.New(rand.NewPCG(1, 2)), tensor.BF16, 1, 18432, 3072), filled(1, 18432)
		n := 0
		for b.Loop() {
			Linear(nil, dst, a, w, Float32, Epilogue{})
			n++
		}
		b.ReportMetric(float64(n*len(w.Data))/b.Elapsed().Seconds()*1e-9, "GB/s")
	})
}

// BenchmarkAttention counts 4·S²·Dim operations per head.
func BenchmarkAttention(b *testing.B) {
	eachPath(b, func(b *testing.B, precision Precision) {
		for _, s := range []int{768, 1536, 4608} {
			b.Run(fmt.Sprintf("%dx24x128", s), func(b *testing.B) {
				o, q, k, v := filled(s, 24*128), filled(s, 24*128), filled(s, 24*128), filled(s, 24*128)
				measure(b, 4*float64(s)*float64(s)*24*128, precision, func() {
					Attention(nil, o, q, k, v, Heads{Query: 24, KV: 24, Dim: 128, Scale: 0.088}, precision)
				})
			})
		}
	})
}

func BenchmarkConv2D(b *testing.B) {
	eachPath(b, func(b *testing.B, precision Precision) {
		for _, s := range []struct{ side, in, out int }{
			{64, 512, 512}, {128, 512, 512}, {256, 512, 512}, {512, 256, 256}, {1024, 128, 128}, {1024, 128, 3},
		} {
			b.Run(fmt.Sprintf("%d²x%dx%d", s.side, s.in, s.out), func(b *testing.B) {
				pixels := s.side * s.side
				src, dst := filled(pixels, s.in), filled(pixels, s.out)
				w := randomWeight(rand.New(rand.NewPCG(1, 2)), tensor.BF16, 1, s.out, s.in, 3, 3)
				measure(b, 18*float64(pixels)*float64(s.in*s.out), precision, func() {
					Conv2D(nil, dst, src, Picture{Height: s.side, Width: s.side}, w, precision, Epilogue{})
				})
			})
		}
	})
}
