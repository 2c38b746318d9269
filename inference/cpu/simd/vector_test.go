package simd

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

var lengths = []int{0, 1, 5, 6, 7, 8, 15, 16, 17, 31, 32, 33, 127, 129, 4097}

// ulps returns the distance of got from want in units in the last place of want as a float32.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case math.IsNaN(want) || math.IsNaN(float64(got)):
		if math.IsNaN(want) && math.IsNaN(float64(got)) {
			return 0
		}
		return math.Inf(1)
	case got == w:
		return 0
	case math.IsInf(float64(w), 0) || math.IsInf(float64(got), 0):
		return math.Inf(1)
	}
	ulp := math.Ldexp(1, max(math.Ilogb(want), -126)-23)
	return math.Abs(float64(got)-want) / ulp
}

// sweep returns float32 values over the whole range: special values, and every stride-th bit pattern.
func sweep(stride uint32) []float32 {
	s := []float32{
		0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
		math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32,
		88.72283, 88.72284, -87.33655, -103.97208, -103.97209, -104,
	}
	for b := uint64(0); b < 1<<32; b += uint64(stride) {
		s = append(s, math.Float32frombits(uint32(b)))
	}
	// More values where the exponential is neither 0 nor infinite.
	for x := -105.0; x < 90; x += float64(stride) / (1 << 28) {
		s = append(s, float32(x))
	}
	return s
}

func stride() uint32 {
	if testing.Short() {
		return 1<<20 + 7
	}
	return 1<<12 + 7
}

func TestExp(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		a := sweep(stride())
		got := make([]float32, len(a))
		Exp(got, a)
		worst := 0.0
		for i, x := range a {
			d := ulps(got[i], math.Exp(float64(x)))
			if worst = max(worst, d); !(d <= 2) {
				t.Fatalf("exp(%v) = %v, off by %v ulp", x, got[i], d)
			}
		}
		t.Logf("worst %.3f ulp", worst)
	})
}

func TestSiLU(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		a := sweep(stride())
		got := make([]float32, len(a))
		SiLU(got, a)
		worst := 0.0
		for i, x := range a {
			want := float64(x) / (1 + math.Exp(-float64(x)))
			if math.IsInf(float64(x), -1) {
				want = math.NaN()
			}
			d := ulps(got[i], want)
			if x < -87 && math.Abs(float64(got[i])-want) < 1.5e-36 {
				continue
			}
			if worst = max(worst, d); !(d <= 4) {
				t.Fatalf("silu(%v) = %v, want %v, off by %v ulp", x, got[i], want, d)
			}
		}
		t.Logf("worst %.3f ulp", worst)
	})
}

func TestElementwise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fma := func(a, b, c float32) float64 { return float64(a)*float64(b) + float64(c) }
	for _, row := range []struct {
		name  string
		ulp   float64 // the allowed error: more than 0 for operations of several steps, and for want in float64
		apply func(dst, a, b, c []float32)
		want  func(a, b, c float32) float64
	}{
		{"add", 0, func(d, a, b, c []float32) { Add(d, a, b) }, func(a, b, c float32) float64 { return float64(a + b) }},
		{"mulAdd", 0.5001, func(d, a, b, c []float32) { MulAdd(d, a, b, c) }, fma},
		{"scale", 0, func(d, a, b, c []float32) { Scale(d, a, 0.3) },
			func(a, b, c float32) float64 { return float64(a * 0.3) }},
		{"normalize", 0, func(d, a, b, c []float32) { Normalize(d, a, 0.1, 3) },
			func(a, b, c float32) float64 { v := a - 0.1; return float64(v * 3) }},
		{"relu", 0, func(d, a, b, c []float32) { ReLU(d, a) },
			func(a, b, c float32) float64 { return math.Max(float64(a), 0) }},
		{"siluMul", 5, func(d, a, b, c []float32) { SiLUMul(d, a, b) },
			func(a, b, c float32) float64 { return float64(a) / (1 + math.Exp(-float64(a))) * float64(b) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T) {
				for _, n := range lengths {
					a, b, c := random(r, n), random(r, n), random(r, n)
					if n > 4 {
						a[3] = float32(math.NaN())
					}
					dst := make([]float32, n+1)
					row.apply(dst[:n], a, b, c)
					for i := range n {
						if d := ulps(dst[i], row.want(a[i], b[i], c[i])); !(d <= row.ulp) {
							t.Fatalf("n %d: element %d is %v, want %v", n, i, dst[i], row.want(a[i], b[i], c[i]))
						}
					}
					if dst[n] != 0 {
						t.Fatalf("n %d: wrote past the end", n)
					}
					row.apply(a, a, b, c) // in place
					for i := range n {
						if a[i] != dst[i] && !math.IsNaN(float64(a[i])) {
							t.Fatalf("n %d: in place, element %d is %v, apart it is %v", n, i, a[i], dst[i])
						}
					}
				}
			})
		})
	}
}

