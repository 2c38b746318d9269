package tune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// small has a shape of every operation, and the kernels that compete for it on sm_80.
var small = []struct {
	kernels.Shape
	rivals []string
}{
	{
		kernels.Shape{Operation: "gemm", Rows: 70, Cols: 48, Depth: 32},
		[]string{"gemm_128x256", "gemm_128x256_deep", "gemm_128x128", "gemm_128x128_deep", "gemm_64x64"},
	},
	{
		kernels.Shape{Operation: "swiglu", Rows: 7, Cols: 16, Depth: 48},
		[]string{"swiglu_128x256", "swiglu_128x256_deep", "swiglu_128x128", "swiglu_128x128_deep", "swiglu_64x128"},
	},
	{
		kernels.Shape{Operation: "attention", Rows: 30, Cols: 256, Depth: 20, Heads: 2, KVHeads: 1, Causal: true},
		[]string{"attention_128x64", "attention_128x128"},
	},
	{kernels.Shape{
		Operation: "conv", Rows: 48, Cols: 16, Depth: 8,
		Conv: kernels.ConvParams{Height: 3, Width: 4, Kernel: 3, Upsample: true},
	},
		[]string{"conv_256x128", "conv_128x128", "conv_128x128_deep", "conv_128x32"}},
	{kernels.Shape{
		Operation: "conv_norm", Rows: 12, Cols: 16, Depth: 8, Conv: kernels.ConvParams{Height: 3, Width: 4, Kernel: 3},
	},
		[]string{"conv_norm_256x128", "conv_norm_128x128", "conv_norm_128x32"}},
}

func smallShapes() []kernels.Shape {
	var all []kernels.Shape
	for _, s := range small {
		all = append(all, s.Shape)
	}
	return all
}

// Tests share these devices, because compiling takes long, but not what was measured on them.
var (
	tunedSM80  = sync.OnceValue(func() *Tuner { return New(ptxsim.Open(ptxsim.Device{})) })
	tunedSM90a = sync.OnceValue(func() *Tuner { return New(ptxsim.Open(ptxsim.Device{Major: 9})) })
)

// tune makes a Tuner forget everything, and returns what Tune finds and the number of shapes that it measured.
func tune(t *testing.T, tuner *Tuner, shapes []kernels.Shape, o Options) ([]Measurement, int) {
	t.Helper()
	tuner.choices.Store(nil)
	tuner.measurements, tuner.unmeasured = nil, nil
	measured := 0
	o.Report = func(Measurement) { measured++ }
	found, err := tuner.Tune(context.Background(), shapes, o)
	if err != nil {
		t.Fatal(err)
	}
	return found, measured
}

func TestTune(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	o := Options{Dir: dir, Budget: time.Minute, Rounds: 1}
	found, measured := tune(t, tunedSM80(), smallShapes(), o)
	if measured != len(small) {
		t.Errorf("measured %d shapes, want %d", measured, len(small))
	}
	for i, m := range found {
		var names []string
		for _, v := range m.Times {
			names = append(names, v.Variant)
			if v.Time <= 0 || v.Time > time.Minute {
				t.Errorf("%v: %s took %v", m.Shape, v.Variant, v.Time)
			}
		}
		slices.Sort(names)
		want := slices.Sorted(slices.Values(small[i].rivals))
		if m.Shape != small[i].Shape || !slices.Equal(names, want) || !slices.Contains(want, m.Chosen) ||
			m.MeasuredRows != m.Rows {
			t.Errorf("%+v, want times of %v and one of them chosen", m, want)
		}
	}

	again, measured := tune(t, tunedSM80(), smallShapes(), o)
	if measured != 0 {
		t.Errorf("measured %d shapes once more, want those of the file", measured)
	}
	for i := range found {
		if again[i].Chosen != found[i].Chosen || !slices.Equal(again[i].Times, found[i].Times) {
			t.Errorf("from the file %+v, want %+v", again[i], found[i])
		}
	}
	// Another kind of card has its own kernels and measurements.
	if found, measured := tune(t, tunedSM90a(), smallShapes()[:1], o); measured != 1 {
		t.Errorf("another device measured %d shapes, want 1", measured)
	} else if !strings.HasPrefix(found[0].Chosen, "gemm_wgmma") || len(found[0].Times) != 5 {
		t.Errorf("on sm_90a %+v, want its five kernels", found[0])
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v, want one file", entries, err)
	}
}

