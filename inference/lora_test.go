package inference

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/lora"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// loraFile writes adapters with random values, for the tiny distilled model.
type loraFile struct {
	rng     *rand.Rand
	entries []safetensors.Entry
}

// add adds a tensor whose values have the given mean and spread.
func (f *loraFile) add(name string, mean, spread float64, shape ...int) {
	values := make([]float32, tensor.Elements(shape))
	for i := range values {
		values[i] = float32(mean + spread*f.rng.NormFloat64())
	}
	f.entries = append(f.entries, safetensors.Entry{Name: name, DType: tensor.F32, Shape: shape,
		Fill: func(dst []byte, first int) error {
			for i := range len(dst) / 4 {
				binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(values[first+i]))
			}
			return nil
		}})
}

// layers are modules with original names, by the ends of products that they come before, with rows and columns.
var layers = []struct {
	name       string
	rows, cols int
}{
	{"double_blocks.0.img_attn.qkv", 768, 256},      // rotated heads, and plain
	{"double_blocks.1.txt_attn.qkv", 768, 256},      //
	{"double_blocks.0.txt_attn.proj", 256, 256},     // gated residual
	{"double_blocks.1.img_mlp.0", 1536, 256},        // SwiGLU
	{"double_blocks.1.img_mlp.2", 256, 768},         //
	{"single_blocks.0.linear1", 2304, 256},          // all of them
	{"single_blocks.1.linear2", 256, 1024},          //
	{"time_in.out_layer", 256, 256},                 // SiLU
	{"double_stream_modulation_img.lin", 1536, 256}, // a single row
	{"final_layer.adaLN_modulation.1", 512, 256},    // swapped halves
	{"img_in", 256, 128}, {"final_layer.linear", 128, 256},
}

// loraKinds write an adapter of each kind and form for one layer.
var loraKinds = []struct {
	name string
	add  func(f *loraFile, module string, rows, cols int)
}{
	{"LoRA", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lora_A.weight", 0, 0.05, 5, cols)
		f.add(m+".lora_B.weight", 0, 0.2, rows, 5)
		f.add(m+".alpha", 2, 0)
	}},
	{"DoRA of rows", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lora_A.weight", 0, 0.05, 8, cols)
		f.add(m+".lora_B.weight", 0, 0.05, rows, 8)
		f.add(m+".lora_magnitude_vector", 0.6, 0.1, rows)
	}},
	{"DoRA of columns", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lora_down.weight", 0, 0.05, 8, cols)
		f.add(m+".lora_up.weight", 0, 0.05, rows, 8)
		f.add(m+".dora_scale", 0.9*math.Sqrt(float64(rows)/float64(cols)), 0.1, 1, cols)
	}},
	{"LoHa, thin", func(f *loraFile, m string, rows, cols int) {
		for _, w := range []string{"1", "2"} {
			f.add(m+".hada_w"+w+"_a", 0, 0.3, rows, 3)
			f.add(m+".hada_w"+w+"_b", 0, 0.3, 3, cols)
		}
	}},
	{"LoHa, whole", func(f *loraFile, m string, rows, cols int) {
		for _, w := range []string{"1", "2"} {
			f.add(m+".hada_w"+w+"_a", 0, 0.05, rows, 40)
			f.add(m+".hada_w"+w+"_b", 0, 0.1, 40, cols)
		}
	}},
	{"LoKr", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lokr_w1", 0, 0.2, 8, 16)
		f.add(m+".lokr_w2", 0, 0.2, rows/8, cols/16)
	}},
	{"LoKr of factors", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lokr_w1_a", 0, 0.3, 16, 2)
		f.add(m+".lokr_w1_b", 0, 0.3, 2, 8)
		f.add(m+".lokr_w2_a", 0, 0.3, rows/16, 3)
		f.add(m+".lokr_w2_b", 0, 0.3, 3, cols/8)
		f.add(m+".alpha", 1.5, 0)
	}},
	{"DoRA of a LoKr", func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lokr_w1", 0, 0.2, 8, 16)
		f.add(m+".lokr_w2", 0, 0.2, rows/8, cols/16)
		f.add(m+".dora_scale", 0.8, 0.1, rows, 1)
	}},
	{"difference", func(f *loraFile, m string, rows, cols int) { f.add(m+".diff", 0, 0.03, rows, cols) }},
	{"whole weight", func(f *loraFile, m string, rows, cols int) { f.add(m+".set_weight", 0, 0.06, rows, cols) }},
}

