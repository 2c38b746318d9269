package matmul

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// eachInt8 runs a test with each path for int8 that this processor has, and with the Go model of AMX.
func eachInt8(tb testing.TB, f func(name string)) {
	for p := simd.Int8Generic; p <= simd.Int8AMX; p++ {
		if restore, err := simd.UseInt8(p); err != nil {
			tb.Log(err)
		} else {
			f(p.String())
			restore()
		}
	}
	restore := simd.UseTileModel()
	defer restore()
	f("tiles in plain Go")
}

// int8Weight returns a random weight whose data is not aligned, with all values from -128 on.
func int8Weight(r *rand.Rand, n, k, group int, rows bool) tensor.Tensor {
	data := make([]byte, 1+n*k)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	w := tensor.Tensor{Name: "w", DType: tensor.I8, Shape: []int{n, k}, Data: data[1:], Scale: 0.01}
	if rows || group > 0 {
		w.Quant = &tensor.Quant{Rotation: group}
	}
	if rows {
		w.Scale, w.Quant.Rows = 1, make([]float32, n)
		for i := range w.Quant.Rows {
			w.Quant.Rows[i] = 0.004 + r.Float32()/200
		}
	}
	return w
}

// storedInt8 returns a weight that LinearInt8 can use.
func storedInt8(t tensor.Tensor) Int8Weight {
	w, ok := StoredInt8(t)
	if !ok {
		panic("no int8 weight: " + t.Name)
	}
	return w
}

// int8Row quantises a row by the formula of ComfyUI's kernels, and returns its values and its scale.
func int8Row(x []float32, group int) ([]int32, float32) {
	x = slices.Clone(x)
	tensor.Rotate(x, group)
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	scale := max(largest/127, 1e-30)
	q := make([]int32, len(x))
	for i, v := range x {
		q[i] = int32(max(-128, min(127, math.RoundToEven(float64(v*(1/scale))))))
	}
	return q, scale
}

// TestLinearInt8 compares products on all paths with the formula in plain integers, to the bit: with ragged sizes,
// several blocks of k, slices of weights, rotations, and bfloat16.
func TestLinearInt8(t *testing.T) {
	eachInt8(t, func(name string) {
		r := rand.New(rand.NewPCG(51, 52))
		for _, s := range []struct {
			m, n, k, group int
			rows, bf16     bool
		}{
			{1, 1, 1, 0, false, false}, {1, 300, 64, 16, true, false}, {5, 7, 3, 0, true, true}, {31, 33, 80, 16, true, true},
			{33, 65, 256, 256, true, false}, {70, 33, 1100, 4, true, true}, {13, 130, 2304, 256, true, true},
			{2, 3, 0, 0, true, false}, {67, 259, 192, 64, false, true},
		} {
			a := randomMatrix(r, s.m, s.k, s.bf16)
			w := int8Weight(r, s.n+2, s.k, s.group, s.rows).Slice(1, s.n+1)
			dst := randomMatrix(r, s.m, s.n, false)
			LinearInt8(nil, a, Int8Product{Dst: dst, Weight: storedInt8(w)})
			scales := storedInt8(w).scales
			for i := range s.m {
				x := make([]float32, s.k)
				for j := range x {
					x[j] = float32(a.get(i, j))
				}
				q, scale := int8Row(x, s.group)
				for j := range s.n {
					sum := int32(0)
					for k, v := range q {
						sum += v * int32(int8(w.Data[j*s.k+k]))
					}
					want := float32(float32(float32(sum)*scale) * scales[j])
					if got := float32(dst.get(i, j)); got != want {
						t.Fatalf("%s: %+v: [%d,%d] is %v, want %v", name, s, i, j, got, want)
					}
				}
			}
		}
	})
}

