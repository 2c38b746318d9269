package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/lora"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// LoRA is an adapter of a request: a LoRA, DoRA, LoHa, LoKr or whole differences.
type LoRA struct {
	// Name is what people call it. If it is empty, it is the name of the file without its extension.
	Name string
	// Path is the path of the file. It is "" for an adapter of another computer, which has a name there.
	Path string
	// Strength multiplies what the adapter changes. It may be negative; at 0 the picture is that without the adapter.
	Strength float64
	// Digest is the SHA-256 that the file must have, in hex, "" for any.
	Digest string
}

// LoRAInfo describes an adapter's file and how it fits the model.
type LoRAInfo struct {
	lora.Info
	Name string
	// Matched of Total layers in the file are applied. Left says which are not, and why, for the first few of them.
	Matched, Total int
	Left           string
}

// String returns the outcome for people, such as "280 of 280 layers", and which layers are left out.
func (i LoRAInfo) String() string {
	text := fmt.Sprintf("%d of %d layers", i.Matched, i.Total)
	if i.Left != "" {
		text += "; " + i.Left
	}
	return text
}

// The limits of adapters.
const (
	// MaxLoRAs is more than anybody combines with success.
	MaxLoRAs = 16
	// MaxLoRAStrength is far beyond strengths that give usable pictures, in both directions.
	MaxLoRAStrength = 10
	// openLoRAs is how many adapter files an engine keeps open.
	openLoRAs = 2 * MaxLoRAs
	// shownLeft is how many layers LoRAInfo.Left names.
	shownLeft = 3
)

// checkLoRAs checks the names and strengths of adapters. It opens no file.
func checkLoRAs(a Ask, c *Checked) error {
	if n := len(a.LoRAs); n > MaxLoRAs {
		return FieldError{FieldLoRAs, fmt.Sprintf("%d LoRAs", n), FieldLoRAs.Want()}
	}
	for _, l := range a.LoRAs {
		if !(math.Abs(l.Strength) <= MaxLoRAStrength) { // written so that NaN is refused too
			got := fmt.Sprintf("%s with strength %s", found(l.name()), strconv.FormatFloat(l.Strength, 'g', -1, 64))
			return FieldError{FieldLoRAs, got, FieldLoRAs.Want()}
		}
		if l.name() == "" {
			return FieldError{FieldLoRAs, "neither a file nor a name", FieldLoRAs.Want()}
		}
	}
	c.loras = slices.Clone(a.LoRAs)
	return nil
}

