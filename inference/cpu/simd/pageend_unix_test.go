//go:build unix

package simd

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestReadsEndWithTheMapping converts weights that end where a mapped file ends: the page behind them cannot be read,
// so that an access of one byte too many is a fault. Nothing else notices it, since memory usually goes on.
func TestReadsEndWithTheMapping(t *testing.T) {
	const size = 1 << 20
	m, err := unix.Mmap(-1, 0, size+unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	r := rand.New(rand.NewPCG(7, 8))
	for i := range size {
		m[i] = byte(r.Uint32())
	}
	if err := unix.Mprotect(m[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	last := func(n int) []byte { return m[size-n : size : size] }
	guarded := func(t *testing.T, what string, n int, f func()) {
		if err := tensor.Guard(f); err != nil {
			t.Errorf("%s of %d values: %v", what, n, err)
		}
	}
	dst, scales := make([]float32, 1<<13), make([]float32, 1<<10)
	panel, scratch := make([]float32, 1<<15), make([]float32, PackBlocksScratch)
	eachLevel(t, func(t *testing.T) {
		for dtype := tensor.Q4_0; dtype <= tensor.F4E2M1Low; dtype++ {
			for blocks := 1; blocks <= 9; blocks++ {
				n := blocks * dtype.BlockValues()
				guarded(t, dtype.String(), n, func() { Widen(dst[:n], dtype, last(dtype.Bytes(n))) })
			}
		}
		k, _ := BF16() // of the level, or one that packs none of these
		for n := 32; n <= 1024; n += 32 {
			at := func(sizeBytes int) unsafe.Pointer { return unsafe.Pointer(&last(sizeBytes)[0]) }
			for dtype := tensor.Q4_0; dtype <= tensor.NVFP4; dtype++ {
				if size := dtype.Bytes(n); k.CanPackBlocks(dtype) && n%dtype.BlockValues() == 0 {
					guarded(t, "PackBlocks", n, func() { k.PackBlocks(panel, dtype, at(32*size), size, n, scratch) })
				}
			}
			for _, dtype := range []tensor.DType{tensor.I8, tensor.F8E4M3} {
				if k.CanPackScaled(dtype) {
					guarded(t, "PackScaled", n, func() {
						k.PackScaled(panel, dtype, at(32*n), n, n, (*[32]float32)(scales), scratch)
					})
				}
			}
			if k.CanPackNVFP4() {
				guarded(t, "PackNVFP4", n, func() {
					k.PackNVFP4(panel, at(16*n), n/2, n, false, func([]float32, int, int) {}, scratch)
				})
			}
		}
		for n := 1; n <= 200; n++ {
			words := unsafe.Slice((*uint16)(unsafe.Pointer(&last(2 * n)[0])), n)
			guarded(t, "ScaleI8", n, func() { ScaleI8(dst[:n], last(n), 0.5) })
			guarded(t, "WidenF8E4M3", n, func() { WidenF8E4M3(dst[:n], last(n)) })
			guarded(t, "WidenF16", n, func() { WidenF16(dst[:n], words) })
			guarded(t, "WidenBF16", n, func() { WidenBF16(dst[:n], words) })
		}
		for groups := 1; groups <= 19; groups++ {
			for _, low := range []bool{false, true} {
				guarded(t, "WidenNVFP4", 16*groups, func() {
					WidenNVFP4(dst[:16*groups], last(8*groups), scales[:groups], low)
				})
			}
			guarded(t, "SwizzledF8E4M3", 4*groups, func() {
				SwizzledF8E4M3(dst[:4*groups], last(512*groups-508), 0.5)
			})
		}
	})
}
