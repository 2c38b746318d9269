package inference

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// counted is a backend that notes the products and attentions that it is asked for.
type counted struct {
	backend.Backend
	operations []string
	keys       []int // of the attentions
}

func (c *counted) note(name string, rows int, w backend.Weight) {
	c.operations = append(c.operations, fmt.Sprint(name, " of ", rows, " rows and ", w.Shape()))
}

func (c *counted) Linear(dst, x backend.Matrix, w backend.Weight, ep backend.Epilogue) {
	c.note("product", x.Rows, w)
	c.Backend.Linear(dst, x, w, ep)
}

func (c *counted) SwiGLU(dst, x backend.Matrix, gate, up backend.Weight) {
	c.note("SwiGLU", x.Rows, gate)
	c.Backend.SwiGLU(dst, x, gate, up)
}

func (c *counted) Conv2D(dst, x backend.Matrix, w backend.Weight, p backend.ConvParams) {
	c.note("convolution", x.Rows, w)
	c.Backend.Conv2D(dst, x, w, p)
}

func (c *counted) Attention(dst, q, k, v backend.Matrix, p backend.AttentionParams) {
	c.operations = append(c.operations, fmt.Sprint("attention of ", q.Rows, " rows"))
	c.keys = append(c.keys, k.Rows)
	c.Backend.Attention(dst, q, k, v, p)
}

// kvTextTokens is the number of text tokens of the tests' models. No picture of theirs has as many.
const kvTextTokens = 23

// openKV opens a tiny model as one with a reference cache, on a backend that counts.
func openKV(t *testing.T) (*Engine, *counted) {
	t.Helper()
	e := openOptions(t, Options{
		Model: tinyModel(t, "distilled"), Precision: Float32, Variant: KV, MaxSequenceLength: kvTextTokens,
	})
	c := &counted{Backend: e.b}
	if err := e.loadStages(c); err != nil {
		t.Fatal(err)
	}
	e.caches = newCaches(c)
	return e, c
}

// run makes the picture that ask asks for and returns what the run has computed.
func (c *counted) run(t *testing.T, e *Engine, ask Ask) (operations []string, keys []int, seen traced) {
	t.Helper()
	c.operations, c.keys = nil, nil
	r, err := e.compute(t.Context(), readAndResolve(t, e, ask), &seen.probe, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen.made = r.made
	return c.operations, c.keys, seen
}

// rowsOf counts the operations with n rows.
func rowsOf(operations []string, n int) (count int) {
	for _, o := range operations {
		if strings.Contains(o, fmt.Sprintf(" of %d rows", n)) {
			count++
		}
	}
	return count
}

// same says whether two runs had the same velocities, bit for bit, and pictures.
func (t traced) same(other traced) bool {
	for i := range t.velocities {
		if !slices.EqualFunc(t.velocities[i], other.velocities[i], func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		}) {
			return false
		}
	}
	return slices.Equal(t.made.Pix, other.made.Pix)
}

// TestReferencesComputedOnce makes a picture after two references, and another one with another prompt, seed, size and
// number of steps. The second run computes what a picture without references takes, and nothing else: its attentions
// have more keys. Its velocities are, to the bit, those of an engine that has no cache yet.
func TestReferencesComputedOnce(t *testing.T) {
	e, c := openKV(t)
	refs := []Source{reference(t, 0, 64, 80), reference(t, 1, 64, 112)}
	const tokens = 4*5 + 4*7
	first := Ask{
		Prompt: "a fox", Seed: new(uint64(1)), Steps: new(2), Size: &picture.Size{Width: 64, Height: 64}, References: refs,
	}
	second := Ask{
		Prompt: "make it winter", Seed: new(uint64(2)), Steps: new(3), Size: &picture.Size{Width: 96, Height: 64},
		References: refs,
	}
	without := second
	without.Prompt, without.References = "a dog", nil // another prompt, since that of second is cached

	operations, _, _ := c.run(t, e, first)
	// Each of four blocks has products of the references' rows. So has the embedder.
	if n := rowsOf(operations, tokens); n < 4*2+1 {
		t.Fatalf("%d operations on references in the first run: %q", n, operations)
	}
	operations, keys, warm := c.run(t, e, second)
	if n := rowsOf(operations, tokens); n != 0 {
		t.Errorf("%d operations on references in the second run", n)
	}
	plain, plainKeys, _ := c.run(t, e, without)
	if !slices.Equal(operations, plain) {
		t.Errorf("the second run computes %d products and attentions, want the %d of a picture without references",
			len(operations), len(plain))
	}
	joint, more := kvTextTokens+6*4, 0
	for i, n := range plainKeys {
		want := n
		if n == joint {
			want += tokens
			more++
		}
		if keys[i] != want {
			t.Errorf("attention %d has %d keys, want %d", i, keys[i], want)
		}
	}
	if more != 3*4 {
		t.Errorf("%d attentions see the references, want one for each block and step", more)
	}
	// The picture without references did not need the memory.
	operations, _, again := c.run(t, e, second)
	if n := rowsOf(operations, tokens); n != 0 || !warm.same(again) {
		t.Errorf("%d operations on references after a picture without any, same %v", n, warm.same(again))
	}

	fresh, c2 := openKV(t)
	operations, _, cold := c2.run(t, fresh, second)
	if rowsOf(operations, tokens) == 0 || !cold.same(warm) {
		t.Errorf("an engine without a cache: the same %v", cold.same(warm))
	}
}

