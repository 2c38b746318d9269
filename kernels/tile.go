package kernels

import "fmt"

// Variant chooses among the kernels of a family that give the same bits for a target, at different speeds. They are
// numbered from 0; Auto leaves the choice to the launcher: what Tune has measured for the shape, else a rule that counts
// the tiles of a multiprocessor.
type Variant int

// Auto is the launcher's choice.
const Auto Variant = -1

// tile is one kernel of src/gemm.cu, src/gemm.sm_90a.cu or src/conv.cu.
type tile struct {
	name   string
	target target
	// m and n are the part of the result that a block computes, k the width of a slice.
	m, n, k int
	threads int
	stages  int
	// blocks fit a multiprocessor together.
	blocks int
	// paired tiles need two columns of B for each column of the result.
	paired bool
	takes  alignment
	// sharedBytes is what attention and conv_norm need; others need their stages.
	sharedBytes int
}

// alignment is what operands offer and what a tile can do with.
type alignment int

const (
	// strict: all rows begin at multiples of 16 bytes, in whole pieces of 16.
	strict alignment = iota
	// loose: the result may lie anywhere, and be F32.
	loose
	// unaligned: so may the operands, but for F32.
	unaligned
)

func (t tile) kernel() kernel {
	k := kernel{name: t.name, target: t.target, threads: t.threads, sharedBytes: t.sharedBytes}
	if k.sharedBytes == 0 {
		k.sharedBytes = (t.m + t.columns()) * t.k * 2 * t.stages
		if t.target == sm90a {
			k.sharedBytes += 2 * mbarrierBytes * t.stages
		}
	}
	return k
}

// columns are what a tile takes of B.
func (t tile) columns() int {
	if t.paired {
		return 2 * t.n
	}
	return t.n
}

// mbarrierBytes is the size of a barrier in shared memory.
const mbarrierBytes = 8

// tiles counts those of a result of rows × cols.
func (t tile) tiles(rows, cols int) int { return ceilDiv(rows, t.m) * ceilDiv(cols, t.n) }

// grid counts the blocks: one a tile, or, where blocks take tile after tile, as many as run together.
func (t tile) grid(rows, cols, sms int) int {
	if t.target == sm90a {
		return min(t.tiles(rows, cols), max(sms, 1)*t.blocks)
	}
	return t.tiles(rows, cols)
}

func tileKernels(tables ...[]tile) []kernel {
	var all []kernel
	for _, table := range tables {
		for _, t := range table {
			all = append(all, t.kernel())
		}
	}
	return all
}

// fits says whether a tile takes operands of an alignment and is made for a target.
func (t tile) fits(have alignment, target target) bool { return t.takes >= have && t.target == target }

// targetFor is the best target whose tiles take a shape's operands.
func (s *Set) targetFor(table []tile, have alignment, shape Shape) (target, error) {
	best, err := s.bestTarget(familyOf(shape))
	if err != nil {
		return best, err
	}
	return targetOf(table, have, shape, best), nil
}

// targetOf is best, or sm80 where nothing in the table takes the operands there.
func targetOf(table []tile, have alignment, shape Shape, best target) target {
	for _, t := range table {
		if t.fits(have, best) && !shape.Conv.Downsample {
			return best
		}
	}
	return sm80
}

// rivals says whether there is a choice among a target's aligned tiles.
func rivals(table []tile, target target) bool {
	count := 0
	for _, t := range table {
		if t.takes == strict && t.target == target {
			count++
		}
	}
	return count > 1
}

// choose returns a tile for a shape; Auto is what has been measured, if anything.
func (q *Queue) choose(table []tile, variant Variant, have alignment, s Shape) (tile, error) {
	target, err := q.set.targetFor(table, have, s)
	if err != nil {
		return tile{}, err
	}
	if variant == Auto && have == strict && rivals(table, target) {
		variant = q.set.tuned(s)
	}
	return choose(table, variant, have, target, s, q.set.ctx.Device().SMs)
}

// choose returns the tile that variant names if it is made for the target and takes the operands' alignment, or the one
// that should be fastest.
func choose(table []tile, variant Variant, have alignment, target target, s Shape, sms int) (tile, error) {
	if variant != Auto && (variant < 0 || int(variant) >= len(table)) {
		return tile{}, fmt.Errorf("%s: variant %d, want 0 to %d", s.Operation, variant, len(table)-1)
	}
	if variant != Auto && table[variant].fits(have, target) {
		return table[variant], nil
	}
	var chosen tile
	least := 0.0
	for _, t := range table {
		if !t.fits(have, target) {
			continue
		}
		// The time is that of the multiprocessor with most tiles; small ones load more for each product.
		cost := float64(ceilDiv(t.tiles(s.Rows, s.Cols), max(sms, 1))*t.m*t.n) * (1 + 24*(1/float64(t.m)+1/float64(t.n)))
		if t.takes == unaligned {
			cost *= 16
		}
		if chosen.name == "" || cost < least {
			chosen, least = t, cost
		}
	}
	return chosen, nil
}

// variants lists the names of a table, by Variant.
func variants(table []tile) []string {
	names := make([]string, len(table))
	for i, t := range table {
		names[i] = t.name
	}
	return names
}
