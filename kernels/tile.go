package kernels

import "fmt"

// Variant chooses among the kernels of a family that give the same bits, at different speeds. They are numbered from 0;
// Auto leaves the choice to the launcher, by a rule that counts waves of blocks.
type Variant int

// Auto is the launcher's choice.
const Auto Variant = -1

// tile is one kernel of src/gemm.cu or src/conv.cu.
type tile struct {
	name string
	// m and n are the part of the result that a block computes, k the width of a slice.
	m, n, k int
	threads int
	stages  int
	// blocks fit a multiprocessor of sm_80 together.
	blocks int
	// paired tiles need two columns of B for each column of the result.
	paired bool
	takes  alignment
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
	n := t.n
	if t.paired {
		n *= 2
	}
	return kernel{name: t.name, threads: t.threads, sharedBytes: (t.m + n) * t.k * 2 * t.stages}
}

// grid counts the blocks for a result of rows × cols.
func (t tile) grid(rows, cols int) int { return ceilDiv(rows, t.m) * ceilDiv(cols, t.n) }

func tileKernels(tables ...[]tile) []kernel {
	var all []kernel
	for _, table := range tables {
		for _, t := range table {
			all = append(all, t.kernel())
		}
	}
	return all
}

// choose returns the tile that variant names among those that the operands' alignment allows, or the one that should be
// fastest.
func choose(operation string, table []tile, variant Variant, have alignment, rows, cols, sms int) (tile, error) {
	if variant != Auto && (variant < 0 || int(variant) >= len(table)) {
		return tile{}, fmt.Errorf("%s: variant %d, want 0 to %d", operation, variant, len(table)-1)
	}
	if variant != Auto {
		if t := table[variant]; t.takes >= have {
			return t, nil
		}
	}
	var best tile
	least := 0.0
	for _, t := range table {
		if t.takes < have {
			continue
		}
		// The time of a wave is the work of a multiprocessor in it; small tiles load more for each product.
		waves := ceilDiv(t.grid(rows, cols), max(sms, 1)*t.blocks)
		cost := float64(waves*t.blocks*t.m*t.n) * (1 + 24*(1/float64(t.m)+1/float64(t.n)))
		if t.takes == unaligned {
			cost *= 16
		}
		if best.name == "" || cost < least {
			best, least = t, cost
		}
	}
	return best, nil
}

// variants lists the names of a table, by Variant.
func variants(table []tile) []string {
	names := make([]string, len(table))
	for i, t := range table {
		names[i] = t.name
	}
	return names
}