// TestWorkOfCachedReferences checks that the work of what is cached is not reported as done: it would make the rest of
// the run look short.
func TestWorkOfCachedReferences(t *testing.T) {
	e, _ := openKV(t)
	ask := quick("a fox")
	ask.References = []Source{reference(t, 0, 64, 80)}
	req := resolve(t, e, ask)
	want := e.Work(req)
	for _, name := range []string{"without the cache", "with it"} {
		result, err := e.Generate(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		work := 0.0
		for _, timing := range result.Timings {
			work += timing.Work
		}
		if !(math.Abs(work-want) <= 1e-9*want) {
			t.Errorf("%s: %v multiply-adds, want %v", name, work, want)
		}
		want -= e.costs().cacheWork(e.shapeOf(req))
	}
}

// TestKeysValuesOfOthers changes what keys and values depend on. Each run must be, to the bit, that of an engine
// without a cache, and only one set of keys and values is held.
func TestKeysValuesOfOthers(t *testing.T) {
	e, c := openKV(t)
	a, b := reference(t, 0, 64, 80), reference(t, 1, 64, 112)
	adapter := writeLoRA(t, 1, loraKinds[0].add)
	ask := func(refs ...Source) Ask {
		return Ask{
			Prompt: "a fox", Seed: new(uint64(1)), Steps: new(1), Size: &picture.Size{Width: 64, Height: 64}, References: refs,
		}
	}
	adapted := func(strength float64) Ask {
		with := ask(a, b)
		with.LoRAs = []LoRA{{Path: adapter, Strength: strength}}
		return with
	}
	var before traced
	for i, row := range []struct {
		name   string
		ask    Ask
		tokens int // of the references, if they are computed
	}{
		{"two", ask(a, b), 48},
		{"two again", ask(a, b), 0},
		{"the other order", ask(b, a), 48},
		{"one of them", ask(a), 20},
		{"two with an adapter", adapted(1), 48},
		{"the same adapter", adapted(1), 0},
		{"another strength", adapted(0.5), 48},
		{"the adapter off", adapted(0), 48},
	} {
		operations, _, seen := c.run(t, e, row.ask)
		computed := rowsOf(operations, 48)+rowsOf(operations, 20) > 0
		if computed != (row.tokens > 0) || row.tokens > 0 && rowsOf(operations, row.tokens) == 0 {
			t.Errorf("%s: the references are computed: %v", row.name, computed)
		}
		if len(e.keysValues.entries) != 1 {
			t.Errorf("%s: %d sets of keys and values are held, want one", row.name, len(e.keysValues.entries))
		}
		fresh, c2 := openKV(t)
		if _, _, want := c2.run(t, fresh, row.ask); !seen.same(want) {
			t.Errorf("%s: another picture than without the caches", row.name)
		}
		if i > 0 && row.tokens > 0 && seen.same(before) {
			t.Errorf("%s: the picture of the row before", row.name)
		}
		before = seen
	}
}

// TestEditSeesCachedSource changes a part of a picture twice: the source is the first condition, and its keys and
// values are those of the first run if the area is the same. If it is no condition, nothing of it is cached.
func TestEditSeesCachedSource(t *testing.T) {
	e, c := openKV(t)
	e.info.NativeSize = 128
	ask := Ask{
		Prompt: "a fox", Seed: new(uint64(1)), Steps: new(2), References: []Source{photo(t, 96, 80)},
		Edit: &Edit{Mask: disc(96, 80), Whole: true},
	}
	first := readAndResolve(t, e, ask)
	tokens := gridOf(first.Size()).Tokens()
	if _, _, _ = c.run(t, e, ask); len(e.keysValues.entries) != 1 {
		t.Fatal("no keys and values of the source")
	}
	ask.Prompt, ask.Seed = "a dog", new(uint64(2))
	ask.Edit = &Edit{Mask: disc(96, 80), Whole: true, Strength: new(0.5)}
	held := e.keysValues.entries[0].value.Buffer
	_, keys, warm := c.run(t, e, ask)
	if e.keysValues.entries[0].value.Buffer != held || slices.Max(keys) < kvTextTokens+2*tokens {
		t.Errorf("the second edit computes the source, or does not see it: %d keys", slices.Max(keys))
	}
	fresh, c2 := openKV(t)
	fresh.info.NativeSize = 128
	if _, _, cold := c2.run(t, fresh, ask); !cold.same(warm) {
		t.Error("another picture than without the cache")
	}
	ask.Edit.Hidden = true
	if _, keys, _ := c2.run(t, fresh, ask); slices.Contains(keys, kvTextTokens+2*tokens) {
		t.Error("a hidden source is seen")
	}
	if s := fresh.shapeOf(readAndResolve(t, fresh, ask)); s.cached {
		t.Error("keys and values of a hidden source")
	}
}

// TestCachedLoRAEqualsMergedWeights compares a run with an adapter, in which the keys and values are the adapter's too,
// with one of merged weights.
func TestCachedLoRAEqualsMergedWeights(t *testing.T) {
	e := openOptions(t, Options{
		Model: tinyModel(t, "distilled"), Precision: Float32, Variant: KV, MaxSequenceLength: kvTextTokens,
	})
	for _, k := range loraKinds {
		ask := quick("a fox")
		ask.References = []Source{reference(t, 0, 64, 80)}
		list := []LoRA{{Path: writeLoRA(t, 1, k.add), Strength: 0.75}}
		var plain, adapted, merged traced
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(e.trace(t.Context(), ask, &plain))
		must(mergedEngine(t, e, list).trace(t.Context(), ask, &merged))
		ask.LoRAs = list
		must(e.trace(t.Context(), ask, &adapted))
		off := relativeRMS(adapted.velocities[0], merged.velocities[0])
		moved := relativeRMS(merged.velocities[0], plain.velocities[0])
		if !(off <= float32Tolerance/10) || !(moved > 0.01) {
			t.Errorf("%s: %.3g off, want at most %.3g; moved by %.3g, want more than 0.01",
				k.name, off, float32Tolerance/10, moved)
		}
	}
}

// TestGuidanceIgnoredWithCache checks that guidance changes nothing, as for other distilled models.
func TestGuidanceIgnoredWithCache(t *testing.T) {
	e, c := openKV(t)
	ask := quick("a fox")
	operations, _, want := c.run(t, e, ask)
	ask.Guidance, ask.Prompt = new(5.0), "a fox"
	if _, _, got := c.run(t, e, ask); !got.same(want) {
		t.Error("guidance changes the picture")
	}
	if info := e.Info(); info.Variant != KV || info.Steps != 4 || info.Guidance != 1 {
		t.Errorf("%+v, want four steps without guidance", info)
	}
	if len(operations) == 0 {
		t.Error("nothing was counted")
	}
}

// TestCachingCancelled ends a run while the references are computed: nothing half-filled is kept.
func TestCachingCancelled(t *testing.T) {
	e, _ := openKV(t)
	ask := quick("a fox")
	ask.References = []Source{reference(t, 0, 64, 80)}
	want := generate(t, e, ask)
	e.caches.drop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := e.Generate(ctx, resolve(t, e, ask), func(p Progress) {
		if p.Stage == StageReferences && p.Step == 1 {
			cancel()
		}
		if p.Stage == StageSteps {
			t.Error("steps after the end")
		}
	})
	if err == nil || len(e.keysValues.entries) != 0 {
		t.Errorf("%v, %d sets are kept", err, len(e.keysValues.entries))
	}
	if again := generate(t, e, ask); !samePicture(again, want) {
		t.Error("another picture after a cancelled run")
	}
}
