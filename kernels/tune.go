package kernels

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kleinbild/kernels/cu"
)

// Shape is what the time of an operation depends on.
type Shape struct {
	// Operation is "gemm", "heads", "swiglu", "attention", "conv" or "conv_norm"; "silu" is one too, among whose kernels there is no choice.
	Operation string
	// Rows and Cols are the result's. Depth is what is summed over: a product's k, attention's keys, the channels that
	// a convolution takes.
	Rows, Cols, Depth int
	// Heads, KVHeads and Causal describe attention, Conv a convolution.
	Heads, KVHeads int       `json:",omitempty"`
	Causal         bool      `json:",omitempty"`
	Conv           ConvShape `json:",omitzero"`
}

// String is one cell of a table.
func (s Shape) String() string {
	text := fmt.Sprintf("%s %d×%d×%d", s.Operation, s.Rows, s.Cols, s.Depth)
	switch {
	case s.Causal:
		return fmt.Sprintf("%s, %d heads on %d, causal", text, s.Heads, s.KVHeads)
	case s.Heads > 0:
		return fmt.Sprintf("%s, %d heads on %d", text, s.Heads, s.KVHeads)
	case s.Conv.Upsample:
		return text + ", 3×3 upsampling"
	case s.Conv.Downsample:
		return text + ", 3×3 downsampling"
	case s.Conv.Kernel > 0:
		return fmt.Sprintf("%s, %d×%d", text, s.Conv.Kernel, s.Conv.Kernel)
	}
	return text
}

// class is s without what pictures of other sizes change.
func (s Shape) class() Shape {
	s.Rows, s.Conv.Height, s.Conv.Width = 0, 0, 0
	if s.Operation == "attention" {
		s.Depth = 0
	}
	return s
}

// Measurement is what Tune found for one shape.
type Measurement struct {
	Shape
	// MeasuredRows are fewer than Rows where all of them would have taken too long.
	MeasuredRows int
	// Times are of one launch, the best of a few; there are none where the device had no memory or the budget no time.
	Times []VariantTime `json:",omitempty"`
	// Chosen is the variant taken: the launcher's own choice unless another is faster by more than noise.
	Chosen string
}

// VariantTime is the time of one variant.
type VariantTime struct {
	Variant string
	Time    time.Duration
}

// noise is how much faster, of its own time, a variant has to be to be taken over one that comes before it.
const noise = 0.03

// tuning is what a set knows of shapes.
type tuning struct {
	known  atomic.Pointer[map[Shape][]choice] // by class
	mu     sync.Mutex                         // of what follows, and of changes to known
	all    map[Shape]Measurement
	wanted map[Shape]bool
}

// choice is the variant for a shape of so many rows.
type choice struct {
	rows    int
	variant Variant
}

// maxWanted bounds the shapes that a set remembers to have met.
const maxWanted = 256

// known returns the variant measured for the shape of the same class that is nearest in rows, twice or half as many at
// most, or Auto.
func (s *Set) known(shape Shape) Variant {
	best, ratio := Auto, 2.0
	if known := s.tuning.known.Load(); known != nil {
		for _, c := range (*known)[shape.class()] {
			r := float64(max(c.rows, shape.Rows)) / float64(min(c.rows, shape.Rows))
			if r <= ratio {
				best, ratio = c.variant, r
			}
		}
	}
	return best
}

// tuned is known, with a note that the shape is wanted where nothing is.
func (s *Set) tuned(shape Shape) Variant {
	if best := s.known(shape); best != Auto {
		return best
	}
	t := &s.tuning
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.wanted[shape] && len(t.wanted) < maxWanted {
		if t.wanted == nil {
			t.wanted = map[Shape]bool{}
		}
		t.wanted[shape] = true
	}
	return Auto
}

