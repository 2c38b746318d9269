// Package tune measures which of the kernels that compete for a shape is fastest on the device at hand, and keeps what
// it has found from run to run. It also tries the kernels for one kind of GPU before they are used. What enters is a
// device and shapes, what leaves is a kernels.Set whose launches follow the measurements. Results do not depend on
// them: only kernels that give the same bits compete.
package tune

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

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Measurement is what Tune found for one shape.
type Measurement struct {
	kernels.Shape
	// MeasuredRows is less than Rows if all rows would have taken too long.
	MeasuredRows int
	// Times has the time of one launch of each variant, the best of a few. It is empty if there was not enough memory of
	// the device or time of the budget.
	Times []VariantTime `json:",omitempty"`
	// Chosen is the variant taken: the launcher's own choice unless another is faster by more than noise.
	Chosen string
}

// VariantTime is the time of one variant.
type VariantTime struct {
	Variant string
	Time    time.Duration
}

// String describes the measurement. Without it, fmt would print the embedded Shape alone.
func (m Measurement) String() string { return fmt.Sprintf("%v: %s of %v", m.Shape, m.Chosen, m.Times) }

// Tuner chooses among the kernels of one device. It may be used from several goroutines.
type Tuner struct {
	set *kernels.Set
	// choices has the measured variants by class, for launches. It is replaced, never changed.
	choices atomic.Pointer[map[kernels.Shape][]choice]

	mu           sync.Mutex // guards the fields below, and replacing choices
	measurements map[kernels.Shape]Measurement
	unmeasured   map[kernels.Shape]bool
}

var _ kernels.Tuner = (*Tuner)(nil)

// choice is the variant for a shape of so many rows.
type choice struct {
	rows    int
	variant kernels.Variant
}

// maxUnmeasured bounds the shapes that a Tuner remembers because nothing was measured for them.
const maxUnmeasured = 256

// New returns a Tuner for ctx. Nothing is compiled or measured yet.
func New(ctx cu.Context) *Tuner {
	t := &Tuner{}
	t.set = kernels.New(ctx, t)
	return t
}

// Set returns the kernels of the device. Their launches follow what the Tuner knows.
func (t *Tuner) Set() *kernels.Set { return t.set }

// class returns s without the fields that depend on the picture's size.
func class(s kernels.Shape) kernels.Shape {
	s.Rows, s.Conv.Height, s.Conv.Width = 0, 0, 0
	if s.Heads > 0 {
		s.Depth = 0 // the number of keys
	}
	return s
}

// lookUp returns the variant that was measured for the shape of the same class with the nearest number of rows, at most
// twice and at least half as many, or Auto.
func (t *Tuner) lookUp(shape kernels.Shape) kernels.Variant {
	best, ratio := kernels.Auto, 2.0
	if choices := t.choices.Load(); choices != nil {
		for _, c := range (*choices)[class(shape)] {
			r := float64(max(c.rows, shape.Rows)) / float64(min(c.rows, shape.Rows))
			if r <= ratio {
				best, ratio = c.variant, r
			}
		}
	}
	return best
}

// Variant returns the measured variant for a shape. If there is none, it remembers the shape for Unmeasured and returns
// Auto.
func (t *Tuner) Variant(shape kernels.Shape) kernels.Variant {
	if best := t.lookUp(shape); best != kernels.Auto {
		return best
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.unmeasured[shape] && len(t.unmeasured) < maxUnmeasured {
		if t.unmeasured == nil {
			t.unmeasured = map[kernels.Shape]bool{}
		}
		t.unmeasured[shape] = true
	}
	return kernels.Auto
}

// Unmeasured lists the shapes that were launched with Auto before anything was measured for them, unless they have been
// measured since. Tests find out with it what a rehearsal has left out.
func (t *Tuner) Unmeasured() []kernels.Shape {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Keys(t.unmeasured), compareShapes)
}

// Missing lists those of shapes, each once, for which kernels compete on this device and nothing is measured. It
// compiles the families of such shapes.
func (t *Tuner) Missing(shapes []kernels.Shape) ([]kernels.Shape, error) {
	var missing []kernels.Shape
	for _, shape := range shapes {
		if shape.Check() != nil || t.lookUp(shape) != kernels.Auto || slices.Contains(missing, shape) {
			continue
		}
		rivals, err := t.set.Rivals(shape)
		if err != nil {
			return nil, err
		}
		if len(rivals) > 1 {
			missing = append(missing, shape)
		}
	}
	return missing, nil
}

