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
	Weight   Int8Weight
	Epilogue Epilogue
}

// LinearInt8 computes products y [M, N] = a [M, K] · w [N, K]ᵀ in integers: each row of a is rotated as the weights
// are, divided by its scale s, and rounded to int8. Sums of products are exact, and y is the sum times s times the
// scale of the weight's row. All weights must have one K and one rotation; a is quantised once for all of them. The
// products are computed in their order. All paths give the same bits.
//
// Rows are quantised as tensor.QuantiseInt8 does it. A row with a NaN or an infinity gives NaN.
func LinearInt8(stop *atomic.Bool, a Matrix, products ...Int8Product) {
	x := NewInt8Rows(a, products[0].Weight.Rotation)
	defer x.Free()
	x.Multiply(stop, products...)
}

// Int8Rows are activations a [M, K] for several calls of Multiply, between which a must not change: they are quantised
// by the first one.
type Int8Rows struct {
	a      Matrix
	from   *dense
	kernel simd.Kernel
	group  int
	scales *int8Scales
	// rows is the number of rows that packed has room for, and first the first one that it holds; -1 if it holds none.
	rows, first int
	packed      []float32
	buf         *[]float32
}

// NewInt8Rows returns a for products with weights that are rotated in groups of `rotation` columns. Free frees its
// memory.
func NewInt8Rows(a Matrix, rotation int) *Int8Rows {
	a.check("linear of int8: input")
	if rotation > 1 && a.Cols%rotation != 0 {
		panic(fmt.Sprintf("matmul: linear of int8: rows of %d, want a multiple of the rotation %d", a.Cols, rotation))
	}
	x := &Int8Rows{
		a: a, from: a.operand(), kernel: simd.Int8(), group: rotation, first: -1, buf: shared.Get().(*[]float32),
	}
	x.scales = newInt8Scales(a.Rows, &x.kernel)
	kWords, side := panelWords(&x.kernel, a.Cols), x.side()
	parts := max(1, ceilDiv(a.Rows, max(packedBytes/4/max(kWords, 1), side)))
	x.rows = roundUp(ceilDiv(a.Rows, parts), side)
	x.packed = grow(x.buf, x.rows*kWords)
	return x
}

// Free frees the memory. x must not be used again.
func (x *Int8Rows) Free() {
	shared.Put(x.buf)
	x.buf, x.packed = nil, nil
}

// side returns the number of rows of a in a panel.
func (x *Int8Rows) side() int {
	if x.kernel.Tiles {
		return x.kernel.NR
	}
	return x.kernel.MR
}

// Multiply computes products as LinearInt8 does.
func (x *Int8Rows) Multiply(stop *atomic.Bool, products ...Int8Product) {
	list := make([]product, len(products))
	for i, of := range products {
		w := &of.Weight
		if w.K != x.a.Cols || w.Rotation != x.group {
			panic(fmt.Sprintf("matmul: linear of int8: a weight [%d, %d], rotated by %d, want [N, %d], rotated by %d",
				w.N, w.K, w.Rotation, x.a.Cols, x.group))
		}
		if of.Epilogue.Store == nil && (of.Dst.Rows != x.a.Rows || of.Dst.Cols != w.N) {
			panic(fmt.Sprintf("matmul: linear of int8: destination [%d, %d], want [%d, %d]",
				of.Dst.Rows, of.Dst.Cols, x.a.Rows, w.N))
		}
		if of.Epilogue.Store == nil {
			of.Dst.check("linear of int8: destination")
		}
		of.Epilogue.check("linear of int8", w.N)
		ints := *x.scales
		ints.columns = w.scales
		list[i] = product{
			stop: stop, m: x.a.Rows, n: w.N, k: w.K, kernel: x.kernel, dst: of.Dst, ep: of.Epilogue, ints: &ints,
		}
	}
	for first := 0; first < x.a.Rows && !stopped(stop); first += x.rows {
		panels := ceilDiv(min(x.rows, x.a.Rows-first), x.side())
		x.pack(stop, first, panels)
		for i := range list {
			if w := &products[i].Weight; w.N > 0 {
				list[i].multiply(x.packed, first, panels, w.values)
			}
		}
	}
}

// pack quantises and packs panels of rows, the first of which begins with row first, unless they are packed.
func (x *Int8Rows) pack(stop *atomic.Bool, first, panels int) {
	if x.first == first {
		return
	}
	x.first = -1
	forEach(stop, panels, func(i int, ws *workspace) {
		ws.kernel = x.kernel
		x.packPanel(&ws.packer, first, i, panels)
	})
	if !stopped(stop) {
		x.first = first
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

// scale turns the sums y of columns [col, col+len(y)) of a row into results.
func (s *int8Scales) scale(y []float32, row, col int) {
	offset := int32(0)
	if s.offsets != nil {
		offset = s.offsets[row]
	}
	simd.ScaleI32(y, y, s.rows[row], offset, s.columns[col:])
}

// packPanel quantises the rows of panel i of `panels` panels, the first of which begins with row first, and packs them
// block of k after block.
func (x *Int8Rows) packPanel(p *packer, first, i, panels int) {
	kn, k := &x.kernel, x.a.Cols
	side := sideOfA(kn)
	width, stride := p.width(side), roundUp(k, p.group())
	bytes, wide := grow(&p.int8, width*stride), grow(&p.wide, k)
	for r := range width {
		line := bytes[r*stride : (r+1)*stride]
		row := first + i*width + r
		if row >= x.a.Rows {
			clear(line)
			continue
		}
		x.scales.rows[row] = x.from.quantise(line[:k], row, wide, x.group)
		clear(line[k:])
		if kn.Offset != 0 {
			sum := int32(0)
			for _, v := range line {
				sum += int32(v)
			}
			x.scales.offsets[row] = -kn.Offset * sum
		}
	}
	from := &bytes8{unsafe.Pointer(unsafe.SliceData(bytes)), width, stride}
	for k0 := 0; k0 < k; k0 += depth(kn) {
		n := min(depth(kn), k-k0)
		size := panelWords(kn, n) * width
		to := x.packed[words(kn, k0)*panels*width+i*size:]
		from.pack(p, side, to[:size], 0, k0, min(roundUp(n, p.group()), stride-k0))
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
