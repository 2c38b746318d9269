package inference

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// smallVAE writes the autoencoder with a small decoder of a folder of goldens in all forms in which people have one.
type smallVAE struct {
	golden string // the folder of goldens
	// folder is in the layout of Diffusers, the others are files: with the original names, the decoder alone with and
	// without "decoder." before its names, and the decoder alone with the names of Diffusers.
	folder, whole, decoder, bare, diffusers string
}

func newSmallVAE(t *testing.T, golden string) (v smallVAE) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	manifest, err := synthetic.ReadManifest(filepath.Join(golden, "vae", "manifest.json"))
	must(err)
	text, err := os.ReadFile(filepath.Join(golden, "names.json"))
	must(err)
	var originals map[string]string
	must(json.Unmarshal(text, &originals))
	config, err := os.ReadFile(filepath.Join(golden, "vae", "config.json"))
	must(err)
	dir := t.TempDir()
	v = smallVAE{
		golden: golden, folder: filepath.Join(dir, "vae"), whole: filepath.Join(dir, "whole.safetensors"),
		decoder: filepath.Join(dir, "small_decoder.safetensors"), bare: filepath.Join(dir, "bare.safetensors"),
		diffusers: filepath.Join(dir, "diffusers.safetensors"),
	}
	must(os.Mkdir(v.folder, 0o700))
	must(os.WriteFile(filepath.Join(v.folder, "config.json"), config, 0o600))
	must(manifest.Write(filepath.Join(v.folder, "diffusion_pytorch_model.safetensors"), nil))
	original := func(x *tensor.Tensor) string {
		if len(x.Shape) == 2 {
			x.Shape = append(x.Shape, 1, 1)
		}
		if name, ok := originals[x.Name]; ok {
			return name
		}
		return x.Name
	}
	half := func(name func(*tensor.Tensor) string) func(*tensor.Tensor) string {
		return func(x *tensor.Tensor) string {
			if to := name(x); strings.HasPrefix(to, "decoder.") || strings.HasPrefix(to, "post_quant_conv.") {
				return to
			}
			return ""
		}
	}
	must(manifest.Write(v.whole, original))
	must(manifest.Write(v.decoder, half(original)))
	must(manifest.Write(v.bare, func(x *tensor.Tensor) string {
		return strings.TrimPrefix(half(original)(x), "decoder.")
	}))
	must(manifest.Write(v.diffusers, half(func(x *tensor.Tensor) string { return x.Name })))
	return v
}

// TestGoldenSmallDecoders opens tiny models with another VAE in each form, and compares what it makes of the goldens'
// picture and latents.
func TestGoldenSmallDecoders(t *testing.T) {
	for _, root := range append([]string{testdataGolden}, goldentest.Folders()...) {
		golden := filepath.Join(root, "vae-small")
		if _, err := os.Stat(golden); err != nil {
			continue
		}
		v := newSmallVAE(t, golden)
		folder, files := tinyModel(t, "base"), tinyModel(t, "single/flux-2-klein-4b.safetensors")
		withoutVAE := strings.Split(files, ",")
		withoutVAE = []string{withoutVAE[0], withoutVAE[2], withoutVAE[3]}
		for _, row := range []struct {
			name, model, vae string
			encodes          bool // with the goldens' encoder
		}{
			{"folder, folder", folder, v.folder, true},
			{"folder, a file", folder, v.whole, true},
			{"folder, a file in the list", folder + "," + v.whole, "", true},
			{"files, folder", files, v.folder, true},
			{"files, a file", files, v.whole, true},
			{"files without a VAE, a file", strings.Join(withoutVAE, ","), v.whole, true},
			{"files, a decoder", files, v.decoder, false},
			{"files, a decoder in the list", files + "," + v.decoder, "", false},
			{"files, a decoder without prefix", files, v.bare, false},
			{"folder, a decoder", folder, v.decoder, false},
			{"folder, a decoder in the list", folder + "," + v.decoder, "", false},
			{"folder, a decoder of Diffusers", folder, v.diffusers, false},
			{"two VAEs' parts in the list", strings.Join(withoutVAE, ",") + "," + v.whole + "," + v.bare, "", true},
		} {
			t.Run(filepath.ToSlash(root)+"/"+row.name, func(t *testing.T) {
				e, err := Open(t.Context(), Options{Model: row.model, VAE: row.vae, Device: DeviceCPU, Precision: Float32})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				checkSmallDecoder(t, e, golden, row.encodes)
			})
		}
	}
}

