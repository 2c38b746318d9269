package lora

import (
	"fmt"
	"slices"
	"strings"
)

// Base is the transformer that an adapter is to change.
type Base struct {
	// Hidden is its width, DoubleBlocks and SingleBlocks the numbers of its blocks.
	Hidden, DoubleBlocks, SingleBlocks int
	// Shape returns the rows and columns of the weight with a name of Diffusers, without ".weight". ok is false if there
	// is none.
	Shape func(weight string) (rows, cols int, ok bool)
}

// Left is a module that is left out, and why.
type Left struct{ Module, Reason string }

// Match says what of a file fits a transformer.
type Match struct {
	// Matched is the number of modules that are applied, Total that of all modules in the file. Modules are counted as
	// they stand there: a file with separate projections has three for what is one module in another.
	Matched, Total int
	// Skipped are modules of text encoders, Unknown all others that are not applied. Both are sorted by name.
	Skipped, Unknown []Left

	file *File
	fits []fit
}

// fit is a module that fits.
type fit struct {
	module
	kind Kind
	size size
	runs []run
}

// run is a run of a module's rows, and the rows of a weight that it changes.
type run struct {
	weight     string
	from, to   int // of the weight
	first, end int // of the module
}

// Key identifies what the changes are computed from: the digest of the file and, if PEFT's config beside it has their
// alpha, that of the config.
func (m *Match) Key() string { return m.file.digest + m.file.beside }

// String returns the outcome for people, such as "280 of 280 layers".
func (m *Match) String() string { return fmt.Sprintf("%d of %d layers", m.Matched, m.Total) }

// Match finds out which modules fit base. The error is one line that names a key, what was found and what is wanted:
// for a file of which nothing fits, for one of another family, and for one whose tensors contradict each other.
func (f *File) Match(base Base) (*Match, error) {
	m := &Match{Total: len(f.modules), file: f}
	if err := f.foreign(); err != nil {
		return nil, err
	}
	outside := map[bool]map[int]string{false: {}, true: {}} // by kind of block: those that base does not have
	var misfit error
	var changed []run
	owner := map[string]string{}
	for _, mod := range f.modules {
		unknown := func(format string, args ...any) {
			m.Unknown = append(m.Unknown, Left{mod.name, fmt.Sprintf(format, args...)})
		}
		if isEncoder(mod.name) {
			m.Skipped = append(m.Skipped, Left{mod.name, "a layer of a text encoder, which is not changed here"})
			continue
		}
		n, ok := resolve(mod.name)
		if blocks := base.blocks(n.single); n.block >= blocks {
			outside[n.single][n.block] = mod.name
			unknown("block %d, and the model has %d", n.block, blocks)
			continue
		}
		if mod.stray || !ok {
			unknown("no layer of the model has this name")
			continue
		}
		kind, unsupported, err := mod.kind()
		if err != nil {
			return nil, f.errorf("%w", err)
		}
		if unsupported != "" {
			unknown("%s", unsupported)
			continue
		}
		s, err := f.size(mod, kind)
		if err != nil {
			return nil, err
		}
		runs, rows, cols, ok := base.runs(n.places)
		if !ok {
			unknown("the model has no such layer")
			continue
		}
		if s.rows != rows || s.cols != cols {
			unknown("made for a layer of [%d %d], and the model's has [%d %d]", s.rows, s.cols, rows, cols)
			if misfit == nil {
				misfit = f.misfit(mod, s, rows, cols, base)
			}
			continue
		}
		if widest := max(cols, base.Hidden); s.rank > widest {
			return nil, f.errorf("%s: found a rank of %d, want at most %d, the layer's width", mod.name, s.rank, widest)
		}
		if err := f.checkMagnitude(mod, s); err != nil {
			return nil, err
		}
		for _, r := range runs {
			for _, other := range changed {
				if r.weight == other.weight && r.from < other.to && other.from < r.to {
					return nil, f.errorf("%s: changes rows of %s that %s changes too", mod.name, r.weight, owner[r.weight])
				}
			}
			owner[r.weight] = mod.name
		}
		changed = append(changed, runs...)
		m.fits = append(m.fits, fit{mod, kind, s, runs})
		m.Matched++
	}
	for single, blocks := range outside {
		// A file with a few strange names is a file for this model; one with twice the blocks is not.
		if have := base.blocks(single); len(blocks) >= max(have, fewBlocks) {
			return nil, f.errorf("%s: found %d more blocks than the model's %d: it was made for another model",
				blocks[slices.Max(keysOf(blocks))], len(blocks), have)
		}
	}
	if m.Matched == 0 {
		return nil, f.nothing(m, misfit)
	}
	return m, nil
}