// TestDamagedChoices writes files that cannot be used. Each counts as no file.
func TestDamagedChoices(t *testing.T) {
	dir := t.TempDir()
	tuner := New(nameOfLast{ptxsim.Open(ptxsim.Device{})})
	var all []Measurement
	for _, s := range small {
		all = append(all, Measurement{Shape: s.Shape, Chosen: s.rivals[1], Times: []VariantTime{{s.rivals[1], 1}}})
	}
	tuner.adopt(all)
	if err := tuner.keep(dir); err != nil {
		t.Fatal(err)
	}
	path := tuner.header().path(dir)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"whole":            {text, len(small)},
		"empty":            {"", 0},
		"cut off":          {text[:len(text)/2], 0},
		"other bytes":      {"\x00\xff\x00", 0},
		"another driver":   {strings.Replace(text, `"Driver": `, `"Driver": 1`, 1), 0},
		"another build":    {strings.Replace(text, `"Kernels": "`, `"Kernels": "0`, 1), 0},
		"no rows":          {strings.Replace(text, `"Rows": 70`, `"Rows": 0`, 1), 0},
		"endless":          {strings.Replace(text, `"Cols": 48`, `"Cols": 99999999999999`, 1), 0},
		"heads of nothing": {strings.Replace(text, `"Heads": 2`, `"Heads": -2`, 1), 0},
		"a kernel of 5":    {strings.Replace(text, `"Kernel": 3`, `"Kernel": 5`, 1), 0},
		"unknown variants": {strings.ReplaceAll(text, `"Chosen": "`, `"Chosen": "no_`), 0},
	} {
		if c.text == text && c.want == 0 {
			t.Fatalf("%s: nothing was damaged", name)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		fresh := New(tuner.set.Context())
		fresh.adopt(fresh.recall(dir))
		if n := len(fresh.measurements); n != c.want {
			t.Errorf("%s: %d choices, want %d", name, n, c.want)
		}
		if err := tuner.keep(dir); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s: not whole afterwards: %d bytes, %v", name, len(now), err)
		}
	}
}

