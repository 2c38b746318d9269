package matmul

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Int8Product is a product with a weight of int8 [N, K] and its epilogue. Dst and Epilogue are as in Linear.
type Int8Product struct {
	Dst      Matrix
	Weight   tensor.Tensor
	Epilogue Epilogue
}

// maxInt8Depth bounds K, so that no sum of products of int8 leaves an int32: K·127·128 < 2^31.
const maxInt8Depth = 1 << 17

// IsInt8 reports whether LinearInt8 can multiply by w: a matrix of int8 with scales of rows or one scale.
func IsInt8(w tensor.Tensor) bool {
	return w.DType == tensor.I8 && len(w.Shape) == 2 && w.Shape[1] <= maxInt8Depth &&
		(w.Quant == nil || w.Quant.Blocks == nil && w.Quant.Columns == nil)
}

// LinearInt8 computes products y [M, N] = a [M, K] · w [N, K]ᵀ in integers: each row of a is rotated as the weights
// are, divided by its scale s, and rounded to int8. Sums of products are exact, and y is the sum times s times the
// scale of the weight's row. All weights must have one K and one rotation; a is quantised once for all of them. The
// products are computed in their order. All paths give the same bits.
//
// Rows are quantised as tensor.QuantiseInt8 does it. A row with a NaN or an infinity gives NaN.
func LinearInt8(stop *atomic.Bool, a Matrix, products ...Int8Product) {
	a.check("linear of int8: input")
	group := products[0].Weight.Rotation()
	list := make([]product, len(products))
	for i, x := range products {
		w, n := x.Weight, x.Weight.Shape[0]
		if !IsInt8(w) || w.Shape[1] != a.Cols || len(w.Data) < n*a.Cols || w.Rotation() != group ||
			group > 1 && a.Cols%group != 0 {
			panic(fmt.Sprintf("matmul: linear of int8: %s: %v %v of %d bytes, want int8 [N, %d], rotated by %d",
				w.Name, w.DType, w.Shape, len(w.Data), a.Cols, group))
		}
		if x.Epilogue.Store == nil && (x.Dst.Rows != a.Rows || x.Dst.Cols != n) {
			panic(fmt.Sprintf("matmul: linear of int8: %s: destination [%d, %d], want [%d, %d]",
				w.Name, x.Dst.Rows, x.Dst.Cols, a.Rows, n))
		}
		if x.Epilogue.Store == nil {
			x.Dst.check("linear of int8: destination")
		}
		x.Epilogue.check(w.Name, n)
		list[i] = product{stop: stop, m: a.Rows, n: n, k: a.Cols, kernel: simd.Int8(), dst: x.Dst, ep: x.Epilogue}
	}
	if a.Rows == 0 {
		return
	}
	p := &list[0]
	kn, side := &p.kernel, p.kernel.MR
	if kn.Tiles {
		side = kn.NR
	}
	q := quantiser{product: p, from: a.operand(), group: group, scales: newInt8Scales(a.Rows, kn)}
	kWords := panelWords(kn, p.k)
	parts := ceilDiv(p.m, max(packedBytes/4/max(kWords, 1), side))
	rows := roundUp(ceilDiv(p.m, parts), side)
	buf := shared.Get().(*[]float32)
	defer shared.Put(buf)
	packed := grow(buf, rows*kWords)
	for first := 0; first < p.m && !stopped(stop); first += rows {
		panels := ceilDiv(min(rows, p.m-first), side)
		forEach(stop, panels, func(i int, ws *workspace) { q.pack(p.use(ws), packed, first, i, panels) })
		for i := range list {
			w := products[i].Weight
			if list[i].n > 0 {
				list[i].ints = q.scales.of(w)
				list[i].multiply(packed, first, panels, &bytes8{unsafe.Pointer(unsafe.SliceData(w.Data)), w.Shape[0], p.k})
			}
		}
	}
}

// int8Scales are what turns the sums of a product of int8 into its result.
type int8Scales struct {
	rows    []float32 // for each row of A
	offsets []int32   // what is added to the sums of each row of A; nil for nothing
	columns []float32 // for each row of the weights
}

