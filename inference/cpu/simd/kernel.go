package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Kernel multiplies packed panels. A panel of A holds MR rows, transposed: a[k·MR+i]. A panel of B holds NR rows of the
// transposed right operand in the same way: b[k·NR+j]. A value is a word of 32 bits: a float32 or, with Pairs, the
// bfloat16 values of two neighbouring k, the first in the lower half. The kernels of Int8 have words of int8 or int16,
// and results of int32, whose bits are kept in the float32 of c.
type Kernel struct {
	MR, NR int
	// KC is the number of words along k in a block, whose panels stay in the caches.
	KC    int
	Pairs bool
	// Quads is true if a word holds the int8 values of four neighbouring k. Of the kernels of Int8 one without Quads has
	// Pairs of int16.
	Quads bool
	// Offset, if not 0, says that each result of row i is too large by Offset times the sum of row i of A.
	Offset int32
	// Tiles is true if words along k come in groups of TileWords, the last of which is padded with zeros. A panel of A
	// holds a group row by row: a[(group·MR+i)·TileWords+word]. Panels of B are as above. MR and NR are 32.
	Tiles bool

	mul            func(k int, a, b, c *float32, ldc, add int)
	mulTiles       mulTilesFunc
	pack, packBF16 func(dst []float32, width int, src *byte, offs []int, words int)
	panelPairs     func(dst, p *float32, pairs int)
	packRows       func(dst *float32, src *byte, offs *int, groups int)
	packPairs      func(dst *float32, pitch int, src *byte, stride, groups int)
	prefetch       func(at uintptr, lines int)
	// packBlocks has the formats of PackBlocks.
	packBlocks map[tensor.DType]widenFunc
	// packScaled has the formats of PackScaled.
	packScaled map[tensor.DType]scaledFunc
	// packNVFP4 are the functions of PackNVFP4, the second one for lowFirst.
	packNVFP4 [2]func(dst *float32, src *byte, scales *float32, groups int)
}

// Values returns the number of values of a word.
func (k *Kernel) Values() int {
	switch {
	case k.Quads:
		return 4
	case k.Pairs:
		return 2
	}
	return 1
}

// mulTilesFunc is the type of gemmAMX32x32.
type mulTilesFunc func(groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int, ahead *float32)

// TileWords is the number of words of k in a group of a kernel with Tiles.
const TileWords = 16

// Float32 returns the kernel of float32 products. Sums are float32, in the order of k.
func Float32() Kernel { return current.Load().f32 }

// BF16 returns the kernel of bfloat16 products with float32 sums. ok is false if the current level has none. VDPBF16PS
// and TDPBF16PS read denormals as zero, flush denormal results to zero and round the sum of a pair of products in a way
// of their own, so that their results differ from Float32's by a few float32 ulp of the largest partial sum.
func BF16() (k Kernel, ok bool) {
	k = current.Load().bf16
	return k, k.KC > 0
}

// Mul computes the MR×NR tile c[i·ldc+j] = Σ a[k·MR+i]·b[k·NR+j] over k < words. If add is set, it adds the tile to c.
func (k *Kernel) Mul(words int, a, b, c []float32, ldc int, add bool) {
	if words == 0 {
		if !add {
			for i := range k.MR {
				clear(c[i*ldc : i*ldc+k.NR])
			}
		}
		return
	}
	if k.Tiles {
		k.MulPanels(words, 1, a, 0, b, c, ldc, add, nil)
		return
	}
	_, _, _ = a[words*k.MR-1], b[words*k.NR-1], c[(k.MR-1)*ldc+k.NR-1]
	n := 0
	if add {
		n = 1
	}
	k.mul(words, &a[0], &b[0], &c[0], 4*ldc, n)
}

// MulPanels multiplies `panels` panels of A, which are aPanel values apart, by one panel of B, as Mul does. Panel i of
// A makes rows [i·MR, (i+1)·MR) of c. With Tiles words must be a multiple of TileWords, and the kernel prefetches what
// later calls read to the second-level cache: the memory at ahead, 256 bytes for each group of each panel.
func (k *Kernel) MulPanels(words, panels int, a []float32, aPanel int, b, c []float32, ldc int, add bool,
	ahead []float32,
) {
	if panels == 0 {
		return
	}
	if !k.Tiles || words == 0 {
		for i := range panels {
			k.Mul(words, a[i*aPanel:], b, c[i*k.MR*ldc:], ldc, add)
		}
		return
	}
	_, _, _ = a[(panels-1)*aPanel+words*k.MR-1], b[words*k.NR-1], c[(panels*k.MR-1)*ldc+k.NR-1]
	if words%TileWords != 0 {
		panic(fmt.Sprintf("simd: MulPanels: %d words, want a multiple of %d", words, TileWords))
	}
	n := 0
	if add {
		n = 1
	}
	if len(ahead) == 0 {
		ahead = b // an address that is not mapped would cost a walk of the page tables each time
	}
	k.mulTiles(words/TileWords, panels, &a[0], &b[0], &c[0], 4*ldc, 4*aPanel, 4*k.MR*ldc, n, &ahead[0])
}

// Prefetch prefetches sizeBytes of memory at an address, which may be invalid. Without Tiles it does nothing: for
// slower kernels the processor's own prefetching is enough.
func (k *Kernel) Prefetch(at uintptr, sizeBytes int) {
	if k.prefetch != nil && sizeBytes > 0 {
		k.prefetch(at, (sizeBytes+63)/64)
	}
}