// TestLinearInt8Epilogues checks that several products of one input, their epilogues, and any number of goroutines give
// the bits that the product without epilogue implies.
func TestLinearInt8Epilogues(t *testing.T) {
	eachInt8(t, func(name string) {
		r := rand.New(rand.NewPCG(53, 54))
		const m, n, k = 70, 90, 1280
		a := randomMatrix(r, m, k, true)
		w, other := int8Weight(r, n, k, 256, true), int8Weight(r, n+40, k, 256, true)
		y, z := randomMatrix(r, m, n, false), randomMatrix(r, m, n+40, false)
		LinearInt8(nil, a, Int8Product{Dst: y, Weight: storedInt8(w)})
		LinearInt8(nil, a, Int8Product{Dst: z, Weight: storedInt8(other)})
		bias, gate := randomMatrix(r, 1, n, false).F32, randomMatrix(r, 1, n, false).F32
		old := randomMatrix(r, m, n, false)
		for _, procs := range []int{1, 3} {
			restore := runtime.GOMAXPROCS(procs)
			dst, stored := clone(old), make([]float32, m*(n+40))
			store := func(row, col int, y, _ []float32) { copy(stored[row*(n+40)+col:], y) }
			LinearInt8(nil, a, Int8Product{dst, storedInt8(w), Epilogue{Bias: bias, Gate: gate, Residual: true}},
				Int8Product{Matrix{}, storedInt8(other), Epilogue{Store: store}})
			runtime.GOMAXPROCS(restore)
			for i := range m {
				for j := range n + 40 {
					if got, want := stored[i*(n+40)+j], z.F32[i*z.Stride+j]; got != want {
						t.Fatalf("%s, %d goroutines: stored [%d,%d] is %v, want %v", name, procs, i, j, got, want)
					}
				}
				for j := range n {
					want := old.get(i, j) + float64(gate[j])*float64(float32(y.get(i, j))+bias[j])
					if got := dst.get(i, j); math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
						t.Fatalf("%s, %d goroutines: [%d,%d] is %v, want %v", name, procs, i, j, got, want)
					}
				}
			}
		}
	})
}

// TestQuantiseRows checks that a weight that was quantised in memory gives the products of the same weight in a file,
// whole and in slices that begin and end anywhere.
func TestQuantiseRows(t *testing.T) {
	eachInt8(t, func(name string) {
		r := rand.New(rand.NewPCG(57, 58))
		for _, k := range []int{1, 48, 256, 1100} {
			const m, n = 37, 130
			a := randomMatrix(r, m, k, false)
			for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16, tensor.F32} {
				src := randomWeight(r, dtype, 1, n, k)
				w := NewInt8Weight(make([]byte, Int8Bytes(n, k)), n, k)
				w.QuantiseRows(src, 64, n)
				w.QuantiseRows(src, 0, 64)
				file := tensor.Tensor{DType: tensor.I8, Shape: []int{n, k}, Data: make([]byte, n*k), Scale: 1}
				file.Quant = &tensor.Quant{Rows: make([]float32, n), Rotation: tensor.RotationFor(k)}
				values := src.Float32s()
				for i := range n {
					q, scale := int8Row(values[i*k:(i+1)*k], file.Quant.Rotation)
					file.Quant.Rows[i] = scale
					for j, v := range q {
						file.Data[i*k+j] = byte(v)
					}
				}
				for _, s := range [][2]int{{0, n}, {32, 96}, {32, 77}, {5, 129}, {96, 97}} {
					have, want := randomMatrix(r, m, s[1]-s[0], false), randomMatrix(r, m, s[1]-s[0], false)
					LinearInt8(nil, a, Int8Product{Dst: have, Weight: w.Slice(s[0], s[1])})
					LinearInt8(nil, a, Int8Product{Dst: want, Weight: storedInt8(file.Slice(s[0], s[1]))})
					for i := range m {
						for j := range s[1] - s[0] {
							if have.get(i, j) != want.get(i, j) {
								t.Fatalf("%s: %v [%d %d], rows %v: [%d,%d] is %v, want %v", name, dtype, n, k, s, i, j,
									have.get(i, j), want.get(i, j))
							}
						}
					}
				}
			}
		}
	})
}

// TestQuantisedOnAnotherPath checks that a weight gives the same bits on every path, whichever path quantised it: the
// paths keep it in layouts of their own.
func TestQuantisedOnAnotherPath(t *testing.T) {
	r := rand.New(rand.NewPCG(59, 60))
	const m, n, k = 21, 103, 330
	a, src := randomMatrix(r, m, k, false), randomWeight(r, tensor.BF16, 1, n, k)
	var weights []Int8Weight
	var names []string
	eachInt8(t, func(name string) {
		w := NewInt8Weight(make([]byte, Int8Bytes(n, k)), n, k)
		w.QuantiseRows(src, 0, n)
		weights, names = append(weights, w), append(names, name)
	})
	var want []float32
	eachInt8(t, func(name string) {
		for i, w := range weights {
			dst := Matrix{Rows: m, Cols: n, Stride: n, F32: make([]float32, m*n)}
			LinearInt8(nil, a, Int8Product{Dst: dst, Weight: w})
			if want == nil {
				want = dst.F32
			}
			if !slices.Equal(dst.F32, want) {
				t.Errorf("quantised by %s, multiplied by %s: another result", names[i], name)
			}
		}
	})
}

