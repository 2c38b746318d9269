package matmul

import (
	"runtime"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// vectorRows is the largest number of rows of A for which reading the weights takes longer than multiplying them, so
// that packing would only cost time.
const vectorRows = 4

func maxWorkers() int { return runtime.GOMAXPROCS(0) }

// vectors computes a product of few rows by dot products with the rows of the weights, without packing.
func (p *product) vectors(a widener, w *dense) {
	rows := make([]float32, p.m*p.k)
	for i := range p.m {
		row := rows[i*p.k : (i+1)*p.k]
		a.widen(row, i, 0)
		if p.round {
			round(row)
		}
	}
	// A task has about 256 KiB of weights, so that there are many tasks for each core.
	per := max(1, 256<<10/max(w.stride, 1))
	forEach(p.stop, ceilDiv(p.n, per), func(task int, ws *workspace) {
		col := task * per
		width := min(per, p.n-col)
		y := grow(&ws.acc, p.m*width)
		for j := range width {
			if j%16 == 0 && stopped(p.stop) {
				return
			}
			direct := w.dtype == tensor.BF16 && w.scale == 1 && w.quant == nil
			var wide []float32
			if !direct {
				wide = grow(&ws.b, p.k)
				w.widen(wide, col+j, 0)
				if p.round {
					round(wide)
				}
			}
			for i := range p.m {
				row := rows[i*p.k : (i+1)*p.k]
				if direct {
					y[i*width+j] = simd.DotBF16(row, unsafe.Slice((*uint16)(w.at(col+j, 0)), p.k))
				} else {
					y[i*width+j] = simd.Dot(row, wide)
				}
			}
		}
		for i := range p.m {
			p.ep.apply(ws, p.dst, i, col, y[i*width:(i+1)*width])
		}
	})
}

// round rounds the values of x to bfloat16.
func round(x []float32) {
	var b [256]uint16
	for len(x) > 0 {
		n := min(len(x), len(b))
		simd.RoundBF16(b[:n], x)
		simd.WidenBF16(x[:n], b[:])
		x = x[n:]
	}
}
