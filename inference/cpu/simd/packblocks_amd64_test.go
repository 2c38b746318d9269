package simd

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestPackBlocks packs random bytes of each format, with infinite and NaN scales among them, and compares the bits with
// those of the values that Widen gives, rounded in plain Go, in the places that the kernels read. The panels of tiles
// need no processor with AMX.
func TestPackBlocks(t *testing.T) {
	if setOf(AVX512BF16) == nil {
		t.Skip("no AVX512-BF16")
	}
	r := rand.New(rand.NewPCG(5, 6))
	tiles := Kernel{MR: 32, NR: 32, Pairs: true, Tiles: true, packBlocks: blocksBF16}
	for name, k := range map[string]Kernel{"tiles": tiles, "pairs": setOf(AVX512BF16).bf16} {
		for dtype := tensor.Q4_0; dtype <= tensor.NVFP4; dtype++ {
			if !k.CanPackBlocks(dtype) {
				continue
			}
			for _, values := range []int{0, 32, 256, 768, 1280} {
				if values%dtype.BlockValues() != 0 {
					continue
				}
				stride := dtype.Bytes(values) + 5
				src := make([]byte, 32*stride)
				for i := range src {
					src[i] = byte(r.Uint32())
				}
				have := make([]float32, values/2*32+1)
				have[len(have)-1] = 7
				k.PackBlocks(have, dtype, unsafe.Pointer(&src[0]), stride, values, make([]float32, PackBlocksScratch))
				for row := range 32 {
					wide, rounded := make([]float32, values), make([]uint16, values)
					Widen(wide, dtype, src[row*stride:][:dtype.Bytes(values)])
					vectorGeneric.roundBF16(rounded, wide)
					for i, want := range rounded {
						word := i / 2
						at := word*32 + row
						if k.Tiles {
							at = (word/TileWords*32+row)*TileWords + word%TileWords
						}
						got := uint16(math.Float32bits(have[at]) >> (i % 2 * 16))
						if nan := wide[i] != wide[i]; got != want && !(nan && got&0x7fff > 0x7f80) {
							t.Fatalf("%s, %v, row %d, value %d of %d: %04x, want %04x", name, dtype, row, i, values, got, want)
						}
					}
				}
				if have[len(have)-1] != 7 {
					t.Fatalf("%s, %v: wrote behind %d values", name, dtype, values)
				}
			}
		}
	}
}

// BenchmarkPackBlocks packs panels of 32 rows with 512 values from memory that the caches hold, and compares with
// bfloat16 weights, which need no conversion, and with three passes: conversion, rounding, packing.
func BenchmarkPackBlocks(b *testing.B) {
	if setOf(AVX512BF16) == nil {
		b.Skip("no AVX512-BF16")
	}
	const values = 512
	pairs := setOf(AVX512BF16).bf16
	tiles := Kernel{MR: 32, NR: 32, Pairs: true, Tiles: true, packBlocks: blocksBF16, packRows: packRowsAMX}
	dst, scratch := make([]float32, values/2*32), make([]float32, PackBlocksScratch)
	src, plain := make([]byte, 32*2*values), make([]byte, 32*2*values)
	wide, rounded, offs := make([]float32, values), make([]uint16, 32*values), make([]int, 32)
	for r := range offs {
		offs[r] = r * 2 * values
	}
	for name, k := range map[string]*Kernel{"tiles": &tiles, "pairs": &pairs} {
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