// PackRows packs a panel of A for a kernel with Tiles. Row r begins at src + offs[r] bytes, with any alignment, and has
// groups·2·TileWords bfloat16 values.
func (k *Kernel) PackRows(dst []float32, src unsafe.Pointer, offs []int, groups int) {
	if groups == 0 {
		return
	}
	_ = dst[groups*TileWords*k.MR-1]
	_ = offs[k.MR-1]
	k.packRows(&dst[0], (*byte)(src), &offs[0], groups)
}

// PackPanel packs a panel of B, whose rows follow each other, for a kernel with Quads and without Tiles: sizeBytes of
// each row, a multiple of 64.
func (k *Kernel) PackPanel(dst []float32, src unsafe.Pointer, sizeBytes int) {
	if k.packPairs != nil {
		k.PackPairs(dst, src, sizeBytes, sizeBytes/64)
		return
	}
	offs := make([]int, k.NR)
	for r := range offs {
		offs[r] = r * sizeBytes
	}
	k.Pack(dst, k.NR, src, offs, sizeBytes/4)
}

// PackPairs packs a panel of B for a kernel of AVX-512 that has NR = 32. The rows are stride bytes apart, with any
// alignment, and have 64·groups bytes each.
func (k *Kernel) PackPairs(dst []float32, src unsafe.Pointer, stride, groups int) {
	if groups == 0 {
		return
	}
	_ = dst[groups*TileWords*k.NR-1]
	for half := range 2 {
		k.packPairs(&dst[16*half], 4*k.NR, (*byte)(unsafe.Add(src, 16*half*stride)), stride, groups)
	}
}

// TransposeTile transposes the MR×NR results of a kernel with Tiles, whose rows are NR values apart, into rows that are
// pitch values apart.
func (k *Kernel) TransposeTile(dst []float32, pitch int, c []float32) {
	_, _ = dst[(k.NR-1)*pitch+k.MR-1], c[k.MR*k.NR-1]
	for half := range 2 {
		k.packPairs(&dst[16*half], 4*pitch, (*byte)(unsafe.Pointer(&c[16*half*k.NR])), 4*k.NR, k.NR/TileWords)
	}
}

// Pack packs a panel of `width` rows (MR, NR or a multiple of 8): dst[w·width+r] is word w of row r. Words have 32
// bits: a float32 or a pair of bfloat16. Row r begins at src + offs[r] bytes, with any alignment. words is a multiple
// of 4.
func (k *Kernel) Pack(dst []float32, width int, src unsafe.Pointer, offs []int, words int) {
	if words == 0 {
		return
	}
	_ = dst[words*width-1]
	k.pack(dst, width, (*byte)(src), offs[:width], words)
}

// PackBF16 is like Pack for rows of bfloat16, which it converts to float32. words is the number of pairs, so that dst
// gets 2·words·width values.
func (k *Kernel) PackBF16(dst []float32, width int, src unsafe.Pointer, offs []int, words int) {
	if words == 0 {
		return
	}
	_ = dst[2*words*width-1]
	k.packBF16(dst, width, (*byte)(src), offs[:width], words)
}

// Peak executes n rounds of the level's float32 multiply-adds in registers and returns the number of floating-point
// operations. Its rate is the peak of a core.
func Peak(n int) int {
	s := current.Load()
	s.peak(n)
	return n * s.peakFlops
}

// PeakBF16 is like Peak for bfloat16 products. It returns 0 if the current level has none.
func PeakBF16(n int) int {
	s := current.Load()
	if s.peakBF16 == nil {
		return 0
	}
	s.peakBF16(n)
	return n * s.peakBF16Flops
}

var generic = set{
	f32:       Kernel{MR: 4, NR: 4, KC: 256, mul: mulGeneric, pack: packGeneric, packBF16: packBF16Generic},
	peak:      peakGeneric,
	peakFlops: 8,
	vector:    vectorGeneric,
}

// mulGeneric is the micro-kernel of 4×4 results in plain Go.
func mulGeneric(k int, a, b, c *float32, ldc, add int) {
	as, bs := unsafe.Slice(a, 4*k), unsafe.Slice(b, 4*k)
	var acc [4][4]float32
	for ; len(as) >= 4 && len(bs) >= 4; as, bs = as[4:], bs[4:] {
		b0, b1, b2, b3 := bs[0], bs[1], bs[2], bs[3]
		for i := range acc {
			v := as[i]
			acc[i][0] += v * b0
			acc[i][1] += v * b1
			acc[i][2] += v * b2
			acc[i][3] += v * b3
		}
	}
	cs := unsafe.Slice(c, 3*ldc/4+4)
	for i := range acc {
		row := cs[i*ldc/4 : i*ldc/4+4]
		for j, v := range acc[i] {
			if add != 0 {
				v += row[j]
			}
			row[j] = v
		}
	}
}

func packGeneric(dst []float32, width int, src *byte, offs []int, words int) {
	for r, off := range offs {
		row := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(src), off)), 4*words)
		for w := range words {
			dst[w*width+r] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*w:]))
		}
	}
}

func packBF16Generic(dst []float32, width int, src *byte, offs []int, words int) {
	for r, off := range offs {
		row := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(src), off)), 4*words)
		for w := range 2 * words {
			dst[w*width+r] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(row[2*w:])) << 16)
		}
	}
}

func peakGeneric(n int) {
	var a [4]float32
	for range n {
		for i := range a {
			a[i] += a[i] * a[(i+1)&3]
		}
	}
}
