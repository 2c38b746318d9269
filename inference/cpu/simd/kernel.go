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

	mul            func(k int, a, b, c *float32, ldc, add int)
	pack, packBF16 func(dst []float32, width int, src *byte, offs []int, words int)
	panelPairs     func(dst, p *float32, pairs int)
}

// Float32 is the kernel of float32 products with float32 accumulation, k in rising order.
func Float32() Kernel { return current.Load().f32 }

// BF16 is the kernel of bfloat16 products with float32 accumulation; ok is false where the processor has none.
// VDPBF16PS takes denormals for zero, flushes denormal results and rounds the sum of a pair of products in its
// own way, so that its results differ from Float32's by a few float32 ulp of the largest partial sum.
func BF16() (k Kernel, ok bool) {
	k = current.Load().bf16
	return k, k.mul != nil
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
	_, _, _ = a[words*k.MR-1], b[words*k.NR-1], c[(k.MR-1)*ldc+k.NR-1]
	n := 0
	if add {
		n = 1
	}
	k.mul(words, &a[0], &b[0], &c[0], 4*ldc, n)
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

// PeakBF16 is Peak for bfloat16 products; 0 where the processor has none.
func PeakBF16(n int) int {
	s := current.Load()
	if s.peakBF16 == nil {
		return 0
	}
	s.peakBF16(n)
	return 2 * n * s.peakFlops
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
