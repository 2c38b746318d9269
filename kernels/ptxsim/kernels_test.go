package ptxsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// rig is a context with one stream, for tests.
type rig struct {
	testing.TB
	*Context
	stream cu.Stream
}

func newRig(t testing.TB, d Device) *rig {
	t.Helper()
	c := Open(d)
	s, err := c.MakeStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rig{t, c, s}
}

func (r *rig) module(file string) cu.Module {
	r.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		r.Fatal(err)
	}
	m, err := r.LoadModule(text, cu.ModuleOptions{Name: file})
	if err != nil {
		r.Fatal(err)
	}
	return m
}

func (r *rig) function(m cu.Module, name string) cu.Function {
	r.Helper()
	f, err := m.Function(name)
	if err != nil {
		r.Fatal(err)
	}
	return f
}

// alloc returns n bytes of device memory. If data is not nil, it is copied there.
func (r *rig) alloc(n int, data []byte) cu.DevicePtr {
	r.Helper()
	p, err := r.MemAlloc(int64(n))
	if err == nil && data != nil {
		if err = r.stream.MemcpyHtoDAsync(p, data); err == nil {
			err = r.stream.Synchronize()
		}
	}
	if err != nil {
		r.Fatal(err)
	}
	return p
}

func (r *rig) read(p cu.DevicePtr, n int) []byte {
	r.Helper()
	b := make([]byte, n)
	if err := r.stream.MemcpyDtoHAsync(b, p); err != nil {
		r.Fatal(err)
	}
	if err := r.stream.Synchronize(); err != nil {
		r.Fatal(err)
	}
	return b
}

func (r *rig) launch(f cu.Function, grid, block cu.Dim3, shared int, args *cu.Args) {
	r.Helper()
	if err := f.Launch(grid, block, shared, r.stream, args.Bytes()); err != nil {
		r.Fatal(err)
	}
	if err := r.stream.Synchronize(); err != nil {
		r.Fatal(err)
	}
}

func bytesOf[T any](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[i*4:]))
	}
	return v
}

func fromBF16(b []byte) []float32 {
	v := make([]float32, len(b)/2)
	for i := range v {
		v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[i*2:])) << 16)
	}
	return v
}

func randomFloats(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

// randomBF16 returns values that bfloat16 represents exactly, and their bytes.
func randomBF16(n int, seed uint64) ([]float32, []byte) {
	v := randomFloats(n, seed)
	b := make([]uint16, n)
	for i := range v {
		b[i] = uint16(bf16(v[i]))
		v[i] = math.Float32frombits(uint32(b[i]) << 16)
	}
	return v, bytesOf(b)
}

// compare fails if an element is NaN or differs from want by more than relative·|want| + absolute. It reports the worst
// one.
func compare(t testing.TB, what string, got []float32, want []float64, relative, absolute float64) {
	t.Helper()
	worst, at := 0.0, -1
	for i := range want {
		e := math.Abs(float64(got[i])-want[i]) / (relative*math.Abs(want[i]) + absolute)
		if !(e <= 1) && !(e <= worst) {
			worst, at = e, i
		}
	}
	if len(got) != len(want) || at >= 0 {
		t.Errorf("%s: element %d is %g, want %g (%.3g × the tolerance)", what, at, got[max(at, 0)], want[max(at, 0)], worst)
	}
}

func dim(x int) cu.Dim3 { return cu.Dim3{X: x, Y: 1, Z: 1} }

func TestVectorAdd(t *testing.T) {
	for _, n := range []int{1, 31, 33, 256, 4097} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, Device{})
			f := r.function(r.module("testdata/kernels/rows.ptx"), "vector_add")
			x, y := randomFloats(n, 1), randomFloats(n, 2)
			px, py, pz := r.alloc(4*n, bytesOf(x)), r.alloc(4*n, bytesOf(y)), r.alloc(4*n, nil)
			r.launch(f, dim((n+255)/256), dim(256), 0, new(cu.Args).Ptr(px).Ptr(py).Ptr(pz).Int32(int32(n)))
			for i, v := range floats(r.read(pz, 4*n)) {
				if v != x[i]+y[i] {
					t.Fatalf("element %d is %g, want %g", i, v, x[i]+y[i])
				}
			}
		})
	}
}

