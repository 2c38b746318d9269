package simd

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// widenFunc converts blocks of a format.
type widenFunc func(dst *float32, src *byte, blocks int)

// scaledFunc converts groups of 32 values and multiplies them by scale.
type scaledFunc func(dst *float32, src *byte, groups int, scale float32)

// PackBlocksScratch is the length of the scratch memory of PackBlocks. It holds 256 values of each row, which all
// blocks divide and which stay in the first-level cache.
const PackBlocksScratch = 256 / 2 * panelRows

// panelRows is the number of rows of a panel of weights. A group of words of all of them has groupWords words, and
// tileBytes bytes.
const (
	panelRows  = 32
	groupWords = TileWords * panelRows
	tileBytes  = 4 * groupWords
)

// CanPackBlocks reports whether PackBlocks packs a format.
func (k *Kernel) CanPackBlocks(dtype tensor.DType) bool { return k.packBlocks[dtype] != nil }

// PackBlocks packs a panel of weights in a format with blocks for a kernel with Pairs, and rounds them to bfloat16
// (ties to even) in the same pass: a panel of A with Tiles, else one of B. The panel has 32 rows, which are stride
// bytes apart, with any alignment. Each has the given number of values, a multiple of 32 and of the format's blocks.
// scratch is used without Tiles.
func (k *Kernel) PackBlocks(
	dst []float32, dtype tensor.DType, src unsafe.Pointer, stride, values int, scratch []float32,
) {
	if values == 0 {
		return
	}
	widen, unit := k.packBlocks[dtype], dtype.BlockValues()
	k.packConverted(dst, values, scratch, func(r int, dst *float32, first, values int) {
		widen(dst, (*byte)(unsafe.Add(src, r*stride+dtype.Bytes(first))), values/unit)
	})
}

// CanPackScaled reports whether PackScaled packs a format.
func (k *Kernel) CanPackScaled(dtype tensor.DType) bool { return k.packScaled[dtype] != nil }

// The scales of PackScaled have magnitudes in this range, so that no product of theirs is denormal or infinite.
const (
	LeastPackScale    = 0x1p-100
	GreatestPackScale = 0x1p100
)

// PackScaled is PackBlocks for int8 and float8_e4m3fn, multiplied by a scale for each row.
func (k *Kernel) PackScaled(
	dst []float32, dtype tensor.DType, src unsafe.Pointer, stride, values int, scales *[32]float32, scratch []float32,
) {
	if values == 0 {
		return
	}
	scale := k.packScaled[dtype]
	k.packConverted(dst, values, scratch, func(r int, dst *float32, first, values int) {
		scale(dst, (*byte)(unsafe.Add(src, r*stride+first)), values/(2*TileWords), scales[r])
	})
}

// PackNVFP4 is PackBlocks for formats F4E2M1 and, if lowFirst is set, F4E2M1Low, where scales stores the scales of the
// groups of 16 values of a row from column first on; they must be 0 or have magnitudes in the range of PackScaled's.
func (k *Kernel) PackNVFP4(
	dst []float32, src unsafe.Pointer, stride, values int, lowFirst bool,
	scales func(dst []float32, row, first int), scratch []float32,
) {
	if values == 0 {
		return
	}
	widen := k.packNVFP4[0]
	if lowFirst {
		widen = k.packNVFP4[1]
	}
	k.packConverted(dst, values, scratch, func(r int, dst *float32, first, values int) {
		var of [packedScales]float32
		for ; values > 0; first += 16 * packedScales {
			n := min(values, 16*packedScales)
			scales(of[:n/16], r, first)
			widen(dst, (*byte)(unsafe.Add(src, r*stride+first/2)), &of[0], n/16)
			if values -= n; values > 0 {
				dst = (*float32)(unsafe.Add(unsafe.Pointer(dst), n/(2*TileWords)*tileBytes))
			}
		}
	})
}

// packedScales is the number of scales that PackNVFP4 asks for at a time.
const packedScales = 16

// CanPackNVFP4 reports whether the kernel has PackNVFP4.
func (k *Kernel) CanPackNVFP4() bool { return k.packNVFP4[0] != nil }

// packConverted packs a panel of 32 rows whose values convert makes: it stores values of row r, from first on, in
// groups of 32 that lie as in a panel of a kernel with Tiles.
func (k *Kernel) packConverted(
	dst []float32, values int, scratch []float32, convert func(r int, dst *float32, first, values int),
) {
	_ = dst[values/2*panelRows-1]
	if k.Tiles {
		for r := range panelRows {
			convert(r, &dst[r*TileWords], 0, values)
		}
		return
	}
	const part = 2 * PackBlocksScratch / panelRows
	scratch = scratch[:PackBlocksScratch]
	for first := 0; first < values; first += part {
		n := min(values-first, part)
		for r := range panelRows {
			convert(r, &scratch[r*TileWords], first, n)
		}
		for at := 0; at < n/2*panelRows; at += groupWords {
			k.PackPairs(dst[first/2*panelRows+at:], unsafe.Pointer(&scratch[at]), 4*TileWords, 1)
		}
	}
}
