package matmul

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Heads describes an attention. Query head h is in columns [h·Dim, (h+1)·Dim) of q and o. It uses key and value head
// h·KV/Query, which is in the corresponding columns of k and v.
type Heads struct {
	Query, KV int // the numbers of query heads and of key and value heads; KV divides Query
	Dim       int // the channels of a head: a multiple of 16, at most 1024
	Scale     float32
	// Causal masks the keys after i for query i.
	Causal bool
	// Keys is the number of leading rows of k and v that are not masked; 0 means all.
	Keys int
}

const (
	// attentionBytes bounds the packed keys and values of a block, so that they stay in the second-level cache.
	attentionBytes = 256 << 10
	// attentionRows bounds the queries of a task, which keeps their sums and outputs in memory.
	attentionRows = 1536
)

// Attention computes o = softmax(q·kᵀ·Scale)·v for each head, with the softmax over the keys that are not masked. q and
// o are [S, Query·Dim], k and v [T, KV·Dim]; o must not overlap the others.
//
// As in flash attention, the keys are processed in blocks, with a running maximum and sum in float32, so that no matrix
// of all scores is needed. All matrices are transposed: the scores of a block are [keys][queries], with a query in each
// vector lane. The softmax then needs no operation across lanes, and the scores already are a packed panel for the
// product with v. With BFloat16, and a path that has products of bfloat16, the weights of the softmax are rounded to
// bfloat16 after they were summed.
func Attention(stop *atomic.Bool, o, q, k, v Matrix, h Heads, precision Precision) {
	keys := h.Keys
	if keys == 0 {
		keys = k.Rows
	}
	for _, c := range []struct {
		name string
		m    Matrix
		rows int
		cols int
	}{
		{"q", q, q.Rows, h.Query * h.Dim}, {"o", o, q.Rows, h.Query * h.Dim},
		{"k", k, k.Rows, h.KV * h.Dim}, {"v", v, k.Rows, h.KV * h.Dim},
	} {
		if c.m.Rows != c.rows || c.m.Cols != c.cols {
			panic(fmt.Sprintf("matmul: attention: %s is [%d, %d], want [%d, %d]",
				c.name, c.m.Rows, c.m.Cols, c.rows, c.cols))
		}
		c.m.check("attention: " + c.name)
	}
	if h.KV < 1 || h.Query%h.KV != 0 || h.Dim < 16 || h.Dim%16 != 0 || h.Dim > 1024 || keys < 1 || keys > k.Rows ||
		!(h.Scale > 0) {
		panic(fmt.Sprintf("matmul: attention: %+v over %d keys: want KV to divide Query, Dim a multiple of 16 up to 1024, "+
			"a positive Scale, and 1 to %d Keys", h, k.Rows, k.Rows))
	}
	if q.Rows == 0 {
		return
	}
	kernel, round := pick(precision)
	// Each chunk of queries packs all keys and values, so chunks should be long; but all cores need chunks.
	chunk := min(attentionRows*h.KV/h.Query, ceilDiv(q.Rows, ceilDiv(4*maxWorkers(), h.KV)))
	chunk = roundUp(max(chunk, min(4*kernel.NR, q.Rows)), kernel.NR)
	chunks := ceilDiv(q.Rows, chunk)
	forEach(stop, chunks*h.KV, func(i int, ws *workspace) {
		ws.kernel, ws.round = kernel, round
		// With Causal the last chunks have the most keys: they are computed first, so that no core waits for them.
		from := (chunks - 1 - i/h.KV) * chunk
		a := attention{Heads: h, stop: stop, ws: ws, kernel: &kernel, from: from, rows: min(chunk, q.Rows-from), keys: keys}
		a.run(o, q, k, v, i%h.KV)
	})
}

// attention is a task: queries [from, from+rows) of all heads that share a key and value head.
type attention struct {
	Heads
	stop             *atomic.Bool
	ws               *workspace
	kernel           *simd.Kernel
	from, rows, keys int
	block            int // words of keys in a block
}

