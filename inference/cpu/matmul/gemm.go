package matmul

import (
	"fmt"
	"sync/atomic"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
)

// packedBytes bounds the packed rows of A.
const packedBytes = 64 << 20

// blocks are the sizes of the parts in which a product is computed. They keep a task's data in the second-level cache.
type blocks struct {
	// rows is the number of rows of A that are multiplied by a strip of B, both with the depth of a block of k.
	rows int
	// panels is the number of panels of B in a strip.
	panels int
	// chunk is the number of rows of A in a task, which keeps their sums in memory.
	chunk int
	// pixels is the number of pixels of a convolution in a task.
	pixels int
}

// blocksOf returns the sizes for a kernel without Tiles. Blocks of A and B take 111 + 147 kB with AVX2, for a
// second-level cache of 512 KiB, and 111 + 295 kB with AVX-512, for one of 1 MiB or more. Of the sizes for a kernel
// with Tiles only pixels is used here; the others are in tiles.go.
func blocksOf(k *simd.Kernel) blocks {
	if k.Tiles {
		return blocks{pixels: 192}
	}
	return blocks{rows: 72, panels: 6, chunk: 1536, pixels: 96}
}

// product is a matrix product [m, k]·[k, n] and its epilogue.
type product struct {
	stop    *atomic.Bool
	m, n, k int
	kernel  simd.Kernel
	round   bool
	dst     Matrix
	ep      Epilogue
	// ints are the scales of a product of int8, whose sums are integers; nil for a product of floats.
	ints *int8Scales
}

// use sets a workspace to the product's kernel.
func (p *product) use(ws *workspace) *workspace {
	ws.kernel, ws.round = p.kernel, p.round
	return ws
}

// packedA packs A first, all of it or as many rows as packedBytes allows. Then each task packs its strip of B, block of
// k after block, and multiplies a chunk of A by it. A weight is converted once, or more often if A has several chunks,
// and no goroutine waits for another. A task keeps its sums in 32 bits until all blocks of k are done.
func (p *product) packedA(a operand, b *dense) {
	kn, mr := &p.kernel, p.kernel.MR // MR is NR if A is on the right
	place := sideOfA(kn)
	kBlocks := ceilDiv(p.k, depth(kn))
	kWords := panelWords(kn, p.k) // enough for all blocks, since KC is a multiple of 8
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
				a.pack(&p.use(ws).packer, place, to[j*size:(j+1)*size], from+j*mr, k0, n)
			}
		})
		p.multiply(packed, from, panels, b)
	}
}

// sideOfA returns the side on which a kernel has the activations.
func sideOfA(kn *simd.Kernel) side {
	if kn.Tiles {
		return right
	}
	return left
}

// multiply multiplies the packed panels of A by all of B. from is the first row of the panels in A.
func (p *product) multiply(packed []float32, from, panels int, b weights) {
	if p.kernel.Tiles {
		p.tiles(packed, from, panels, b)
	} else {
		p.strips(packed, from, panels, b)
	}
}

// strips is multiply for a kernel without Tiles.
func (p *product) strips(packed []float32, from, panels int, b weights) {
	kn, size := &p.kernel, blocksOf(&p.kernel)
	cols := size.panels * kn.NR
	chunks := ceilDiv(panels*kn.MR, size.chunk)
	strips := ceilDiv(p.n, cols)
	for strips*chunks < 8*maxWorkers() && panels/chunks*kn.MR > 2*size.rows {
		chunks *= 2
	}
	chunk := ceilDiv(panels, chunks)
	block := min(size.rows/kn.MR, chunk)
	chunk = roundUp(chunk, block)
	chunks = ceilDiv(panels, chunk)
	forEach(p.stop, strips*chunks, func(i int, ws *workspace) {
		p.use(ws)
		// Tasks go chunk by chunk, so that a chunk of A stays in the last-level cache.
		strip, first := i%strips, i/strips*chunk
		t := task{
			product: p, packed: packed, b: b, panels: panels, from: from, first: first, last: min(first+chunk, panels),
			block: block, col: strip * cols, width: min(cols, p.n-strip*cols),
		}
		t.run(ws)
	})
}

// task is the product of the panels [first, last) of A by a strip of B.
type task struct {
	*product
	packed []float32
	b      weights
	// panels is the number of packed panels of A, and from the first of their rows.
	panels, from int
	// first and last delimit the panels of this task; block is the number of panels that are multiplied at a time.
	first, last, block int
	// col and width are the columns of the result that the strip of B makes.
	col, width int
}