// TestLinearInt8NaN checks that a NaN or an infinity in a row of the input makes that row of the result NaN, and no
// other, and that a row of zeros gives zeros.
func TestLinearInt8NaN(t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		a, w := randomMatrix(r, 19, 64, false), int8Weight(r, 21, 64, 16, true)
		a.F32[a.Stride+39] = float32(bad)
		clear(a.F32[2*a.Stride : 3*a.Stride])
		dst := randomMatrix(r, 19, 21, false)
		LinearInt8(nil, a, Int8Product{Dst: dst, Weight: storedInt8(w)})
		for i := range 19 {
			for j := range 21 {
				if v := dst.get(i, j); math.IsNaN(v) != (i == 1) || i == 2 && v != 0 {
					t.Fatalf("%v in row 1, zeros in row 2: [%d,%d] = %v", bad, i, j, v)
				}
			}
		}
	}
}

// BenchmarkQuantiseRows quantises a weight of a block into memory whose pages are there, on one thread, and reports the
// time for a value.
func BenchmarkQuantiseRows(b *testing.B) {
	const n, k = 3072, 3072
	src, memory := randomWeight(rand.New(rand.NewPCG(1, 2)), tensor.BF16, 1, n, k), make([]byte, Int8Bytes(n, k))
	for p := simd.Int8AVX2; p <= simd.Int8AMX; p++ {
		restore, err := simd.UseInt8(p)
		if err != nil {
			continue
		}
		b.Run(p.String(), func(b *testing.B) {
			count := 0
			for b.Loop() {
				NewInt8Weight(memory, n, k).QuantiseRows(src, 0, n)
				count += n * k
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(count), "ns/value")
		})
		restore()
	}
}

// BenchmarkInt8 multiplies by weights of int8, rotated by 256, with the shapes of the 4B model, and reports the rate
// and the time as a multiple of that of bfloat16 weights on the fastest float path. Both take turns, and the best turn
// of each counts, so that other programs disturb less. A weight is stored in a file, or quantised in memory.
func BenchmarkInt8(b *testing.B) {
	restoreFloat, err := simd.Use(simd.Fastest(simd.Measure()))
	if err != nil {
		b.Fatal(err)
	}
	defer restoreFloat()
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct{ m, n, k int }{
		{768, 3072, 3072}, {768, 18432, 3072}, {768, 3072, 12288}, {256, 3072, 3072},
	} {
		a, dst := randomMatrix(r, s.m, s.k, true), randomMatrix(r, s.m, s.n, true)
		plain, w := randomWeight(r, tensor.BF16, 1, s.n, s.k), int8Weight(r, s.n, s.k, 256, true)
		for p := simd.Int8AVX2; p <= simd.Int8AMX; p++ {
			restore, err := simd.UseInt8(p)
			if err != nil {
				continue
			}
			quantised := NewInt8Weight(make([]byte, Int8Bytes(s.n, s.k)), s.n, s.k)
			quantised.QuantiseRows(plain, 0, s.n)
			for where, w := range map[string]Int8Weight{"file": storedInt8(w), "memory": quantised} {
				b.Run(fmt.Sprintf("%d×%d×%d %v %s", s.m, s.n, s.k, p, where), func(b *testing.B) {
					best := [2]time.Duration{time.Hour, time.Hour}
					for b.Loop() {
						for i, f := range []func(){
							func() { Linear(nil, dst, a, plain, BFloat16, Epilogue{}) },
							func() { LinearInt8(nil, a, Int8Product{Dst: dst, Weight: w}) },
						} {
							begin := time.Now()
							f()
							best[i] = min(best[i], time.Since(begin))
						}
					}
					b.ReportMetric(float64(best[1])/float64(best[0]), "×bf16")
					b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)/float64(best[1].Nanoseconds()), "Gop/s")
				})
			}
			restore()
		}
	}
}