// TestTuneKeepsGoing measures without memory, time or a folder. Launches then follow the launcher's rule.
func TestTuneKeepsGoing(t *testing.T) {
	found, _ := tune(t, New(nameOfLast{ptxsim.Open(ptxsim.Device{TotalBytes: 1 << 10})}), smallShapes(), Options{})
	hasty, _ := tune(t, tunedSM80(), smallShapes(), Options{Budget: time.Nanosecond})
	for i, s := range small {
		for _, m := range []Measurement{found[i], hasty[i]} {
			if len(m.Times) != 0 || !slices.Contains(s.rivals, m.Chosen) {
				t.Errorf("%+v, want a choice without times", m)
			}
		}
	}
	tuner := tunedSM80()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	kept, err := tuner.Tune(context.Background(), smallShapes()[:1], Options{Dir: file, Rounds: 1, Again: true})
	if err == nil || len(kept) != 1 || kept[0].Chosen == "" {
		t.Errorf("into a file instead of a folder: %v, %v, want measurements and an error", kept, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tuner.Tune(ctx, smallShapes(), Options{Again: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, bad := range []kernels.Shape{{}, {Operation: "gemm", Rows: 1, Cols: 7, Depth: 8}, {
		Operation: "attention", Rows: 1, Cols: 8, Depth: 1,
	},
		{Operation: "conv", Rows: 1, Cols: 8, Depth: 8}, {Operation: "swiglu", Rows: 1 << 20, Cols: 1 << 20, Depth: 8}} {
		if _, err := tuner.Tune(context.Background(), []kernels.Shape{bad}, Options{}); err == nil {
			t.Errorf("%v was measured", bad)
		}
	}
}

// greedy is a software device whose memory runs out when a kernel is launched.
type greedy struct {
	cu.Context
	kernel string
}

type greedyModule struct {
	cu.Module
	kernel string
}

type greedyFunction struct{ cu.Function }

func (g greedy) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	m, err := g.Context.LoadModule(text, o)
	return greedyModule{m, g.kernel}, err
}

func (m greedyModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	if name == m.kernel {
		f = greedyFunction{f}
	}
	return f, err
}

func (greedyFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, _ []byte) error {
	return &cu.OutOfMemoryError{}
}

// TestTuneWithoutMemoryForOne: if one variant cannot be launched, the times of the others decide nothing.
func TestTuneWithoutMemoryForOne(t *testing.T) {
	tuner := New(greedy{ptxsim.Open(ptxsim.Device{}), "gemm_128x256_deep"})
	found, _ := tune(t, tuner, smallShapes()[:1], Options{Rounds: 1, Budget: time.Minute})
	rivals, err := tuner.set.Rivals(small[0].Shape)
	if err != nil {
		t.Fatal(err)
	}
	want := kernels.OpGEMM.Variants(small[0].Shape)[rivals[0]]
	if m := found[0]; len(m.Times) != 0 || m.Chosen != want {
		t.Errorf("%s, %v, want %s without times", m.Chosen, m.Times, want)
	}
}

// TestChoicesAreFollowed launches with Auto before and after a choice is known.
func TestChoicesAreFollowed(t *testing.T) {
	tuner := New(nameOfLast{ptxsim.Open(ptxsim.Device{})})
	q := tuner.Set().On(nil)
	launch := func(rows int) string {
		t.Helper()
		lastLaunched = ""
		dst, a, b := imagine(rows, 48), imagine(rows, 32), imagine(48, 32)
		if err := q.GEMM(dst, a, b, kernels.Epilogue{}, kernels.Auto); err != nil {
			t.Fatal(err)
		}
		return lastLaunched
	}
	shape := kernels.Shape{Operation: "gemm", Rows: 1000, Cols: 48, Depth: 32}
	far, odd, alone := shape, shape, kernels.Shape{
		Operation: "attention", Rows: 9, Cols: 512, Depth: 9, Heads: 1, KVHeads: 1,
	}
	far.Rows, odd.Cols = 3, 7
	all := []kernels.Shape{shape, far, odd, alone, shape}
	if missing, err := tuner.Missing(all); err != nil || !slices.Equal(missing, []kernels.Shape{shape, far}) {
		t.Errorf("missing %v, %v, want %v", missing, err, []kernels.Shape{shape, far})
	}
	static := launch(1000)
	other := "gemm_128x128_deep"
	if static == other {
		t.Fatalf("the static choice is %s", other)
	}
	if unmeasured := tuner.Unmeasured(); !slices.Equal(unmeasured, []kernels.Shape{shape}) {
		t.Errorf("unmeasured %v, want %v", unmeasured, shape)
	}
	near := shape
	near.Rows = 2100
	tuner.adopt([]Measurement{{Shape: shape, Chosen: other}, {Shape: near, Chosen: "gemm_128x256_deep"}})
	if missing, err := tuner.Missing(all); err != nil || !slices.Equal(missing, []kernels.Shape{far}) {
		t.Errorf("missing %v, %v, want %v", missing, err, far)
	}
	for rows, want := range map[int]string{
		1000: other, 500: other, 1400: other, 1600: "gemm_128x256_deep", 4200: "gemm_128x256_deep",
	} {
		if got := launch(rows); got != want {
			t.Errorf("%d rows: %s, want %s", rows, got, want)
		}
	}
	if got := launch(499); strings.HasSuffix(got, "_deep") {
		t.Errorf("499 rows took %s, which was chosen for 1000", got)
	}
	if unmeasured := tuner.Unmeasured(); len(unmeasured) != 1 || unmeasured[0].Rows != 499 {
		t.Errorf("unmeasured %v, want 499 rows", unmeasured)
	}
}

// imagine is a matrix that no kernel reads.
func imagine(rows, cols int) kernels.Matrix {
	return kernels.Matrix{Data: 1 << 20, Rows: rows, Cols: cols, Stride: cols}
}

// nameOfLast is a device that only remembers the name of the kernel launched last.
type nameOfLast struct{ cu.Context }

type namedModule struct{ cu.Module }

type namedFunction struct {
	cu.Function
	name string
}

var lastLaunched string

func (nameOfLast) LoadModule([]byte, cu.ModuleOptions) (cu.Module, error) { return namedModule{}, nil }
func (namedModule) Function(name string) (cu.Function, error)             { return namedFunction{name: name}, nil }
func (namedFunction) SetMaxDynamicShared(int) error                       { return nil }
func (f namedFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, _ []byte) error {
	lastLaunched = f.name
	return nil
}

// occupied is a software device that refuses to compile inside Do. If another goroutine were compiling the same family,
// Do would wait for it, and it for the thread that Do occupies.
type occupied struct {
	cu.Context
	inside *bool
}

func (o occupied) Do(f func() error) error {
	*o.inside = true
	defer func() { *o.inside = false }()
	return o.Context.Do(f)
}

func (o occupied) LoadModule(text []byte, options cu.ModuleOptions) (cu.Module, error) {
	if *o.inside {
		return nil, errors.New(options.Name + " is compiled inside Do")
	}
	return o.Context.LoadModule(text, options)
}

// TestTuneCompilesBefore measures each shape on a device of its own, so that nothing was compiled for another.
func TestTuneCompilesBefore(t *testing.T) {
	for _, s := range small {
		tuner := New(occupied{ptxsim.Open(ptxsim.Device{}), new(bool)})
		if _, err := tuner.Tune(t.Context(), []kernels.Shape{s.Shape}, Options{Rounds: 1}); err != nil {
			t.Errorf("%v: %v", s.Shape, err)
		}
	}
}

func TestMeasurementIsPrinted(t *testing.T) {
	m := Measurement{
		Shape: kernels.Shape{Operation: "gemm", Rows: 70, Cols: 48, Depth: 32}, Chosen: "gemm_64x64",
		Times: []VariantTime{{"gemm_64x64", 2 * time.Millisecond}},
	}
	if got, want := fmt.Sprintf("%+v", m), "gemm 70×48×32: gemm_64x64 of [{gemm_64x64 2ms}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPickFastest(t *testing.T) {
	for want, times := range map[string][]VariantTime{
		"static":  {{"static", 102}, {"a", 100}},
		"a":       {{"static", 110}, {"a", 102}, {"b", 100}},
		"b":       {{"static", 110}, {"a", 105}, {"b", 100}},
		"only":    {{"only", 5}},
		"instant": {{"instant", 0}, {"a", 0}},
	} {
		if got := pickFastest(times); got != want {
			t.Errorf("%v: %s, want %s", times, got, want)
		}
	}
}
