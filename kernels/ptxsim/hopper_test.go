package ptxsim

import (
	"fmt"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// tile returns the tensor map of a row-major bfloat16 matrix that is copied in boxes of 64×64.
func (r *rig) tile(p cu.DevicePtr, rows, cols int, swizzle cu.TensorMapSwizzle) *cu.TensorMap {
	r.Helper()
	m, err := r.TensorMapEncodeTiled(cu.TensorMapTiled{Type: cu.TensorMapBFloat16, Address: p,
		Dims:    []int64{int64(cols), int64(rows)},
		Strides: []int64{int64(cols) * 2}, Box: []int{64, 64}, Swizzle: swizzle})
	if err != nil {
		r.Fatal(err)
	}
	return &m
}

func TestHopperGEMM(t *testing.T) {
	for _, s := range []struct{ m, n, k int }{{64, 64, 64}, {1, 8, 8}, {130, 72, 200}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r := newRig(t, Device{Major: 9})
			f := r.function(r.module("testdata/kernels/hopper.ptx"), "gemm_tma")
			a, ba := randomBF16(s.m*s.k, 1)
			b, bb := randomBF16(s.n*s.k, 2)
			pa, pb, pc := r.alloc(len(ba), ba), r.alloc(len(bb), bb), r.alloc(s.m*s.n*2, nil)
			args := new(cu.Args).TensorMap(r.tile(pa, s.m, s.k, cu.Swizzle128B)).TensorMap(r.tile(pb, s.n, s.k, cu.Swizzle128B)).
				TensorMap(r.tile(pc, s.m, s.n, cu.SwizzleNone)).Int32(int32(s.k))
			r.launch(f, cu.Dim3{X: (s.n + 63) / 64, Y: (s.m + 63) / 64, Z: 1}, dim(128), 5*8192+16, args)
			want := make([]float64, s.m*s.n)
			for i := range s.m {
				for j := range s.n {
					for k := range s.k {
						want[i*s.n+j] += float64(a[i*s.k+k]) * float64(b[j*s.k+k])
					}
				}
			}
			compare(t, "product", fromBF16(r.read(pc, s.m*s.n*2)), want, 0x1p-8, 1e-6)
		})
	}
}