// fewBlocks is how many blocks too many are a mistake in a file, and not another model.
const fewBlocks = 4

func keysOf(blocks map[int]string) (list []int) {
	for i := range blocks {
		list = append(list, i)
	}
	return list
}

func (b Base) blocks(single bool) int {
	if single {
		return b.SingleBlocks
	}
	return b.DoubleBlocks
}

// runs returns the runs of a module's rows, and the rows and columns that the module must have.
func (b Base) runs(places []place) (runs []run, rows, cols int, ok bool) {
	for _, p := range places {
		all, width, ok := b.Shape(p.weight)
		if !ok {
			return nil, 0, 0, false
		}
		from, to := p.from*b.Hidden, p.to*b.Hidden
		if p.to == 0 {
			to = all
		}
		if from < 0 || from >= to || to > all || cols != 0 && cols != width {
			return nil, 0, 0, false
		}
		runs = append(runs, run{p.weight, from, to, rows, rows + to - from})
		rows, cols = rows+to-from, width
	}
	return runs, rows, cols, len(runs) > 0
}

// checkMagnitude returns an error unless the magnitude of a DoRA fits the rows or the columns of its layer.
func (f *File) checkMagnitude(m module, s size) error {
	if m.has(roleMagnitude, roleDoRA) {
		return f.errorf("%s: found beside %s, want one of them", m.keys[roleDoRA], m.keys[roleMagnitude])
	}
	if !m.hasAny(roleMagnitude, roleDoRA) {
		return nil
	}
	key := m.anyKey(roleMagnitude, roleDoRA)
	t, err := f.file.Stat(key)
	if err != nil {
		return err
	}
	if _, ok := columnwise(t.Shape, s, m.keys[roleMagnitude] != ""); !ok || !t.DType.Float() {
		return f.errorf("%s: %v %v, want %d numbers for the rows or %d for the columns",
			key, t.DType, t.Shape, s.rows, s.cols)
	}
	return nil
}

// columnwise says whether a magnitude of the given shape is that of the columns of a weight. PEFT has those of the rows
// only. In other files the shape tells: [1, columns], or [rows, 1], or one dimension.
func columnwise(shape []int, s size, peft bool) (columns, ok bool) {
	n := 1
	for _, d := range shape {
		if d != 1 && n != 1 {
			return false, false
		}
		n *= d
	}
	switch {
	case !peft && len(shape) >= 2 && shape[0] == 1 && n == s.cols:
		return true, true
	case n == s.rows:
		return false, true
	case !peft && n == s.cols:
		return true, true
	}
	return false, false
}

// published are the models that adapters of the same names are made for, by the width of their layers.
var published = map[int]string{3072: "FLUX.2 [klein] 4B", 4096: "FLUX.2 [klein] 9B", 6144: "FLUX.2 [dev]"}

// misfit returns the error for a file of which nothing fits, because a layer has another size than the model's.
func (f *File) misfit(m module, s size, rows, cols int, base Base) error {
	text := fmt.Sprintf("%s: found a layer of [%d %d], want [%d %d]", m.name, s.rows, s.cols, rows, cols)
	if made := published[s.cols]; made != "" && cols == base.Hidden && s.cols != cols {
		text += ": it was made for " + made
		if here := published[base.Hidden]; here != "" {
			text += ", and this model is " + here
		}
	}
	return f.errorf("nothing in it fits this model: %s", text)
}

// nothing returns the error for a file of which nothing fits.
func (f *File) nothing(m *Match, misfit error) error {
	switch {
	case misfit != nil:
		return misfit
	case len(m.Skipped) == m.Total:
		return f.errorf("%s: found %d layers of text encoders only, want layers of the transformer",
			m.Skipped[0].Module, m.Total)
	case len(m.Unknown) == 0:
		return f.errorf("found no layers, want those of a FLUX.2 [klein] transformer")
	}
	left := m.Unknown[0]
	return f.errorf("%s: found %d layers, none of which can be used (%s), want those of a FLUX.2 [klein] transformer",
		left.Module, m.Total, left.Reason)
}

// LeftText returns up to n of the modules that are left out, as a sentence, "" if there are none.
func (m *Match) LeftText(n int) string {
	list := slices.Concat(m.Unknown, m.Skipped)
	if len(list) == 0 {
		return ""
	}
	var texts []string
	for _, l := range list[:min(n, len(list))] {
		texts = append(texts, fmt.Sprintf("%s (%s)", l.Module, l.Reason))
	}
	text := "not applied: " + strings.Join(texts, ", ")
	if more := len(list) - len(texts); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
