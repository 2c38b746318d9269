package matmul

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// operand is the left or right side of a product: rows of values, with k as the index inside a row.
type operand interface {
	// pack packs values [k0, k0+n) of the rows from row on into a panel for the given side, which has MR or NR rows.
	// Rows after the operand's last are zero.
	pack(p *packer, side side, dst []float32, row, k0, n int)
}

// weights is the right operand of a product with activations.
type weights interface {
	operand
	// populate reads the pages of rows rows from row on (see populate in huge_linux.go) if these have at least 64 KB.
	populate(row, rows int)
}

// side is the side of an operand in a product.
type side uint8

const (
	left  side = iota // A, in panels of MR rows
	right             // B, in panels of NR rows
)

// packer packs operands into panels for a kernel.
type packer struct {
	kernel simd.Kernel
	round  bool // the operands are rounded to bfloat16
	// Working memory: offsets of rows in bytes, and copies of rows.
	offs                [32]int
	scales              [32]float32
	f32                 []float32
	bf16                []uint16
	wide                []float32
	int8, copies, lines []int8
	i16                 []int16
}

// width returns the number of rows of a panel.
func (p *packer) width(s side) int {
	if s == left {
		return p.kernel.MR
	}
	return p.kernel.NR
}

// group returns the number of values of a row that are packed together. Only whole groups can be packed without a copy.
func (p *packer) group() int {
	if p.kernel.Tiles {
		return p.kernel.Values() * simd.TileWords
	}
	return max(8, 4*p.kernel.Values())
}

// rows packs n values of each row, in the kernel's words, for a kernel with Pairs or Quads; n is a multiple of group.
// Row r is p.offs[r] bytes after src. If stride is not 0, p.offs[r] is r·stride.
func (p *packer) rows(s side, dst []float32, src unsafe.Pointer, stride, n int) {
	switch {
	case p.kernel.Tiles && s == left:
		p.kernel.PackRows(dst, src, p.offs[:], n/p.group())
	case p.kernel.Tiles && stride > 0:
		p.kernel.PackPairs(dst, src, stride, n/p.group())
	default:
		p.kernel.Pack(dst, p.width(s), src, p.offs[:], n/p.kernel.Values())
	}
}

// depth returns the number of values of k in a block.
func depth(k *simd.Kernel) int { return k.KC * k.Values() }

// words returns the number of words (steps of the kernel along k) for n values of k.
func words(k *simd.Kernel, n int) int {
	w := ceilDiv(n, k.Values())
	if k.Tiles {
		return roundUp(w, simd.TileWords)
	}
	return w
}

// panelWords returns words(k, n), rounded up to what packing in groups can write.
func panelWords(k *simd.Kernel, n int) int { return roundUp(words(k, n), 8) }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func ceilDiv(n, by int) int { return (n + by - 1) / by }

// dense is an operand in memory, in any format of weights and with any alignment. Its rows are stride bytes apart.
type dense struct {
	dtype        tensor.DType
	base         unsafe.Pointer
	rows, stride int
	scale        float32
	// quant holds the other scales of a quantised matrix, or is nil. Its rotation is that of the other operand.
	quant *tensor.Quant
}

// weightOperand returns w, a matrix with rows of k values, as an operand of a product.
func weightOperand(w tensor.Tensor, k int) *dense {
	return &dense{
		dtype: w.DType, base: unsafe.Pointer(unsafe.SliceData(w.Data)), rows: w.Shape[0], stride: w.DType.Bytes(k),
		scale: w.Scale, quant: w.Quant,
	}
}

// at returns the address of value k of a row, or of the block that holds it.
func (d *dense) at(row, k int) unsafe.Pointer {
	return unsafe.Add(d.base, row*d.stride+d.dtype.Bytes(k))
}

// populate implements weights.
func (d *dense) populate(row, rows int) { populatePages(d.at(row, 0), rows*d.stride) }

// populatePages reads the pages that lie in sizeBytes of memory from base on.
func populatePages(base unsafe.Pointer, sizeBytes int) {
	const page = 4096
	// The end is a number, not a pointer: behind the last row it would point into memory of something else.
	from := uintptr(base)
	to := from + uintptr(sizeBytes)
	skip := -from & (page - 1)
	if size := int(to-from-skip) &^ (page - 1); to > from+skip && size >= 16*page {
		populate(unsafe.Slice((*byte)(unsafe.Add(base, skip)), size))
	}
}

