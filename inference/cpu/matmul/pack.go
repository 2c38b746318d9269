package matmul

import (
	"unsafe"

	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// operand is one side of a product: rows of k-contiguous values.
type operand interface {
	// pack makes a panel of rows from row on, as many as the kernel's panels of that side have, values [k0, k0+n) of
	// each; rows past the last are zero.
	pack(p *packer, side side, dst []float32, row, k0, n int)
}

// side says which panels of a kernel an operand becomes.
type side uint8

const (
	left  side = iota // A, of MR rows
	right             // B, of NR
)

// packer turns operands into panels for one kernel.
type packer struct {
	kernel simd.Kernel
	round  bool // to bfloat16
	offs   [32]int
	f32    []float32
	bf16   []uint16
	wide   []float32
}

// width is the number of rows of a panel.
func (p *packer) width(s side) int {
	if s == left {
		return p.kernel.MR
	}
	return p.kernel.NR
}

// group is the number of values along k that are packed together.
func (p *packer) group() int {
	if p.kernel.Tiles {
		return 2 * simd.TileWords
	}
	return 8
}

// rows packs bfloat16 for a kernel with Pairs, n values of each row, a multiple of group: row r at src + p.offs[r]
// bytes, where offs[r] is r·stride unless stride is 0.
func (p *packer) rows(s side, dst []float32, src unsafe.Pointer, stride, n int) {
	switch {
	case p.kernel.Tiles && s == left:
		p.kernel.PackRows(dst, src, p.offs[:], n/p.group())
	case p.kernel.Tiles && stride > 0:
		p.kernel.PackPairs(dst, src, stride, n/p.group())
	default:
		p.kernel.Pack(dst, p.width(s), src, p.offs[:], n/2)
	}
}

// depth is the number of values of k in a block.
func depth(k *simd.Kernel) int {
	if k.Pairs {
		return 2 * k.KC
	}
	return k.KC
}

// words is the number of kernel steps for n values of k.
func words(k *simd.Kernel, n int) int {
	if k.Tiles {
		return roundUp((n+1)/2, simd.TileWords)
	}
	if k.Pairs {
		return (n + 1) / 2
	}
	return n
}

// panelWords is words with room for what packing in groups writes past the end.
func panelWords(k *simd.Kernel, n int) int { return roundUp(words(k, n), 8) }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func ceilDiv(n, by int) int { return (n + by - 1) / by }

// dense is an operand whose rows lie in memory at a fixed stride, in any float format, at any alignment.
type dense struct {
	dtype        tensor.DType
	base         unsafe.Pointer
	rows, stride int // stride in bytes
	scale        float32
}

func (d *dense) at(row, k int) unsafe.Pointer {
	return unsafe.Add(d.base, row*d.stride+k*d.dtype.SizeBytes())
}

// populate brings the pages of rows into this process, if the operand is large enough for that to matter.
func (d *dense) populate(row, rows int) {
	const page = 4096
	// The end is a number, not a pointer: behind the last row it would point into memory of something else.
	from := uintptr(d.at(row, 0))
	to := from + uintptr(rows*d.stride)
	skip := -from & (page - 1)
	if size := int(to-from-skip) &^ (page - 1); to > from+skip && size >= 16*page {
		populate(unsafe.Slice((*byte)(unsafe.Add(d.at(row, 0), skip)), size))
	}
}

func (d *dense) pack(p *packer, side side, dst []float32, row, k0, n int) {
	if n == 0 {
		return
	}
	width := p.width(side)
	whole := row+width <= d.rows && n%p.group() == 0 && d.scale == 1
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
	default:
		rows := min(width, d.rows-row)
		p.packCopy(side, dst, rows, n, func(r int, dst []float32) { d.widen(dst, row+r, k0) })
	}
}

// widen stores len(dst) values of a row from k0 on, scaled.
func (d *dense) widen(dst []float32, row, k0 int) {
	if len(dst) == 0 {
		return
	}
	src := d.at(row, k0)
	switch d.dtype {
	case tensor.F32:
		copy(dst, unsafe.Slice((*float32)(src), len(dst)))
	case tensor.F16:
		simd.WidenF16(dst, unsafe.Slice((*uint16)(src), len(dst)))
	case tensor.BF16:
		simd.WidenBF16(dst, unsafe.Slice((*uint16)(src), len(dst)))
	case tensor.F8E4M3:
		simd.WidenF8E4M3(dst, unsafe.Slice((*uint8)(src), len(dst)))
	}
	if d.scale != 1 {
		simd.Scale(dst, dst, d.scale)
	}
}

// packCopy packs rows that row(r, dst) writes as float32 into a copy, padded with zeros to whole groups.
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