// writeLoRA writes an adapter of a kind for all layers and returns its path.
func writeLoRA(t testing.TB, seed uint64, add func(f *loraFile, module string, rows, cols int)) string {
	t.Helper()
	f := &loraFile{rng: rand.New(rand.NewPCG(seed, 7))}
	for _, l := range layers {
		add(f, l.name, l.rows, l.cols)
	}
	path := filepath.Join(t.TempDir(), fmt.Sprintf("random-%d.safetensors", seed))
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(context.Background(), out, nil, f.entries, nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// merged is a transformer's weights with adapters merged into them, in float32. The sums are float64.
type merged struct {
	tensor.Source
	changes map[string][]scaledChange
}

type scaledChange struct {
	lora.Change
	strength float64
}

func (m merged) Tensor(name string) (tensor.Tensor, error) {
	t, err := m.Source.Tensor(name)
	changes := m.changes[strings.TrimSuffix(name, ".weight")]
	if err != nil || changes == nil {
		return t, err
	}
	base := t.Float32s()
	cols := t.Shape[1]
	sum := make([]float64, len(base))
	for i, v := range base {
		sum[i] = float64(v)
	}
	for _, c := range changes {
		for i := range c.To - c.From {
			for j := range cols {
				w, d := float64(base[(c.From+i)*cols+j]), 0.0
				switch {
				case c.Rank > 0:
					for k := range c.Rank {
						d += float64(c.B[i*c.Rank+k]) * float64(c.A[k*cols+j])
					}
				case c.P1 > 0:
					row := c.First + i
					d = float64(c.W1[row/c.P2*c.Q1+j/c.Q2]) * float64(c.W2[row%c.P2*c.Q2+j%c.Q2])
				case c.Whole:
					d = float64(c.Dense[i*cols+j])
				}
				if c.RowScaled {
					d += float64(c.RowScale[i]) * w
				}
				if c.ColScaled {
					d += float64(c.ColScale[j]) * w
				}
				sum[(c.From+i)*cols+j] += c.strength * d
			}
		}
	}
	t.Data, t.DType, t.Scale, t.Quant = nil, tensor.F32, 1, nil
	for _, v := range sum {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
	}
	return t, nil
}

// mergedVelocity returns the velocity of a transformer into which the adapters are merged.
func (a *adapted) mergedVelocity(list []LoRA, latents []float32, sigma float32) []float32 {
	a.t.Helper()
	b := *a
	b.e = mergedEngine(a.t, a.e, list)
	return b.velocity(nil, latents, sigma)
}

// mergedEngine returns an engine like e, on the same backend, whose weights are those that the adapters make of them.
func mergedEngine(t *testing.T, e *Engine, list []LoRA) *Engine {
	t.Helper()
	m := merged{e.ckpt.Transformer.Source, map[string][]scaledChange{}}
	applied, err := e.openLoRAs(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range applied {
		w := &baseWeights{src: e.ckpt.Transformer.Source}
		err := l.match.Load(t.Context(), w, func(c lora.Change) error {
			m.changes[c.Weight] = append(m.changes[c.Weight], scaledChange{c, l.Strength})
			return nil
		})
		w.close()
		if err != nil {
			t.Fatal(err)
		}
	}
	own := &Engine{info: e.info, ckpt: e.ckpt, tokens: e.tokens, networks: e.networks}
	if own.transformer, err = flux2.New(e.b, e.transformer.Config(), m); err != nil {
		t.Fatal(err)
	}
	own.caches = newCaches(e.b)
	return own
}

func loraTestCase() loraCase {
	return loraCase{goldenCase: goldenCase{Prompt: "a red fox in the snow", Width: 96, Height: 64, Seed: 3}}
}

// TestLoRAEqualsMergedWeights applies every kind of adapter at several strengths, and compares with the same weights
// merged. The bound is that of other orders of summation, a tenth of the goldens' tolerance.
func TestLoRAEqualsMergedWeights(t *testing.T) {
	e := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, Float32)
	c := loraTestCase()
	a := c.adapt(t, e)
	defer a.scope.Free()
	noise := a.noise(c.Seed)
	const sigma = 0.8
	plain := a.velocity(nil, noise, sigma)
	compare := func(name string, list []LoRA) {
		have, want := a.velocity(list, noise, sigma), a.mergedVelocity(list, noise, sigma)
		off, moved := relativeRMS(have, want), relativeRMS(want, plain)
		t.Logf("%s: %.2g off, %.2g from the model without adapters", name, off, moved)
		if !(off <= float32Tolerance/10) || !(moved > 0.01) {
			t.Errorf("%s: %.3g off, want at most %.3g; moved by %.3g, want more than 0.01",
				name, off, float32Tolerance/10, moved)
		}
	}
	var paths []string
	for i, kind := range loraKinds {
		paths = append(paths, writeLoRA(t, uint64(i), kind.add))
		for _, strength := range []float64{1, -0.5, 2} {
			compare(fmt.Sprint(kind.name, " at ", strength), []LoRA{{Path: paths[i], Strength: strength}})
		}
	}
	compare("LoRA and DoRA of rows", []LoRA{{Path: paths[0], Strength: 0.7}, {Path: paths[1], Strength: -0.4}})
	compare("DoRAs of rows and of columns", []LoRA{{Path: paths[1], Strength: 0.5}, {Path: paths[2], Strength: 0.5}})
	compare("one file twice", []LoRA{{Path: paths[0], Strength: 0.7}, {Path: paths[0], Strength: 0.5}})
	var all []LoRA
	for _, path := range paths {
		all = append(all, LoRA{Path: path, Strength: 0.2})
	}
	compare("all at once", all)

	for name, list := range map[string][]LoRA{
		"strength 0":         {{Path: paths[0]}, {Path: paths[2]}},
		"opposite strengths": {{Path: paths[0], Strength: 1}, {Path: paths[0], Strength: -1}},
	} {
		if have := a.velocity(list, noise, sigma); !slices.Equal(have, plain) {
			t.Errorf("%s: another velocity than without adapters, want the same bits", name)
		}
	}
}

// madeWith is a result, with its picture as pixels.
type madeWith struct {
	*Result
	Image *image.RGBA
}

// TestLoRAsChangeBetweenRuns makes pictures with other adapters and strengths, and looks at what is computed again.
func TestLoRAsChangeBetweenRuns(t *testing.T) {
	e := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, Float32)
	first, second := writeLoRA(t, 1, loraKinds[0].add), writeLoRA(t, 2, loraKinds[5].add)
	make := func(list ...LoRA) *madeWith {
		t.Helper()
		seed, steps := uint64(5), 1
		ask := Ask{Prompt: "x", Seed: &seed, Steps: &steps, Size: &picture.Size{Width: 64, Height: 64}, LoRAs: list}
		result, err := e.Generate(t.Context(), resolve(t, e, ask), nil)
		if err != nil {
			t.Fatal(err)
		}
		return &madeWith{result, result.Image.(*image.RGBA)}
	}
	plain := make().Image.Pix
	prompts := e.prompts.entries[0]
	adapted := make(LoRA{Path: first, Strength: 1})
	if slices.Equal(adapted.Image.Pix, plain) {
		t.Error("an adapter changed nothing")
	}
	kept := e.adapters.adapters
	again := make(LoRA{Path: first, Strength: 1})
	if e.adapters.adapters != kept || !slices.Equal(again.Image.Pix, adapted.Image.Pix) {
		t.Error("the adapters of an equal request were made again, or gave another picture")
	}
	if stronger := make(LoRA{Path: first, Strength: 1.5}); slices.Equal(stronger.Image.Pix, adapted.Image.Pix) {
		t.Error("another strength gave the same picture")
	}
	make(LoRA{Path: second, Strength: 1}, LoRA{Path: first, Strength: -0.5})
	if !slices.Equal(make(LoRA{Path: first}).Image.Pix, plain) || !slices.Equal(make().Image.Pix, plain) {
		t.Error("without adapters there is another picture than at first")
	}
	if e.adapters.adapters != nil {
		t.Error("adapters stay in memory, want them freed by the run without")
	}
	if len(e.prompts.entries) != 1 || e.prompts.entries[0] != prompts {
		t.Error("the prompt was encoded again")
	}
	if info := adapted.LoRAs[0]; info.Matched != len(layers) || info.Total != len(layers) || info.Name != "random-1" {
		t.Errorf("told %v, want all %d layers", info, len(layers))
	}
	if m := adapted.Metadata.LoRAs[0]; m.Strength != 1 || m.Name != "random-1" || len(m.SHA256) != 64 {
		t.Errorf("recorded %+v", m)
	}
	_, err := e.Generate(t.Context(), resolve(t, e, Ask{LoRAs: []LoRA{{Path: first, Strength: 1, Digest: "00"}}}), nil)
	if err == nil || !strings.Contains(err.Error(), "want 00") {
		t.Errorf("another digest: %v", err)
	}
	// The file is replaced by another one with the same path.
	if err := os.Rename(second, first); err != nil {
		t.Fatal(err)
	}
	if replaced := make(LoRA{Path: first, Strength: 1}); slices.Equal(replaced.Image.Pix, adapted.Image.Pix) {
		t.Error("a file that was replaced gave the old picture")
	}
	// PEFT's config beside a file has its alpha, and is changed: neither of the two pictures has the other's factor.
	saved := filepath.Join(t.TempDir(), "adapter_model.safetensors")
	if err := os.Rename(writeLoRA(t, 3, func(f *loraFile, m string, rows, cols int) {
		f.add(m+".lora_A.weight", 0, 0.05, 4, cols)
		f.add(m+".lora_B.weight", 0, 0.2, rows, 4)
	}), saved); err != nil {
		t.Fatal(err)
	}
	withAlpha := func(alpha string, strength float64) []byte {
		t.Helper()
		beside := filepath.Join(filepath.Dir(saved), "adapter_config.json")
		if err := os.WriteFile(beside, []byte(`{"lora_alpha": `+alpha+`}`), 0o666); err != nil {
			t.Fatal(err)
		}
		return make(LoRA{Path: saved, Strength: strength}).Image.Pix
	}
	weak, strong := withAlpha("4", 1), withAlpha("16.0", 1)
	if slices.Equal(weak, strong) || !slices.Equal(strong, withAlpha("4.000", 4)) {
		t.Error("a config that was changed: want the picture with its alpha, which is four times the factor")
	}
}

// TestLoRAsOpenBeside opens an adapter while another one, on a disk that does not answer, is being read. Those who want
// that one wait for one reader, and can be called off.
func TestLoRAsOpenBeside(t *testing.T) {
	e := openEngine(t, tinyModel(t, "distilled"), DeviceCPU, Float32)
	slow, quick := writeLoRA(t, 1, loraKinds[0].add), writeLoRA(t, 2, loraKinds[0].add)
	begun, answer := make(chan struct{}), make(chan struct{})
	var reads atomic.Int32
	e.loras.read = func(ctx context.Context, path string) (*lora.File, error) {
		if path == slow {
			if reads.Add(1) == 1 {
				close(begun)
			}
			<-answer
		}
		return lora.Open(ctx, path)
	}
	errs := make(chan error)
	ask := func(ctx context.Context) {
		_, err := e.LoRA(ctx, LoRA{Path: slow})
		errs <- err
	}
	go ask(t.Context())
	<-begun
	if _, err := e.LoRA(t.Context(), LoRA{Path: quick}); err != nil { // hangs if the lock is held
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.LoRA(ctx, LoRA{Path: slow}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	go ask(t.Context())
	close(answer)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("the file was read %d times, want once", n)
	}

	// An engine that is closed meanwhile keeps no file.
	begun, answer = make(chan struct{}), make(chan struct{})
	reads.Store(0)
	slow = writeLoRA(t, 3, loraKinds[0].add)
	go ask(t.Context())
	<-begun
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	close(answer)
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("closed meanwhile: %v", err)
	}
}

// TestLoRALimits checks the limits of a request's adapters.
func TestLoRALimits(t *testing.T) {
	for name, row := range map[string]struct {
		list []LoRA
		want string
	}{
		"NaN":         {[]LoRA{{Path: "a", Strength: math.NaN()}}, `"a" with strength NaN`},
		"too strong":  {[]LoRA{{Path: "dir/b.safetensors", Strength: -10.5}}, `"b" with strength -10.5`},
		"without":     {[]LoRA{{Strength: 1}}, "neither a file nor a name"},
		"too many":    {slices.Repeat([]LoRA{{Path: "a", Strength: 1}}, 17), "17 LoRAs"},
		"the largest": {slices.Repeat([]LoRA{{Path: "a", Strength: -10}}, 16), ""},
	} {
		_, err := Ask{LoRAs: row.list}.Check()
		var e FieldError
		if (err != nil) != (row.want != "") || errors.As(err, &e) && (e.Got != row.want || e.Field != FieldLoRAs) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// TestLoRAMemoryIsPlanned compares the memory that a rehearsal finds with what the software device holds.
func TestLoRAMemoryIsPlanned(t *testing.T) {
	open := func(device Device) *Engine {
		e, err := Open(t.Context(), Options{Model: tinyModel(t, "distilled"), Device: device, Precision: BF16,
			MaxSequenceLength: 32})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	e := open(DeviceSim)
	path := writeLoRA(t, 1, loraKinds[0].add)
	seed, steps := uint64(5), 1
	ask := Ask{Prompt: "x", Seed: &seed, Steps: &steps, Size: &picture.Size{Width: 64, Height: 64}}
	without, err := e.Plan(resolve(t, e, ask))
	if err != nil {
		t.Fatal(err)
	}
	ask.LoRAs = []LoRA{{Path: path, Strength: 1}}
	with, err := e.Plan(resolve(t, e, ask))
	if err != nil {
		t.Fatal(err)
	}
	if with.KeptBytes <= without.KeptBytes {
		t.Errorf("planned to keep %d bytes, %d without adapters: want more", with.KeptBytes, without.KeptBytes)
	}
	result, err := e.Generate(t.Context(), resolve(t, e, ask), nil)
	if err != nil {
		t.Fatal(err)
	}
	if have, want := e.adapters.adapters.SizeBytes(), with.KeptBytes-without.KeptBytes; have > want || have < want*9/10 {
		t.Errorf("adapters of %d bytes, planned %d", have, want)
	}
	reference := open(DeviceCPU)
	want, err := reference.Generate(t.Context(), resolve(t, reference, ask), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Both round where they store a result. The tiny model without a trained picture has 1 level between two devices.
	var sum float64
	have, pixels := result.Image.(*image.RGBA).Pix, want.Image.(*image.RGBA).Pix
	for i, v := range have {
		sum += math.Abs(float64(v) - float64(pixels[i]))
	}
	if mean := sum / float64(len(pixels)); !(mean < 2) {
		t.Errorf("%.3g levels between the software device and the processor, want less than 2", mean)
	}
}
