package matmul

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// eachLevel runs a test with each level that this processor has, and with the Go model of AMX.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for l := simd.Generic; l <= simd.Highest; l++ {
		t.Run(l.String(), func(t *testing.T) {
			restore, err := simd.Use(l)
			if err != nil {
				t.Skip(err)
			}
			defer restore()
			f(t)
		})
	}
	t.Run("tiles in plain Go", func(t *testing.T) {
		defer simd.UseTileModel()()
		f(t)
	})
}

// randomMatrix returns a random matrix whose stride exceeds its columns, so that a wrong stride is noticed.
func randomMatrix(r *rand.Rand, rows, cols int, bf16 bool) Matrix {
	m := Matrix{Rows: rows, Cols: cols, Stride: cols + 3}
	if bf16 {
		m.BF16 = make([]uint16, rows*m.Stride)
	} else {
		m.F32 = make([]float32, rows*m.Stride)
	}
	for i := range rows * m.Stride {
		v := r.Float32()*2 - 1
		if bf16 {
			m.BF16[i] = tensor.F32ToBF16(v)
		} else {
			m.F32[i] = v
		}
	}
	return m
}

func (m Matrix) get(i, j int) float64 {
	if m.BF16 != nil {
		return float64(tensor.BF16ToF32(m.BF16[i*m.Stride+j]))
	}
	return float64(m.F32[i*m.Stride+j])
}

func clone(m Matrix) Matrix {
	m.F32, m.BF16 = slices.Clone(m.F32), slices.Clone(m.BF16)
	return m
}

// randomWeight returns a random weight whose data is not aligned, as it can be in a file.
func randomWeight(r *rand.Rand, dtype tensor.DType, scale float32, shape ...int) tensor.Tensor {
	n := tensor.Elements(shape)
	data := make([]byte, 1, 1+n*dtype.SizeBytes())
	for range n {
		v := r.Float32()*2 - 1
		switch dtype {
		case tensor.F32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		case tensor.BF16:
			data = binary.LittleEndian.AppendUint16(data, tensor.F32ToBF16(v))
		case tensor.F16:
			// |v| < 1, including denormals
			data = binary.LittleEndian.AppendUint16(data, uint16(r.UintN(2)<<15|r.UintN(0x3c00)))
		case tensor.F8E4M3:
			data = append(data, byte(r.UintN(2)<<7|r.UintN(0x38)))
		}
	}
	return tensor.Tensor{Name: "w", DType: dtype, Shape: shape, Data: data[1:], Scale: scale}
}

// factors returns the values of m in float64, rounded to precision.
func factors(m Matrix, precision Precision) [][]float64 {
	rows := make([][]float64, m.Rows)
	for i := range rows {
		rows[i] = make([]float64, m.Cols)
		for j := range rows[i] {
			rows[i][j] = rounded(m.get(i, j), precision)
		}
	}
	return rows
}

func rounded(v float64, precision Precision) float64 {
	if precision == BFloat16 {
		return float64(tensor.BF16ToF32(tensor.F32ToBF16(float32(v))))
	}
	return v
}

// bound returns the largest error of a float32 sum of k products of factors below 1 in magnitude: k roundings of the
// sum and a few of the epilogue, and twice that for VDPBF16PS.
func bound(k int) float64 { return 2 * float64(k+8) * 0x1p-24 }

func within(t *testing.T, what string, got, want, bound float64, bf16 bool) {
	t.Helper()
	if bf16 {
		bound += math.Abs(want) * 0x1p-8 // one rounding to bfloat16, which the float32 error may turn to the other neighbour
	}
	if !(math.Abs(got-want) <= bound) {
		t.Fatalf("%s: %v, want %v ± %v", what, got, want, bound)
	}
}

type linearCase struct {
	m, n, k   int
	a, dst    bool // the matrix is bfloat16
	w         tensor.DType
	scale     float32
	precision Precision
	bias      bool
	residual  bool
	gate      bool
	store     bool
}

func (c linearCase) run(t *testing.T) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(c.m*1000+c.n), uint64(c.k)))
	a := randomMatrix(r, c.m, c.k, c.a)
	w := randomWeight(r, c.w, c.scale, c.n, c.k)
	dst := randomMatrix(r, c.m, c.n, c.dst)
	before := clone(dst)
	var ep Epilogue
	if c.bias {
		ep.Bias = randomMatrix(r, 1, c.n, false).F32
	}
	if c.gate {
		ep.Gate = randomMatrix(r, 1, c.n, false).F32
	}
	ep.Residual = c.residual
	stored := make([][]float32, c.m)
	if c.store {
		for i := range stored {
			stored[i] = make([]float32, c.n)
		}
		ep.Store = func(row, col int, y, _ []float32) { copy(stored[row][col:], y) }
	}
	Linear(nil, dst, a, w, c.precision, ep)
	x := factors(a, c.precision)
	y := factors(Matrix{Rows: c.n, Cols: c.k, Stride: c.k, F32: w.Float32s()}, c.precision)
	for i := range c.m {
		for j := range c.n {
			want := 0.0
			for k, v := range x[i] {
				want += v * y[j][k]
			}
			if c.bias {
				want += float64(ep.Bias[j])
			}
			if c.residual {
				if c.gate {
					want *= float64(ep.Gate[j])
				}
				want += before.get(i, j)
			}
			got := dst.get(i, j)
			if c.store {
				if got != before.get(i, j) {
					t.Fatalf("%+v: Store and destination both written", c)
				}
				got = float64(stored[i][j])
			}
			within(t, fmt.Sprintf("%+v: [%d,%d]", c, i, j), got, want, bound(c.k), c.dst && !c.store)
		}
		for j := c.n; j < dst.Stride; j++ {
			if dst.get(i, j) != before.get(i, j) {
				t.Fatalf("%+v: wrote past row %d", c, i)
			}
		}
	}
}