// TestConversions checks the conversions of all values of the small formats, and all cases of rounding to bfloat16.
func TestConversions(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		same := func(name string, code int, got, want float32) {
			t.Helper()
			if math.Float32bits(got) != math.Float32bits(want) && !(math.IsNaN(float64(got)) && math.IsNaN(float64(want))) {
				t.Fatalf("%s: %#x is %v, want %v", name, code, got, want)
			}
		}
		words, bytes := make([]uint16, 1<<16), make([]uint8, 256)
		for i := range words {
			words[i] = uint16(i)
		}
		for i := range bytes {
			bytes[i] = uint8(i)
		}
		dst := make([]float32, 1<<16)
		WidenBF16(dst, words)
		for i, v := range dst {
			same("bfloat16", i, v, tensor.BF16ToF32(uint16(i)))
		}
		WidenF16(dst, words)
		for i, v := range dst {
			same("half", i, v, tensor.F16ToF32(uint16(i)))
		}
		WidenF8E4M3(dst[:256], bytes)
		for i, v := range dst[:256] {
			same("float8", i, v, tensor.F8E4M3ToF32(uint8(i)))
		}
		var a []float32
		for i := range 1 << 16 {
			for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
				a = append(a, math.Float32frombits(uint32(i)<<16|low))
			}
		}
		got := make([]uint16, len(a))
		RoundBF16(got, a)
		for i, v := range a {
			if want := tensor.F32ToBF16(v); got[i] != want {
				t.Fatalf("bfloat16 of %08x is %04x, want %04x", math.Float32bits(v), got[i], want)
			}
		}
		for _, n := range lengths {
			pairs := make([]float32, n+1)
			PairBF16(pairs[:n], words[n:], words[3:])
			for i, v := range pairs[:n] {
				if want := uint32(n+i) | uint32(i+3)<<16; math.Float32bits(v) != want {
					t.Fatalf("n %d: pair %d is %08x, want %08x", n, i, math.Float32bits(v), want)
				}
			}
			if pairs[n] != 0 {
				t.Fatalf("n %d: pairs past the end", n)
			}
			from := a[len(a)-n:]
			to := make([]uint16, n+1)
			RoundBF16(to[:n], from)
			wide := make([]float32, n+1)
			WidenBF16(wide[:n], to)
			for i, v := range from {
				if to[i] != tensor.F32ToBF16(v) {
					t.Fatalf("n %d: element %d is %04x", n, i, to[i])
				}
			}
			if to[n] != 0 || wide[n] != 0 {
				t.Fatalf("n %d: wrote past the end", n)
			}
		}
	})
}

func TestReductions(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, n := range lengths {
			a, b := random(r, n), random(r, n)
			half := make([]uint16, n)
			RoundBF16(half, b)
			var sum, squares, dot, dotHalf, size float64
			top := math.Inf(-1)
			for i, v := range a {
				sum += float64(v)
				squares += (float64(v) - 0.25) * (float64(v) - 0.25)
				dot += float64(v) * float64(b[i])
				dotHalf += float64(v) * float64(tensor.BF16ToF32(half[i]))
				size += math.Abs(float64(v) * float64(b[i]))
				top = max(top, float64(v))
			}
			// The error of a float64 sum in another order, for terms up to 2.
			exact := float64(2*n) * 0x1p-52
			single := float64(n/32+7) * 0x1p-24 * (size + 1)
			for _, c := range []struct {
				name             string
				got, want, bound float64
			}{
				{"sum", Sum(a), sum, exact},
				{"sum of squares", SumSquares(a, 0.25), squares, exact},
				{"dot", float64(Dot(a, b)), dot, single},
				{"dot with bfloat16", float64(DotBF16(a, half)), dotHalf, single},
			} {
				if !(math.Abs(c.got-c.want) <= c.bound) {
					t.Fatalf("n %d: %s %v, want %v ± %v", n, c.name, c.got, c.want, c.bound)
				}
			}
			if got := Max(a); float64(got) != top {
				t.Fatalf("n %d: max %v, want %v", n, got, top)
			}
			for i := range a {
				if i > 40 && i < n-40 {
					continue
				}
				old := a[i]
				a[i] = float32(math.NaN())
				if got := Max(a); !math.IsNaN(float64(got)) {
					t.Fatalf("n %d: max with NaN at %d is %v", n, i, got)
				}
				a[i] = old
			}
		}
	})
}