func checkSmallDecoder(t *testing.T, e *Engine, golden string, encodes bool) {
	file, err := safetensors.Open(t.Context(), filepath.Join(golden, "stages.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := stages{t, file, func(string) float64 { return float32Tolerance }}
	decoded, err := file.Tensor("decoded")
	if err != nil {
		t.Fatal(err)
	}
	height, width := decoded.Shape[1], decoded.Shape[2]
	scope := backend.NewScope(e.b)
	defer scope.Free()
	latents := s.get("latents")
	n, channels := len(latents)/e.info.TokenChannels, e.info.TokenChannels
	e.b.Begin(t.Context())
	if encodes {
		dst := scope.AllocAs(n, channels, tensor.F32)
		if err := e.vae.Encode(t.Context(), dst, pack(s.get("pixels"), 3, height*width), height, width); err != nil {
			t.Fatal(err)
		}
		s.compare("latents", download(e, dst))
	} else { // the model's own normalisation is another one
		s.compareDecodedMean(e, height, width)
		return
	}
	pixels, err := e.vae.Decode(t.Context(), scope.Upload(n, channels, latents), height, width, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	s.compare("decoded", unpack(pixels, height*width, 3))
}

// compareDecodedMean decodes the goldens' mean, which it normalises as the engine's VAE does.
func (s stages) compareDecodedMean(e *Engine, height, width int) {
	s.t.Helper()
	mean, variance := hostOf(s.t, e, "bn.running_mean"), hostOf(s.t, e, "bn.running_var")
	channels, eps := e.info.TokenChannels, e.vae.Config().BatchNormEps
	n, latentChannels := height/16*width/16, channels/4
	tokens := make([]float32, n*channels)
	values := s.get("mean")
	for c := range latentChannels {
		for y := range height / 8 {
			for x := range width / 8 {
				to := c*4 + y%2*2 + x%2
				v := float64(values[(c*height/8+y)*width/8+x])
				tokens[(y/2*(width/16)+x/2)*channels+to] = float32((v - float64(mean[to])) / math.Sqrt(float64(variance[to])+eps))
			}
		}
	}
	scope := backend.NewScope(e.b)
	defer scope.Free()
	pixels, err := e.vae.Decode(s.t.Context(), scope.Upload(n, channels, tokens), height, width, func(int, int) {})
	if err != nil {
		s.t.Fatal(err)
	}
	s.compare("decoded", unpack(pixels, height*width, 3))
}

func hostOf(t *testing.T, e *Engine, name string) []float32 {
	t.Helper()
	x, err := e.ckpt.VAE.Source.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return x.Float32s()
}

// TestVAERefuses checks that the error about a wrong file in place of the VAE is one line with the file and the weight.
func TestVAERefuses(t *testing.T) {
	v := newSmallVAE(t, filepath.Join(testdataGolden, "vae-small"))
	files := strings.Split(tinyModel(t, "single/flux-2-klein-4b.safetensors"), ",")
	manifest, err := synthetic.ReadManifest(filepath.Join(testdataGolden, "vae-small", "vae", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, rename func(*tensor.Tensor) string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := manifest.Write(path, func(x *tensor.Tensor) string {
			if strings.HasPrefix(x.Name, "decoder.") {
				return rename(x)
			}
			return ""
		}); err != nil {
			t.Fatal(err)
		}
		return path
	}
	narrow := write("narrow.safetensors", func(x *tensor.Tensor) string {
		if x.Name == "decoder.up_blocks.1.resnets.1.conv2.weight" {
			x.Shape = []int{32, 64, 3, 3}
		}
		return x.Name
	})
	odd := write("odd.safetensors", func(x *tensor.Tensor) string {
		if x.Name == "decoder.up_blocks.3.resnets.0.conv1.weight" {
			x.Shape = []int{16, 64, 3, 3}
		}
		return x.Name
	})
	hole := write("hole.safetensors", func(x *tensor.Tensor) string {
		if strings.HasPrefix(x.Name, "decoder.up_blocks.2.resnets.1.") {
			return ""
		}
		return x.Name
	})
	whole, err := os.ReadFile(v.decoder)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, vae, want string }{
		{"no file", filepath.Join(t.TempDir(), "x.safetensors"), "x.safetensors: is missing"},
		{"a folder", t.TempDir(), "holds neither vae/config.json nor config.json"},
		{"a transformer", files[0], "holds a transformer, want a FLUX.2 VAE or its decoder"},
		{"a text encoder", files[2], "holds a text encoder, want a FLUX.2 VAE or its decoder"},
		{"cut", cut, "cut.safetensors: "},
		{"a hole", hole, "hole.safetensors: is incomplete: it lacks decoder.up_blocks.2.resnets.1 of the decoder"},
		{"a narrow layer", narrow,
			"decoder.up_blocks.1.resnets.1.conv2.weight: shape [32 64 3 3], want [64 64 3 3]"},
		{"a width of no groups", odd, "decoder.up_blocks.3.resnets.0.conv1.weight: shape [16 64 3 3], want a multiple of 32"},
	} {
		e, err := Open(t.Context(), Options{Model: tinyModel(t, "base"), VAE: row.vae, Device: DeviceCPU, Precision: Float32})
		if err == nil {
			e.Close()
			t.Errorf("%s: opened", row.name)
		} else if text := err.Error(); !strings.Contains(text, row.want) || strings.Contains(text, "\n") ||
			!strings.Contains(text, row.vae) {
			t.Errorf("%s: %s, want one line with %s and %s", row.name, text, row.vae, row.want)
		}
	}
	alone := strings.Join([]string{files[0], files[2], v.decoder}, ",")
	if _, err := Open(t.Context(), Options{Model: alone}); err == nil ||
		!strings.Contains(err.Error(), v.decoder+": is the decoder of a VAE alone, want a whole VAE beside it") {
		t.Errorf("a decoder alone: %v", err)
	}
}