func TestLinear(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		sizes := []int{1, 5, 6, 7, 15, 16, 17, 31, 33, 127, 129}
		r := rand.New(rand.NewPCG(7, 8))
		pick := func() int { return sizes[r.IntN(len(sizes))] }
		for _, precision := range []Precision{Float32, BFloat16} {
			for _, dtype := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F8E4M3} {
				for _, m := range sizes {
					c := linearCase{m: m, n: pick(), k: pick(), w: dtype, scale: 1, precision: precision}
					c.a, c.dst, c.bias, c.residual = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
					c.gate = c.residual && r.IntN(2) == 0
					c.store = !c.residual && r.IntN(4) == 0
					if dtype == tensor.F8E4M3 || r.IntN(4) == 0 {
						c.scale = 0.37
					}
					c.run(t)
				}
			}
			// Several blocks of k, strips of columns and chunks of rows, of full size and smaller.
			linearCase{m: 7, n: 33, k: 4097, w: tensor.BF16, scale: 1, precision: precision, a: true}.run(t)
			linearCase{
				m: 80, n: 120, k: 800, w: tensor.BF16, scale: 1, precision: precision, a: true, dst: true, residual: true,
			}.run(t)
			linearCase{m: 7, n: 9, k: 1536, w: tensor.F32, scale: 1, precision: precision}.run(t)
			linearCase{m: 1, n: 4097, k: 33, w: tensor.BF16, scale: 1, precision: precision}.run(t)
			linearCase{m: 4097, n: 3, k: 5, w: tensor.BF16, scale: 1, precision: precision}.run(t)
			linearCase{m: 5, n: 3, k: 0, w: tensor.BF16, scale: 1, precision: precision, bias: true}.run(t)
		}
	})
}

// TestLinearNaN checks that a NaN in a row of the input makes that row of the result NaN, and no other.
func TestLinearNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, m := range []int{2, 19} {
			a, w := randomMatrix(r, m, 40, false), randomWeight(r, tensor.BF16, 1, 21, 40)
			a.F32[a.Stride+39] = float32(math.NaN())
			dst := randomMatrix(r, m, 21, false)
			Linear(nil, dst, a, w, Float32, Epilogue{})
			for i := range m {
				for j := range 21 {
					if math.IsNaN(dst.get(i, j)) != (i == 1) {
						t.Fatalf("m %d: [%d,%d] = %v", m, i, j, dst.get(i, j))
					}
				}
			}
		}
	})
}

// TestLinearDeterministic checks that the result does not depend on the number of goroutines.
func TestLinearDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, m := range []int{1, 3, 200} {
		a, w := randomMatrix(r, m, 900, true), randomWeight(r, tensor.BF16, 1, 333, 900)
		var want []float32
		for _, procs := range []int{1, 2, 7} {
			old := runtime.GOMAXPROCS(procs)
			dst := Matrix{Rows: m, Cols: 333, Stride: 333, F32: make([]float32, m*333)}
			Linear(nil, dst, a, w, Float32, Epilogue{})
			runtime.GOMAXPROCS(old)
			if want == nil {
				want = dst.F32
			}
			if !slices.Equal(dst.F32, want) {
				t.Errorf("m %d: %d goroutines give other bits than one", m, procs)
			}
		}
	}
}

// TestLinearStop checks that Linear returns within 200 ms after the stop flag is set.
func TestLinearStop(t *testing.T) {
	for _, m := range []int{1, 2000} {
		a := Matrix{Rows: m, Cols: 4096, Stride: 4096, BF16: make([]uint16, m*4096)}
		w := tensor.Tensor{
			Name: "w", DType: tensor.BF16, Shape: []int{8192, 4096}, Data: make([]byte, 2*8192*4096), Scale: 1,
		}
		dst := Matrix{Rows: m, Cols: 8192, Stride: 8192, F32: make([]float32, m*8192)}
		var stop atomic.Bool
		var at time.Time
		timer := time.AfterFunc(50*time.Millisecond, func() { at = time.Now(); stop.Store(true) })
		done := 0
		for ; !stop.Load(); done++ {
			Linear(&stop, dst, a, w, Float32, Epilogue{})
		}
		if late := time.Since(at); late > 200*time.Millisecond {
			t.Errorf("m %d: returned %v after the flag", m, late)
		}
		timer.Stop()
	}
}