// Missing lists, once each, those of shapes among whose kernels there is a choice on this device, and for which nothing is
// known. Where something may be missing it compiles the family.
func (s *Set) Missing(shapes []Shape) ([]Shape, error) {
	var missing []Shape
	for _, shape := range shapes {
		if shape.check() != nil || s.known(shape) != Auto || slices.Contains(missing, shape) {
			continue
		}
		target, err := s.targetFor(tableOf(shape), strict, shape)
		if err != nil {
			return nil, err
		}
		if rivals(tableOf(shape), target) {
			missing = append(missing, shape)
		}
	}
	return missing, nil
}

// Recall makes launches follow what Tune has kept in dir, if that is of this device, driver and build.
func (s *Set) Recall(dir string) { s.adopt(s.recall(dir)) }

// Wanted lists the shapes that launches with Auto have met and for which nothing is measured.
func (s *Set) Wanted() []Shape {
	s.tuning.mu.Lock()
	defer s.tuning.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.tuning.wanted), compareShapes)
}

func compareShapes(a, b Shape) int {
	return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Cols, b.Cols), cmp.Compare(a.Depth, b.Depth), cmp.Compare(a.Rows, b.Rows),
		cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
}

// adopt makes launches follow measurements; those whose variant is not known here are dropped.
func (s *Set) adopt(found []Measurement) {
	t := &s.tuning
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[Shape]Measurement{}
	}
	for _, m := range found {
		if slices.Contains(variants(tableOf(m.Shape)), m.Chosen) {
			t.all[m.Shape] = m
			delete(t.wanted, m.Shape)
		}
	}
	known := map[Shape][]choice{}
	for shape, m := range t.all {
		v := slices.Index(variants(tableOf(shape)), m.Chosen)
		known[shape.class()] = append(known[shape.class()], choice{shape.Rows, Variant(v)})
	}
	for _, list := range known {
		slices.SortFunc(list, func(a, b choice) int { return cmp.Compare(a.rows, b.rows) })
	}
	t.known.Store(&known)
}

// familyOf and tableOf say where a shape's variants are; nil for an operation that has none.
func familyOf(s Shape) Family {
	switch s.Operation {
	case "attention":
		return Attention
	case "conv", "conv_norm":
		return Conv
	}
	return GEMM
}

func tableOf(s Shape) []tile {
	switch {
	case s.Operation == "gemm":
		return gemmTiles
	case s.Operation == "silu":
		return siluTiles
	case s.Operation == "heads":
		return qkNormRoPETiles
	case s.Operation == "swiglu":
		return swigluTiles
	case s.Operation == "attention" && s.Heads > 0:
		return attentionTiles(s.Cols / s.Heads)
	case s.Operation == "conv":
		return convTiles
	case s.Operation == "conv_norm":
		return convNormTiles
	}
	return nil
}

// TuneOptions say how Tune measures.
type TuneOptions struct {
	// Dir is where choices are kept from run to run; nowhere if "".
	Dir string
	// Budget is the time that measuring may take in all; 5 s where 0.
	Budget time.Duration
	// Rounds is how often each variant is timed, at most; 4 where 0.
	Rounds int
	// Again measures shapes that are known already.
	Again bool
	// Report is told of each shape measured, if not nil.
	Report func(Measurement)
}

const (
	defaultBudget = 5 * time.Second
	defaultRounds = 4
)

// Tune finds the fastest variant for each of shapes, by what Dir has of this device, driver and build, else by measuring
// on the device, which should be idle. Launches with Auto follow from then on. Results do not change: only variants that
// give the same bits compete. It returns what is known of the shapes, in their order. A file that cannot be used is as none;
// an error of writing is returned, after everything else.
func (s *Set) Tune(ctx context.Context, shapes []Shape, o TuneOptions) ([]Measurement, error) {
	if o.Budget == 0 {
		o.Budget = defaultBudget
	}
	if o.Rounds == 0 {
		o.Rounds = defaultRounds
	}
	if o.Dir != "" {
		s.Recall(o.Dir)
	}
	var missing []Shape
	for _, shape := range shapes {
		if err := shape.check(); err != nil {
			return nil, err
		}
		if (o.Again || len(s.measurement(shape).Times) == 0) && !slices.Contains(missing, shape) {
			missing = append(missing, shape)
		}
	}
	failed := s.measure(ctx, missing, o)
	if failed == nil && len(missing) > 0 && o.Dir != "" {
		failed = s.keep(o.Dir)
	}
	found := make([]Measurement, len(shapes))
	for i, shape := range shapes {
		found[i] = s.measurement(shape)
	}
	return found, failed
}

