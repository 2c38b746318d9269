package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// eachInt8 runs a test with each int8 path that this processor has.
func eachInt8(t *testing.T, f func(t *testing.T)) {
	for p := range Int8Path(len(int8Names)) {
		t.Run(p.String(), func(t *testing.T) {
			restore, err := UseInt8(p)
			if err != nil {
				t.Skip(err)
			}
			defer restore()
			f(t)
		})
	}
	t.Run("tiles in plain Go", func(t *testing.T) {
		defer UseTileModel()()
		f(t)
	})
}

// TestMulInt8 compares the kernels with sums of integers, which must be equal: with all values, -128 and 127 among
// them, and sums that wrap around.
func TestMulInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T) {
		kernel := Int8()
		r := rand.New(rand.NewPCG(41, 42))
		values := kernel.Values()
		bits := 32 / values
		at := func(word, row int) int { return word*kernel.MR + row } // the index in a panel of A
		if kernel.Tiles {
			at = func(word, row int) int { return (word/TileWords*kernel.MR+row)*TileWords + word%TileWords }
		}
		for _, k := range depths {
			if kernel.Tiles {
				k = roundUp(k, TileWords)
			}
			word := func() float32 {
				w := uint32(0)
				for v := range values {
					q := []int8{-128, 127, int8(r.Uint32()), int8(r.Uint32())}[r.IntN(4)]
					w |= uint32(int32(q)) & (1<<bits - 1) << (v * bits)
				}
				return math.Float32frombits(w)
			}
			value := func(w float32, v int) int32 {
				return int32(math.Float32bits(w)<<(32-(v+1)*bits)) >> (32 - bits)
			}
			a, b, c := make([]float32, k*kernel.MR), make([]float32, k*kernel.NR), make([]float32, kernel.MR*kernel.NR)
			for _, s := range [][]float32{a, b} {
				for i := range s {
					s[i] = word()
				}
			}
			for i := range c {
				c[i] = math.Float32frombits(r.Uint32())
			}
			for _, add := range []bool{true, false} {
				before := append([]float32(nil), c...)
				kernel.Mul(k, a, b, c, kernel.NR, add)
				for i := range kernel.MR {
					for j := range kernel.NR {
						want, sum := int32(0), int32(0)
						if add {
							want = int32(math.Float32bits(before[i*kernel.NR+j]))
						}
						for s := range k {
							for v := range values {
								x := value(a[at(s, i)], v)
								want += x * value(b[s*kernel.NR+j], v)
								sum += x
							}
						}
						want += kernel.Offset * sum
						if got := int32(math.Float32bits(c[i*kernel.NR+j])); got != want {
							t.Fatalf("k %d add %v: c[%d,%d] = %d, want %d", k, add, i, j, got, want)
						}
					}
				}
			}
		}
	})
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// TestInt8Rows compares the operations around products of int8 with their definitions in plain Go, to the bit, and
// with rows of all lengths.
func TestInt8Rows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(43, 44))
		for _, n := range []int{0, 1, 7, 31, 32, 33, 64, 100, 256} {
			x := random(r, n)
			for i := range x {
				x[i] *= 3
			}
			m := Magnitude(x)
			if want := vectorGeneric.magnitude(x); m != want {
				t.Fatalf("%d values: magnitude %v, want %v", n, m, want)
			}
			checkRow(t, x, 0)
			sums, scales := make([]float32, n), random(r, n)
			bytes, words := make([]byte, n), make([]int16, n)
			for i := range sums {
				sums[i], bytes[i] = math.Float32frombits(r.Uint32()), byte(r.Uint32())
			}
			y, z := make([]float32, n), make([]float32, n)
			ScaleI32(y, sums, 0.37, math.MaxInt32, scales)
			vectorGeneric.scaleI32(z, sums, 0.37, math.MaxInt32, scales)
			WidenI8(words, bytes)
			for i := range y {
				if y[i] != z[i] {
					t.Fatalf("%d values: sum %d is %v, want %v", n, i, y[i], z[i])
				}
				if words[i] != int16(int8(bytes[i])) {
					t.Fatalf("%d values: byte %d is %d, want %d", n, i, words[i], int8(bytes[i]))
				}
			}
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
				if n > 0 {
					x[n/2] = bad
					if m := Magnitude(x); m == m && !math.IsInf(float64(m), 1) {
						t.Fatalf("%d values with %v: magnitude %v", n, bad, m)
					}
				}
			}
		}
		for _, group := range []int{4, 16, 64, 256} {
			for range 20 {
				checkRow(t, random(r, 3*group), group)
			}
		}
		checkRow(t, make([]float32, 512), 256)
	})
}

