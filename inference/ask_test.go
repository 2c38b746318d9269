package inference

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// baseInfo is the Info of a base model.
var baseInfo = Info{Variant: Base, Digest: "digest", Steps: 50, Guidance: 4, NativeSize: 1024, TokenChannels: 128}

// TestResolve checks every field: left out, and on both sides of each limit.
func TestResolve(t *testing.T) {
	size := func(w, h int) *picture.Size { return &picture.Size{Width: w, Height: h} }
	refs := func(n int) []Source { return slices.Repeat([]Source{Source(reference(t, 0, 96, 80))}, n) }
	noise := func(n int, value float32) []float32 {
		x := make([]float32, n)
		if n > 0 {
			x[n-1] = value
		}
		return x
	}
	const values = 128 * 4 * 4
	small := picture.Size{Width: 64, Height: 64}
	inf := float32(math.Inf(1))
	for _, row := range []struct {
		name string
		ask  Ask
		want string // the error, "" if there is none
		got  func(r Request) bool
	}{
		{"nothing given", Ask{}, "", func(r Request) bool {
			return r.Prompt() == "" && r.Size() == picture.Size{Width: 1344, Height: 768} && r.Steps() == 50 &&
				r.Guidance() == 4 &&
				len(r.References()) == 0 && r.Seed() <= math.MaxUint32 && !r.Previews() && r.noise == nil
		}},
		{"prompt", Ask{Prompt: "\uFEFFa\r\nfox"}, "", func(r Request) bool { return r.Prompt() == "a\nfox" }},
		{"longest prompt", Ask{Prompt: strings.Repeat("x", MaxPromptBytes)}, "",
			func(r Request) bool { return len(r.Prompt()) == MaxPromptBytes }},
		{"prompt too long", Ask{Prompt: strings.Repeat("x", MaxPromptBytes+1)},
			"prompt: found 65537 bytes, want at most 65536", nil},
		{"prompt in Latin-1", Ask{Prompt: "caf\xe9"}, "prompt: found byte 0xe9 at byte 3, want UTF-8 text", nil},
		{"prompt in UTF-16", Ask{Prompt: "\xff\xfea\x00"}, "prompt: found UTF-16 text, want UTF-8", nil},

		{"four references", Ask{References: refs(4)}, "", func(r Request) bool { return len(r.References()) == 4 }},
		{"five references", Ask{References: refs(5)}, "references: found 5 reference pictures, want at most 4", nil},

		{"aspect", Ask{Aspect: picture.Wide}, "", func(r Request) bool {
			return r.Size() == picture.Size{Width: 1568,
				Height: 672}
		}},
		{"unknown aspect", Ask{Aspect: "sqare"}, `aspect ratio: found "sqare", want one of square, landscape, `, nil},
		{"match", Ask{Aspect: picture.Match, References: refs(2)}, "",
			func(r Request) bool { return r.Size() == picture.Size{Width: 96, Height: 80} }},
		{"match without a reference", Ask{Aspect: picture.Match},
			"references: found none, want at least one to match the size of", nil},
		{"aspect and size", Ask{Aspect: picture.Wide, Size: &small}, "size: found an aspect ratio as well, want one of both",
			nil},

		{"least size", Ask{Size: size(64, 64)}, "", func(r Request) bool { return r.Size() == small }},
		{"largest size", Ask{Size: size(2048, 2048)}, "",
			func(r Request) bool { return r.Size() == picture.Size{Width: 2048, Height: 2048} }},
		{"too narrow", Ask{Size: size(48, 64)},
			"size: found 48x64, want each side a multiple of 16 from 64 to 2048; the nearest size is 64x64", nil},
		{"too low", Ask{Size: size(64, 48)}, "size: found 64x48, want ", nil},
		{"too wide", Ask{Size: size(2064, 64)}, "size: found 2064x64, want ", nil},
		{"too high", Ask{Size: size(64, 2064)}, "size: found 64x2064, want ", nil},
		{"no multiple of 16", Ask{Size: size(72, 64)}, "size: found 72x64, want ", nil},
		{"no size at all", Ask{Size: size(0, 0)}, "size: found 0x0, want ", nil},

		{"least seed", Ask{Seed: new(uint64(0))}, "", func(r Request) bool { return r.Seed() == 0 }},
		{"largest seed", Ask{Seed: new(uint64(math.MaxUint64))}, "",
			func(r Request) bool { return r.Seed() == math.MaxUint64 }},

		{"least steps", Ask{Steps: new(1)}, "", func(r Request) bool { return r.Steps() == 1 }},
		{"most steps", Ask{Steps: new(1000)}, "", func(r Request) bool { return r.Steps() == 1000 }},
		{"no steps", Ask{Steps: new(0)}, "steps: found 0, want a whole number from 1 to 1000", nil},
		{"too many steps", Ask{Steps: new(1001)}, "steps: found 1001, want a whole number from 1 to 1000", nil},

		{"least guidance", Ask{Guidance: new(0.0)}, "", func(r Request) bool { return r.Guidance() == 1 }},
		{"some less than none", Ask{Guidance: new(0.5)}, "", func(r Request) bool { return r.Guidance() == 1 }},
		{"guidance", Ask{Guidance: new(1.5)}, "", func(r Request) bool { return r.Guidance() == 1.5 }},
		{"most guidance", Ask{Guidance: new(100.0)}, "", func(r Request) bool { return r.Guidance() == 100 }},
		{"negative guidance", Ask{Guidance: new(-0.01)}, "guidance: found -0.01, want a number from 0 to 100", nil},
		{"too much guidance", Ask{Guidance: new(100.01)}, "guidance: found 100.01, want a number from 0 to 100", nil},
		{"guidance NaN", Ask{Guidance: new(math.NaN())}, "guidance: found NaN, want a number from 0 to 100", nil},

		{"noise", Ask{Size: &small, Noise: noise(values, 1)}, "", func(r Request) bool { return len(r.noise) == values }},
		{"noise too short", Ask{Size: &small, Noise: noise(values-1, 0)}, "noise: found 2047 values, want 2048 for 64x64",
			nil},
		{"noise too long", Ask{Size: &small, Noise: noise(values+1, 0)}, "noise: found 2049 values, want 2048 for 64x64",
			nil},
		{"no noise", Ask{Size: &small, Noise: noise(0, 0)}, "noise: found 0 values, want 2048 for 64x64", nil},
		{"noise infinite", Ask{Size: &small, Noise: noise(values, inf)}, "noise: found +Inf at 2047, want finite numbers",
			nil},
		{"noise NaN", Ask{Size: &small, Noise: noise(values, inf-inf)}, "noise: found NaN at 2047, want finite numbers", nil},

		{"previews", Ask{Preview: true}, "", func(r Request) bool { return r.Previews() }},
	} {
		r, err := row.ask.Resolve(baseInfo)
		var field FieldError
		switch {
		case row.want != "" && (!errors.As(err, &field) || !strings.HasPrefix(err.Error(), row.want)):
			t.Errorf("%s: %v, want a FieldError: %s", row.name, err, row.want)
		case row.want == "" && (err != nil || !row.got(r)):
			t.Errorf("%s: %v: prompt %.20q, size %v, seed %d, %d steps, guidance %v", row.name, err, r.Prompt(), r.Size(),
				r.Seed(), r.Steps(), r.Guidance())
		}
	}
}

