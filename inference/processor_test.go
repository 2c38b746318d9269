package inference

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestRatesAreKept checks that rates are measured once for a model of processor and its paths. Later runs must use
// them, whatever they would measure.
func TestRatesAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	fast, err := cpu.ParsePath("AVX512-BF16")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := cpu.ParsePath("AVX-512")
	if err != nil {
		t.Fatal(err)
	}
	paths := []cpu.Path{plain, fast}
	int8Paths := []cpu.Int8Path{cpu.Int8Paths()[0]}
	measured := 0
	rates := func(f32, bf16 float64) func() pathRates {
		return func() pathRates {
			measured++
			return pathRates{
				[]cpu.Rate{{Level: plain, FLOPS: f32}, {Level: fast, FLOPS: bf16}},
				[]cpu.Int8Rate{{Path: int8Paths[0], OPS: 1}},
			}
		}
	}
	name := ratesFile(dir, "two", paths, int8Paths)
	for _, c := range []struct {
		name      string
		before    func()
		model     string
		paths     []cpu.Path
		measure   func() pathRates
		measured  int
		want      cpu.Path
		wantRates int
	}{
		{"first run", nil, "one", paths, rates(1e11, 2e11), 1, fast, 2},
		{"second run, with noise", nil, "one", paths, rates(2e11, 1e11), 0, fast, 2},
		{"another processor", nil, "two", paths, rates(2e11, 1e11), 1, plain, 2},
		{"the first one again", nil, "one", paths, rates(2e11, 1e11), 0, fast, 2},
		{"a path has gone", nil, "two", paths[:1], rates(1, 1), 0, plain, 1},
		{"broken file", func() {
			os.WriteFile(name, []byte(`{"Version":2,"Processor":"two","Rates":[{"Level":"SSE"`),
				0o644)
		},
			"two", paths, rates(1e11, 2e11), 1, fast, 2},
		{"rates of nothing", func() {
			os.WriteFile(name, []byte(`{"Version":2,"Processor":"two","Rates":[{"Level":"AVX-512"},{"Level":"AVX512-BF16"}],`+
				`"Int8":[{"Path":"generic","OPS":1}]}`), 0o644)
		}, "two", paths, rates(2e11, 1e11), 1, plain, 2},
	} {
		if c.before != nil {
			c.before()
		}
		measured = 0
		got := ratesOf(dir, c.model, c.paths, int8Paths, c.measure)
		if measured != c.measured || len(got.Float) != c.wantRates || cpu.Fastest(got.Float) != c.want || len(got.Int8) != 1 {
			t.Errorf("%s: measured %d times, %v, path %v; want %d times, %v", c.name, measured, got, cpu.Fastest(got.Float),
				c.measured, c.want)
		}
	}
	// If the folder cannot be created, the rates are measured, and that is no error.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ratesOf(file, "one", paths, int8Paths, rates(1, 2)); len(got.Float) != 2 {
		t.Errorf("without a folder: %v", got)
	}
}

// TestPrecisionFollowsPath checks that the precision auto means bf16 if the path in use multiplies bf16, and float32
// otherwise. An explicit precision does not change.
func TestPrecisionFollowsPath(t *testing.T) {
	if _, err := processorPath(); err != nil {
		t.Fatal(err)
	}
	demo := openEngine(t, "demo", DeviceCPU, Float32).ckpt
	for _, path := range cpu.Paths() {
		restore, err := cpu.Use(path)
		if err != nil {
			t.Fatal(err)
		}
		want := map[Precision]Precision{PrecisionAuto: Float32, Float32: Float32, BF16: BF16, Int8: Int8}
		if path.MultipliesBF16() {
			want[PrecisionAuto] = BF16
		}
		for asked, want := range want {
			b, got, _, err := openBackend(Options{Device: DeviceCPU, Precision: asked}, demo)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%v, %v: computes in %v, want %v", path, asked, got, want)
			}
			b.Close()
		}
		restore()
	}
	if _, rates, err := Processor(); err != nil || !slices.ContainsFunc(rates,
		func(r ProcessorRate) bool { return r.Used }) {
		t.Errorf("no path is in use: %+v, %v", rates, err)
	}
}

