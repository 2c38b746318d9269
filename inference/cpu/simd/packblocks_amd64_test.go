package simd

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// packingKernels are kernels of both layouts of panels. The panels of tiles need no processor with AMX.
func packingKernels(tb testing.TB) map[string]Kernel {
	if setOf(AVX512BF16) == nil {
		tb.Skip("no AVX512-BF16")
	}
	tiles := Kernel{
		MR: 32, NR: 32, Pairs: true, Tiles: true, packBlocks: blocksBF16, packScaled: scaledBF16, packNVFP4: nvfp4BF16,
		packRows: packRowsAMX,
	}
	return map[string]Kernel{"tiles": tiles, "pairs": setOf(AVX512BF16).bf16}
}

// randomBytes returns rows of bytes, which are stride bytes apart.
func randomBytes(r *rand.Rand, rows, stride int) []byte {
	src := make([]byte, rows*stride)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	return src
}

// checkPanel compares a panel with the values of its rows, rounded in plain Go, in the places that the kernel reads.
// The last value of have lies behind the panel, and is 7.
func checkPanel(t *testing.T, name string, k *Kernel, have []float32, values int, row func(r int, wide []float32)) {
	t.Helper()
	for r := range 32 {
		wide, rounded := make([]float32, values), make([]uint16, values)
		row(r, wide)
		vectorGeneric.roundBF16(rounded, wide)
		for i, want := range rounded {
			word := i / 2
			at := word*32 + r
			if k.Tiles {
				at = (word/TileWords*32+r)*TileWords + word%TileWords
			}
			got := uint16(math.Float32bits(have[at]) >> (i % 2 * 16))
			if nan := wide[i] != wide[i]; got != want && !(nan && got&0x7fff > 0x7f80) {
				t.Fatalf("%s, row %d, value %d of %d: %04x, want %04x", name, r, i, values, got, want)
			}
		}
	}
	if have[len(have)-1] != 7 {
		t.Fatalf("%s: wrote behind %d values", name, values)
	}
}

// TestPackBlocks packs random bytes of each format, with infinite and NaN scales among them, and compares the bits with
// those of the values that Widen gives.
func TestPackBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, k := range packingKernels(t) {
		for dtype := tensor.Q4_0; dtype <= tensor.NVFP4; dtype++ {
			for _, values := range []int{0, 32, 256, 768, 1280} {
				if !k.CanPackBlocks(dtype) || values%dtype.BlockValues() != 0 {
					continue
				}
				stride := dtype.Bytes(values) + 5
				src := randomBytes(r, 32, stride)
				have := make([]float32, values/2*32+1)
				have[len(have)-1] = 7
				k.PackBlocks(have, dtype, unsafe.Pointer(&src[0]), stride, values, make([]float32, PackBlocksScratch))
				checkPanel(t, name+", "+dtype.String(), &k, have, values, func(r int, wide []float32) {
					Widen(wide, dtype, src[r*stride:][:dtype.Bytes(values)])
				})
			}
		}
	}
}

// TestPackScaled is TestPackBlocks for the formats of PackScaled, with scales up to the ends of their range.
func TestPackScaled(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for name, k := range packingKernels(t) {
		for dtype, widen := range map[tensor.DType]func(dst []float32, src []byte, scale float32){
			tensor.I8: ScaleI8,
			tensor.F8E4M3: func(dst []float32, src []byte, scale float32) {
				WidenF8E4M3(dst, src)
				Scale(dst, dst, scale)
			},
		} {
			for _, values := range []int{0, 32, 256, 768, 1280} {
				scales := [32]float32{LeastPackScale, GreatestPackScale, 1}
				for i := 3; i < len(scales); i++ {
					scales[i] = 0.001 + r.Float32()
				}
				stride := values + 5
				src := randomBytes(r, 32, stride)
				have := make([]float32, values/2*32+1)
				have[len(have)-1] = 7
				k.PackScaled(
					have, dtype, unsafe.Pointer(&src[0]), stride, values, &scales, make([]float32, PackBlocksScratch),
				)
				checkPanel(t, name+", "+dtype.String(), &k, have, values, func(r int, wide []float32) {
					widen(wide, src[r*stride:][:values], scales[r])
				})
			}
		}
	}
}

