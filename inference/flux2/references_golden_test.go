package flux2

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// tolerance is that of float32 stages; see golden_test.go of package inference.
const tolerance = 1e-4

// TestGoldenCachedReferences compares keys and values of references in all blocks that the goldens have, and all
// velocities, with the reference's. The reference computes its first step otherwise: here every step is in cached form.
func TestGoldenCachedReferences(t *testing.T) {
	own := filepath.Join("..", "testdata", "golden")
	for _, root := range append([]string{own}, goldentest.Folders()...) {
		cases, err := filepath.Glob(filepath.Join(root, "kv", "cases", "*", "case.json"))
		if err != nil {
			t.Fatal(err)
		}
		if root == own && len(cases) == 0 {
			t.Error("testdata has no cases")
		}
		for _, file := range cases {
			dir := filepath.Dir(file)
			t.Run(filepath.ToSlash(dir), func(t *testing.T) { compareCached(t, root, dir) })
		}
	}
}

func compareCached(t *testing.T, root, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Width, Height, Steps int
		Refs                 []string
		PromptEmbeds         string `json:"prompt_embeds"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	b := cpu.New(tensor.F32)
	defer b.Close()
	b.Begin(t.Context())
	model := goldenTransformer(t, b,
		goldentest.Find(append([]string{root}, goldentest.Folders()...), "kv", "model", "transformer"))
	s := stagesOf(t, filepath.Join(dir, "stages.safetensors"))
	image := Grid{c.Height / 16, c.Width / 16}
	scope := backend.NewScope(b)
	defer scope.Free()

	var refs []Grid
	var latents []float32
	for i, name := range c.Refs {
		g := gridOf(t, filepath.Join(dir, name))
		refs, latents = append(refs, g), append(latents, s.get(fmt.Sprintf("ref%d.latents", i+1))...)
	}
	tokens := len(latents) / model.cfg.InChannels
	s.positions(image, refs, tokens)
	none := func(int, int) {}
	var cached backend.Matrix
	if tokens > 0 {
		rows, cols := model.cfg.CacheSize(tokens)
		cached = scope.Alloc(rows, cols)
		model.CacheReferences(cached, scope.Upload(tokens, model.cfg.InChannels, latents), refs, none)
		s.keysValues(b, model, cached, tokens)
	}

	path := goldentest.Find(append([]string{root, filepath.Join("..", "testdata", "golden")}, goldentest.Folders()...),
		filepath.FromSlash(c.PromptEmbeds))
	if path == "" {
		t.Skip("the embeds of the prompt are in no folder of goldens: keys and values were compared, velocities not")
	}
	embeds := stagesOf(t, path).get("prompt_embeds")
	prompt := scope.Upload(len(embeds)/model.cfg.ContextDim, model.cfg.ContextDim, embeds)
	run := model.NewCachedRun([]backend.Matrix{prompt}, image, cached)
	defer run.Free()
	sigmas, n := s.get("sigmas"), image.Tokens()
	x, dst := scope.Alloc(n, model.cfg.InChannels), scope.Alloc(n, model.cfg.InChannels)
	noise, start := s.get("noise"), make([]float32, n*model.cfg.InChannels)
	for i, v := range noise { // [channels, tokens] there
		start[i%n*model.cfg.InChannels+i/n] = v
	}
	for i := range c.Steps {
		b.Upload(x, start)
		run.Velocity(dst, x, 0, sigmas[i], none)
		s.compare(fmt.Sprintf("velocity.%d", i), b, dst)
		start = s.get(fmt.Sprintf("latents.%d", i))
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
}

// goldenTransformer is the transformer of a manifest, on b.
func goldenTransformer(t *testing.T, b backend.Backend, dir string) *Transformer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := synthetic.ReadManifest(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := New(b, cfg, weights)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// stages are recordings of the reference.
type stages struct {
	t    *testing.T
	file *safetensors.File
}

func stagesOf(t *testing.T, path string) stages {
	t.Helper()
	f, err := safetensors.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return stages{t, f}
}

func (s stages) get(name string) []float32 {
	s.t.Helper()
	x, err := s.file.Tensor(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return x.Float32s()
}

func (s stages) compare(name string, b backend.Backend, m backend.Matrix) {
	s.t.Helper()
	have, want := make([]float32, m.Rows*m.Cols), s.get(name)
	b.Download(have, m)
	var diff, norm float64
	for i, w := range want {
		d := float64(have[i]) - float64(w)
		diff, norm = diff+d*d, norm+float64(w)*float64(w)
	}
	if got := math.Sqrt(diff / norm); len(have) != len(want) || !(got <= tolerance) {
		s.t.Errorf("%s: %d values with a relative RMS of %.3g, want %d with at most %.3g",
			name, len(have), got, len(want), tolerance)
	}
}

// keysValues compares the keys and values of the blocks that are recorded.
func (s stages) keysValues(b backend.Backend, t *Transformer, cached backend.Matrix, tokens int) {
	s.t.Helper()
	compared := 0
	for at := range t.blocks() {
		name := fmt.Sprintf("kv.double.%d", at)
		if i := at - len(t.doubleBlocks); i >= 0 {
			name = fmt.Sprintf("kv.single.%d", i)
		}
		kv := cached.RowRange(at*tokens, (at+1)*tokens).Chunks(2)
		for i, part := range []string{".k", ".v"} {
			if _, err := s.file.Tensor(name + part); err == nil {
				s.compare(name+part, b, kv[i])
				compared++
			}
		}
	}
	recorded := 0
	for _, name := range s.file.Names() {
		if strings.HasPrefix(name, "kv.") {
			recorded++
		}
	}
	if recorded == 0 || compared != recorded {
		s.t.Errorf("%d of %d keys and values compared", compared, recorded)
	}
}

// positions compares the coordinates of references and image with the reference's, which has the references first.
func (s stages) positions(image Grid, refs []Grid, tokens int) {
	s.t.Helper()
	all := positions(0, image, refs)
	got := append(append([]position{}, all[image.Tokens():]...), all[:image.Tokens()]...)
	if alone := positions(0, Grid{}, refs); len(alone) != tokens {
		s.t.Fatalf("%d positions of references, want %d", len(alone), tokens)
	}
	s.samePositions("img_ids.0", got)
	s.samePositions("img_ids.1", all[:image.Tokens()])
}