// TestAutoTakesInt8 checks that the precision auto means int8 only if the weights are stored so, and if int8 is clearly
// faster; and that int8 says so where it changes nothing.
func TestAutoTakesInt8(t *testing.T) {
	if _, err := processorPath(); err != nil {
		t.Fatal(err)
	}
	rates := func(int8OPS float64) pathRates {
		return pathRates{
			[]cpu.Rate{{Level: cpu.Current(), FLOPS: 1e11}}, []cpu.Int8Rate{{Path: cpu.CurrentInt8(), OPS: int8OPS}},
		}
	}
	fast, slow := rates(4e11), rates(1.2e11)
	plain := Float32
	if cpu.Current().MultipliesBF16() {
		plain = BF16
	}
	check := func(ckpt *checkpoint.Checkpoint, asked Precision, rates pathRates, want Precision, notices int) {
		t.Helper()
		b, got, said := openProcessor(asked, ckpt, rates)
		defer b.Close()
		if got != want || len(said) != notices {
			t.Errorf("%s: %v computes in %v and says %q, want %v and %d notices", ckpt.Name, asked, got, said, want, notices)
		}
	}
	demo := openEngine(t, "demo", DeviceCPU, Float32).ckpt
	check(demo, PrecisionAuto, fast, plain, 0)
	check(demo, Int8, slow, Int8, 0)
	for _, c := range formatCases(t) {
		switch c.name {
		case "int8":
			ckpt := openEngine(t, c.model(t, true), DeviceCPU, Float32).ckpt
			check(ckpt, PrecisionAuto, fast, Int8, 0)
			check(ckpt, PrecisionAuto, slow, plain, 0)
			check(ckpt, BF16, fast, BF16, 0)
			check(ckpt, Int8, slow, Int8, 0)
		case "mxfp8":
			ckpt := openEngine(t, c.model(t, true), DeviceCPU, Float32).ckpt
			check(ckpt, PrecisionAuto, fast, plain, 0)
			check(ckpt, Int8, fast, plain, 1)
		}
	}
}

// TestNarrowOnCards checks which precision a graphics card computes in, and that int8 and fp8 say so where they change
// nothing. auto never takes fp8.
func TestNarrowOnCards(t *testing.T) {
	check := func(ckpt *checkpoint.Checkpoint, asked, want Precision, notices int) {
		t.Helper()
		b, got, said, err := openBackend(Options{Device: DeviceSim, Precision: asked}, ckpt)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if got != want || len(said) != notices {
			t.Errorf("%s: %v computes in %v and says %q, want %v and %d notices", ckpt.Name, asked, got, said, want, notices)
		}
	}
	demo := openEngine(t, "demo", DeviceCPU, Float32).ckpt
	check(demo, PrecisionAuto, BF16, 0)
	check(demo, Int8, Int8, 0)
	check(demo, FP8, FP8, 0)
	for _, c := range formatCases(t) {
		switch c.name {
		case "int8":
			ckpt := openEngine(t, c.model(t, true), DeviceCPU, Float32).ckpt
			check(ckpt, PrecisionAuto, Int8, 0)
			check(ckpt, BF16, BF16, 0)
			check(ckpt, Int8, Int8, 0)
			check(ckpt, FP8, BF16, 1)
		case "mxfp8":
			ckpt := openEngine(t, c.model(t, true), DeviceCPU, Float32).ckpt
			check(ckpt, PrecisionAuto, BF16, 0)
			check(ckpt, Int8, BF16, 1)
			check(ckpt, FP8, BF16, 1)
		case "fp8-scaled":
			ckpt := openEngine(t, c.model(t, true), DeviceCPU, Float32).ckpt
			check(ckpt, PrecisionAuto, BF16, 0)
			check(ckpt, FP8, FP8, 0)
		}
	}
}

// TestFP8Refused asks for fp8 on devices without products of fp8.
func TestFP8Refused(t *testing.T) {
	demo := openEngine(t, "demo", DeviceCPU, Float32).ckpt
	older := cuda.Options{Open: func() (cu.Context, error) { return ptxsim.Open(ptxsim.Device{Major: 8, Minor: 6}), nil }}
	for _, row := range []struct {
		options Options
		want    string
	}{
		{Options{Device: DeviceCPU}, "device cpu: it has no products of fp8, which cards of"},
		{Options{Device: DeviceSim, sim: &older}, "cuda: software device (sm_86) has no products of fp8, which cards of"},
	} {
		row.options.Precision = FP8
		b, _, _, err := openBackend(row.options, demo)
		if !errors.Is(err, ErrNoFP8) || !strings.HasPrefix(err.Error(), row.want) || b != nil {
			t.Errorf("%s: %v, %v, want %q", row.options.Device, b, err, row.want)
		}
	}
}

func TestChosenPath(t *testing.T) {
	fastest := cpu.Paths()[0]
	for name, want := range map[string]string{
		"": fastest.String(), "generic": "generic", "Generic": "generic", "SSE2": "", "AMX ": "",
	} {
		t.Setenv(pathVariable, name)
		got, err := chosen(pathVariable, fastest, cpu.ParsePath, cpu.Use)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), pathVariable) {
				t.Errorf("%q: %v, %v; want an error that names $%s", name, got, err, pathVariable)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", name, got, err, want)
		}
	}
}
