package inference

import (
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/taef2"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// writeTAEF2 writes a file like taef2.safetensors with the goldens' weights. change may rename tensors or leave them
// out.
func writeTAEF2(t *testing.T, change func(*tensor.Tensor) string) string {
	t.Helper()
	manifest, err := synthetic.ReadManifest(filepath.Join(testdataGolden, "taef2", "taef2.safetensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "taef2.safetensors")
	if err := manifest.Write(path, change); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFullPreviews checks that previews with TAEF2 have the picture's size, that they are those of the latents that the
// model expects, and that they leave the picture alone.
func TestFullPreviews(t *testing.T) {
	e, err := Open(t.Context(), Options{
		Model: tinyModel(t, "distilled"), Device: DeviceCPU, Precision: Float32, MaxSequenceLength: 16,
		taef2: writeTAEF2(t, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ask := quick("a fox")
	ask.Steps = new(3)
	plain := generate(t, e, ask)
	ask.Preview = true
	var previews []*image.RGBA
	result, err := e.Generate(t.Context(), resolve(t, e, ask), func(p Progress) {
		if p.Preview != nil {
			previews = append(previews, p.Preview)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !samePicture(plain, result) {
		t.Error("previews change the picture")
	}
	if len(previews) != 2 {
		t.Fatalf("%d previews, want 2", len(previews))
	}
	for _, p := range previews {
		if p.Rect != result.Image.Bounds() {
			t.Errorf("a preview of %v, want the picture's %v", p.Rect, result.Image.Bounds())
		}
	}
	if string(previews[0].Pix) == string(previews[1].Pix) {
		t.Error("both previews are the same")
	}
}

// TestFullPreviewsOnKernels checks that the plan counts the memory of previews at the picture's size, and compares it
// with what the software device counts.
func TestFullPreviewsOnKernels(t *testing.T) {
	d := &simDevices{next: []ptxsim.Device{{}}}
	e, err := Open(t.Context(), Options{
		Model: tinyModel(t, "distilled"), Device: DeviceSim, MaxSequenceLength: 16, taef2: writeTAEF2(t, nil),
		sim: &cuda.Options{Open: d.open, ChunkBytes: 64 << 10, PartBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ask := quick("a fox")
	ask.Steps = new(2)
	without := plan(t, e, ask)
	ask.Preview = true
	p := plan(t, e, ask)
	if p.ActivationsBytes <= without.ActivationsBytes { // the tiny VAE takes less for the picture than TAEF2
		t.Errorf("with previews %+v, want more working memory than without: %+v", p, without)
	}
	if !goldenSim {
		t.Skip("make test-sim runs it on the software device")
	}
	d.opened.PeakBytes()
	var preview *image.RGBA
	if _, err := e.Generate(t.Context(), resolve(t, e, ask), func(p Progress) {
		if p.Preview != nil {
			preview = p.Preview
		}
	}); err != nil {
		t.Fatal(err)
	}
	checkPeak(t, "with previews", d, p)
	if preview == nil || preview.Rect.Dx() != resolve(t, e, ask).Size().Width {
		t.Errorf("preview %v", preview)
	}
}

// TestPreviewFileRefused checks that a model opens without a decoder for previews whose file is damaged, and that one
// line says what is wrong with it.
func TestPreviewFileRefused(t *testing.T) {
	whole := writeTAEF2(t, nil)
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := os.WriteFile(cut, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, path, want string }{
		{"cut", cut, "cut.safetensors: "},
		{"a hole", writeTAEF2(t, func(x *tensor.Tensor) string {
			return strings.TrimPrefix(x.Name, "decoder.layers.6.")
		}), "decoder.layers.6.weight: "},
		{"other widths", writeTAEF2(t, func(x *tensor.Tensor) string {
			if x.Name == "decoder.layers.0.weight" {
				x.Shape = []int{64, 16, 3, 3}
			}
			return x.Name
		}), "decoder.layers.0.weight: shape [64 16 3 3], want [64 32 3 3]"},
		{"another file", strings.Split(tinyModel(t, "single/flux-2-klein-4b.safetensors"), ",")[0],
			"decoder.layers.0.weight: "},
	} {
		e, err := Open(t.Context(), Options{
			Model: tinyModel(t, "distilled"), Device: DeviceCPU, Precision: Float32, taef2: row.path,
		})
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		notices := strings.Join(e.Info().Notices, "|")
		if e.taef2 != nil || !strings.Contains(notices, row.want) || !strings.Contains(notices, row.path) ||
			strings.Contains(notices, "\n") {
			t.Errorf("%s: notices %s, want one line with %s and %s", row.name, notices, row.path, row.want)
		}
		e.Close()
	}
}

// TestPreviewWork checks the claim that a preview takes at most 3 % of a step of the smallest published model, counted
// in multiply-adds, at every size of a picture that people make.
func TestPreviewWork(t *testing.T) {
	hollow, err := synthetic.Full4B().HollowTransformer()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := flux2.ParseConfig(hollow.ConfigJSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []picture.Size{
		{Width: 512, Height: 512}, {Width: 1344, Height: 768}, {Width: 2048, Height: 2048},
	} {
		step := stepWork(cfg, MaxSequenceLength+gridOf(size).Tokens())
		share := taef2.Work() * float64(size.Width*size.Height) / step
		t.Logf("%v: %.2f %% of a step", size, 100*share)
		if share > 0.03 {
			t.Errorf("%v: a preview takes %.2f %% of a step, want at most 3 %%", size, 100*share)
		}
	}
}
