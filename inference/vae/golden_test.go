package vae

import (
	"image/png"
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

// tolerance is the largest relative RMS error of a stage in float32: another order of summation changes results by 1e-6
// to 1e-5.
const tolerance = 1e-4

// TestGoldenSmallDecoder compares every recorded stage of autoencoders whose decoders have other widths than their
// encoders with the reference's.
func TestGoldenSmallDecoder(t *testing.T) {
	own := filepath.Join("..", "testdata", "golden")
	for _, root := range append([]string{own}, goldentest.Folders()...) {
		dir := filepath.Join(root, "vae-small")
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		t.Run(filepath.ToSlash(dir), func(t *testing.T) { compareStages(t, dir) })
	}
}

func compareStages(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "vae", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := synthetic.ReadManifest(filepath.Join(dir, "vae", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	inferred, err := InferConfig(weights)
	if err != nil ||
		inferred.DecoderWidths[0] != cfg.DecoderWidths[0] || inferred.EncoderWidths[3] != cfg.EncoderWidths[3] {
		t.Errorf("from the shapes: %+v, %v, want %+v", inferred, err, cfg)
	}
	file, err := safetensors.Open(t.Context(), filepath.Join(dir, "stages.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	b := cpu.New(tensor.F32)
	defer b.Close()
	b.Begin(t.Context())
	v, err := New(b, cfg, weights)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, name := range file.Names() {
		left[name] = true
	}
	get := func(name string) []float32 {
		x, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		delete(left, name)
		return x.Float32s()
	}
	compare := func(name string, have []float32) {
		if !left[name] {
			return // not recorded
		}
		want := get(name)
		if e := relativeRMS(have, want); len(have) != len(want) || !(e <= tolerance) {
			t.Errorf("%s: %d values with a relative RMS error of %.3g, want %d with at most %g",
				name, len(have), e, len(want), tolerance)
		}
	}
	v.watch = func(stage string, x featureMap) {
		host := make([]float32, x.Rows*x.Cols)
		b.Download(host, x.Matrix)
		compare(stage, planes(host, x.Cols))
		if stage == "quant_conv" {
			mean := x.ColRange(0, cfg.LatentChannels)
			host := make([]float32, mean.Rows*mean.Cols)
			b.Download(host, mean)
			compare("mean", planes(host, mean.Cols))
		}
	}

	height, width, pixels := readPixels(t, filepath.Join(dir, "picture.png"))
	compare("pixels", planes(pixels, 3))
	s := backend.NewScope(b)
	defer s.Free()
	tokens := height / PixelsPerToken * width / PixelsPerToken
	latents := s.AllocAs(tokens, cfg.TokenChannels(), tensor.F32)
	if err := v.Encode(t.Context(), latents, pixels, height, width); err != nil {
		t.Fatal(err)
	}
	host := make([]float32, latents.Rows*latents.Cols)
	b.Download(host, latents)
	want := get("latents")
	left["latents"] = true
	compare("latents", host)
	decoded, err := v.Decode(t.Context(), s.Upload(tokens, cfg.TokenChannels(), want), height, width, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	compare("decoded", planes(decoded, 3))
	for name := range left {
		t.Errorf("%s was not compared", name)
	}
}

// planes turns [pixels, channels] into [channels, pixels].
func planes(x []float32, channels int) []float32 {
	out := make([]float32, len(x))
	pixels := len(x) / channels
	for i, v := range x {
		out[i%channels*pixels+i/channels] = v
	}
	return out
}

func relativeRMS(have, want []float32) float64 {
	var diff, norm float64
	for i, w := range want[:min(len(want), len(have))] {
		d := float64(have[i]) - float64(w)
		diff += d * d
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}

// readPixels returns a picture's pixels [height·width, 3] in [−1, 1].
func readPixels(t *testing.T, path string) (height, width int, pixels []float32) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			for _, v := range []uint32{r, g, b} {
				pixels = append(pixels, float32(v>>8)/127.5-1)
			}
		}
	}
	return img.Bounds().Dy(), img.Bounds().Dx(), pixels
}

// TestWithDecoderRefuses checks that the error about another width names the weight.
func TestWithDecoderRefuses(t *testing.T) {
	weights, err := synthetic.ReadManifest(filepath.Join("..", "testdata", "golden", "vae-small", "vae", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	cfg.Groups = 48
	_, err = cfg.WithDecoder(weights)
	if want := "decoder.up_blocks.3.resnets.0.conv1.weight: shape [32 64 3 3], want a multiple of 48 rows"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
