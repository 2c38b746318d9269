package kernels

import "fmt"

// Variant chooses among the kernels of an operation that give the same bits on a target, at different speeds. It is an
// index into Operation.Variants. Auto leaves the choice to the launcher: it takes the variant that Tuner names for the
// shape, else the one that a rule expects to be fastest.
type Variant int

// Auto is the launcher's choice.
const Auto Variant = -1

// alignment is what operands offer, and what a kernel needs. A kernel takes operands of its own alignment and of those
// before it in this list. TILE in src/cu.h gives the sources' names for it.
type alignment int

const (
	// strict: all rows begin at multiples of 16 bytes, and their widths are multiples of 8.
	strict alignment = iota
	// loose: the result may be anywhere, and F32.
	loose
	// unaligned: the operands may be anywhere too, but not F32.
	unaligned
)

// fits says whether a kernel takes operands of an alignment and is made for a target.
func (k *kernel) fits(have alignment, target Target) bool {
	return k.takes >= have && k.target == target
}

// tilesOver counts the tiles of a result of rows × cols.
func (k *kernel) tilesOver(rows, cols int) int { return ceilDiv(rows, k.m) * ceilDiv(cols, k.n) }

// grid counts the blocks of a launch. On sm_90a a block takes one tile after the other, so that there are as many
// blocks as fit the GPU together; elsewhere each tile has a block.
func (k *kernel) grid(rows, cols, sms int) int {
	if k.target == SM90a {
		return min(k.tilesOver(rows, cols), max(sms, 1)*k.blocks)
	}
	return k.tilesOver(rows, cols)
}

// targetFor returns the best target that has kernels for a shape's operands.
func (s *Set) targetFor(o *Operation, have alignment, shape Shape) (Target, error) {
	best, err := s.bestTarget(o.Families[0])
	if err != nil {
		return best, err
	}
	return targetOf(o.tilesFor(shape), have, best), nil
}

// targetOf returns best, or SM80 if none of the tiles takes the operands there.
func targetOf(tiles []*kernel, have alignment, best Target) Target {
	for _, t := range tiles {
		if t.fits(have, best) {
			return best
		}
	}
	return SM80
}

// rivals says whether several of a target's tiles take aligned operands and no others, so that they compete: see
// Rivals.
func rivals(tiles []*kernel, target Target) bool {
	count := 0
	for _, t := range tiles {
		if t.takes == strict && t.target == target {
			count++
		}
	}
	return count > 1
}

// Rivals lists the variants that compete for a shape on this device if its operands are aligned. The first is the one
// that the launcher's rule chooses, which may also take other operands. It compiles the operation's family if that has
// not been done.
func (s *Set) Rivals(shape Shape) ([]Variant, error) {
	o := Find(shape.Operation)
	tiles := o.tilesFor(shape)
	if len(tiles) == 0 {
		return nil, nil
	}
	target, err := s.targetFor(o, strict, shape)
	if err != nil {
		return nil, err
	}
	first, err := choose(tiles, Auto, strict, target, shape, s.ctx.Device().SMs)
	if err != nil {
		return nil, err
	}
	var all []Variant
	for v, t := range tiles {
		switch {
		case t == first:
			all = append([]Variant{Variant(v)}, all...)
		case t.takes == strict && t.target == target:
			all = append(all, Variant(v))
		}
	}
	return all, nil
}

// tile returns the kernel that computes a shape on this device: the variant if it can, else what the tuner has
// measured, else what choose expects to be fastest.
func (q *Queue) tile(variant Variant, have alignment, shape Shape) (*kernel, error) {
	o := Find(shape.Operation)
	target, err := q.set.targetFor(o, have, shape)
	if err != nil {
		return nil, err
	}
	tiles := o.tilesFor(shape)
	if variant == Auto && have == strict && q.set.tuner != nil && rivals(tiles, target) {
		variant = q.set.tuner.Variant(shape)
	}
	return choose(tiles, variant, have, target, shape, q.set.ctx.Device().SMs)
}

// choose returns the tile that variant names if it is made for the target and takes the operands' alignment, else the
// one that should be fastest.
func choose(tiles []*kernel, variant Variant, have alignment, target Target, s Shape, sms int) (*kernel, error) {
	if variant != Auto && (variant < 0 || int(variant) >= len(tiles)) {
		return nil, fmt.Errorf("%s: variant %d, want 0 to %d", s.Operation, variant, len(tiles)-1)
	}
	if variant != Auto && tiles[variant].fits(have, target) {
		return tiles[variant], nil
	}
	var chosen *kernel
	least := 0.0
	for _, t := range tiles {
		if !t.fits(have, target) {
			continue
		}
		// The time is that of the multiprocessor with most tiles. For each product a tile loads 1/m + 1/n values, so small
		// tiles load more. The factors for loading a value, and for loading it alone (unaligned), are rough.
		cost := float64(ceilDiv(t.tilesOver(s.Rows, s.Cols), max(sms, 1))*t.m*t.n) * (1 + 24*(1/float64(t.m)+1/float64(t.n)))
		if t.takes == unaligned {
			cost *= 16
		}
		if chosen == nil || cost < least {
			chosen, least = t, cost
		}
	}
	if chosen == nil {
		return nil, fmt.Errorf("%s: no kernel for %v takes the operands' alignment", s.Operation, target)
	}
	return chosen, nil
}