// TestPackNVFP4 is TestPackBlocks for the two orders of nvfp4, with scales of 0 and NaN among them.
func TestPackNVFP4(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for name, k := range packingKernels(t) {
		for _, low := range []bool{false, true} {
			for _, values := range []int{0, 32, 64, 256, 320, 1280} {
				scales := random(r, 32*values/16)
				for i := 0; i < len(scales); i += 7 {
					scales[i] = []float32{0, float32(math.NaN()), LeastPackScale, -GreatestPackScale}[i%4]
				}
				of := func(row, first, n int) []float32 { return scales[(row*values+first)/16:][:n] }
				stride := values/2 + 5
				src := randomBytes(r, 32, stride)
				have := make([]float32, values/2*32+1)
				have[len(have)-1] = 7
				k.PackNVFP4(have, unsafe.Pointer(&src[0]), stride, values, low, func(dst []float32, row, first int) {
					copy(dst, of(row, first, len(dst)))
				}, make([]float32, PackBlocksScratch))
				checkPanel(t, name, &k, have, values, func(r int, wide []float32) {
					if values > 0 {
						WidenNVFP4(wide, src[r*stride:], of(r, 0, values/16), low)
					}
				})
			}
		}
	}
}

// BenchmarkPackBlocks packs panels of 32 rows with 512 values from memory that the caches hold, and compares with
// bfloat16 weights, which need no conversion, and with three passes: conversion, rounding, packing.
func BenchmarkPackBlocks(b *testing.B) {
	const values = 512
	kernels := packingKernels(b)
	dst, scratch := make([]float32, values/2*32), make([]float32, PackBlocksScratch)
	src, plain := make([]byte, 32*2*values), make([]byte, 32*2*values)
	wide, rounded, offs := make([]float32, values), make([]uint16, 32*values), make([]int, 32)
	for r := range offs {
		offs[r] = r * 2 * values
	}
	var scales [32]float32
	for i := range scales {
		scales[i] = 0.1
	}
	for name, k := range kernels {
		pack := func(src unsafe.Pointer) {
			if k.Tiles {
				k.PackRows(dst, src, offs, values/2/TileWords)
			} else {
				k.PackPairs(dst, src, 2*values, values/2/TileWords)
			}
		}
		run := func(name string, f func()) {
			b.Run(name, func(b *testing.B) {
				n := 0
				for b.Loop() {
					f()
					n += 32 * values
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(n), "ns/value")
			})
		}
		run(name+"/BF16", func() { pack(unsafe.Pointer(&plain[0])) })
		if !k.Tiles {
			run(name+"/BF16, 256 bits", func() { k.Pack(dst, 32, unsafe.Pointer(&plain[0]), offs, values/2) })
		}
		for _, dtype := range []tensor.DType{tensor.I8, tensor.F8E4M3} {
			run(name+"/"+dtype.String(), func() {
				k.PackScaled(dst, dtype, unsafe.Pointer(&src[0]), values, values, &scales, scratch)
			})
			run(name+"/"+dtype.String()+" in three passes", func() {
				for r := range 32 {
					if row := src[r*values:]; dtype == tensor.I8 {
						ScaleI8(wide, row, 0.1)
					} else {
						WidenF8E4M3(wide, row)
						Scale(wide, wide, 0.1)
					}
					RoundBF16(rounded[r*values:][:values], wide)
				}
				pack(unsafe.Pointer(&rounded[0]))
			})
		}
		for _, dtype := range []tensor.DType{tensor.Q8_0, tensor.Q4_0, tensor.Q4_K, tensor.Q6_K} {
			stride := dtype.Bytes(values)
			run(name+"/"+dtype.String(), func() {
				k.PackBlocks(dst, dtype, unsafe.Pointer(&src[0]), stride, values, scratch)
			})
			run(name+"/"+dtype.String()+" in three passes", func() {
				for r := range 32 {
					Widen(wide, dtype, src[r*stride:])
					RoundBF16(rounded[r*values:][:values], wide)
				}
				pack(unsafe.Pointer(&rounded[0]))
			})
		}
	}
}
