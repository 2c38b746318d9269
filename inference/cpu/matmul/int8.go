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
	a.check("linear of int8: input")
	group := products[0].Weight.Rotation
	list := make([]product, len(products))
	for i, x := range products {
		w := &x.Weight
		if w.K != a.Cols || w.Rotation != group || group > 1 && a.Cols%group != 0 {
			panic(fmt.Sprintf("matmul: linear of int8: a weight [%d, %d], rotated by %d, want [N, %d], rotated by %d",
				w.N, w.K, w.Rotation, a.Cols, group))
		}
		if x.Epilogue.Store == nil && (x.Dst.Rows != a.Rows || x.Dst.Cols != w.N) {
			panic(fmt.Sprintf("matmul: linear of int8: destination [%d, %d], want [%d, %d]",
				x.Dst.Rows, x.Dst.Cols, a.Rows, w.N))
		}
		if x.Epilogue.Store == nil {
			x.Dst.check("linear of int8: destination")
		}
		x.Epilogue.check("linear of int8", w.N)
		list[i] = product{stop: stop, m: a.Rows, n: w.N, k: a.Cols, kernel: simd.Int8(), dst: x.Dst, ep: x.Epilogue}
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
			if w := &products[i].Weight; w.N > 0 {
				ints := *q.scales
				ints.columns = w.scales
				list[i].ints = &ints
				list[i].multiply(packed, first, panels, w.values)
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
