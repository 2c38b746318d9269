package matmul

import (
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Int8Weight is a weight [N, K] of int8 for LinearInt8, with a scale for each row. Rotation is that of tensor.Quant.
type Int8Weight struct {
	N, K, Rotation int
	scales         []float32
	values         weights
}

// MaxInt8Depth bounds K, so that no sum of products of int8 leaves an int32: K·127·128 < 2^31.
const MaxInt8Depth = 1 << 17

// StoredInt8 returns a weight as it is stored. ok is false if LinearInt8 cannot use it: it must be a matrix of int8
// with scales of rows or one scale.
func StoredInt8(t tensor.Tensor) (w Int8Weight, ok bool) {
	if t.DType != tensor.I8 || len(t.Shape) != 2 || t.Shape[1] > MaxInt8Depth || len(t.Data) < tensor.Elements(t.Shape) ||
		t.Quant != nil && (t.Quant.Blocks != nil || t.Quant.Columns != nil) {
		return w, false
	}
	n, k := t.Shape[0], t.Shape[1]
	w = Int8Weight{N: n, K: k, Rotation: t.Rotation()}
	w.values = &bytes8{unsafe.Pointer(unsafe.SliceData(t.Data)), n, k}
	if t.Scale == 1 && t.Quant != nil && t.Quant.Rows != nil {
		w.scales = t.Quant.Rows
		return w, true
	}
	w.scales = make([]float32, n)
	for i := range w.scales {
		w.scales[i] = t.Scale
		if t.Quant != nil && t.Quant.Rows != nil {
			w.scales[i] *= t.Quant.Rows[i]
		}
	}
	return w, true
}

// Int8Bytes returns the size of the memory that NewInt8Weight needs for a weight [n, k].
func Int8Bytes(n, k int) int { return roundUp(n, Int8Panel) * roundUp(k, panelBytes) }

// NewInt8Weight returns a weight of zeros in memory of Int8Bytes bytes, which are zero. QuantiseRows fills it. Its
// layout is that of the current path; other paths have to repack it.
func NewInt8Weight(memory []byte, n, k int) Int8Weight {
	kn := simd.Int8()
	panels := &panels8{
		base: unsafe.Pointer(unsafe.SliceData(memory)), rows: n, stride: roundUp(k, panelBytes), width: Int8Panel,
	}
	if kn.Quads && !kn.Tiles && Int8Panel%kn.NR == 0 {
		panels.width, panels.words = kn.NR, true
	}
	return Int8Weight{
		N: n, K: k, Rotation: tensor.RotationFor(k), scales: make([]float32, n), values: panels,
	}
}

// Slice returns rows [from, to), which share the memory of w.
func (w Int8Weight) Slice(from, to int) Int8Weight {
	switch v := w.values.(type) {
	case *bytes8:
		w.values = &bytes8{v.at(from, 0), to - from, v.stride}
	case *panels8:
		part := *v
		part.first, part.rows = v.first+from, to-from
		w.values = &part
	}
	w.N, w.scales = to-from, w.scales[from:to]
	return w
}

// QuantiseRows stores rows [from, to) of a matrix src of BF16, F16 or F32 in the same rows of w, a result of
// NewInt8Weight. from is a multiple of Int8Panel.
func (w Int8Weight) QuantiseRows(src tensor.Tensor, from, to int) {
	d, panels := weightOperand(src, w.K), w.values.(*panels8)
	d.populate(from, to-from)
	scratch, lines, offs := make([]float32, w.K), make([]int8, Int8Panel*panels.stride), make([]int, Int8Panel)
	for i := from; i < to; i += Int8Panel {
		for r := range Int8Panel {
			line := lines[r*panels.stride:]
			if offs[r] = r * panels.stride; i+r < to {
				w.scales[i+r] = d.quantise(line[:w.K], i+r, scratch, w.Rotation)
			} else {
				clear(line[:w.K])
			}
		}
		panels.set(i, lines, offs)
	}
}

// set stores Int8Panel rows from row on: row r is at lines[offs[r]], and has stride bytes. Whole panels are written one
// after the other. b.first is 0.
func (b *panels8) set(row int, lines []int8, offs []int) {
	kn := simd.Int8()
	for r := 0; r < Int8Panel; r += b.width {
		from := unsafe.Pointer(&lines[offs[r]])
		panel := unsafe.Slice((*float32)(b.at(row+r, 0)), b.width*b.stride/4)
		switch {
		case b.words && kn.NR == b.width && !kn.Tiles:
			kn.PackPanel(panel, from, b.stride)
		case !b.words && kn.Tiles:
			kn.PackRows(panel, from, offs, b.stride/panelBytes)
		default:
			together := b.together()
			for k := 0; k < b.stride; k += together {
				for i := range b.width {
					copy(unsafe.Slice((*int8)(b.at(row+r+i, k)), together), lines[offs[r+i]+k:])
				}
			}
		}
	}
}

// Int8Panel is the number of rows that the memory of NewInt8Weight holds together: one panel, or several.
const Int8Panel = 32

// panelBytes is the number of bytes of a row that lie together in a panel: those of a group of words.
const panelBytes = 4 * simd.TileWords

// panels8 is a matrix of int8 as an operand, in packed panels of width rows: rows from row first on. Rows have stride
// bytes. In a panel a group of panelBytes values of each row lies together: row by row, as kernels with Tiles read it,
// or, if words is set, word by word, as other kernels with Quads do.
type panels8 struct {
	base                unsafe.Pointer
	first, rows, stride int
	width               int
	words               bool
}

// together returns the number of values of a row that follow each other in memory: those of a word or of a group.
func (b *panels8) together() int {
	if b.words {
		return 4
	}
	return panelBytes
}

// at returns the address of value k of a row. What lies together with it follows.
func (b *panels8) at(row, k int) unsafe.Pointer {
	row += b.first
	panel := unsafe.Add(b.base, (row-row%b.width)*b.stride+k/panelBytes*b.width*panelBytes)
	if b.words {
		return unsafe.Add(panel, (k%panelBytes/4*b.width+row%b.width)*4+k%4)
	}
	return unsafe.Add(panel, row%b.width*panelBytes+k%panelBytes)
}

// populate implements weights. The memory is resident.
func (b *panels8) populate(int, int) {}

// panels returns the packed panels from a row on and from value k0 of their rows on, and the distance of two panels. ok
// is false if the row is not the first of a panel, or if the kernel reads other panels.
func (b *panels8) panels(kn *simd.Kernel, row, k0 int) (p []float32, distance int, ok bool) {
	width := kn.NR
	if kn.Tiles {
		width = kn.MR
	}
	if !kn.Quads || b.words == kn.Tiles || b.width != width || (b.first+row)%width != 0 || k0%panelBytes != 0 {
		return nil, 0, false
	}
	rest := ceilDiv(b.rows-row, width)*width*b.stride - k0*width
	return unsafe.Slice((*float32)(b.at(row, k0)), rest/4), width * b.stride / 4, true
}

// pack implements operand.
func (b *panels8) pack(p *packer, side side, dst []float32, row, k0, n int) {
	width, stride := p.width(side), roundUp(n, panelBytes)
	lines, together := grow(&p.lines, width*stride), b.together()
	for r := range min(width, b.rows-row) {
		for k := 0; k < n; { // up to the end of what lies together
			part := min(n-k, together-(k0+k)%together)
			copy(lines[r*stride+k:], unsafe.Slice((*int8)(b.at(row+r, k0+k)), part))
			k += part
		}
	}
	from := &bytes8{unsafe.Pointer(unsafe.SliceData(lines)), min(width, b.rows-row), stride}
	from.pack(p, side, dst, 0, 0, n)
}

// bytes8 is a matrix of int8 as an operand. Its rows are stride bytes apart.
type bytes8 struct {
	base         unsafe.Pointer
	rows, stride int
}

func (b *bytes8) at(row, k int) unsafe.Pointer { return unsafe.Add(b.base, row*b.stride+k) }

// populate implements weights.
func (b *bytes8) populate(row, rows int) { populatePages(b.at(row, 0), rows*b.stride) }

// pack implements operand.
func (b *bytes8) pack(p *packer, side side, dst []float32, row, k0, n int) {
	if n == 0 {
		return
	}
	width := p.width(side)
	if p.kernel.Quads && row+width <= b.rows && n%p.group() == 0 {
		for r := range width {
			p.offs[r] = r * b.stride
		}
		p.rows(side, dst, b.at(row, k0), b.stride, n)
		return
	}
	stride := roundUp(n, p.group())
	if p.kernel.Quads {
		copyRows(p, &p.copies, b, width, row, k0, n, func(to []int8, from []byte) {
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&to[0])), n), from)
		})
		p.rows(side, dst, unsafe.Pointer(&p.copies[0]), stride, stride)
		return
	}
	copyRows(p, &p.i16, b, width, row, k0, n, func(to []int16, from []byte) { simd.WidenI8(to[:n], from) })
	p.rows(side, dst, unsafe.Pointer(&p.i16[0]), 2*stride, stride)
}

// copyRows copies n values of each of width rows of b to rows of whole groups. It pads with zeros, also for rows that b
// does not have, and sets p.offs.
func copyRows[T int8 | int16](
	p *packer, buf *[]T, b *bytes8, width, row, k0, n int, convert func(to []T, from []byte),
) {
	stride := roundUp(n, p.group())
	all := grow(buf, width*stride)
	for r := range width {
		to := all[r*stride : (r+1)*stride]
		if row+r < b.rows {
			convert(to, unsafe.Slice((*byte)(b.at(row+r, k0)), n))
			to = to[n:]
		}
		clear(to)
		p.offs[r] = r * stride * int(unsafe.Sizeof(all[0]))
	}
}
