package matmul

import (
	"fmt"
	"sync/atomic"

	"kleinbild/inference/cpu/simd"
)

// The sizes of blocks. A block of A, blockRows by a kernel's KC, and a strip of B, stripPanels panels of that depth, lie in the
// second-level cache together: 110 + 147 KiB of 512 with AVX2, 110 + 295 of the 1024 or more where there is AVX-512.
const (
	blockRows   = 72
	stripPanels = 6
	chunkRows   = 1536
	packedBytes = 64 << 20 // of A at a time
)

// product is one matrix product m×n over k and what becomes of it.
type product struct {
	stop    *atomic.Bool
	m, n, k int
	kernel  simd.Kernel
	round   bool
	dst     Matrix
	ep      Epilogue
}

// use readies a workspace for the product's kernel.
func (p *product) use(ws *workspace) *workspace {
	ws.kernel, ws.round = p.kernel, p.round
	return ws
}

// packedA packs A whole (or as many rows as packedBytes hold) before it begins. Then each task widens its own strip of B,
// block after block of k, and multiplies a chunk of A by it: no weight is widened twice but for tall A, and no two
// goroutines wait for each other. Sums of a task stay in its own float32 buffer until k is done.
func (p *product) packedA(a, b operand) {
	kn, mr := &p.kernel, p.kernel.MR
	kBlocks := ceilDiv(p.k, depth(kn))
	kWords := panelWords(kn, p.k) // KC is a multiple of 8
	limit := max(packedBytes/4/max(kWords, 1), mr)
	parts := ceilDiv(p.m, limit)
	rows := roundUp(ceilDiv(p.m, parts), mr)
	buf := shared.Get().(*[]float32)
	defer shared.Put(buf)
	packed := grow(buf, rows*kWords)
	for from := 0; from < p.m && !stopped(p.stop); from += rows {
		panels := ceilDiv(min(rows, p.m-from), mr)
		const group = 8
		forEach(p.stop, kBlocks*ceilDiv(panels, group), func(i int, ws *workspace) {
			k0 := i % kBlocks * depth(kn)
			n := min(depth(kn), p.k-k0)
			size := panelWords(kn, n) * mr
			to := packed[words(kn, k0)*panels*mr:]
			for j := i / kBlocks * group; j < min((i/kBlocks+1)*group, panels); j++ {
				a.pack(&p.use(ws).packer, to[j*size:(j+1)*size], mr, from+j*mr, k0, n)
			}
		})
		p.strips(packed, from, panels, b)
	}
}

// strips multiplies the packed panels of A, rows of the result from `from` on, by all of B.
func (p *product) strips(packed []float32, from, panels int, b operand) {
	kn, mr, nr := &p.kernel, p.kernel.MR, p.kernel.NR
	cols := stripPanels * nr
	chunks := ceilDiv(panels*mr, chunkRows)
	strips := ceilDiv(p.n, cols)
	for strips*chunks < 8*maxWorkers() && panels/chunks*mr > 2*blockRows {
		chunks *= 2
	}
	chunk := roundUp(ceilDiv(panels, chunks), blockRows/mr)
	chunks = ceilDiv(panels, chunk)
	forEach(p.stop, strips*chunks, func(i int, ws *workspace) {
		p.use(ws)
		col := i % strips * cols // chunk after chunk, so that A stays in the last-level cache
		width := min(cols, p.n-col)
		bPanels := ceilDiv(width, nr)
		ld := bPanels * nr
		first := i / strips * chunk
		last := min(first+chunk, panels)
		acc := grow(&ws.acc, (last-first)*mr*ld)
		strip := grow(&ws.b, bPanels*nr*panelWords(kn, depth(kn)))
		for k0 := 0; k0 == 0 || k0 < p.k; k0 += depth(kn) {
			n := min(depth(kn), p.k-k0)
			size, steps := panelWords(kn, n), words(kn, n)
			for j := range bPanels {
				b.pack(&ws.packer, strip[j*size*nr:(j+1)*size*nr], nr, col+j*nr, k0, n)
			}
			ap := packed[words(kn, k0)*panels*mr:]
			for block := first; block < last; block += blockRows / mr {
				if stopped(p.stop) {
					return
				}
				end := min(block+blockRows/mr, last)
				for j := range bPanels {
					for i := block; i < end; i++ {
						kn.Mul(steps, ap[i*size*mr:], strip[j*size*nr:], acc[(i-first)*mr*ld+j*nr:], ld, k0 > 0)
					}
				}
				if k0+depth(kn) >= p.k {
					p.finish(ws, acc[(block-first)*mr*ld:], ld, from+block*mr, min((end-block)*mr, p.m-from-block*mr), col, width)
				}
			}
		}
	})
}

// finish passes rows×width of sums through the epilogue.
func (p *product) finish(ws *workspace, acc []float32, ld, row, rows, col, width int) {
	for i := range rows {
		p.ep.apply(ws, p.dst, row+i, col, acc[i*ld:i*ld+width])
	}
}

// check panics unless Bias and Gate have a value for each of n columns.
func (ep *Epilogue) check(name string, n int) {
	if ep.Bias != nil && len(ep.Bias) < n || ep.Gate != nil && len(ep.Gate) < n {
		panic(fmt.Sprintf("matmul: %s: %d biases, %d gates, want %d or none", name, len(ep.Bias), len(ep.Gate), n))
	}
}

func (ep *Epilogue) apply(ws *workspace, dst Matrix, row, col int, y []float32) {
	if ep.Bias != nil {
		simd.Add(y, y, ep.Bias[col:])
	}
	at := row*dst.Stride + col
	switch {
	case ep.Store != nil:
		ep.Store(row, col, y)
	case dst.BF16 != nil:
		d := dst.BF16[at : at+len(y)]
		if ep.Residual {
			old := grow(&ws.row, len(y))
			simd.WidenBF16(old, d)
			ep.add(y, old, y, col)
		}
		simd.RoundBF16(d, y)
	case ep.Residual:
		d := dst.F32[at : at+len(y)]
		ep.add(d, d, y, col)
	default:
		copy(dst.F32[at:at+len(y)], y)
	}
}

// add stores old + gate·y.
func (ep *Epilogue) add(dst, old, y []float32, col int) {
	if ep.Gate != nil {
		simd.MulAdd(dst, y, ep.Gate[col:], old)
	} else {
		simd.Add(dst, old, y)
	}
}
