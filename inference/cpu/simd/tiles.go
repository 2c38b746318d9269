package simd

import (
	"math"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// UseTileModel is like Use for a kernel with Tiles in plain Go, which computes the same bits as TDPBF16PS. With it
// tests run the code around AMX on processors without AMX. It also makes the model of TDPBSSD current for int8.
func UseTileModel() (restore func()) {
	s := generic
	s.bf16 = Kernel{
		MR: 32, NR: 32, KC: 256, Pairs: true, Tiles: true, mulTiles: tilesGeneric, pack: packGeneric,
		packRows: packRowsGeneric, packPairs: packPairsGeneric, panelPairs: panelPairsGeneric,
	}
	old := current.Swap(&s)
	ints := int8Set{path: Int8AMX, kernel: s.bf16}
	ints.kernel.Quads, ints.kernel.Pairs, ints.kernel.mulTiles = true, false, tilesInt8Generic
	oldInt8 := currentInt8.Swap(&ints)
	return func() {
		current.Store(old)
		currentInt8.Store(oldInt8)
	}
}

// tilesGeneric is gemmAMX32x32 in plain Go.
func tilesGeneric(groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int, _ *float32) {
	tilesOf(tileProduct, groups, panels, a, b, c, ldc, aPanel, cPanel, add)
}

// tilesInt8Generic is gemmAMXInt8x32x32 in plain Go.
func tilesInt8Generic(groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int, _ *float32) {
	tilesOf(tileProductInt8, groups, panels, a, b, c, ldc, aPanel, cPanel, add)
}

// tileProductInt8 is tileProduct for TDPBSSD: signed bytes, with sums of int32 that wrap around.
func tileProductInt8(c float32, a, b []float32, stride int) float32 {
	sum := int32(math.Float32bits(c))
	for k, w := range a {
		sum += dotQuad(math.Float32bits(w), math.Float32bits(b[k*stride]))
	}
	return math.Float32frombits(uint32(sum))
}

// dotQuad returns the sum of the products of the four signed bytes of x and y.
func dotQuad(x, y uint32) (sum int32) {
	for range 4 {
		sum += int32(int8(x)) * int32(int8(y))
		x, y = x>>8, y>>8
	}
	return sum
}

// tilesOf is a kernel with Tiles whose products of tiles are computed by product.
func tilesOf(
	product func(c float32, a, b []float32, stride int) float32,
	groups, panels int, a, b, c *float32, ldc, aPanel, cPanel, add int,
) {
	const side, pair = 32, TileWords
	bs := unsafe.Slice(b, groups*pair*side)
	for p := range panels {
		as := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(a), p*aPanel)), groups*pair*side)
		for i := range side {
			row := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(c), p*cPanel+i*ldc)), side)
			if add == 0 {
				clear(row)
			}
			for g := range groups {
				words := as[(g*side+i)*pair : (g*side+i+1)*pair]
				for j := range side {
					row[j] = product(row[j], words, bs[g*pair*side+j:], side)
				}
			}
		}
	}
}

// tileProduct computes one value of the result of TDPBF16PS from its old value c, a row a of A's tile, and a column of
// B's tile, whose words are stride apart in b. The instruction sums the products of the lower and of the upper halves
// of the words separately, with one rounding for each product, adds the two sums, and adds the result to c (Intel SDM,
// volume 2). Denormal operands and results are zero.
func tileProduct(c float32, a, b []float32, stride int) float32 {
	var sum [2]float32
	for k, w := range a {
		x, y := math.Float32bits(w), math.Float32bits(b[k*stride])
		sum[0] = mulAddFlushed(math.Float32frombits(x<<16), math.Float32frombits(y<<16), sum[0])
		sum[1] = mulAddFlushed(math.Float32frombits(x&^0xffff), math.Float32frombits(y&^0xffff), sum[1])
	}
	return flushed(flushed(c) + flushed(sum[0]+sum[1]))
}

// mulAddFlushed returns a·b + c, rounded once, for a and b of bfloat16 precision.
func mulAddFlushed(a, b, c float32) float32 {
	p, z := float64(flushed(a))*float64(flushed(b)), float64(c) // p is exact
	s := p + z
	// If the float64 sum was rounded, its last bit is made odd (rounding to odd), so that the second rounding, to
	// float32, gives the same result as a single one.
	t := s - p
	if lost := (p - (s - t)) + (z - t); lost != 0 && !math.IsInf(s, 0) && !math.IsNaN(lost) {
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (lost > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return flushed(float32(s))
}

// flushed returns x, or a zero with its sign if x is denormal.
func flushed(x float32) float32 {
	if bits := math.Float32bits(x); bits&0x7f800000 == 0 {
		return math.Float32frombits(bits & (1 << 31))
	}
	return x
}

func packRowsGeneric(dst *float32, src *byte, offs *int, groups int) {
	const rows = 32
	to := unsafe.Slice(dst, groups*TileWords*rows)
	for r, off := range unsafe.Slice(offs, rows) {
		for g := range groups {
			from := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(src), off+4*TileWords*g)), 4*TileWords)
			part := to[(g*rows+r)*TileWords : (g*rows+r+1)*TileWords]
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&part[0])), 4*TileWords), from)
		}
	}
}

func packPairsGeneric(dst *float32, pitch int, src *byte, stride, groups int) {
	var offs [16]int
	for r := range offs {
		offs[r] = r * stride
	}
	packGeneric(unsafe.Slice(dst, (groups*TileWords-1)*pitch/4+16), pitch/4, src, offs[:], groups*TileWords)
}

func panelPairsGeneric(dst, p *float32, pairs int) {
	const cols = 32
	to, from := unsafe.Slice(dst, pairs*cols), unsafe.Slice(p, 2*pairs*cols)
	for i := range to {
		at := i/cols*2*cols + i%cols
		to[i] = math.Float32frombits(uint32(tensor.F32ToBF16(from[at])) | uint32(tensor.F32ToBF16(from[at+cols]))<<16)
	}
}
