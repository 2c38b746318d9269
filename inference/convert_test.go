package inference

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tokenizer"
)

// weightErrors are the relative RMS errors of normal values in each kind (see package quantise); that of fp8 is the
// mean error of three bits of fraction.
var weightErrors = map[string]float64{
	"Q8_0": 0.0054, "int8": 0.0075, "fp8": 0.026, "Q6_K": 0.0175, "Q4_K": 0.071, "Q4_0": 0.082,
}

// TestConvertedPictures converts the demo model's transformer to each kind and compares velocities and pictures. Each
// layer adds an error of the weights' size, and the few layers of the demo model add up to less than twice that. Two
// Euler steps move a picture, whose values have a spread of about 64 levels, by no more than twice the error of the
// velocities.
func TestConvertedPictures(t *testing.T) {
	models := []string{checkpoint.Demo}
	for _, kind := range ConvertKinds() {
		extension, err := ConvertExtension(kind)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), kind+extension)
		if err := Convert(t.Context(), ConvertOptions{Model: checkpoint.Demo, Kind: kind, Path: path}, nil); err != nil {
			t.Fatal(err)
		}
		models = append(models, path+","+checkpoint.Demo)
	}
	var all []Quality
	err := CompareModels(t.Context(), QualityOptions{
		Models: models, Device: DeviceCPU, Precisions: []Precision{Float32}, Prompts: QualityPrompts[:1],
		Size: &picture.Size{Width: 96, Height: 96}, Steps: 2,
	}, func(q Quality) { all = append(all, q) }, nil)
	if err != nil || len(all) != len(models) {
		t.Fatalf("%d models, want %d: %v", len(all), len(models), err)
	}
	if q := all[0]; !math.IsInf(q.PSNR, 1) || q.Embeds != 0 || !slices.Equal(q.Velocities, []float64{0, 0}) {
		t.Errorf("the first model is %+v from itself, want no distance", q)
	}
	for i, q := range all[1:] {
		kind := ConvertKinds()[i]
		most := slices.Max(q.Velocities)
		t.Logf("%s: velocities %.4f, %.1f dB, %d bytes", kind, q.Velocities, q.PSNR, q.TransformerBytes)
		if q.Embeds != 0 {
			t.Errorf("%s: embeds differ by %v, want the same text encoder", kind, q.Embeds)
		}
		if want := weightErrors[kind]; len(q.Velocities) != 2 || !(most < 2*want) || !(most > want/8) {
			t.Errorf("%s: velocities differ by %v, want two of about %v", kind, q.Velocities, want)
		}
		if least := 20 * math.Log10(255/(2*most*64)); !(q.PSNR > least) || q.LeastPSNR != q.PSNR {
			t.Errorf("%s: %.1f dB, want more than %.1f", kind, q.PSNR, least)
		}
		if q.TransformerBytes >= all[0].TransformerBytes*2/3 {
			t.Errorf("%s: %d bytes, want less than two thirds of %d", kind, q.TransformerBytes, all[0].TransformerBytes)
		}
	}
}