func (s *Set) measurement(shape Shape) Measurement {
	s.tuning.mu.Lock()
	defer s.tuning.mu.Unlock()
	return s.tuning.all[shape]
}

// check refuses what no aligned launch can have.
func (s Shape) check() error {
	ok := tableOf(s) != nil && s.Rows > 0 && s.Cols > 0 && s.Cols%8 == 0 && s.Depth > 0
	for _, n := range []int{s.Rows, s.Cols, s.Depth, s.Heads, s.KVHeads, s.Conv.Height, s.Conv.Width} {
		ok = ok && n >= 0 && n < maxElements
	}
	switch {
	case !ok:
	case s.Operation == "attention":
		ok = s.KVHeads > 0 && s.Heads%s.KVHeads == 0 && s.Cols%(8*s.Heads) == 0 && s.Cols/s.Heads <= 512
	case s.Operation == "heads":
		ok = s.Depth%8 == 0 && s.Cols%headCols == 0
	case s.Operation == "conv_norm" && !s.Conv.folds():
		ok = false
	case s.Operation == "conv" || s.Operation == "conv_norm":
		ok = s.Depth%8 == 0 && s.Conv.check() == nil && s.Rows == outputRows(s.Conv)
	default:
		ok = s.Depth%8 == 0
	}
	if ok {
		operands, _ := s.operands(s.Rows, 0)
		for _, m := range operands {
			ok = ok && m.Rows*m.Cols < maxElements
		}
	}
	if !ok {
		return fmt.Errorf("tune: %v: want the shape of an aligned gemm, heads, swiglu, attention, conv or conv_norm", s)
	}
	return nil
}

func outputRows(c ConvShape) int {
	height, width := c.OutputSize()
	return height * width
}

// measure adopts what it finds shape by shape; each gets an equal part of the time that is left.
func (s *Set) measure(ctx context.Context, shapes []Shape, o TuneOptions) error {
	if len(shapes) == 0 {
		return nil
	}
	// Compiling is not what is measured, nor what the budget is for.
	for _, shape := range shapes {
		if _, err := s.bestTarget(familyOf(shape)); err != nil {
			return err
		}
	}
	stopwatch, err := newStopwatch(s, o.Rounds)
	if err != nil {
		return err
	}
	end := time.Now().Add(o.Budget)
	for i, shape := range shapes {
		m, err := stopwatch.measure(ctx, shape, time.Until(end)/time.Duration(len(shapes)-i))
		if err != nil && !errors.Is(err, cu.ErrOutOfMemory) {
			stopwatch.destroy()
			return fmt.Errorf("tune: %v: %w", shape, err)
		}
		s.adopt([]Measurement{m})
		if o.Report != nil {
			o.Report(m)
		}
	}
	return stopwatch.destroy()
}

// FLOP counts the floating-point operations of a launch with so many rows; half of them for causal attention.
func (s Shape) FLOP(rows int) float64 {
	n := 2 * float64(rows) * float64(s.Cols) * float64(s.Depth)
	switch s.Operation {
	case "swiglu":
		n *= 2
	case "attention":
		n *= 2
		if s.Causal {
			n /= 2
		}
	case "conv", "conv_norm":
		n *= float64(s.Conv.Kernel * s.Conv.Kernel)
	}
	return n
}
