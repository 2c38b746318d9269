package matmul

import (
	"unsafe"

	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// operand is one side of a product: rows of k-contiguous values.
type operand interface {
	// pack makes the panel of `width` rows from row on, values [k0, k0+n) of each; rows past the last are zero.
	pack(p *packer, dst []float32, width, row, k0, n int)
}

// packer turns operands into panels for one kernel.
type packer struct {
	kernel simd.Kernel
	round  bool // to bfloat16
	offs   [32]int
	f32    []float32
	bf16   []uint16
	wide   []float32
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

func (d *dense) pack(p *packer, dst []float32, width, row, k0, n int) {
	if n == 0 {
		return
	}
	whole := row+width <= d.rows && n%8 == 0 && d.scale == 1
	for r := range width {
		p.offs[r] = r * d.stride
	}
	src := d.at(row, k0)
	switch {
	case whole && d.dtype == tensor.BF16 && p.kernel.Pairs:
		p.kernel.Pack(dst, width, src, p.offs[:], n/2)
	case whole && d.dtype == tensor.BF16:
		p.kernel.PackBF16(dst, width, src, p.offs[:], n/2)
	case whole && d.dtype == tensor.F32 && !p.round:
		p.kernel.Pack(dst, width, src, p.offs[:], n)
	default:
		rows := min(width, d.rows-row)
		p.packCopy(dst, width, rows, n, func(r int, dst []float32) { d.widen(dst, row+r, k0) })
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
func (p *packer) packCopy(dst []float32, width, rows, n int, row func(r int, dst []float32)) {
	stride := roundUp(n, 8)
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
			p.kernel.Pack(dst, width, unsafe.Pointer(&buf[0]), p.offs[:], stride/2)
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