// run computes the task for key and value head kv.
func (a *attention) run(o, q, k, v Matrix, kv int) {
	ws, nr, mr, dim := a.ws, a.kernel.NR, a.kernel.MR, a.Dim
	group := a.Query / a.KV
	panels := ceilDiv(a.rows, nr) // panels of queries of a head
	dimRows := roundUp(dim, mr)   // rows of a transposed output, including those that only the last tile writes
	steps := words(a.kernel, dim)
	block := max(attentionBytes/8/steps/mr, 1) * mr
	a.block = words(a.kernel, block)
	kSize, vSize := block*steps, a.block*dimRows
	buf := grow(&ws.b, kSize+vSize+2*block*nr)
	kPanels, vPanels, scores := buf[:kSize], buf[kSize:kSize+vSize], buf[kSize+vSize:]
	queries := grow(&ws.a, group*panels*nr*steps)
	state := grow(&ws.acc, group*panels*nr*(dimRows+2))
	for g := range group {
		src := q.sub(a.from, a.rows, (kv*group+g)*dim, dim).operand()
		for p := range panels {
			src.pack(&ws.packer, right, queries[(g*panels+p)*nr*steps:], p*nr, 0, dim)
		}
	}
	seen := a.keys
	if a.Causal {
		seen = min(seen, a.from+a.rows)
	}
	kHead := k.sub(0, seen, kv*dim, dim).operand()
	vHead := v.sub(0, seen, kv*dim, dim)
	for key := 0; key < seen; key += block {
		n := min(block, seen-key)
		for i := 0; i < n; i += mr {
			kHead.pack(&ws.packer, left, kPanels[i*steps:], key+i, 0, dim)
		}
		a.packValues(vPanels, vHead, key, n)
		for at := range group * panels {
			if stopped(a.stop) {
				return
			}
			s := state[at*nr*(dimRows+2) : (at+1)*nr*(dimRows+2)]
			a.panel(s, queries[at*nr*steps:(at+1)*nr*steps], kPanels, vPanels, scores, key, n, a.from+at%panels*nr)
		}
	}
	for at := range group * panels {
		s := state[at*nr*(dimRows+2) : (at+1)*nr*(dimRows+2)]
		first := at % panels * nr
		a.store(s, o.sub(a.from+first, min(nr, a.rows-first), (kv*group+at/panels)*dim, dim))
	}
}

// panel updates the state of nr queries, which begin at query, with a block of n keys, which begins at key. The state
// holds maxima, sums, and the transposed output [dim][nr].
func (a *attention) panel(state, queries, kPanels, vPanels, scores []float32, key, n, query int) {
	kn, nr, mr, dim := a.kernel, a.kernel.NR, a.kernel.MR, a.Dim
	if a.Causal {
		if n = min(n, query+nr-key); n <= 0 {
			return
		}
	}
	top, sum, out := state[:nr], state[nr:2*nr], state[2*nr:]
	depth := words(kn, dim)
	kn.MulPanels(depth, ceilDiv(n, mr), kPanels, mr*depth, queries, scores, nr, false, nil)
	if a.Causal {
		for i := max(0, query-key+1); i < n; i++ {
			for j := 0; j < min(nr, key+i-query); j++ {
				scores[i*nr+j] = float32(math.Inf(-1))
			}
		}
	}
	if key == 0 {
		for j := range top {
			top[j] = float32(math.Inf(-1))
		}
		clear(sum)
		kn.PanelMax(scores, n, top)
	} else {
		a.rescale(state, scores, n)
	}
	kn.PanelExp(scores, n, top, sum, a.Scale)
	weights, steps := scores, words(kn, n)
	if kn.Pairs {
		clear(scores[n*nr : max(n, 2*steps)*nr])
		weights = scores[len(scores)/2:]
		kn.PanelPairs(weights, scores, steps)
	}
	kn.MulPanels(steps, ceilDiv(dim, mr), vPanels, mr*a.block, weights, out, nr, key > 0, nil)
}

// rescale updates the maxima with the scores of a block, and multiplies the sums and outputs so far by the factors that
// the new maxima require.
func (a *attention) rescale(state, scores []float32, n int) {
	nr := a.kernel.NR
	top, sum, out := state[:nr], state[nr:2*nr], state[2*nr:]
	var old, factor [32]float32
	copy(old[:], top)
	a.kernel.PanelMax(scores, n, top)
	changed := false
	for j := range nr {
		factor[j] = (old[j] - top[j]) * a.Scale
		changed = changed || factor[j] != 0
	}
	if !changed {
		return
	}
	simd.Exp(factor[:nr], factor[:nr])
	a.kernel.PanelScale(sum, 1, factor[:])
	a.kernel.PanelScale(out, a.Dim, factor[:])
}