func (l LoRA) name() string {
	if l.Name != "" || l.Path == "" {
		return l.Name
	}
	base := filepath.Base(l.Path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// openLoRA is an adapter file that is open, and what of it fits the model.
type openLoRA struct {
	file  *lora.File
	match *lora.Match
}

// loras are the adapter files of an engine, and the sets of them that were asked for.
type loras struct {
	mu   sync.Mutex
	open []openLoRA // the one that was used last at the end
	sets map[string]*loraSet
	// reading has a channel for each file that is being opened, by its path. It is closed when that has ended.
	reading map[string]chan struct{}
	// read opens a file; tests set it.
	read func(ctx context.Context, path string) (*lora.File, error)

	costs loraCosts
}

// loraSet is a set of adapters that are applied together. There is one value for one list of files, so that shapes with
// equal sets are equal.
type loraSet struct {
	key     string
	matches []*lora.Match
}

// appliedLoRA is an adapter of a request, opened.
type appliedLoRA struct {
	LoRA
	openLoRA
}

// LoRA opens the adapter in a file and says how it fits the model. It may be called while a picture is being made. The
// error is one line that says what is wrong with the file.
func (e *Engine) LoRA(ctx context.Context, l LoRA) (LoRAInfo, error) {
	opened, err := e.openLoRA(ctx, l)
	if err != nil {
		return LoRAInfo{}, err
	}
	return infoOf(l, opened), nil
}

// LoRAs returns the adapters in the folders for them.
func (e *Engine) LoRAs(ctx context.Context) (LoRANames, error) { return ListLoRAs(ctx) }

// InspectLoRA is LoRA for a look at many files: it reads the header only, and returns no digest.
func (e *Engine) InspectLoRA(ctx context.Context, l LoRA) (LoRAInfo, error) {
	f, err := openLoRAFile(ctx, l.Path, lora.Inspect)
	if err != nil {
		return LoRAInfo{}, err
	}
	defer f.Close()
	m, err := f.Match(e.base)
	if err != nil {
		return LoRAInfo{Info: f.Info(), Name: l.name()}, err
	}
	return infoOf(l, openLoRA{f, m}), nil
}

func infoOf(l LoRA, o openLoRA) LoRAInfo {
	return LoRAInfo{
		Info: o.file.Info(), Name: l.name(), Matched: o.match.Matched, Total: o.match.Total,
		Left: o.match.LeftText(shownLeft),
	}
}

func infosOf(applied []appliedLoRA) (list []LoRAInfo) {
	for _, a := range applied {
		list = append(list, infoOf(a.LoRA, a.openLoRA))
	}
	return list
}

// DescribeLoRA describes an adapter's file without a model: the layers in Info, and Matched and Total of 0.
func DescribeLoRA(ctx context.Context, l LoRA) (LoRAInfo, error) {
	f, err := openLoRAFile(ctx, l.Path, lora.Open)
	if err != nil {
		return LoRAInfo{}, err
	}
	defer f.Close()
	return LoRAInfo{Info: f.Info(), Name: l.name()}, nil
}

// openLoRA returns the file of an adapter, which stays open, and checks its digest.
func (e *Engine) openLoRA(ctx context.Context, l LoRA) (openLoRA, error) {
	if l.Path == "" {
		return openLoRA{}, FieldError{FieldLoRAs, found(l.Name) + " without a file", FieldLoRAs.Want()}
	}
	o, err := e.loras.file(ctx, l.Path, e.base)
	if err != nil {
		return o, err
	}
	if l.Digest != "" && !strings.EqualFold(l.Digest, o.file.Digest()) {
		return o, fmt.Errorf("inference: LoRA %s: found the file %s with SHA-256 %s, want %s: "+
			"it is not the one that was used", l.name(), l.Path, o.file.Digest(), l.Digest)
	}
	return o, nil
}

// file returns the open file of path, which it opens if it is not open or was changed. Opening reads all of the file,
// for its digest; meanwhile other files can be used, and those who want the same file wait for it.
func (l *loras) file(ctx context.Context, path string, base lora.Base) (openLoRA, error) {
	l.mu.Lock()
	for {
		if l.sets == nil {
			l.mu.Unlock()
			return openLoRA{}, ErrClosed
		}
		if o, ok := l.current(path); ok {
			l.mu.Unlock()
			return o, nil
		}
		other := l.reading[path]
		if other == nil {
			break
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return openLoRA{}, context.Cause(ctx)
		}
		l.mu.Lock()
	}
	if l.reading == nil {
		l.reading = map[string]chan struct{}{}
	}
	done := make(chan struct{})
	l.reading[path] = done
	l.mu.Unlock()

	o, err := l.openFile(ctx, path, base)

	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reading, path)
	close(done)
	if err == nil && l.sets == nil {
		err = errors.Join(ErrClosed, o.file.Close())
	}
	if err != nil {
		return openLoRA{}, err
	}
	l.costs.note(path, o.match)
	if l.open = append(l.open, o); len(l.open) > openLoRAs {
		l.forget(l.open[0])
		l.open = slices.Delete(l.open, 0, 1)
	}
	return o, nil
}

// current returns the file of path if it is open and was not changed. The caller holds the lock.
func (l *loras) current(path string) (o openLoRA, ok bool) {
	at := slices.IndexFunc(l.open, func(o openLoRA) bool { return o.file.Path() == path })
	if at < 0 {
		return o, false
	}
	o = l.open[at]
	l.open = slices.Delete(l.open, at, at+1)
	if !o.file.Current() {
		l.forget(o)
		return o, false
	}
	l.open = append(l.open, o)
	return o, true
}

// openFile opens a file and finds out what of it fits the model. It needs no lock.
func (l *loras) openFile(ctx context.Context, path string, base lora.Base) (openLoRA, error) {
	read := l.read
	if read == nil {
		read = lora.Open
	}
	f, err := openLoRAFile(ctx, path, read)
	if err != nil {
		return openLoRA{}, err
	}
	match, err := f.Match(base)
	if err != nil {
		return openLoRA{}, errors.Join(err, f.Close())
	}
	return openLoRA{f, match}, nil
}

// forget drops the sets with a file that is no longer needed. The file is closed when nothing refers to it any more: a
// run may still read it.
func (l *loras) forget(o openLoRA) {
	for key, set := range l.sets {
		if slices.Contains(set.matches, o.match) {
			delete(l.sets, key)
		}
	}
	o.file.CloseLater()
}

// setOf returns the set of the adapters that change anything, nil if there are none, with the strength of each.
func (e *Engine) setOf(applied []appliedLoRA) (set *loraSet, strengths []float64) {
	s := &loraSet{}
	for _, a := range applied {
		if i := slices.Index(s.matches, a.match); i >= 0 { // named twice
			strengths[i] += a.Strength
		} else {
			s.matches, strengths = append(s.matches, a.match), append(strengths, a.Strength)
		}
	}
	for i := len(strengths) - 1; i >= 0; i-- {
		if strengths[i] == 0 {
			s.matches, strengths = slices.Delete(s.matches, i, i+1), slices.Delete(strengths, i, i+1)
		}
	}
	if len(s.matches) == 0 {
		return nil, nil
	}
	for _, m := range s.matches {
		s.key += m.Key() + " "
	}
	e.loras.mu.Lock()
	defer e.loras.mu.Unlock()
	if known := e.loras.sets[s.key]; known != nil && slices.Equal(known.matches, s.matches) {
		return known, strengths
	}
	if len(e.loras.sets) >= plannedShapes {
		clear(e.loras.sets)
	}
	if e.loras.sets != nil {
		e.loras.sets[s.key] = s
	}
	return s, strengths
}

// openLoRAs opens the adapters of a request.
func (e *Engine) openLoRAs(ctx context.Context, list []LoRA) (applied []appliedLoRA, err error) {
	for _, l := range list {
		o, err := e.openLoRA(ctx, l)
		if err != nil {
			return nil, err
		}
		applied = append(applied, appliedLoRA{l, o})
	}
	return applied, nil
}

func (l *loras) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.open {
		o.file.CloseLater()
	}
	l.open, l.sets = nil, nil
}