func TestPanels(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		kernel := Float32()
		nr := kernel.NR
		for _, rows := range []int{0, 1, 2, 7, 129} {
			p := random(r, rows*nr+1)
			m, sum, s := make([]float32, nr), random(r, nr), random(r, nr)
			for j := range m {
				m[j] = float32(math.Inf(-1))
			}
			kernel.PanelMax(p, rows, m)
			for j := range nr {
				want := math.Inf(-1)
				for i := range rows {
					want = max(want, float64(p[i*nr+j]))
				}
				if float64(m[j]) != want {
					t.Fatalf("rows %d: maximum of column %d is %v, want %v", rows, j, m[j], want)
				}
			}
			e, total := append([]float32(nil), p...), append([]float32(nil), sum...)
			kernel.PanelExp(e, rows, m, total, 3)
			for j := range nr {
				want := float64(sum[j])
				for i := range rows {
					x := (p[i*nr+j] - m[j]) * 3
					if d := ulps(e[i*nr+j], math.Exp(float64(x))); !(d <= 2) {
						t.Fatalf("rows %d: exp at %d,%d off by %v ulp", rows, i, j, d)
					}
					want += float64(e[i*nr+j])
				}
				// The error of a float32 sum, in order, of terms up to 1.
				if !(math.Abs(float64(total[j])-want) <= float64(rows*(rows+1)+1)*0x1p-24) {
					t.Fatalf("rows %d: sum of column %d is %v, want %v", rows, j, total[j], want)
				}
			}
			scaled := append([]float32(nil), p...)
			kernel.PanelScale(scaled, rows, s)
			for i := range rows * nr {
				if scaled[i] != p[i]*s[i%nr] {
					t.Fatalf("rows %d: element %d scaled to %v, want %v", rows, i, scaled[i], p[i]*s[i%nr])
				}
			}
			if e[rows*nr] != p[rows*nr] || scaled[rows*nr] != p[rows*nr] {
				t.Fatalf("rows %d: wrote past the panel", rows)
			}
		}
	})
}

func TestPanelPairs(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		kernel, ok := BF16()
		if !ok {
			t.Skip("no bfloat16 products at this level")
		}
		r := rand.New(rand.NewPCG(7, 8))
		for _, pairs := range []int{0, 1, 3, 64} {
			p := random(r, 2*pairs*kernel.NR)
			for i := range p {
				if i%3 == 0 { // a tie
					p[i] = math.Float32frombits(math.Float32bits(p[i])&^0x7fff | 0x8000)
				}
			}
			dst := make([]float32, pairs*kernel.NR+1)
			kernel.PanelPairs(dst, p, pairs)
			for i := range pairs * kernel.NR {
				row, j := i/kernel.NR, i%kernel.NR
				want := uint32(tensor.F32ToBF16(p[2*row*kernel.NR+j])) | uint32(tensor.F32ToBF16(p[(2*row+1)*kernel.NR+j]))<<16
				if got := math.Float32bits(dst[i]); got != want {
					t.Fatalf("pair %d of column %d is %08x, want %08x", row, j, got, want)
				}
			}
			if dst[pairs*kernel.NR] != 0 {
				t.Fatal("wrote past the panel")
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	const n = 4096
	a, c := make([]float32, n), make([]float32, n)
	half := make([]uint16, n)
	for name, f := range map[string]func(){
		"exp":       func() { Exp(c, a) },
		"silu":      func() { SiLU(c, a) },
		"sum":       func() { Sum(a) },
		"dotBF16":   func() { DotBF16(a, half) },
		"roundBF16": func() { RoundBF16(half, a) },
		"widenBF16": func() { WidenBF16(a, half) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*n), "ns/element")
		})
	}
}