// TestResolveForModels checks that fields that are left out get the defaults of the model.
func TestResolveForModels(t *testing.T) {
	c, err := Ask{Prompt: "a fox", Seed: new(uint64(7))}.Check()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		info     Info
		size     picture.Size
		steps    int
		guidance float64
	}{
		{baseInfo, picture.Size{Width: 1344, Height: 768}, 50, 4},
		{Info{Steps: 4, Guidance: 1, NativeSize: 512}, picture.Size{Width: 672, Height: 384}, 4, 1},
	} {
		r, err := c.Resolve(row.info)
		size, known := c.Size(row.info)
		if err != nil || r.Size() != row.size || size != row.size || !known || r.Steps() != row.steps ||
			r.Guidance() != row.guidance || r.Seed() != 7 {
			t.Errorf("%+v: %v, size %v (%v, %v), %d steps, guidance %v", row.info, err, r.Size(), size, known, r.Steps(),
				r.Guidance())
		}
	}
	if c.WithSeed(8).Seed() != 8 || c.Seed() != 7 {
		t.Error("another seed is not one, or changes the first")
	}
	if _, err := (Checked{}).Resolve(baseInfo); err == nil {
		t.Error("a Checked that Check has not made is resolved")
	}
}

// sourceFunc is a Source that calls a function.
type sourceFunc func() (Reference, error)

func (f sourceFunc) Open(context.Context) (Reference, error) { return f() }

