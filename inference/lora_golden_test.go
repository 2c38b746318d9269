package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/scheduler"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// loraGoldens returns the folders of goldens with cases of adapters, testdata first.
func loraGoldens() (roots []string) {
	for _, root := range append([]string{testdataGolden}, goldentest.Folders()...) {
		if _, err := os.Stat(filepath.Join(root, "lora", "cases")); err == nil {
			roots = append(roots, root)
		}
	}
	return roots
}

// loraCase is a case.json of an adapter. Paths are relative to the folder of goldens.
type loraCase struct {
	goldenCase
	Transformer, VAE, Tokenizer string
	TextEncoder                 string `json:"text_encoder"`
	LoRAs                       []struct {
		File     string
		Strength float64
	}
	Equivalent   []string
	PromptEmbeds string `json:"prompt_embeds"`
	root         string
}

func loraCases(t *testing.T) (all []loraCase) {
	t.Helper()
	for _, root := range loraGoldens() {
		entries, err := os.ReadDir(filepath.Join(root, "lora", "cases"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			c := loraCase{root: root}
			c.Name, c.Dir = e.Name(), filepath.Join(root, "lora", "cases", e.Name())
			text, err := os.ReadFile(filepath.Join(c.Dir, "case.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatalf("%s: %v", c.Dir, err)
			}
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		t.Fatal("no golden cases of adapters")
	}
	return all
}

// variants returns the lists of files that give the picture of the case. Files that are missing are left out in
// testdata, which has only some of them.
func (c loraCase) variants(t *testing.T) (lists [][]LoRA) {
	for i := range len(c.Equivalent) + 1 {
		var list []LoRA
		for j, l := range c.LoRAs {
			path := l.File
			if j == 0 && i > 0 {
				path = c.Equivalent[i-1]
			}
			list = append(list, LoRA{Path: filepath.Join(c.root, filepath.FromSlash(path)), Strength: l.Strength})
		}
		if _, err := os.Stat(list[0].Path); errors.Is(err, fs.ErrNotExist) && c.root == testdataGolden {
			continue
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		t.Errorf("%s: none of its files is there", c.Name)
	}
	return lists
}

// model returns the model of the case: its own files if they are there, else the tiny model that the tests write.
func (c loraCase) model(t *testing.T) string {
	var files []string
	for _, path := range []string{c.Transformer, c.VAE, c.TextEncoder, c.Tokenizer} {
		files = append(files, filepath.Join(c.root, filepath.FromSlash(path)))
		if _, err := os.Stat(files[len(files)-1]); err != nil {
			return tinyModel(t, "single/"+filepath.Base(c.Transformer))
		}
	}
	return strings.Join(files, ",")
}

// adapted computes velocities of a case with adapters.
type adapted struct {
	t      *testing.T
	e      *Engine
	scope  *backend.Scope
	embeds backend.Matrix
	grid   flux2.Grid
}

// adapt begins a run on the engine and computes the embeds of the case's prompt.
func (c loraCase) adapt(t *testing.T, e *Engine) *adapted {
	e.b.Begin(t.Context())
	a := &adapted{t: t, e: e, scope: backend.NewScope(e.b), grid: flux2.Grid{Height: c.Height / 16, Width: c.Width / 16}}
	enc, err := e.tokens.Prompt(c.Prompt, e.info.MaxSequenceLength)
	if err != nil {
		t.Fatal(err)
	}
	a.embeds = a.scope.Alloc(len(enc.IDs), e.encoder.Config().EmbedDim())
	if err := e.encoder.Encode(t.Context(), a.embeds, enc.IDs, enc.Count, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	return a
}

// velocity returns the velocity at latents and a noise level with the given adapters.
func (a *adapted) velocity(list []LoRA, latents []float32, sigma float32) []float32 {
	a.t.Helper()
	e := a.e
	applied, err := e.openLoRAs(a.t.Context(), list)
	if err != nil {
		a.t.Fatal(err)
	}
	r := &run{networks: e.networks, caches: &e.caches, ctx: a.t.Context(), content: &content{ckpt: e.ckpt}}
	r.shape.loras, r.content.strengths = e.setOf(applied)
	if err := e.guard(r.adapt); err != nil {
		a.t.Fatal(err)
	}
	run := e.transformer.NewRun([]backend.Matrix{a.embeds}, a.grid, backend.Matrix{}, nil)
	defer run.Free()
	n, channels := a.grid.Tokens(), e.transformer.Config().InChannels
	in, dst := a.scope.Upload(n, channels, latents), a.scope.AllocAs(n, channels, tensor.F32)
	run.Velocity(dst, in, 0, sigma, func(int, int) {})
	return download(e, dst)
}

// noise returns the noise of the case's seed, [tokens, channels].
func (a *adapted) noise(seed uint64) []float32 {
	n, channels := a.grid.Tokens(), a.e.transformer.Config().InChannels
	return pack(scheduler.Noise(seed, n*channels), channels, n)
}

// TestLoRAGoldens gives each step the reference's own latents, with each of the files that give the same picture.
func TestLoRAGoldens(t *testing.T) {
	for _, c := range loraCases(t) {
		t.Run(filepath.ToSlash(c.Dir), func(t *testing.T) {
			file, err := safetensors.Open(t.Context(), filepath.Join(c.Dir, "stages.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			s := stages{t, file, func(string) float64 { return float32Tolerance }}
			e := openEngine(t, c.model(t), DeviceCPU, Float32)
			a := c.adapt(t, e)
			defer a.scope.Free()
			sigmas := scheduler.Sigmas(a.grid.Tokens(), c.Steps)
			for _, list := range c.variants(t) {
				latents := a.noise(c.Seed)
				for i := range c.Steps {
					t.Log(filepath.Base(list[0].Path))
					s.compare(fmt.Sprintf("velocity.%d", i), a.velocity(list, latents, sigmas[i]))
					latents = s.get(fmt.Sprintf("latents.%d", i))
				}
			}
			ask := c.ask(t)
			ask.LoRAs = c.variants(t)[0]
			result, err := e.Generate(t.Context(), resolve(t, e, ask), nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := comparePicture(t, result.Image.(*image.RGBA), filepath.Join(c.Dir, "out.png")); d.worst > 1 {
				t.Errorf("a pixel is %d levels off, want at most 1", d.worst)
			}
			if len(result.LoRAs) != len(ask.LoRAs) || len(result.Metadata.LoRAs) != len(ask.LoRAs) {
				t.Errorf("told of %v, recorded %v, want %d adapters", result.LoRAs, result.Metadata.LoRAs, len(ask.LoRAs))
			}
		})
	}
}
