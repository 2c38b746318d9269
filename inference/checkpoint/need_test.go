package checkpoint

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestCloseness holds the words against the distances that docs/quality.md tells, and the table against the formats
// that are read.
func TestCloseness(t *testing.T) {
	whole := Shares{"BF16": 1}
	for _, row := range []struct {
		name                     string
		transformer, textEncoder Shares
		want                     Closeness
	}{
		{"bf16", whole, whole, AsBF16},
		{"vectors in F32", Shares{"BF16": 1e9, "F32": 1e5}, whole, AsBF16},
		{"Q8_0", Shares{"Q8_0": 1}, Shares{"Q8_0": 1}, VeryClose},
		{"fp8 with modulations in bf16", Shares{"fp8 e4m3": 0.96, "BF16": 0.04}, whole, Close},
		{"Q6_K", Shares{"Q6_K": 1}, Shares{"Q6_K": 1}, Close},
		{"Q4_K_M", Shares{"Q4_K": 0.75, "Q5_K": 0.25}, Shares{"Q4_K": 0.8, "Q6_K": 0.2}, Differences},
		{"a dynamic mixture with few layers of 4 bits", Shares{"Q4_K": 0.1, "Q8_0": 0.9}, whole, Close},
		{"only the text encoder has 4 bits", whole, Shares{"Q4_K": 1}, VeryClose},
		{"a format that nobody has rated", Shares{"Q1_0": 1}, whole, Differences},
	} {
		if got := ClosenessOf(row.transformer, row.textEncoder); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	// docs/quality.md names the class of each measured kind.
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "quality.md"))
	if err != nil {
		t.Fatal(err)
	}
	for format, d := range distances {
		begin, end := fmt.Sprintf("| %s | %g |", format, d), fmt.Sprintf("| %s |", ClosenessOf(Shares{format: 1}, nil))
		if !slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(line, begin) && strings.HasSuffix(line, end)
		}) {
			t.Errorf("docs/quality.md has no row %s … %s", begin, end)
		}
	}
	rated := slices.Collect(maps.Keys(distances))
	for d := tensor.DType(1); !strings.HasPrefix(d.String(), "dtype("); d++ {
		if name := formatOf(ref{set: &quantised{}}, d); d.Float() && !slices.Contains(rated, name) {
			t.Errorf("no distance of %s", name)
		}
	}
	for _, d := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
		if distances[d.String()] != 0 {
			t.Errorf("%v is as bf16", d)
		}
	}
}

// TestFindInRoom has a model in bf16 and a smaller one of GGUF files, with two text encoders. What is taken depends on
// the memory, and the reason is said.
func TestFindInRoom(t *testing.T) {
	dir, env := home(t)
	folder, single := tiny(t)
	whole := mustOpen(t, folder)
	same := func(name string) string { return name }
	models := filepath.Join(dir, "ComfyUI", "models")
	contents, err := os.ReadFile(filepath.Join(single, vaeFile))
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(models, "vae", "flux2-vae.safetensors"), string(contents))
	flux := filepath.Join(models, "unet", "flux-2-klein-4b-Q8_0.gguf")
	ggufOf(t, flux, whole.Transformer.Source, nil, same)
	large, small := filepath.Join(models, "clip", "qwen_3_4b.safetensors"), filepath.Join(models, "clip", "Qwen3-4B.gguf")
	metadata := qwen3Metadata(t, whole.TextEncoder.Source)
	ggufOf(t, small, whole.TextEncoder.Source, metadata, llamaName)
	contents, err = os.ReadFile(filepath.Join(single, textFile))
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, large, string(contents))
	// The first model that is searched for.
	deep := synthetic.TinyDistilled()
	deep.Transformer.NumSingleLayers = 24
	if err := synthetic.WriteTiny(filepath.Join(ModelsDir(), DefaultName), deep); err != nil {
		t.Fatal(err)
	}

	find := func(r Room) Choice {
		t.Helper()
		c, err := Find(WithRoom(t.Context(), r), "", func(key string) string { return env[key] }, "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := filepath.Join(ModelsDir(), DefaultName)
	firstNeed := mustJudge(t, first).Need
	mixed := mustJudge(t, strings.Join([]string{flux, small, filepath.Join(models, "vae", "flux2-vae.safetensors")}, ","))
	if mixed.Need.Processor >= firstNeed.Processor || mixed.Closeness != VeryClose {
		t.Fatalf("the GGUF model is %+v, that in bf16 needs %+v", mixed, firstNeed)
	}
	for _, row := range []struct {
		name string
		room Room
		want string // the path of the first file
		why  string
	}{
		{"without a limit", Room{}, first, ""},
		{"room for all", Room{Bytes: firstNeed.Processor}, first, ""},
		{"room for the GGUF file", Room{Bytes: firstNeed.Processor - 1}, flux, "flux-2-klein-4b-Q8_0 (very close) is taken"},
		{"no room at all", Room{Bytes: 1}, flux, "of this computer: flux-2-klein-4b-Q8_0"},
		{"room on a card", Room{Bytes: firstNeed.Card, Card: true}, first, ""},
	} {
		c := find(row.room)
		if itemsOf(c.Spec)[0] != row.want || !strings.Contains(c.TooLarge, row.why) || row.why == "" && c.TooLarge != "" {
			t.Errorf("%s: %+v, want %s because of %q", row.name, c, row.want, row.why)
		}
	}

	// What a user names is not weighed.
	c, err := Find(WithRoom(t.Context(), Room{Bytes: 1}), first, func(string) string { return "" }, "")
	if err != nil || c.Spec != first || c.TooLarge != "" {
		t.Errorf("%+v %v", c, err)
	}

	// Of two text encoders the largest that fits is taken.
	encoders := func(r Room) (encoder, why string) {
		t.Helper()
		found, _, err := Search(WithRoom(t.Context(), r), func(key string) string { return env[key] })
		if err != nil || len(found) != 2 {
			t.Fatal(found, err)
		}
		return itemsOf(found[1].Spec)[1], found[1].Why
	}
	for _, row := range []struct {
		bytes   int64
		encoder string
		why     string
	}{
		{0, large, "qwen_3_4b.safetensors is the largest of 2 text encoders for it"},
		{mustInspect(t, large).read + mustInspect(t, flux).work(), large, "is the largest of 2"},
		{mustInspect(t, large).read + mustInspect(t, flux).work() - 1, small, "that fits into the 0.0 GB of this computer"},
		{1, small, "is the smallest of 2 text encoders for it: none fits"},
	} {
		if encoder, why := encoders(Room{Bytes: row.bytes}); encoder != row.encoder || !strings.Contains(why, row.why) {
			t.Errorf("%d bytes: %s because %q, want %s, %q", row.bytes, encoder, why, row.encoder, row.why)
		}
	}
}

func mustJudge(t *testing.T, spec string) Summary {
	t.Helper()
	s, err := Judge(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustInspect(t *testing.T, path string) candidate {
	t.Helper()
	c, err := inspect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// work is the memory beside the weights that a transformer takes.
func (c candidate) work() int64 { return int64(c.hidden) * processorWork }