// TestReadEndsAtFailure checks that no reference is opened after one that failed, and that a panic of a Source comes to
// the caller of Read.
func TestReadEndsAtFailure(t *testing.T) {
	opened := 0
	good := sourceFunc(func() (Reference, error) { opened++; return Reference{}, nil })
	broken := errors.New("broken")
	for _, row := range []struct {
		name   string
		second sourceFunc
	}{
		{"an error", func() (Reference, error) { opened++; return Reference{}, broken }},
		{"a panic", func() (Reference, error) { opened++; panic(broken) }},
	} {
		opened = 0
		c, err := Ask{Prompt: "a fox", References: []Source{good, row.second, good, good}}.Check()
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					err = p.(error)
				}
			}()
			_, err = c.Read(t.Context(), 1)
		}()
		if !errors.Is(err, broken) || opened != 2 {
			t.Errorf("%s: %v, %d references were opened, want 2", row.name, err, opened)
		}
	}
}

// TestCheckedIsItsOwn checks that a Checked does not change if the caller changes the Ask after Check.
func TestCheckedIsItsOwn(t *testing.T) {
	steps, guidance, seed, size := 2, 3.0, uint64(4), picture.Size{Width: 64, Height: 64}
	ask := Ask{Steps: &steps, Guidance: &guidance, Seed: &seed, Size: &size, References: []Source{reference(t, 0, 64, 64)}}
	c, err := ask.Check()
	if err != nil {
		t.Fatal(err)
	}
	steps, guidance, seed, size, ask.References[0] = 0, -1, 5, picture.Size{}, file("gone")
	r, err := c.Resolve(baseInfo)
	if err != nil || r.Steps() != 2 || r.Guidance() != 3 || r.Seed() != 4 || r.Size().Width != 64 {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestLongestPromptFitsIntoMetadata checks that the picture of any checked request can be written. A control character
// takes six bytes in the metadata.
func TestLongestPromptFitsIntoMetadata(t *testing.T) {
	e := &Engine{info: baseInfo}
	r, err := Ask{Prompt: strings.Repeat("\x01", MaxPromptBytes)}.Resolve(e.info)
	if err == nil {
		err = e.metadata(r, nil).Check()
	}
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkKeystroke measures what a window computes at each keystroke: the request, its work and its memory.
func BenchmarkKeystroke(b *testing.B) {
	e := openShort(b, "base")
	ask := Ask{
		Prompt: strings.Repeat("a red fox in the snow, ", 22), Aspect: picture.Landscape,
		References: []Source{reference(b, 0, 512, 512), reference(b, 1, 640, 480)},
	}
	req := resolve(b, e, ask)
	b.Run("Work", func(b *testing.B) {
		for b.Loop() {
			if e.Work(req) == 0 {
				b.Fatal("no work")
			}
		}
	})
	b.Run("ResolveAndWork", func(b *testing.B) {
		for b.Loop() {
			if e.Work(resolve(b, e, ask)) == 0 {
				b.Fatal("no work")
			}
		}
	})
	sim, err := Open(b.Context(), Options{Model: tinyModel(b, "base"), Device: DeviceSim})
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	ask.Prompt, ask.Preview = "a red fox in the snow", true
	ask.References = []Source{reference(b, 0, 1024, 1024), reference(b, 1, 640, 480)}
	req = resolve(b, sim, ask)
	b.Run("Rehearsal", func(b *testing.B) {
		for b.Loop() {
			sim.planner.known = nil
			if _, err := sim.Plan(req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestCostsLookAtSizes checks that what a window computes at each keystroke allocates nothing, and that a rehearsal
// allocates much less than the pixels of one picture.
func TestCostsLookAtSizes(t *testing.T) {
	e, err := Open(t.Context(), Options{Model: tinyModel(t, "base"), Device: DeviceSim})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	req := resolve(t, e, Ask{Preview: true, References: []Source{reference(t, 0, 1024, 1024), reference(t, 1, 640, 480)}})
	if n := testing.AllocsPerRun(10, func() { e.Work(req) }); n != 0 {
		t.Errorf("Work allocates %v times", n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := e.Plan(req); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if bytes, pixels := after.TotalAlloc-before.TotalAlloc, uint64(4*3*1344*768); bytes > pixels/4 {
		t.Errorf("a rehearsal allocates %d bytes, want far less than the %d of the picture's pixels", bytes, pixels)
	}
	// The plan of the same request is remembered from then on, whatever its prompt is.
	more := req
	more.prompt, more.seed = "another fox", 2
	if n := testing.AllocsPerRun(10, func() { _, _ = e.Plan(more) }); n > 20 {
		t.Errorf("a plan that is known allocates %v times", n)
	}
}