// TestConvertTextEncoder converts the demo model's text encoder to GGUF and to fp8, compares the embeds, and prompts
// with the vocabulary in the GGUF file.
func TestConvertTextEncoder(t *testing.T) {
	models := []string{checkpoint.Demo}
	for _, name := range []string{"Q8_0.gguf", "fp8.safetensors"} {
		path := filepath.Join(t.TempDir(), name)
		kind, _, _ := strings.Cut(name, ".")
		err := Convert(t.Context(), ConvertOptions{Model: checkpoint.Demo, Kind: kind, TextEncoder: true, Path: path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, path+","+checkpoint.Demo)
	}
	var all []Quality
	err := CompareModels(t.Context(), QualityOptions{
		Models: models, Device: DeviceCPU, Precisions: []Precision{Float32}, Prompts: QualityPrompts[:1],
		Size: &picture.Size{Width: 64, Height: 64}, Steps: 1,
	}, func(q Quality) { all = append(all, q) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range []string{"Q8_0", "fp8"} {
		// The 27 layers of the encoder add up to more than the few of the transformer: to √27 if errors are independent.
		if q := all[i+1]; !(q.Embeds > 0) || !(q.Embeds < math.Sqrt(27)*weightErrors[kind]) {
			t.Errorf("%s: embeds differ by %.4f, want less than √27 times %v", kind, q.Embeds, weightErrors[kind])
		}
	}

	file, _, _ := strings.Cut(models[1], ",")
	c, err := checkpoint.OpenParts(t.Context(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.Vocabulary()
	if err != nil || v == nil {
		t.Fatalf("vocabulary %v, %v, want that of the demo model", v, err)
	}
	have, err := tokenizer.FromVocabulary(v.Path, v.Tokens, v.Types, v.Merges)
	if err != nil {
		t.Fatal(err)
	}
	demo, err := checkpoint.Open(t.Context(), checkpoint.Demo)
	if err != nil {
		t.Fatal(err)
	}
	defer demo.Close()
	want, err := openTokenizer(demo)
	if err != nil {
		t.Fatal(err)
	}
	for _, prompt := range QualityPrompts {
		a, errA := have.Prompt(prompt, 64)
		b, errB := want.Prompt(prompt, 64)
		if errA != nil || errB != nil || !slices.Equal(a.IDs, b.IDs) {
			t.Errorf("%q: ids %v, want %v (%v, %v)", prompt, a.IDs, b.IDs, errA, errB)
		}
	}
}

func TestConvertErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.gguf")
	single := filepath.Join(dir, "flux.safetensors")
	if err := Convert(t.Context(), ConvertOptions{Model: checkpoint.Demo, Kind: "fp8", Path: single}, nil); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.safetensors")
	whole, err := os.ReadFile(single)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		opts ConvertOptions
		want string
	}{
		{"kind", ConvertOptions{Model: checkpoint.Demo, Kind: "Q3_K", Path: path}, "Q3_K"},
		{"model", ConvertOptions{Model: filepath.Join(dir, "absent"), Kind: "Q8_0", Path: path}, "absent"},
		{"quantised", ConvertOptions{Model: single, Kind: "Q8_0", Path: path}, "is F8_E4M3, want BF16"},
		{"cut", ConvertOptions{Model: cut, Kind: "Q8_0", Path: path}, "incomplete"},
		{"no encoder", ConvertOptions{Model: single, Kind: "Q8_0", TextEncoder: true, Path: path}, "no VAE"},
		{"existing", ConvertOptions{Model: checkpoint.Demo, Kind: "fp8", Path: single}, "exists already"},
	} {
		if err := Convert(t.Context(), row.opts, nil); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	opts := ConvertOptions{Model: checkpoint.Demo, Kind: "Q4_K", Path: path}
	if err := Convert(ctx, opts, func(int64, int64) { cancel(stopped) }); !errors.Is(err, stopped) {
		t.Errorf("error %v, want the cause of the context", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("%d files, want the two that were there (%v)", len(list), err)
	}
}

func TestCompareErrors(t *testing.T) {
	report := func(Quality) {}
	if err := CompareModels(t.Context(), QualityOptions{Models: []string{checkpoint.Demo}}, report, nil); err == nil {
		t.Error("one model is accepted, want an error")
	}
	err := CompareModels(t.Context(), QualityOptions{
		Models: []string{checkpoint.Demo, tinyModel(t, "distilled")}, Device: DeviceCPU, Prompts: []string{"x"},
		Precisions: []Precision{PrecisionAuto}, Size: &picture.Size{Width: 64, Height: 64}, Steps: 1,
	}, report, nil)
	if err == nil || !strings.Contains(err.Error(), "other sizes") {
		t.Errorf("error %v, want that the models have other sizes", err)
	}
}
