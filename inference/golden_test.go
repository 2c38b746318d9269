package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// The goldens are outputs of the reference implementation, stage by stage, for tiny checkpoints. testdata has a few
// cases. Package goldentest finds folders with more; all their cases are run.

// float32Tolerance is the largest relative RMS error of a float32 stage: another order of summation changes results by
// 1e-6 to 1e-5, the smallest real mistake by 2e-2.
const float32Tolerance = 1e-4

// bf16Factor times the error of the reference's own bfloat16 run is the largest error of a bfloat16 stage.
const bf16Factor = 1.25

type goldenCase struct {
	Name string // of the case's folder
	Dir  string // the case's folder
	// These are for edits; see the goldens' own description.
	Source, Mask string
	Strength     float64
	Start        int
	StepsRun     int    `json:"steps_run"`
	Condition    string // "refs" if the source is no condition
	PromptEmbeds string `json:"prompt_embeds"`
	// Root is the folder of goldens that the case belongs to. Test is the name of its subtest: the path of its folder if
	// that lies in a folder of goldentest.Named, else its name.
	Root, Test    string
	Model         string
	Prompt        string
	Seed          uint64
	Steps         int
	Guidance      float64
	Refs          []string
	Width, Height int
}

// testdataGolden has the goldens that are part of the repository.
var testdataGolden = filepath.Join("testdata", "golden")

// goldenCases returns the cases in the folder sub ("cases") of all folders of goldens. It leaves out shared cases that
// are in testdata.
func goldenCases(t *testing.T, sub string) []goldenCase {
	t.Helper()
	var all []goldenCase
	known := map[string]bool{}
	for _, root := range append([]string{testdataGolden}, goldentest.Folders()...) {
		named := slices.Contains(goldentest.Named(), root)
		folder := filepath.Join(root, filepath.FromSlash(sub))
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() || known[e.Name()] && !named {
				continue
			}
			known[e.Name()] = true
			c := goldenCase{Name: e.Name(), Test: e.Name(), Dir: filepath.Join(folder, e.Name()), Root: root}
			if named {
				c.Test = filepath.ToSlash(c.Dir)
			}
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
		t.Fatalf("no golden %s", sub)
	}
	return all
}

// TestGoldenFolders checks that each folder of goldentest.Named has something to run.
func TestGoldenFolders(t *testing.T) {
	for _, dir := range goldentest.Named() {
		at := func(path ...string) bool { return goldentest.Find([]string{dir}, path...) != "" }
		if !at("cases") && !at("inpaint", "cases") && !at("kv", "cases") && !at("vae-small") && !at("taef2") {
			t.Errorf("%s: no cases, inpaint/cases, kv/cases, vae-small or taef2, want a folder with one of them", dir)
		}
	}
}