func newInt8Scales(m int, kn *simd.Kernel) *int8Scales {
	s := &int8Scales{rows: make([]float32, m)}
	if kn.Offset != 0 {
		s.offsets = make([]int32, m)
	}
	return s
}

// of returns the scales for a weight.
func (s *int8Scales) of(w tensor.Tensor) *int8Scales {
	all := *s
	if w.Scale == 1 && w.Quant != nil && w.Quant.Rows != nil {
		all.columns = w.Quant.Rows
		return &all
	}
	all.columns = make([]float32, w.Shape[0])
	for i := range all.columns {
		all.columns[i] = w.Scale
		if w.Quant != nil && w.Quant.Rows != nil {
			all.columns[i] *= w.Quant.Rows[i]
		}
	}
	return &all
}

// scale turns the sums y of columns [col, col+len(y)) of a row into results.
func (s *int8Scales) scale(y []float32, row, col int) {
	offset := int32(0)
	if s.offsets != nil {
		offset = s.offsets[row]
	}
	simd.ScaleI32(y, y, s.rows[row], offset, s.columns[col:])
}

// quantiser quantises and packs rows of activations.
type quantiser struct {
	*product
	from   *dense
	group  int
	scales *int8Scales
}

// pack quantises the rows of panel i of `panels` panels, the first of which begins with row first, and packs them block
// of k after block.
func (q *quantiser) pack(ws *workspace, packed []float32, first, i, panels int) {
	kn, p := &q.kernel, &ws.packer
	side := sideOfA(kn)
	width, stride := p.width(side), roundUp(q.k, p.group())
	bytes, wide := grow(&p.int8, width*stride), grow(&p.wide, q.k)
	for r := range width {
		line := bytes[r*stride : (r+1)*stride]
		row := first + i*width + r
		if row >= q.m {
			clear(line)
			continue
		}
		q.scales.rows[row] = q.from.quantise(line[:q.k], row, wide, q.group)
		clear(line[q.k:])
		if kn.Offset != 0 {
			sum := int32(0)
			for _, v := range line {
				sum += int32(v)
			}
			q.scales.offsets[row] = -kn.Offset * sum
		}
	}
	from := &bytes8{unsafe.Pointer(unsafe.SliceData(bytes)), width, stride}
	for k0 := 0; k0 < q.k; k0 += depth(kn) {
		n := min(depth(kn), q.k-k0)
		size := panelWords(kn, n) * width
		to := packed[words(kn, k0)*panels*width+i*size:]
		from.pack(p, side, to[:size], 0, k0, min(roundUp(n, p.group()), stride-k0))
	}
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

// quantise stores a row of BF16, F16 or F32 as int8 and returns its scale. scratch has the length of the row.
func (d *dense) quantise(dst []int8, row int, scratch []float32, group int) (scale float32) {
	if len(dst) == 0 {
		return tensor.Int8Scale(0)
	}
	switch src := d.at(row, 0); d.dtype {
	case tensor.BF16:
		return simd.QuantiseBF16(dst, unsafe.Slice((*uint16)(src), len(dst)), scratch, group)
	case tensor.F32:
		return simd.QuantiseF32(dst, unsafe.Slice((*float32)(src), len(dst)), scratch, group)
	}
	wide := make([]float32, len(dst))
	d.widen(wide, row, 0)
	return simd.QuantiseF32(dst, wide, scratch, group)
}

// QuantiseRows stores rows [from, to) of a matrix src of BF16, F16 or F32 in the rows of dst, a matrix of int8 of the
// same shape that has scales of rows, and a rotation.
func QuantiseRows(dst, src tensor.Tensor, from, to int) {
	cols := src.Shape[1]
	d, scratch := weightOperand(src, cols), make([]float32, cols)
	for i := from; i < to; i++ {
		row := dst.Data[i*cols : (i+1)*cols]
		q := unsafe.Slice((*int8)(unsafe.Pointer(&row[0])), cols)
		dst.Quant.Rows[i] = d.quantise(q, i, scratch, dst.Quant.Rotation)
	}
}