// checkRow rotates and quantises a row, in float32 and in bfloat16, and compares with the definition, to the bit.
func checkRow(t *testing.T, x []float32, group int) {
	t.Helper()
	n := len(x)
	half := make([]uint16, n)
	for i := range half {
		half[i] = tensor.F32ToBF16(x[i])
	}
	widened := make([]float32, n)
	vectorGeneric.widenBF16(widened, half)
	for i, row := range [][]float32{x, widened} {
		want := append([]float32(nil), row...)
		tensor.Rotate(want, group)
		if rotated := append([]float32(nil), row...); n > 0 {
			Rotate(rotated, group)
			if !slices.Equal(rotated, want) {
				t.Fatalf("%d values rotated by %d: %v, want %v to the bit", n, group, rotated, want)
			}
		}
		if n > 3 && group == 0 && i == 0 {
			s := tensor.Int8Scale(Magnitude(x))
			want[1], want[2] = 2.5*s, -3.5*s // ties
			x[1], x[2] = want[1], want[2]
		}
		ints, wantInts, scratch := make([]int8, n), make([]int8, n), make([]float32, n)
		wantScale := tensor.QuantiseInt8(wantInts, want)
		scale := QuantiseF32(ints, row, scratch, group)
		if i == 1 {
			scale = QuantiseBF16(ints, half, scratch, group)
		}
		if scale != wantScale || !slices.Equal(ints, wantInts) {
			t.Fatalf("%d values rotated by %d: %v · %v, want %v · %v", n, group, scale, ints, wantScale, wantInts)
		}
	}
}

func TestMeasureInt8(t *testing.T) {
	before := CurrentInt8()
	rates, paths := MeasureInt8(), Int8Paths()
	if len(rates) != len(paths) || len(rates) == 0 {
		t.Fatalf("%d rates of %d paths", len(rates), len(paths))
	}
	for i, r := range rates {
		if r.Path != paths[i] || !(r.OPS > 0) {
			t.Errorf("rate %d is %+v, want one of %v", i, r, paths[i])
		}
		t.Logf("%v: %.1f Gop/s", r.Path, r.OPS*1e-9)
		if got, err := ParseInt8Path(r.Path.String()); err != nil || got != r.Path {
			t.Errorf("%v: %v, %v", r.Path, got, err)
		}
	}
	if CurrentInt8() != before {
		t.Errorf("MeasureInt8 changed the current path from %v to %v", before, CurrentInt8())
	}
	if _, err := ParseInt8Path("SSE2"); err == nil {
		t.Error("SSE2: no error")
	}
}

func TestFastestInt8(t *testing.T) {
	for _, c := range []struct {
		rates []Int8Rate
		float Rate
		want  Int8Path
		clear bool
	}{
		{[]Int8Rate{{Int8AVX2, 15e10}, {Int8AVXVNNI, 4e11}}, Rate{AVX2, 1e11}, Int8AVXVNNI, true},
		{[]Int8Rate{{Int8AVX512, 2e11}, {Int8AVX512VNNI, 1e11}, {Int8AMX, 34e11}}, Rate{AMX, 17e11}, Int8AMX, true},
		{[]Int8Rate{{Int8Generic, 1e9}}, Rate{Generic, 2e9}, Int8Generic, false},
		{[]Int8Rate{{Int8Generic, 0}}, Rate{Generic, 0}, Int8Generic, false}, // the only paths are not measured
	} {
		if best := FastestInt8(c.rates); best.Path != c.want || best.ClearlyFaster(c.float) != c.clear {
			t.Errorf("%v: %v, clearly faster than %v: %v", c.rates, best, c.float, best.ClearlyFaster(c.float))
		}
	}
}

// BenchmarkQuantiseRow rotates and quantises a row of activations.
func BenchmarkQuantiseRow(b *testing.B) {
	x, q, scratch := make([]uint16, 3072), make([]int8, 3072), make([]float32, 3072)
	RoundBF16(x, random(rand.New(rand.NewPCG(1, 2)), len(x)))
	for _, group := range []int{0, 256} {
		b.Run(map[int]string{0: "plain", 256: "rotated"}[group], func(b *testing.B) {
			for b.Loop() {
				QuantiseBF16(q, x, scratch, group)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/value")
		})
	}
}