// pack implements operand.
func (d *dense) pack(p *packer, side side, dst []float32, row, k0, n int) {
	if n == 0 {
		return
	}
	width := p.width(side)
	inside := row+width <= d.rows && n%p.group() == 0
	whole := inside && d.scale == 1 && d.quant == nil
	// A panel of weights, which some kernels convert while they pack it.
	panel := inside && n%32 == 0 && p.kernel.Tiles == (side == left)
	for r := range width {
		p.offs[r] = r * d.stride
	}
	src := d.at(row, k0)
	switch {
	case whole && d.dtype == tensor.BF16 && p.kernel.Pairs:
		p.rows(side, dst, src, d.stride, n)
	case whole && d.dtype == tensor.BF16:
		p.kernel.PackBF16(dst, width, src, p.offs[:], n/2)
	case whole && d.dtype == tensor.F32 && !p.round:
		p.kernel.Pack(dst, width, src, p.offs[:], n)
	case whole && panel && p.kernel.CanPackBlocks(d.dtype) &&
		k0%d.dtype.BlockValues() == 0 && n%d.dtype.BlockValues() == 0:
		p.kernel.PackBlocks(dst, d.dtype, src, d.stride, n, grow(&p.wide, simd.PackBlocksScratch))
	case panel && p.kernel.CanPackScaled(d.dtype) && d.rowScales(p, row):
		p.kernel.PackScaled(dst, d.dtype, src, d.stride, n, &p.scales, grow(&p.wide, simd.PackBlocksScratch))
	case panel && p.kernel.CanPackNVFP4() && d.isPackedNVFP4(k0, n):
		p.kernel.PackNVFP4(dst, src, d.stride, n, d.dtype == tensor.F4E2M1Low, func(dst []float32, r, first int) {
			readScales(dst, d.quant.Blocks, row+r, (k0+first)/groupNVFP4, d.scale)
		}, grow(&p.wide, simd.PackBlocksScratch))
	default:
		rows := min(width, d.rows-row)
		p.packCopy(side, dst, rows, n, func(r int, dst []float32) { d.widen(dst, row+r, k0) })
	}
}

// isPackedNVFP4 reports whether n values of rows, from k0 on, are nvfp4 whose scales PackNVFP4 takes: the products of
// scales of float8_e4m3fn, from 2^-9 to 448, and one scale.
func (d *dense) isPackedNVFP4(k0, n int) bool {
	q := d.quant
	return isNVFP4(d.dtype) && q != nil && q.Rows == nil && q.Columns == nil && q.Blocks != nil &&
		q.Blocks.Width == groupNVFP4 && q.Blocks.DType == tensor.F8E4M3 && k0%(4*groupNVFP4) == 0 && n%(2*groupNVFP4) == 0 &&
		d.scale >= 0x1p9*simd.LeastPackScale && d.scale <= 0x1p-9*simd.GreatestPackScale
}

// rowScales sets p.scales to the scales of 32 rows from row on. It returns false if there are other scales, or if one
// is not in the range of PackScaled.
func (d *dense) rowScales(p *packer, row int) bool {
	if d.quant != nil && (d.quant.Blocks != nil || d.quant.Columns != nil) {
		return false
	}
	for r := range p.scales {
		s := d.scale
		if d.quant != nil && d.quant.Rows != nil {
			s *= d.quant.Rows[row+r]
		}
		if !(s >= simd.LeastPackScale && s <= simd.GreatestPackScale) {
			return false
		}
		p.scales[r] = s
	}
	return true
}

// widen stores len(dst) values of a row, from k0 on, as float32 multiplied by the scales.
func (d *dense) widen(dst []float32, row, k0 int) {
	if len(dst) == 0 {
		return
	}
	if unit := d.dtype.BlockValues(); k0%unit != 0 || len(dst)%unit != 0 {
		ragged(dst, k0, unit, func(dst []float32, k0 int) { d.widen(dst, row, k0) })
		return
	}
	src := d.at(row, k0)
	bytes := func() []byte { return unsafe.Slice((*byte)(src), d.dtype.Bytes(len(dst))) }
	scale, blocks := d.scale, (*tensor.BlockScales)(nil)
	if d.quant != nil {
		if blocks = d.quant.Blocks; d.quant.Rows != nil {
			scale *= d.quant.Rows[row]
		}
	}
	switch {
	case d.dtype == tensor.I8 && blocks == nil:
		simd.ScaleI8(dst, bytes(), scale)
		scale = 1
	case isNVFP4(d.dtype) && blocks != nil && blocks.Width == groupNVFP4 && (k0|len(dst))%groupNVFP4 == 0:
		widenNVFP4(dst, d.dtype, bytes(), blocks, row, k0, scale)
		scale, blocks = 1, nil
	case d.dtype == tensor.F32:
		copy(dst, unsafe.Slice((*float32)(src), len(dst)))
	case d.dtype == tensor.F16:
		simd.WidenF16(dst, unsafe.Slice((*uint16)(src), len(dst)))
	case d.dtype == tensor.BF16:
		simd.WidenBF16(dst, unsafe.Slice((*uint16)(src), len(dst)))
	case d.dtype == tensor.F8E4M3:
		simd.WidenF8E4M3(dst, unsafe.Slice((*uint8)(src), len(dst)))
	default:
		simd.Widen(dst, d.dtype, bytes())
	}
	if blocks != nil {
		multiplyBlocks(dst, blocks, row, k0, scale)
	} else if scale != 1 {
		simd.Scale(dst, dst, scale)
	}
	if d.quant != nil && d.quant.Columns != nil {
		simd.Multiply(dst, dst, d.quant.Columns[k0:k0+len(dst)])
	}
}