// tinyModels writes the tiny checkpoints once for all tests of the package.
var tinyModels = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kleinbild-tiny-")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(
		synthetic.WriteTiny(filepath.Join(dir, "distilled"), synthetic.TinyDistilled()),
		synthetic.WriteTiny(filepath.Join(dir, "base"), synthetic.TinyBase()),
		synthetic.WriteSingleFiles(context.Background(), filepath.Join(dir, "single"), synthetic.TinyDistilled()),
	)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := tinyModels(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func tinyModel(t testing.TB, name string) string {
	t.Helper()
	dir, err := tinyModels()
	if err != nil {
		t.Fatal(err)
	}
	if file, single := strings.CutPrefix(name, "single/"); single {
		at := func(name string) string { return filepath.Join(dir, "single", name) }
		return strings.Join([]string{at(file), at("flux2-vae.safetensors"), at("qwen_3_4b.safetensors"),
			filepath.Join(dir, "distilled", "tokenizer", "tokenizer.json")}, ",")
	}
	return filepath.Join(dir, name)
}

// model returns the model to open for the case. Tiny models are written here; other models are in the case's folder of
// goldens, or in another one.
func (c goldenCase) model(t *testing.T) string {
	t.Helper()
	if c.Model == "distilled" || c.Model == "base" || strings.HasPrefix(c.Model, "single/") {
		return tinyModel(t, c.Model)
	}
	path := goldentest.Find(append([]string{c.Root}, goldentest.Folders()...), "models", filepath.FromSlash(c.Model))
	if path == "" {
		t.Fatalf("%s: model %q is in no folder of goldens", c.Dir, c.Model)
	}
	return path
}

func openEngine(t testing.TB, model string, device Device, precision Precision) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Model: model, Device: device, Precision: precision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (c goldenCase) ask(t *testing.T) Ask {
	ask := Ask{
		Prompt: c.Prompt, Seed: &c.Seed, Steps: &c.Steps, Guidance: &c.Guidance,
		Size: &picture.Size{Width: c.Width, Height: c.Height},
	}
	for _, name := range c.Refs {
		ref, err := OpenReference(t.Context(), filepath.Join(c.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		ask.References = append(ask.References, ref)
	}
	return ask
}

// goldenEngine is a device and precision that computes the goldens. A processor in bf16 computes them on each of its
// paths.
type goldenEngine struct {
	device    Device
	precision Precision
	path      cpu.Path
}

var goldenEngines = func() []goldenEngine {
	all := []goldenEngine{{device: DeviceCPU, precision: Float32}}
	for _, path := range cpu.Paths() {
		all = append(all, goldenEngine{DeviceCPU, BF16, path})
	}
	return append(all, goldenEngine{device: DeviceSim, precision: BF16}, goldenEngine{device: DeviceCUDA, precision: BF16})
}()

func (g goldenEngine) name() string {
	name := fmt.Sprintf("%s-%s", g.device, g.precision)
	if g.device == DeviceCPU && g.precision == BF16 {
		name += fmt.Sprintf("-%v", g.path)
	}
	return name
}

// open opens a model on the engine's device. The engine's path is in use until the test ends.
func (g goldenEngine) open(t *testing.T, model string) *Engine {
	e := openEngine(t, model, g.device, g.precision)
	if g.device == DeviceCPU && g.precision == BF16 {
		restore, err := cpu.Use(g.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(restore)
	}
	return e
}

// goldenSim is an environment variable that makes the software device compute all cases, each of which takes half a
// minute.
var goldenSim = os.Getenv("KLEINBILD_GOLDEN_SIM") != ""

// These cases always run on the software device: the stages of a case with references, and the picture of the simplest
// case.
const simStages, simPicture = "multi-2", "t2i"

// steps says which of n velocities are checked. The software device is slow, and all velocities differ only in their
// numbers.
func (g goldenEngine) steps(step, steps int) bool {
	return g.device != DeviceSim || step == 0 || step == steps-1
}

// skip skips the test if there is no graphics card, or if the software device would compute a case that it need not.
func (g goldenEngine) skip(t *testing.T, c goldenCase, always string) {
	t.Helper()
	switch g.device {
	case DeviceCUDA:
		if _, err := Graphics(); err != nil {
			t.Skip(err)
		}
	case DeviceSim:
		if c.Name != always && !goldenSim {
			t.Skip("make test-sim runs all cases on the software device")
		}
	}
}

// relativeRMS returns ‖have−want‖ / ‖want‖. It returns NaN if there is a NaN anywhere.
func relativeRMS(have, want []float32) float64 {
	var diff, norm float64
	for i, w := range want {
		d := float64(have[i]) - float64(w)
		diff += d * d
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}

// stages are the outputs of the reference for one case.
type stages struct {
	t    *testing.T
	file *safetensors.File
	// tolerance has the tolerance of each stage by the first part of its name.
	tolerance func(stage string) float64
}

func (s stages) get(name string) []float32 {
	s.t.Helper()
	x, err := s.file.Tensor(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return x.Float32s()
}

func (s stages) compare(name string, have []float32) {
	s.t.Helper()
	want := s.get(name)
	if len(have) != len(want) {
		s.t.Errorf("%s: %d values, want %d", name, len(have), len(want))
		return
	}
	got, limit := relativeRMS(have, want), s.tolerance(name)
	if !(got <= limit) {
		worst := 0
		for i := range want {
			if d := math.Abs(float64(have[i] - want[i])); !(d <= math.Abs(float64(have[worst]-want[worst]))) {
				worst = i
			}
		}
		s.t.Errorf("%s: relative RMS %.3g, want at most %.3g; worst at %d: %v, want %v", name, got, limit, worst,
			have[worst], want[worst])
		return
	}
	s.t.Logf("%s: relative RMS %.3g of %.3g", name, got, limit)
}

// unpack transposes [tokens, channels] to [channels, tokens].
func unpack(x []float32, tokens, channels int) []float32 { return pack(x, tokens, channels) }

func download(e *Engine, m backend.Matrix) []float32 {
	host := make([]float32, m.Rows*m.Cols)
	e.b.Download(host, m)
	return host
}

// TestGoldenStages gives each stage the reference's own input and compares the outputs.
func TestGoldenStages(t *testing.T) {
	for _, c := range goldenCases(t, "cases") {
		floors := c.bf16Floors(t)
		for _, engine := range goldenEngines {
			t.Run(c.Test+"/"+engine.name(), func(t *testing.T) {
				engine.skip(t, c, simStages)
				file, err := safetensors.Open(t.Context(), filepath.Join(c.Dir, "stages.safetensors"))
				if errors.Is(err, fs.ErrNotExist) {
					t.Skip("only the picture of this case is kept here")
				} else if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				s := stages{t, file, func(string) float64 { return float32Tolerance }}
				if engine.precision == BF16 {
					floor := floors[c.Name]
					if floor == nil {
						t.Skip("the reference's bfloat16 run is not known")
					}
					s.tolerance = func(stage string) float64 {
						switch {
						case strings.HasPrefix(stage, "velocity"):
							stage = "velocity.0"
						case strings.HasSuffix(stage, "latents"):
							// The report has no figure for the encoder. The decoder's figure replaces it: both have the same depth. It does
							// not say how large the reference's own error in the encoder is.
							stage = "decoded"
						case stage == "negative_prompt_embeds":
							stage = "prompt_embeds"
						}
						return bf16Factor * floor[stage]
					}
				}
				e := engine.open(t, c.model(t))
				checkStages(t, e, c, s, engine.steps)
			})
		}
	}
}

// bf16Floors returns how far the results of the reference change if it computes in bfloat16, by case and stage, from
// the reports in the case's folder of goldens.
func (c goldenCase) bf16Floors(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	floors := map[string]map[string]float64{}
	for _, path := range []string{
		filepath.Join(filepath.Dir(filepath.Dir(c.Dir)), "report.json"),
		filepath.Join(filepath.Dir(c.Dir), "report.json"), // where tools/reference writes it
	} {
		var report struct {
			Cases map[string]struct{ BF16 map[string]float64 }
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &report); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, of := range report.Cases {
			floors[name] = of.BF16
		}
	}
	return floors
}

// checkStages computes the stages and compares them with the goldens. want selects the steps whose velocities are
// computed.
func checkStages(t *testing.T, e *Engine, c goldenCase, s stages, want func(step, steps int) bool) {
	ctx, b := context.Background(), e.b
	req := resolve(t, e, c.ask(t))
	b.Begin(ctx)
	scope := backend.NewScope(b)
	defer scope.Free()
	none := func(int, int) {}
	// activation uploads a golden tensor in the backend's format.
	activation := func(rows, cols int, x []float32) backend.Matrix {
		m := scope.Alloc(rows, cols)
		b.Upload(m, x)
		return m
	}

	enc, err := e.tokens.Prompt(c.Prompt, e.info.MaxSequenceLength)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range int32s(t, s.file, "input_ids") {
		if enc.IDs[i] != want {
			t.Fatalf("token %d is %d, want %d", i, enc.IDs[i], want)
		}
	}

	prompts := []string{"prompt_embeds"}
	if e.guided(req) {
		prompts = append(prompts, "negative_prompt_embeds")
	}
	var embeds []backend.Matrix
	for i, name := range prompts {
		if i > 0 {
			if enc, err = e.tokens.Prompt("", e.info.MaxSequenceLength); err != nil {
				t.Fatal(err)
			}
		}
		dst := scope.Alloc(len(enc.IDs), e.encoder.Config().EmbedDim())
		if err := e.encoder.Encode(ctx, dst, enc.IDs, enc.Count, none); err != nil {
			t.Fatal(err)
		}
		s.compare(name, download(e, dst))
		embeds = append(embeds, activation(dst.Rows, dst.Cols, s.get(name)))
	}

	channels := e.transformer.Config().InChannels
	var refLatents []float32
	var refs []flux2.Grid
	for i, ref := range req.references {
		g := gridOf(ref.Size)
		name := fmt.Sprintf("ref%d", i+1)
		pixels := pack(s.get(name+".pixels"), 3, ref.Size.Width*ref.Size.Height)
		if worst := relativeRMS(ref.Rows(), pixels); worst > 1e-6 {
			t.Errorf("%s.pixels: relative RMS %.3g: a picture that needs no scaling, want it exact", name, worst)
		}
		dst := scope.AllocAs(g.Tokens(), channels, tensor.F32)
		if err := e.vae.Encode(ctx, dst, pixels, ref.Size.Height, ref.Size.Width); err != nil {
			t.Fatal(err)
		}
		s.compare(name+".latents", download(e, dst))
		refLatents = append(refLatents, s.get(name+".latents")...)
		refs = append(refs, g)
	}
	var joined backend.Matrix
	if len(refs) > 0 {
		joined = scope.Upload(len(refLatents)/channels, channels, refLatents)
	}

	grid := gridOf(req.size)
	n := grid.Tokens()
	run := e.transformer.NewRun(embeds, grid, joined, refs)
	defer run.Free()
	sigmas := s.get("sigmas")
	latents := pack(s.get("noise"), channels, n)
	velocity, unguided := scope.AllocAs(n, channels, tensor.F32), scope.AllocAs(n, channels, tensor.F32)
	for i := range req.steps {
		if !want(i, req.steps) {
			latents = s.get(fmt.Sprintf("latents.%d", i))
			continue
		}
		in := scope.Upload(n, channels, latents)
		run.Velocity(velocity, in, 0, sigmas[i], none)
		if len(embeds) > 1 {
			run.Velocity(unguided, in, 1, sigmas[i], none)
			b.Lerp(velocity, unguided, velocity, float32(req.guidance))
		}
		s.compare(fmt.Sprintf("velocity.%d", i), download(e, velocity))
		latents = s.get(fmt.Sprintf("latents.%d", i))
	}

	pixels, err := e.vae.Decode(ctx, scope.Upload(n, channels, latents), req.size.Height, req.size.Width, none)
	if err != nil {
		t.Fatal(err)
	}
	s.compare("decoded", unpack(pixels, len(pixels)/3, 3))
}

func int32s(t *testing.T, f *safetensors.File, name string) []int32 {
	t.Helper()
	x, err := f.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	if x.DType != tensor.I32 {
		t.Fatalf("%s: dtype %v, want I32", name, x.DType)
	}
	out := make([]int32, len(x.Data)/4)
	for i := range out {
		d := x.Data[4*i:]
		out[i] = int32(d[0]) | int32(d[1])<<8 | int32(d[2])<<16 | int32(d[3])<<24
	}
	return out
}

// TestGoldenPictures runs each case from its prompt, seed and reference files to the picture.
func TestGoldenPictures(t *testing.T) {
	for _, c := range goldenCases(t, "cases") {
		floors := c.bf16Floors(t)
		for _, engine := range goldenEngines {
			t.Run(c.Test+"/"+engine.name(), func(t *testing.T) {
				engine.skip(t, c, simPicture)
				floor := floors[c.Name]
				if engine.precision == BF16 && floor == nil {
					t.Skip("the reference's bfloat16 run is not known")
				}
				e := engine.open(t, c.model(t))
				result, err := e.Generate(context.Background(), resolve(t, e, c.ask(t)), nil)
				if err != nil {
					t.Fatal(err)
				}
				d := comparePicture(t, rgba(result), filepath.Join(c.Dir, "out.png"))
				t.Logf("%.4g levels off in the mean, %d at most", d.mean, d.worst)
				// The float32 results before rounding differ by about 1e-6.
				if engine.precision == Float32 && d.worst > 1 {
					t.Errorf("a pixel is %d levels off, want at most 1", d.worst)
				}
				if limit := bf16Factor * floor["png_mean_abs"]; engine.precision == BF16 && !(d.mean <= limit) {
					t.Errorf("%.4g levels off in the mean, want at most %.4g", d.mean, limit)
				}
			})
		}
	}
}

// difference returns how much two pictures differ, in levels of 255.
type difference struct {
	mean  float64
	worst int
}

func comparePicture(t *testing.T, have *image.RGBA, path string) (d difference) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if have.Rect != want.Bounds() {
		t.Fatalf("size %v, want %v", have.Rect, want.Bounds())
	}
	values := 0
	for y := range have.Rect.Dy() {
		for x := range have.Rect.Dx() {
			hr, hg, hb, _ := have.At(x, y).RGBA()
			wr, wg, wb, _ := want.At(x, y).RGBA()
			for _, pair := range [][2]uint32{{hr, wr}, {hg, wg}, {hb, wb}} {
				off := max(int(pair[0]>>8)-int(pair[1]>>8), int(pair[1]>>8)-int(pair[0]>>8))
				d.worst = max(d.worst, off)
				d.mean += float64(off)
				values++
			}
		}
	}
	d.mean /= float64(values)
	return d
}