// packValues packs n rows of v, which begin at key, into panels of vᵀ. The panel of mr columns that begin at column c
// is at dst[c·a.block]; it holds row after row, or pair of rows after pair.
func (a *attention) packValues(dst []float32, v Matrix, key, n int) {
	mr, ws := a.kernel.MR, a.ws
	if a.kernel.Tiles {
		a.packValueTiles(dst, v, key, n)
		return
	}
	row := grow(&ws.row, roundUp(a.Dim, mr))
	clear(row[a.Dim:])
	src := v.operand()
	for i := range words(a.kernel, n) {
		if a.kernel.Pairs {
			pair := grow(&ws.bf16, 2*a.Dim)
			clear(pair[a.Dim:])
			for j := 0; j < 2 && 2*i+j < n; j++ {
				src.roundRow(ws, pair[j*a.Dim:(j+1)*a.Dim], key+2*i+j)
			}
			simd.PairBF16(row[:a.Dim], pair, pair[a.Dim:])
		} else {
			src.widen(row[:a.Dim], key+i, 0)
			if ws.round {
				round(row[:a.Dim])
			}
		}
		for c := 0; c < len(row); c += mr {
			to, from := dst[c*a.block+i*mr:], row[c:]
			switch mr {
			case 6:
				*(*[6]float32)(to) = [6]float32(from)
			case 12:
				*(*[12]float32)(to) = [12]float32(from)
			default:
				copy(to[:mr], from)
			}
		}
	}
}

// packValueTiles is packValues for a kernel with Tiles. A pair of rows makes a row of words; each group of these is
// transposed panel by panel.
func (a *attention) packValueTiles(dst []float32, v Matrix, key, n int) {
	const group = simd.TileWords
	mr, ws := a.kernel.MR, a.ws
	stride := roundUp(a.Dim, mr)
	pairs, pair := grow(&ws.row, group*stride), grow(&ws.bf16, 2*a.Dim)
	src := v.operand()
	for r := range group {
		ws.offs[r] = 4 * r * stride
	}
	for first := 0; first < words(a.kernel, n); first += group {
		clear(pairs)
		for r := range group {
			i := 2 * (first + r)
			if i >= n {
				break
			}
			clear(pair[a.Dim:])
			for j := range min(2, n-i) {
				if later := key + i + j + 16; later < v.Rows {
					a.kernel.Prefetch(v.address(later, 0, a.Dim))
				}
				src.roundRow(ws, pair[j*a.Dim:(j+1)*a.Dim], key+i+j)
			}
			simd.PairBF16(pairs[r*stride:r*stride+a.Dim], pair, pair[a.Dim:])
		}
		for c := 0; c < stride; c += mr {
			a.kernel.Pack(dst[c*a.block+first*mr:], group, unsafe.Pointer(&pairs[c]), ws.offs[:], mr)
		}
	}
}

// roundRow stores the first len(dst) values of a row as bfloat16.
func (d *dense) roundRow(ws *workspace, dst []uint16, row int) {
	if d.dtype == tensor.BF16 {
		copy(dst, unsafe.Slice((*uint16)(d.at(row, 0)), len(dst)))
		return
	}
	wide := grow(&ws.wide, len(dst))
	d.widen(wide, row, 0)
	simd.RoundBF16(dst, wide)
}

// store divides the outputs of a panel by its sums, transposes them and writes them to o, which has at most nr rows.
func (a *attention) store(state []float32, o Matrix) {
	nr, dim := a.kernel.NR, a.Dim
	sum, out := state[nr:2*nr], state[2*nr:]
	for j, s := range sum {
		sum[j] = 1 / s
	}
	a.kernel.PanelScale(out, dim, sum)
	const width = 16
	transposed := grow(&a.ws.f32, nr*dim)
	for r := range width {
		a.ws.offs[r] = 4 * r * nr
	}
	for d := 0; d < dim; d += width {
		a.kernel.Pack(transposed[d*nr:], width, unsafe.Pointer(&out[d*nr]), a.ws.offs[:], nr)
	}
	row := grow(&a.ws.row, dim)
	for j := range o.Rows {
		if later := j + 8; later < o.Rows {
			a.kernel.Prefetch(o.address(later, 0, dim)) // the processor does not prefetch rows that are far apart
		}
		for d := 0; d < dim; d += width {
			copy(row[d:d+width], transposed[d*nr+j*width:])
		}
		if o.BF16 != nil {
			simd.RoundBF16(o.BF16[j*o.Stride:j*o.Stride+dim], row)
		} else {
			copy(o.F32[j*o.Stride:j*o.Stride+dim], row)
		}
	}
}
