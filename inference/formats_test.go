package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/scheduler"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// formatCase is a golden of a quantised checkpoint. Paths are relative to the goldens' folder.
type formatCase struct {
	Transformer  string
	TextEncoder  string `json:"text_encoder"`
	VAE          string
	Tokenizer    string
	Prompt       string
	Seed         uint64
	Steps        int
	Guidance     float64
	Width        int
	Height       int
	Refs         []string
	Loras        []any
	PromptEmbeds string `json:"prompt_embeds"` // the stages file that holds them, if it is another case's

	name, dir string
	roots     []string // the folders in which paths are looked up
}

// formatFolders returns the folders with goldens of quantised checkpoints: that in the shared goldens, and the one that
// goldentest.Variable names, which may be laid out like the shared goldens or like their folder formats.
func formatFolders() []string {
	folders := []string{filepath.Join(goldentest.Shared(), "formats")}
	for _, dir := range goldentest.Named() {
		folders = append(folders, filepath.Join(dir, "formats"), dir)
	}
	return slices.DeleteFunc(folders, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "cases"))
		return err != nil
	})
}

// formatCases returns the cases of formatFolders that name the files of a quantised checkpoint and no adapters.
func formatCases(t *testing.T) (all []formatCase) {
	t.Helper()
	for _, folder := range formatFolders() {
		entries, err := os.ReadDir(filepath.Join(folder, "cases"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			c := formatCase{
				name: e.Name(), dir: filepath.Join(folder, "cases", e.Name()),
				roots: []string{filepath.Dir(folder), folder, goldentest.Shared()},
			}
			text, err := os.ReadFile(filepath.Join(c.dir, "case.json"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := errors.Join(err, json.Unmarshal(text, &c)); err != nil {
				t.Fatalf("%s: %v", c.dir, err)
			}
			if c.Transformer != "" && len(c.Loras) == 0 {
				all = append(all, c)
			}
		}
	}
	if len(all) == 0 {
		t.Skip("there are no goldens of quantised checkpoints")
	}
	return all
}

// path returns the path of a file of the case.
func (c formatCase) path(t *testing.T, name string) string {
	t.Helper()
	for _, root := range c.roots {
		path := filepath.Join(root, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s: %s is in none of %v", c.dir, name, c.roots)
	return ""
}

// model returns the spec of the case's checkpoint. Without tokenizer it leaves out the tokenizer.
func (c formatCase) model(t *testing.T, tokenizer bool) string {
	var files []string
	for _, name := range []string{c.Transformer, c.TextEncoder, c.VAE} {
		if path := c.path(t, name); !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	if tokenizer {
		files = append(files, c.path(t, c.Tokenizer))
	}
	return strings.Join(files, ",")
}

func (c formatCase) ask(t *testing.T) Ask {
	return goldenCase{
		Dir: c.dir, Prompt: c.Prompt, Seed: c.Seed, Steps: c.Steps, Guidance: c.Guidance, Refs: c.Refs,
		Width: c.Width, Height: c.Height,
	}.ask(t)
}

// stages opens a stages.safetensors.
func (c formatCase) stages(t *testing.T, path string) stages {
	t.Helper()
	file, err := safetensors.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return stages{t, file, func(string) float64 { return float32Tolerance }}
}

// TestFormatStages computes the stages of each quantised checkpoint in float32.
func TestFormatStages(t *testing.T) {
	for _, c := range formatCases(t) {
		t.Run(c.name, func(t *testing.T) {
			e := openEngine(t, c.model(t, true), DeviceCPU, Float32)
			checkFormatStages(t, e, c, c.stages(t, filepath.Join(c.dir, "stages.safetensors")))
		})
	}
}

// simFormat is the case that always runs on the software device: its weights are rotated or have scales for their rows.
const simFormat = "int8"

// TestFormatStagesBF16 computes the stages of each quantised checkpoint in bfloat16, on each path of the processor, and
// on a device for which weights are widened. The reference's own bfloat16 run of these checkpoints is not known. The
// largest error of its runs of the tiny models without references is taken in its place, so that this test finds larger
// mistakes only.
func TestFormatStagesBF16(t *testing.T) {
	floors := map[string]float64{}
	for _, c := range goldenCases(t, "cases") {
		if !strings.HasPrefix(c.Name, "t2i") {
			continue
		}
		for stage, floor := range c.bf16Floors(t)[c.Name] {
			floors[stage] = max(floors[stage], floor)
		}
	}
	tolerance := func(stage string) float64 {
		switch {
		case strings.HasPrefix(stage, "velocity"):
			stage = "velocity.0"
		case strings.HasSuffix(stage, "latents"):
			stage = "decoded" // as in TestGoldenStages
		}
		return bf16Factor * floors[stage]
	}
	for _, c := range formatCases(t) {
		for _, engine := range goldenEngines {
			if engine.precision != BF16 {
				continue
			}
			t.Run(c.name+"/"+engine.name(), func(t *testing.T) {
				engine.skip(t, goldenCase{Name: c.name}, simFormat)
				s := c.stages(t, filepath.Join(c.dir, "stages.safetensors"))
				s.tolerance = tolerance
				checkFormatStages(t, engine.open(t, c.model(t, true)), c, s)
			})
		}
	}
}

// checkFormatStages computes the stages of a case and compares them with s. Only the first rows of prompt embeds are
// kept, so the transformer reads the engine's own.
func checkFormatStages(t *testing.T, e *Engine, c formatCase, s stages) {
	ctx, b := t.Context(), e.b
	req := resolve(t, e, c.ask(t))
	b.Begin(ctx)
	scope := backend.NewScope(b)
	defer scope.Free()
	none := func(int, int) {}

	enc, err := e.tokens.Prompt(c.Prompt, e.info.MaxSequenceLength)
	if err != nil {
		t.Fatal(err)
	}
	embeds := scope.Alloc(len(enc.IDs), e.encoder.Config().EmbedDim())
	if err := e.encoder.Encode(ctx, embeds, enc.IDs, enc.Count, none); err != nil {
		t.Fatal(err)
	}
	known := s
	if c.PromptEmbeds != "" {
		known = c.stages(t, c.path(t, c.PromptEmbeds))
	}
	want := known.get("prompt_embeds")
	have := download(e, embeds)
	have = have[:min(len(have), len(want))]
	if got, limit := relativeRMS(have, want), s.tolerance("prompt_embeds"); !(got <= limit) {
		t.Errorf("prompt_embeds: relative RMS %.3g, want at most %.3g", got, limit)
	}

	channels := e.transformer.Config().InChannels
	var refLatents []float32
	var refs []flux2.Grid
	for i, ref := range req.references {
		g := gridOf(ref.Size)
		dst := scope.AllocAs(g.Tokens(), channels, tensor.F32)
		if err := e.vae.Encode(ctx, dst, ref.Rows(), ref.Size.Height, ref.Size.Width); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("ref%d.latents", i+1)
		s.compare(name, download(e, dst))
		refLatents, refs = append(refLatents, s.get(name)...), append(refs, g)
	}
	var joined backend.Matrix
	if len(refs) > 0 {
		joined = scope.Upload(len(refLatents)/channels, channels, refLatents)
	}
	grid := gridOf(req.size)
	n := grid.Tokens()
	run := e.transformer.NewRun([]backend.Matrix{embeds}, grid, joined, refs)
	defer run.Free()
	sigmas := scheduler.Sigmas(n, req.steps)
	latents := pack(scheduler.Noise(c.Seed, n*channels), channels, n)
	velocity := scope.AllocAs(n, channels, tensor.F32)
	for i := range req.steps {
		run.Velocity(velocity, scope.Upload(n, channels, latents), 0, sigmas[i], none)
		s.compare(fmt.Sprintf("velocity.%d", i), download(e, velocity))
		latents = s.get(fmt.Sprintf("latents.%d", i))
	}
	pixels, err := e.vae.Decode(ctx, scope.Upload(n, channels, latents), req.size.Height, req.size.Width, none)
	if err != nil {
		t.Fatal(err)
	}
	s.compare("decoded", unpack(pixels, len(pixels)/3, 3))
}

// TestFormatPictures makes the picture of each case. If the text encoder's file holds a vocabulary, the tokenizer is
// not given.
func TestFormatPictures(t *testing.T) {
	for _, c := range formatCases(t) {
		t.Run(c.name, func(t *testing.T) {
			e := openEngine(t, c.model(t, filepath.Ext(c.TextEncoder) != ".gguf"), DeviceCPU, Float32)
			result, err := e.Generate(t.Context(), resolve(t, e, c.ask(t)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := comparePicture(t, rgba(result), filepath.Join(c.dir, "out.png")); d.worst > 1 {
				t.Errorf("a pixel is %d levels off, want at most 1", d.worst)
			}
		})
	}
}

// sample is what tensors.json has of a tensor.
type sample struct {
	Name, Kind  string
	Shape       []int
	First, Last []float32
	Sum, Norm   float64
}

// TestFormatTensors compares dequantised tensors with the reference's.
func TestFormatTensors(t *testing.T) {
	for _, folder := range formatFolders() {
		text, err := os.ReadFile(filepath.Join(folder, "tensors.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var files map[string][]sample
		if err := errors.Join(err, json.Unmarshal(text, &files)); err != nil {
			t.Fatal(err)
		}
		for name, samples := range files {
			t.Run(name, func(t *testing.T) {
				path := formatCase{dir: folder, roots: []string{filepath.Dir(folder), folder}}.path(t, name)
				file, err := checkpoint.OpenTensors(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				for _, s := range samples {
					s.check(t, file)
				}
			})
		}
	}
}

// check compares a tensor of file with the sample: exactly, but for nvfp4, which is rounded twice, and for a rotation,
// which the reference computes in float64.
func (s sample) check(t *testing.T, file tensor.Source) {
	x, err := file.Tensor(s.Name)
	if err != nil {
		t.Error(err)
		return
	}
	if !slices.Equal(x.Shape, s.Shape) {
		t.Errorf("%s: shape %v, want %v", s.Name, x.Shape, s.Shape)
		return
	}
	values := x.Float32s()
	var sum, norm, largest float64
	for _, v := range values {
		sum, norm, largest = sum+float64(v), norm+float64(v)*float64(v), max(largest, math.Abs(float64(v)))
	}
	norm = math.Sqrt(norm)
	allowed := func(want float32) float64 {
		switch {
		case x.DType == tensor.F4E2M1:
			return math.Abs(float64(want)) * 0x1p-23
		case x.Quant != nil && x.Quant.Rotation > 0:
			return 2e-6 * largest
		}
		return 0
	}
	for i, want := range s.First {
		if !(math.Abs(float64(values[i]-want)) <= allowed(want)) {
			t.Errorf("%s (%s): value %d is %v, want %v", s.Name, s.Kind, i, values[i], want)
		}
	}
	for i, want := range s.Last {
		if at := len(values) - len(s.Last) + i; !(math.Abs(float64(values[at]-want)) <= allowed(want)) {
			t.Errorf("%s (%s): value %d is %v, want %v", s.Name, s.Kind, at, values[at], want)
		}
	}
	if !(math.Abs(sum-s.Sum) <= 1e-6*s.Norm*math.Sqrt(float64(len(values)))) || !(math.Abs(norm-s.Norm) <= 1e-6*s.Norm) {
		t.Errorf("%s (%s): sum %v and norm %v, want %v and %v", s.Name, s.Kind, sum, norm, s.Sum, s.Norm)
	}
}
