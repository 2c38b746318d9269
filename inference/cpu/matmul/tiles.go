package matmul

// Products of weights with tiles. The roles are exchanged: the weights B are on the left, where their rows need no
// transposition, and A is on the right. The results are transposed. A panel of A stays in the first-level cache while
// it meets all panels of a strip of B, which are read from the second-level cache past the first. The panels of A come
// from the last-level cache and are prefetched. inference/cpu/SPEED.md has the measurements.
const (
	// tilePanels is the number of panels of B in a strip: 256 rows of the weights, or 256 KiB in a block of k.
	tilePanels = 8
	// tileChunk is the largest number of panels of A in a task, whose sums then take 768 KiB of the second-level cache.
	tileChunk = 24
)

// tiles is multiply for a kernel with Tiles.
func (p *product) tiles(packed []float32, from, panels int, b weights) {
	rows := tilePanels * p.kernel.MR
	strips := ceilDiv(p.n, rows)
	chunks := ceilDiv(panels, tileChunk)
	for strips*chunks < 2*maxWorkers() && panels/chunks >= 16 {
		chunks *= 2
	}
	chunk := ceilDiv(panels, chunks)
	chunks = ceilDiv(panels, chunk)
	forEach(p.stop, strips*chunks, func(i int, ws *workspace) {
		p.use(ws)
		// Tasks go strip by strip, so that B is read from memory once.
		row, first := i/chunks*rows, i%chunks*chunk
		t := tileTask{
			product: p, packed: packed, b: b, panels: panels, from: from, first: first, last: min(first+chunk, panels),
			row: row, rows: min(rows, p.n-row),
		}
		t.run(ws)
	})
}

// tileTask is the product of a strip of B by the panels [first, last) of A.
type tileTask struct {
	*product
	packed []float32
	b      weights
	// panels is the number of packed panels of A, and from the first of their rows.
	panels, from int
	// first and last delimit the panels of A of this task.
	first, last int
	// row and rows delimit the strip of B, which makes columns [row, row+rows) of the result.
	row, rows int
}

// run computes the task.
func (t *tileTask) run(ws *workspace) {
	kn, side := &t.kernel, t.kernel.MR
	bPanels := ceilDiv(t.rows, side)
	sums := bPanels * side * side // for a panel of A
	acc := grow(&ws.acc, (t.last-t.first)*sums)
	strip := grow(&ws.b, bPanels*side*panelWords(kn, depth(kn)))
	if t.first == 0 { // in the first task of each strip
		t.b.populate(t.row, t.rows)
	}
	for k0 := 0; k0 == 0 || k0 < t.k; k0 += depth(kn) {
		n := min(depth(kn), t.k-k0)
		size, steps := panelWords(kn, n)*side, words(kn, n)
		packed, distance, ready := t.ready(t.b, t.row, k0)
		if !ready {
			packed, distance = strip, size
			for j := range bPanels {
				t.b.pack(&ws.packer, left, strip[j*size:(j+1)*size], t.row+j*side, k0, n)
			}
		}
		block := t.packed[words(kn, k0)*t.panels*side:]
		for at := t.first; at < t.last; at++ {
			if stopped(t.stop) {
				return
			}
			ahead := block[(at+1)*size:]
			if at+1 == t.last {
				ahead = t.firstPanel(k0 + depth(kn))
			}
			c := acc[(at-t.first)*sums:]
			kn.MulPanels(steps, bPanels, packed, distance, block[at*size:], c, side, k0 > 0, ahead)
			if k0+depth(kn) >= t.k {
				t.finish(ws, c, t.from+at*side)
			}
		}
	}
}

// firstPanel returns the task's first panel of A, from value k of its rows on, or from value 0 if k is past the end.
func (t *tileTask) firstPanel(k int) []float32 {
	kn := &t.kernel
	if k >= t.k {
		k = 0
	}
	size := panelWords(kn, min(depth(kn), t.k-k))
	return t.packed[(words(kn, k)*t.panels+t.first*size)*kn.MR:]
}

// finish applies the epilogue to the results of one panel of A, whose first row in A is row.
func (t *tileTask) finish(ws *workspace, c []float32, row int) {
	side := t.kernel.MR
	pitch := roundUp(t.rows, side)
	lines := grow(&ws.line, side*pitch)
	rows := min(side, t.m-row)
	for i := range rows { // the processor does not prefetch rows that are far apart
		t.kernel.Prefetch(t.dst.address(row+i, t.row, t.rows))
	}
	for j := range pitch / side {
		t.kernel.TransposeTile(lines[j*side:], pitch, c[j*side*side:])
	}
	for i := range rows {
		t.store(ws, row+i, t.row, lines[i*pitch:i*pitch+t.rows])
	}
}