// run computes the task.
func (t *task) run(ws *workspace) {
	kn, mr, nr := &t.kernel, t.kernel.MR, t.kernel.NR
	bPanels := ceilDiv(t.width, nr)
	sums := (t.last - t.first) * mr * nr // the number of sums for a panel of B
	acc := grow(&ws.acc, bPanels*sums)
	strip := grow(&ws.b, bPanels*nr*panelWords(kn, depth(kn)))
	if t.first == 0 { // in the first task of each strip
		t.b.populate(t.col, t.width)
	}
	for k0 := 0; k0 == 0 || k0 < t.k; k0 += depth(kn) {
		n := min(depth(kn), t.k-k0)
		size, steps := panelWords(kn, n), words(kn, n)
		packed, distance, ready := t.ready(t.b, t.col, k0)
		if !ready {
			packed, distance = strip, size*nr
			for j := range bPanels {
				t.b.pack(&ws.packer, right, strip[j*size*nr:(j+1)*size*nr], t.col+j*nr, k0, n)
			}
		}
		ap := t.packed[words(kn, k0)*t.panels*mr:]
		for at := t.first; at < t.last; at += t.block {
			if stopped(t.stop) {
				return
			}
			n := min(t.block, t.last-at)
			for j := range bPanels {
				c := acc[j*sums+(at-t.first)*mr*nr:]
				kn.MulPanels(steps, n, ap[at*size*mr:], size*mr, packed[j*distance:], c, nr, k0 > 0, nil)
			}
			if k0+depth(kn) >= t.k {
				row := t.from + at*mr
				t.finish(ws, acc[(at-t.first)*mr*nr:], sums, row, min(n*mr, t.m-row), t.col, t.width)
			}
		}
	}
}

// ready returns the panels of weights b from a row on, from value k0 of their rows on, and their distance, if the
// kernel can read them where they are in memory.
func (p *product) ready(b weights, row, k0 int) (panels []float32, distance int, ok bool) {
	if w, isPanels := b.(*panels8); isPanels {
		return w.panels(&p.kernel, row, k0)
	}
	return nil, 0, false
}

// finish applies the epilogue to rows×width sums, which are stored panel by panel of B. The sums of a panel have the
// length panel and are stored row by row.
func (p *product) finish(ws *workspace, acc []float32, panel, row, rows, col, width int) {
	nr := p.kernel.NR
	line := grow(&ws.line, roundUp(width, nr))
	const ahead = 8 // rows of the destination: the processor does not prefetch rows that are far apart
	for i := range rows {
		if i+ahead < rows {
			at, size := p.dst.address(row+i+ahead, col, width)
			p.kernel.Prefetch(at, size)
		}
		for j := 0; j*nr < width; j++ {
			copy(line[j*nr:(j+1)*nr], acc[j*panel+i*nr:])
		}
		p.store(ws, row+i, col, line[:width])
	}
}

// store stores the sums y of columns [col, col+len(y)) of a row, which it may overwrite.
func (p *product) store(ws *workspace, row, col int, y []float32) {
	if p.ints != nil {
		p.ints.scale(y, row, col)
	}
	p.ep.apply(ws, p.dst, row, col, y)
}

// check panics unless Bias and Gate have a value for each of n columns.
func (ep *Epilogue) check(name string, n int) {
	if ep.Bias != nil && len(ep.Bias) < n || ep.Gate != nil && len(ep.Gate) < n {
		panic(fmt.Sprintf("matmul: %s: %d biases, %d gates, want %d or none", name, len(ep.Bias), len(ep.Gate), n))
	}
}

// apply stores the sums y of columns [col, col+len(y)) of a row as ep describes. It may overwrite y.
func (ep *Epilogue) apply(ws *workspace, dst Matrix, row, col int, y []float32) {
	if ep.Bias != nil {
		simd.Add(y, y, ep.Bias[col:])
	}
	at := row*dst.Stride + col
	switch {
	case ep.Store != nil:
		ep.Store(row, col, y, grow(&ws.row, len(y)))
	case dst.BF16 != nil:
		d := dst.BF16[at : at+len(y)]
		if ep.Residual {
			old := grow(&ws.row, len(y))
			simd.WidenBF16(old, d)
			ep.add(y, old, y, col)
		}
		if ep.ReLU {
			simd.ReLU(y, y)
		}
		simd.RoundBF16(d, y)
	default:
		d := dst.F32[at : at+len(y)]
		if ep.Residual {
			ep.add(d, d, y, col)
			y = d
		}
		if ep.ReLU {
			simd.ReLU(d, y)
		} else {
			copy(d, y)
		}
	}
}

// add stores old + Gate·y, or old + y without a Gate.
func (ep *Epilogue) add(dst, old, y []float32, col int) {
	if ep.Gate != nil {
		simd.MulAdd(dst, y, ep.Gate[col:], old)
	} else {
		simd.Add(dst, old, y)
	}
}