// groupNVFP4 is the number of values of nvfp4 with one scale.
const groupNVFP4 = 16

// scalesTogether is the number of scales of blocks that are read together.
const scalesTogether = 64

func isNVFP4(d tensor.DType) bool { return d == tensor.F4E2M1 || d == tensor.F4E2M1Low }

// widenNVFP4 stores values of a row of nvfp4, from k0 on, multiplied by the scales of their groups and by scale.
func widenNVFP4(
	dst []float32, dtype tensor.DType, src []byte, b *tensor.BlockScales, row, k0 int, scale float32,
) {
	for c := k0 / groupNVFP4; len(dst) > 0; c += scalesTogether {
		var scales [scalesTogether]float32
		n := min(len(dst)/groupNVFP4, len(scales))
		readScales(scales[:n], b, row, c, scale)
		simd.WidenNVFP4(dst[:n*groupNVFP4], src, scales[:n], dtype == tensor.F4E2M1Low)
		dst, src = dst[n*groupNVFP4:], src[n*groupNVFP4/2:]
	}
}

// readScales stores the scales of the block columns from c on, multiplied by scale.
func readScales(dst []float32, b *tensor.BlockScales, row, c int, scale float32) {
	if b.Swizzled && b.DType == tensor.F8E4M3 && (c|len(dst))%4 == 0 {
		simd.SwizzledF8E4M3(dst, b.Data[b.Index(row, c):], scale)
		return
	}
	b.Row(dst, row, c, scale)
}

// multiplyBlocks multiplies values of a row, from k0 on, by the scales of their blocks and by scale. The first and the
// last block may be only partly in dst.
func multiplyBlocks(dst []float32, b *tensor.BlockScales, row, k0 int, scale float32) {
	for i := 0; i < len(dst); {
		c, inside := (k0+i)/b.Width, (k0+i)%b.Width
		if whole := (len(dst) - i) / b.Width; inside == 0 && whole > 0 {
			var scales [scalesTogether]float32
			n := min(whole, len(scales))
			readScales(scales[:n], b, row, c, scale)
			simd.ScaleBlocks(dst[i:i+n*b.Width], scales[:n])
			i += n * b.Width
			continue
		}
		part := dst[i:min(len(dst), i+b.Width-inside)]
		simd.Scale(part, part, scale*b.At(row, c))
		i += len(part)
	}
}

// ragged calls widen for the whole units that hold the values from k0 on, and copies these values to dst.
func ragged(dst []float32, k0, unit int, widen func(dst []float32, k0 int)) {
	first := k0 / unit * unit
	whole := make([]float32, roundUp(k0+len(dst), unit)-first)
	widen(whole, first)
	copy(dst, whole[k0-first:])
}

// rotated is the left operand of a product with a rotated weight: each group of columns is rotated in the same way (see
// tensor.Rotate).
type rotated struct {
	*dense
	group int
}

// pack implements operand.
func (r *rotated) pack(p *packer, side side, dst []float32, row, k0, n int) {
	if n == 0 {
		return
	}
	rows := min(p.width(side), r.rows-row)
	p.packCopy(side, dst, rows, n, func(i int, dst []float32) { r.widen(dst, row+i, k0) })
}

// widen stores len(dst) rotated values of a row, from k0 on.
func (r *rotated) widen(dst []float32, row, k0 int) {
	if k0%r.group != 0 || len(dst)%r.group != 0 {
		ragged(dst, k0, r.group, func(dst []float32, k0 int) { r.widen(dst, row, k0) })
		return
	}
	r.dense.widen(dst, row, k0)
	simd.Rotate(dst, r.group)
}

// packCopy packs n values of each of rows rows. row(r, dst) writes a row as float32 to a copy, which packCopy pads with
// zeros to whole groups and to the panel's number of rows.
func (p *packer) packCopy(side side, dst []float32, rows, n int, row func(r int, dst []float32)) {
	width, stride := p.width(side), roundUp(n, p.group())
	if p.round {
		buf, wide := grow(&p.bf16, width*stride), grow(&p.wide, n)
		for r := range width {
			to := buf[r*stride : (r+1)*stride]
			if r < rows {
				row(r, wide)
				simd.RoundBF16(to[:n], wide)
				to = to[n:]
			}
			clear(to)
			p.offs[r] = 2 * r * stride
		}
		if p.kernel.Pairs {
			p.rows(side, dst, unsafe.Pointer(&buf[0]), 2*stride, stride)
		} else {
			p.kernel.PackBF16(dst, width, unsafe.Pointer(&buf[0]), p.offs[:], stride/2)
		}
		return
	}
	buf := grow(&p.f32, width*stride)
	for r := range width {
		to := buf[r*stride : (r+1)*stride]
		if r < rows {
			row(r, to[:n])
			to = to[n:]
		}
		clear(to)
		p.offs[r] = 4 * r * stride
	}
	p.kernel.Pack(dst, width, unsafe.Pointer(&buf[0]), p.offs[:], stride)
}
