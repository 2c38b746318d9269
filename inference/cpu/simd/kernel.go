package simd

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Kernel multiplies packed panels. An A panel holds MR rows as columns, a[k·MR+i]; a B panel NR rows of the
// transposed right-hand side likewise, b[k·NR+j]. Their words are float32 or, with Pairs, two bfloat16 of
// neighbouring k, the first in the lower half.
type Kernel struct {
	MR, NR int
	// KC is the number of words along k that make a block: panels of that depth stay in the caches.
	KC    int
	Pairs bool
	// Tiles says that words along k come in groups of TileWords, the last one filled up with zeros, and that a group of
	// an A panel holds row after row: a[(group·MR+i)·TileWords+word]. B panels are as otherwise, and MR and NR are 32.
	Tiles bool

	mul            func(k int, a, b, c *float32, ldc, add int)
	mulTiles       func(groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int, ahead *float32, rows uintptr, stride int)
	pack, packBF16 func(dst []float32, width int, src *byte, offs []int, words int)
	panelPairs     func(dst, p *float32, pairs int)
	packRows       func(dst *float32, src *byte, offs *int, groups int)
	packPairs      func(dst *float32, src *byte, stride, groups int)
	prefetch       func(at uintptr, lines int)
}

// TileWords is the number of words of k in a group of a kernel with Tiles.
const TileWords = 16

// Float32 is the kernel of float32 products with float32 accumulation, k in rising order.
func Float32() Kernel { return current.Load().f32 }

// BF16 is the kernel of bfloat16 products with float32 accumulation; ok is false where the path in use has none.
// VDPBF16PS and TDPBF16PS take denormals for zero, flush denormal results and round the sum of a pair of products in
// their own way, so that their results differ from Float32's by a few float32 ulp of the largest partial sum.
func BF16() (k Kernel, ok bool) {
	k = current.Load().bf16
	return k, k.KC > 0
}

// Mul computes the MR×NR tile c[i·ldc+j] = Σ a[k·MR+i]·b[k·NR+j] over k < words, added to what c holds if add is set.
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
		k.MulPanels(words, 1, a, 0, b, c, ldc, add, Ahead{})
		return
	}
	_, _, _ = a[words*k.MR-1], b[words*k.NR-1], c[(k.MR-1)*ldc+k.NR-1]
	n := 0
	if add {
		n = 1
	}
	k.mul(words, &a[0], &b[0], &c[0], 4*ldc, n)
}

// Ahead is what calls to come will read: it is brought into the second-level cache while a kernel with Tiles
// multiplies. Each group of each panel brings 256 bytes of Packed, and 64 bytes of each of four of the rows that lie
// Stride bytes apart from Rows on; each panel brings other rows. Rows is an address, which may lie past the end of what
// is there.
type Ahead struct {
	Packed []float32
	Rows   uintptr
	Stride int
}

// MulPanels multiplies `panels` panels of A, one every aPanel values, by one panel of B: panel i of A makes the rows
// from i·MR on of c, as Mul does. With Tiles words is a multiple of TileWords.
func (k *Kernel) MulPanels(words, panels int, a []float32, aPanel int, b, c []float32, ldc int, add bool, next Ahead) {
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
		panic("simd: words that fill no group of tiles")
	}
	n := 0
	if add {
		n = 1
	}
	k.mulTiles(words/TileWords, panels, &a[0], &b[0], &c[0], 4*ldc, 4*aPanel, 4*k.MR*ldc, n,
		unsafe.SliceData(next.Packed), next.Rows, next.Stride)
}

// Prefetch asks the caches for sizeBytes of memory from at on, an address that may be anything. It does something with
// Tiles only: other kernels are slow enough for the processor's own foresight.
func (k *Kernel) Prefetch(at uintptr, sizeBytes int) {
	if k.prefetch != nil && sizeBytes > 0 {
		k.prefetch(at, (sizeBytes+63)/64)
	}
}

// PackRows makes an A panel of a kernel with Tiles. Row r begins at src + offs[r] bytes, at any alignment, and is
// `groups` times 2·TileWords bfloat16 long.
func (k *Kernel) PackRows(dst []float32, src unsafe.Pointer, offs []int, groups int) {
	if groups == 0 {
		return
	}
	_ = dst[groups*TileWords*k.MR-1]
	_ = offs[k.MR-1]
	k.packRows(&dst[0], (*byte)(src), &offs[0], groups)
}

// PackPairs makes a B panel of a kernel with Tiles from rows that are stride bytes apart, at any alignment, each
// `groups` times 2·TileWords bfloat16 long.
func (k *Kernel) PackPairs(dst []float32, src unsafe.Pointer, stride, groups int) {
	if groups == 0 {
		return
	}
	_ = dst[groups*TileWords*k.NR-1]
	for half := range 2 {
		k.packPairs(&dst[16*half], (*byte)(unsafe.Add(src, 16*half*stride)), stride, groups)
	}
}

// Pack makes a panel of `width` rows (MR, NR or a multiple of 8), dst[w·width+r] = word w of row r, of 32-bit words:
// float32, or pairs of bfloat16. Row r begins at src + offs[r] bytes, at any alignment; words is a multiple of 4.
func (k *Kernel) Pack(dst []float32, width int, src unsafe.Pointer, offs []int, words int) {
	if words == 0 {
		return
	}
	_ = dst[words*width-1]
	k.pack(dst, width, (*byte)(src), offs[:width], words)
}

// PackBF16 is Pack for a float32 panel from rows of bfloat16, widened; words counts pairs, so dst takes 2·words·width.
func (k *Kernel) PackBF16(dst []float32, width int, src unsafe.Pointer, offs []int, words int) {
	if words == 0 {
		return
	}
	_ = dst[2*words*width-1]
	k.packBF16(dst, width, (*byte)(src), offs[:width], words)
}

// Peak runs n rounds of the level's float32 multiply-adds without touching memory and returns the number of
// floating-point operations done: the ceiling of one core. PeakBF16 does so with bfloat16 products, or returns 0.
func Peak(n int) int {
	s := current.Load()
	s.peak(n)
	return n * s.peakFlops
}

// PeakBF16 is Peak for bfloat16 products; 0 where the path in use has none.
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

// mulGeneric is the 4×4 tile in plain Go.
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