// baseOf describes the transformer to package lora.
func baseOf(t *flux2.Transformer) lora.Base {
	return lora.Base{
		Hidden: t.Config().Hidden(), DoubleBlocks: t.Config().DoubleBlocks, SingleBlocks: t.Config().SingleBlocks,
		Shape: t.Layer,
	}
}

// adapterCache holds the adapters of the last run.
type adapterCache struct {
	key      string
	adapters *flux2.Adapters
}

// drop frees the adapters.
func (c *adapterCache) drop() {
	if c.adapters != nil {
		c.adapters.Free()
	}
	*c = adapterCache{}
}

// sizeBytes returns the memory of the adapters of key, 0 if others are held.
func (c *adapterCache) sizeBytes(key string) int64 {
	if c.adapters == nil || c.key != key {
		return 0
	}
	return c.adapters.SizeBytes()
}

// adaptersKey identifies adapters and their strengths, "" for none.
func (r *run) adaptersKey() string {
	if r.shape.loras == nil {
		return ""
	}
	key := r.shape.loras.key
	if r.content != nil {
		key += fmt.Sprint(r.content.strengths)
	}
	return key
}

// adapt makes the transformer use the adapters of the run, and uploads them if the last run had others.
func (r *run) adapt() error {
	key := r.adaptersKey()
	if key != r.adapters.key {
		r.adapters.drop()
	}
	if key != "" && r.adapters.adapters == nil {
		a, err := r.buildAdapters()
		if err != nil {
			return err
		}
		r.adapters.key, r.adapters.adapters = key, a
	}
	r.transformer.Adapt(r.adapters.adapters)
	return nil
}

func (r *run) buildAdapters() (*flux2.Adapters, error) {
	a := r.transformer.NewAdapters()
	for i, m := range r.shape.loras.matches {
		var err error
		if r.content == nil {
			for _, c := range m.Changes() {
				if err == nil {
					err = a.Add(flux2.Change(c), 1)
				}
			}
		} else {
			strength := float32(r.content.strengths[i])
			w := &baseWeights{src: r.content.ckpt.Transformer.Source}
			err = m.Load(r.ctx, w, func(c lora.Change) error { return a.Add(flux2.Change(c), strength) })
			w.close()
		}
		if err != nil {
			a.Free()
			return nil, err
		}
	}
	a.Finish()
	return a, nil
}

// baseWeights gives the values of a transformer's weights, which the magnitudes of a DoRA need. It computes on the
// processor, in float32.
type baseWeights struct {
	src tensor.Source
	b   *cpu.Backend
	// last is the right factor of the last product, and turned the same transposed.
	last   *float32
	turned backend.Matrix
}

// Rows returns rows of a weight.
func (w *baseWeights) Rows(weight string, from, to int) ([]float32, error) {
	t, err := w.src.Tensor(weight + ".weight")
	if err != nil {
		return nil, err
	}
	return t.Slice(from, to).Float32s(), nil
}

// Product returns b·a.
func (w *baseWeights) Product(b, a []float32, rows, rank, cols int) []float32 {
	if w.b == nil {
		w.b = cpu.New(tensor.F32)
	}
	if w.last != &a[0] {
		turned := make([]float32, len(a))
		for i := range rank {
			for j := range cols {
				turned[j*rank+i] = a[i*cols+j]
			}
		}
		w.last, w.turned = &a[0], w.b.Alloc(cols, rank, tensor.F32)
		w.b.Upload(w.turned, turned)
	}
	x, y := w.b.Alloc(rows, rank, tensor.F32), w.b.Alloc(rows, cols, tensor.F32)
	defer w.b.Free(x, y)
	w.b.Upload(x, b)
	w.b.Linear(y, x, backend.AsWeight(w.turned), backend.Epilogue{})
	out := make([]float32, rows*cols)
	w.b.Download(out, y)
	return out
}

func (w *baseWeights) close() {
	if w.b != nil {
		_ = w.b.Close()
	}
}