func compareShapes(a, b kernels.Shape) int {
	return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Cols, b.Cols), cmp.Compare(a.Depth, b.Depth),
		cmp.Compare(a.Rows, b.Rows), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
}

// adopt makes launches follow measurements, in addition to those that it was given before. It drops those whose variant
// does not exist.
func (t *Tuner) adopt(found []Measurement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.measurements == nil {
		t.measurements = map[kernels.Shape]Measurement{}
	}
	for _, m := range found {
		if o := kernels.Find(m.Operation); o != nil && slices.Contains(o.Variants(m.Shape), m.Chosen) {
			t.measurements[m.Shape] = m
			delete(t.unmeasured, m.Shape)
		}
	}
	choices := map[kernels.Shape][]choice{}
	for shape, m := range t.measurements {
		v := slices.Index(kernels.Find(shape.Operation).Variants(shape), m.Chosen)
		choices[class(shape)] = append(choices[class(shape)], choice{shape.Rows, kernels.Variant(v)})
	}
	for _, list := range choices {
		slices.SortFunc(list, func(a, b choice) int { return cmp.Compare(a.rows, b.rows) })
	}
	t.choices.Store(&choices)
}

// Options say how Tune measures.
type Options struct {
	// Dir is the folder where choices are kept from run to run; they are not kept if it is "".
	Dir string
	// Budget is the time that measuring may take in all, 5 s if 0.
	Budget time.Duration
	// Rounds is how often each variant is timed at most, 4 if 0.
	Rounds int
	// Again measures shapes even if they have been measured.
	Again bool
	// Report is told of each shape measured, if not nil.
	Report func(Measurement)
}

const (
	defaultBudget = 5 * time.Second
	defaultRounds = 4
)

// Tune finds the fastest variant for each of shapes: in the file that Dir has for this device, driver and build, or by
// measuring on the device, which should be idle. Launches with Auto follow from then on. It returns what is known of
// the shapes, in their order. A file that cannot be read counts as none. If the file cannot be written, Tune returns
// the error together with the measurements.
func (t *Tuner) Tune(ctx context.Context, shapes []kernels.Shape, o Options) ([]Measurement, error) {
	if o.Budget == 0 {
		o.Budget = defaultBudget
	}
	if o.Rounds == 0 {
		o.Rounds = defaultRounds
	}
	if o.Dir != "" {
		t.Recall(o.Dir)
	}
	var missing []kernels.Shape
	for _, shape := range shapes {
		if err := shape.Check(); err != nil {
			return nil, fmt.Errorf("tune: %w", err)
		}
		if len(kernels.Find(shape.Operation).Variants(shape)) == 0 {
			return nil, fmt.Errorf("tune: %v: want an operation with several kernels", shape)
		}
		if (o.Again || len(t.measurement(shape).Times) == 0) && !slices.Contains(missing, shape) {
			missing = append(missing, shape)
		}
	}
	failed := t.measure(ctx, missing, o)
	if failed == nil && len(missing) > 0 && o.Dir != "" {
		failed = t.keep(o.Dir)
	}
	found := make([]Measurement, len(shapes))
	for i, shape := range shapes {
		found[i] = t.measurement(shape)
	}
	return found, failed
}

func (t *Tuner) measurement(shape kernels.Shape) Measurement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.measurements[shape]
}

// measure adopts what it finds shape by shape. Each gets an equal part of the time that is left.
func (t *Tuner) measure(ctx context.Context, shapes []kernels.Shape, o Options) error {
	if len(shapes) == 0 {
		return nil
	}
	// The budget is for measuring, so everything is compiled before. And nothing may be compiled inside Do: see LoadFor.
	for _, shape := range shapes {
		if err := t.set.LoadFor(kernels.Find(shape.Operation)); err != nil {
			return err
		}
	}
	stopwatch, err := newStopwatch(t.set, o.Rounds)
	if err != nil {
		return err
	}
	end := time.Now().Add(o.Budget)
	for i, shape := range shapes {
		m, err := stopwatch.measure(ctx, shape, time.Until(end)/time.Duration(len(shapes)-i))
		if err != nil && !errors.Is(err, cu.ErrOutOfMemory) {
			return errors.Join(fmt.Errorf("tune: %v: %w", shape, err), stopwatch.destroy())
		}
		t.adopt([]Measurement{m})
		if o.Report != nil {
			o.Report(m)
		}
	}
	return stopwatch.destroy()
}
