package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// quick returns the Ask for a picture that takes a tenth of a second.
func quick(prompt string) Ask {
	return Ask{Prompt: prompt, Size: &picture.Size{Width: 64, Height: 64}, Seed: new(uint64(1)), Steps: new(1)}
}

func resolve(t testing.TB, e *Engine, ask Ask) Request {
	t.Helper()
	req, err := ask.Resolve(e.info)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// openShort opens a tiny model with few text tokens, with which it is ten times as fast.
func openShort(t testing.TB, name string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Model: tinyModel(t, name), Precision: Float32, MaxSequenceLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func generate(t testing.TB, e *Engine, ask Ask) *Result {
	t.Helper()
	result, err := e.Generate(t.Context(), resolve(t, e, ask), nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// reference returns a picture of width × height pixels that differs for each i.
func reference(t testing.TB, i, width, height int) Reference {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x + 11*i), uint8(y * (i + 1)), uint8(x ^ y), 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	ref, err := picture.Decode(t.Context(), file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return Reference{Reference: ref}
}

func samePicture(a, b *Result) bool { return bytes.Equal(rgba(a).Pix, rgba(b).Pix) }

// rgba returns the picture of a result that was not laid into image 1.
func rgba(r *Result) *image.RGBA { return r.Image.(*image.RGBA) }

func TestOneCallerAtATime(t *testing.T) {
	e := openShort(t, "distilled")
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		first := true
		_, err := e.Generate(context.Background(), resolve(t, e, quick("a")), func(Progress) {
			if first {
				first = false
				close(entered)
				<-leave
			}
		})
		done <- err
	}()
	<-entered
	if _, err := e.Generate(t.Context(), resolve(t, e, quick("b")), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("second caller: %v, want ErrBusy", err)
	}
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait for the run")
	default:
	}
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("first caller: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := e.Generate(t.Context(), resolve(t, e, quick("c")), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// stagesOf counts the calls of progress for each stage. A count of 1 means that the stage had nothing to compute.
func stagesOf(t *testing.T, e *Engine, ask Ask) (map[Stage]int, *Result) {
	t.Helper()
	calls := map[Stage]int{}
	result, err := e.Generate(t.Context(), resolve(t, e, ask), func(p Progress) { calls[p.Stage]++ })
	if err != nil {
		t.Fatal(err)
	}
	return calls, result
}

func TestPromptCache(t *testing.T) {
	e := openShort(t, "base")
	req := quick("a fox")
	first, want := stagesOf(t, e, req)
	if n := first[StagePrompt]; n < 2*27 {
		t.Fatalf("%d calls of progress for two prompts of 27 layers", n)
	}
	again, same := stagesOf(t, e, req)
	if again[StagePrompt] != 1 || !samePicture(want, same) {
		t.Errorf("a second run calls progress %d times, same picture %v; want it to skip the encoder", again[StagePrompt],
			samePicture(want, same))
	}
	// The embeds of the empty prompt, which guidance needs, are cached too.
	if other, _ := stagesOf(t, e, quick("a dog")); other[StagePrompt] > 1+27 {
		t.Errorf("another prompt: %d calls, want one encoding", other[StagePrompt])
	}
	for i := range 2 * promptCacheEntries {
		generate(t, e, quick(fmt.Sprint("prompt ", i)))
		if n := len(e.prompts.entries); n > promptCacheEntries {
			t.Fatalf("%d entries, want at most %d", n, promptCacheEntries)
		}
	}
	later, same := stagesOf(t, e, req)
	if later[StagePrompt] < 27 || !samePicture(want, same) {
		t.Errorf("after eviction: %d calls, same picture %v; want the same picture, computed again", later[StagePrompt],
			samePicture(want, same))
	}
}

// TestPromptCacheTellsPaddingFromText checks two prompts with the same ids: a short one with padding, and a long one
// that was cut off in the middle of padding tokens of its own. The ids of the long one must not be masked.
func TestPromptCacheTellsPaddingFromText(t *testing.T) {
	const tail = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
	long := quick("fox" + tail + strings.Repeat("<|endoftext|>", 64))
	e := openShort(t, "distilled")
	a, err := e.tokens.Prompt("fox", 32)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.tokens.Prompt(long.Prompt, 32)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.IDs, b.IDs) || a.Count == b.Count {
		t.Fatalf("the prompts are no example: %v (%d) and %v (%d)", a.IDs, a.Count, b.IDs, b.Count)
	}
	want := generate(t, e, long)
	fresh := openShort(t, "distilled")
	generate(t, fresh, quick("fox"))
	if !samePicture(want, generate(t, fresh, long)) {
		t.Error("the picture depends on what was made before")
	}
}

func TestReferenceCache(t *testing.T) {
	e := openShort(t, "distilled")
	req := quick("a fox")
	req.References = []Source{reference(t, 0, 64, 64), reference(t, 1, 80, 64)}
	want := generate(t, e, req)
	if n := len(e.references.entries); n != 2 {
		t.Fatalf("%d entries, want 2", n)
	}
	if !samePicture(want, generate(t, e, req)) || len(e.references.entries) != 2 {
		t.Error("a second run gives another picture, or encodes again")
	}
	swapped := req
	swapped.References = []Source{req.References[1], req.References[0]}
	if samePicture(want, generate(t, e, swapped)) || len(e.references.entries) != 2 {
		t.Error("the order of references changes nothing, or they are encoded again")
	}
	for i := range referenceCacheEntries + 2 {
		one := quick("a fox")
		one.References = []Source{reference(t, 2+i, 64, 64)}
		generate(t, e, one)
		if n := len(e.references.entries); n > referenceCacheEntries {
			t.Fatalf("%d entries, want at most %d", n, referenceCacheEntries)
		}
	}
	if !samePicture(want, generate(t, e, req)) {
		t.Error("another picture after eviction")
	}
}

func TestPreviews(t *testing.T) {
	e := openShort(t, "distilled")
	for _, row := range []struct{ width, height, wantWidth, wantHeight int }{
		{64, 64, 64, 64},
		{240, 96, 128, 48}, // 15 tokens, averaged over squares of 2×2
		{400, 64, 144, 32}, // 25 tokens, averaged over squares of 3×3
	} {
		req := quick("a fox")
		req.Size, req.Steps = &picture.Size{Width: row.width, Height: row.height}, new(3)
		want := generate(t, e, req)
		req.Preview = true
		at := map[int]*image.RGBA{}
		got, err := e.Generate(t.Context(), resolve(t, e, req), func(p Progress) {
			if p.Preview != nil {
				if p.Stage != StageSteps || at[p.Step] != nil {
					t.Errorf("a preview in %s %d", p.Stage, p.Step)
				}
				at[p.Step] = p.Preview
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(at) != 2 || at[1] == nil || at[2] == nil || at[1].Rect != image.Rect(0, 0, row.wantWidth, row.wantHeight) {
			t.Errorf("%v: previews %v, want %dx%d after steps 1 and 2", req.Size, at, row.wantWidth, row.wantHeight)
		}
		if !samePicture(want, got) {
			t.Errorf("%v: previews change the picture", req.Size)
		}
	}
}

func TestProgressGrows(t *testing.T) {
	e := openShort(t, "base")
	req := quick("a fox")
	req.Steps, req.References = new(2), []Source{reference(t, 0, 64, 64)}
	var order []Stage
	var last Progress
	result, err := e.Generate(t.Context(), resolve(t, e, req), func(p Progress) {
		if p.Fraction < last.Fraction || p.Fraction > 1 || p.Elapsed < last.Elapsed || p.Remaining < 0 || p.Step > p.Total {
			t.Errorf("%+v after %+v", p, last)
		}
		if len(order) == 0 || order[len(order)-1] != p.Stage {
			order = append(order, p.Stage)
		}
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Stage{StagePrompt, StageReferences, StageSteps, StageDecode}
	if !slices.Equal(order, want) || last.Fraction < 0.999 {
		t.Errorf("stages %v, last %+v", order, last)
	}
	var timed []Stage
	for _, x := range result.Timings {
		timed = append(timed, x.Stage)
	}
	if !slices.Equal(timed, want) || result.Workflow != ImageToImage {
		t.Errorf("timings of %v, workflow %s", timed, result.Workflow)
	}
}

func TestDeterministic(t *testing.T) {
	for _, precision := range []Precision{Float32, BF16} {
		t.Run(string(precision), func(t *testing.T) {
			req := quick("a fox")
			req.Steps, req.Size = new(2), &picture.Size{Width: 144, Height: 112} // more pixels than one piece of work has
			req.References = []Source{reference(t, 0, 96, 80)}
			var pictures []*Result
			for _, threads := range []int{1, 2, 2} {
				func() {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
					e := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, precision)
					pictures = append(pictures, generate(t, e, req))
				}()
			}
			if !samePicture(pictures[0], pictures[1]) || !samePicture(pictures[1], pictures[2]) {
				t.Error("the picture depends on the threads or the run")
			}
		})
	}
}

func TestGuidance(t *testing.T) {
	with := func(e *Engine, guidance *float64) *Result {
		req := quick("a fox")
		req.Guidance = guidance
		return generate(t, e, req)
	}
	base := openShort(t, "base")
	if !samePicture(with(base, nil), with(base, new(float64(4)))) {
		t.Error("base: the default is not guidance 4")
	}
	if samePicture(with(base, new(float64(1))), with(base, new(float64(4)))) ||
		!samePicture(with(base, new(float64(1))), with(base, new(float64(0.5)))) {
		t.Error("base: guidance 1 is not the same as none, or the same as 4")
	}
	distilled := openShort(t, "distilled")
	if !samePicture(with(distilled, new(float64(1))), with(distilled, new(float64(7)))) {
		t.Error("distilled: guidance changes the picture")
	}
}

// TestForeignRequests checks that Generate refuses a request that was resolved for another model.
func TestForeignRequests(t *testing.T) {
	e := openShort(t, "distilled")
	for name, req := range map[string]Request{"none": {},
		"of another model": resolve(t, openShort(t, "base"), quick("a fox"))} {
		_, err := e.Generate(t.Context(), req, func(Progress) { t.Errorf("%s: computed", name) })
		if err == nil || !strings.Contains(err.Error(), "resolved for another model") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMatchedSizeMayBeWide checks that a picture may match a reference of 8:1, although it has a side that no person
// may ask for.
func TestMatchedSizeMayBeWide(t *testing.T) {
	e := openShort(t, "distilled")
	ask := quick("a fox")
	wide := reference(t, 0, 512, 64)
	ask.Size, ask.Aspect, ask.References = nil, picture.Match, []Source{wide}
	if got := generate(t, e, ask); rgba(got).Rect != image.Rect(0, 0, 512, 64) {
		t.Errorf("%v", rgba(got).Rect)
	}
	wide.Size.Width = 2880 // as if the picture had 2880×360; its pixels do not matter here
	if got := resolve(t, e, ask).Size(); got != wide.Size {
		t.Errorf("size %v, want %v", got, wide.Size)
	}
}

// TestTokensAndWork checks the methods that a window calls while the user types.
func TestTokensAndWork(t *testing.T) {
	e := openShort(t, "distilled")
	empty, limit, err := e.CountTokens("")
	if err != nil || empty < 1 || limit != 32 {
		t.Fatalf("%d of %d tokens, %v", empty, limit, err)
	}
	if fox, _, _ := e.CountTokens("a red fox"); fox <= empty {
		t.Errorf("%d tokens with a prompt, %d without", fox, empty)
	}
	if long, _, _ := e.CountTokens(strings.Repeat("fox ", 100)); long < 100 {
		t.Errorf("%d tokens of a hundred words: those that are cut off count as well", long)
	}

	one := e.Work(resolve(t, e, quick("a")))
	more := quick("a")
	more.Steps = new(4)
	large := quick("a")
	large.Size = &picture.Size{Width: 128, Height: 128}
	edit := quick("a")
	edit.References = []Source{reference(t, 1, 64, 64)}
	for name, ask := range map[string]Ask{"four steps": more, "a larger picture": large, "a reference": edit} {
		if got := e.Work(resolve(t, e, ask)); got <= one {
			t.Errorf("%s takes %v, a picture without %v", name, got, one)
		}
	}
	// They must not wait while a picture is being made.
	_, err = e.Generate(t.Context(), resolve(t, e, quick("a")), func(Progress) {
		if n, _, err := e.CountTokens("fox"); err != nil || n <= empty || e.Work(resolve(t, e, quick("a"))) != one {
			t.Error("no answer during a run")
		}
	})
	if err != nil {
		t.Error(err)
	}
}