func TestRMSNorm(t *testing.T) {
	const rows = 3
	for _, n := range []int{1, 31, 127, 513} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, Device{})
			f := r.function(r.module("testdata/kernels/rows.ptx"), "rms_norm")
			x, bx := randomBF16(rows*n, 1)
			w, bw := randomBF16(n, 2)
			px, pw, py := r.alloc(len(bx), bx), r.alloc(len(bw), bw), r.alloc(len(bx), nil)
			r.launch(f, dim(rows), dim(128), 0, new(cu.Args).Ptr(px).Ptr(pw).Ptr(py).Int32(int32(n)).Float32(1e-5))
			want := make([]float64, rows*n)
			for i := range rows {
				sum := 0.0
				for _, v := range x[i*n : (i+1)*n] {
					sum += float64(v) * float64(v)
				}
				for j := range n {
					want[i*n+j] = float64(x[i*n+j]) / math.Sqrt(sum/float64(n)+1e-5) * float64(w[j])
				}
			}
			// Half a unit in bfloat16's last place, and the rounding of float32 before it.
			compare(t, "row", fromBF16(r.read(py, len(bx))), want, 0x1p-8+1e-6, 1e-30)
		})
	}
}

func TestSoftmax(t *testing.T) {
	const rows = 2
	for _, n := range []int{1, 33, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, Device{})
			f := r.function(r.module("testdata/kernels/rows.ptx"), "softmax")
			x := randomFloats(rows*n, 3)
			for i := range x {
				x[i] *= 20
			}
			px, py := r.alloc(4*len(x), bytesOf(x)), r.alloc(4*len(x), nil)
			r.launch(f, dim(rows), dim(128), 0, new(cu.Args).Ptr(px).Ptr(py).Int32(int32(n)))
			want := make([]float64, rows*n)
			for i := range rows {
				row, top, sum := x[i*n:(i+1)*n], math.Inf(-1), 0.0
				for _, v := range row {
					top = max(top, float64(v))
				}
				for _, v := range row {
					sum += math.Exp(float64(v) - top)
				}
				for j, v := range row {
					want[i*n+j] = math.Exp(float64(v)-top) / sum
				}
			}
			// The argument of exp2, up to 60, is rounded to float32: 60·2⁻²⁴ of relative error twice.
			compare(t, "row", floats(r.read(py, 4*len(x))), want, 1e-5, 1e-30)
		})
	}
}

const gemmShared = 2 * 3 * 128 * 32 * 2

func runGEMM(r *rig, f cu.Function, a, b []byte, c cu.DevicePtr, m, n, k int) {
	pa, pb := r.alloc(len(a), a), r.alloc(len(b), b)
	r.launch(f, cu.Dim3{X: (n + 127) / 128, Y: (m + 127) / 128, Z: 1}, dim(256), gemmShared,
		new(cu.Args).Ptr(pa).Ptr(pb).Ptr(c).Int32(int32(m)).Int32(int32(n)).Int32(int32(k)))
}

func TestGEMM(t *testing.T) {
	for _, s := range []struct{ m, n, k int }{{1, 2, 8}, {128, 128, 32}, {127, 130, 40}, {133, 258, 104}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r := newRig(t, Device{})
			f := r.function(r.module("testdata/kernels/gemm.ptx"), "gemm")
			a, ba := randomBF16(s.m*s.k, 1)
			b, bb := randomBF16(s.n*s.k, 2)
			c := r.alloc(s.m*s.n*2, nil)
			runGEMM(r, f, ba, bb, c, s.m, s.n, s.k)
			want := make([]float64, s.m*s.n)
			for i := range s.m {
				for j := range s.n {
					for k := range s.k {
						want[i*s.n+j] += float64(a[i*s.k+k]) * float64(b[j*s.k+k])
					}
				}
			}
			// Half a unit in bfloat16's last place, and near zero the rounding of the float32 sums.
			compare(t, "product", fromBF16(r.read(c, s.m*s.n*2)), want, 0x1p-8, 1e-6)
		})
	}
}

func BenchmarkGEMM(b *testing.B) {
	const n = 512
	r := newRig(b, Device{})
	f := r.function(r.module("testdata/kernels/gemm.ptx"), "gemm")
	_, x := randomBF16(n*n, 1)
	_, y := randomBF16(n*n, 2)
	c := r.alloc(n*n*2, nil)
	for b.Loop() {
		runGEMM(r, f, x, y, c, n, n, n)
	}
	b.ReportMetric(float64(b.N)*n*n*n/b.Elapsed().Seconds()/1e9, "GMAC/s")
}
