package inference

import (
	"bytes"
	"image"
	"image/draw"
	"image/png"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/assets/demo"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// emptyHome hides the models that this machine may have.
func emptyHome(t *testing.T) (home string) {
	home = t.TempDir()
	for _, name := range []string{"HOME", "USERPROFILE"} {
		t.Setenv(name, home)
	}
	for _, name := range []string{"LOCALAPPDATA", "XDG_DATA_HOME"} {
		t.Setenv(name, filepath.Join(home, "data"))
	}
	for _, name := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", checkpoint.ModelVariable} {
		t.Setenv(name, "")
	}
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	return home
}

func openOptions(t *testing.T, opts Options) *Engine {
	t.Helper()
	opts.Device = DeviceCPU
	e, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestDemoModelServesLast checks that the demo model is opened if there is no other model, and that the Info says so.
func TestDemoModelServesLast(t *testing.T) {
	home := emptyHome(t)
	info := openOptions(t, Options{}).Info()
	if !info.Demo || info.Model != "kleinbild-demo" || info.Missing == nil || len(info.Missing.Tried) < 2 {
		t.Errorf("nothing installed: %+v, want the demo model and the places looked at", info)
	}
	const said = "demo model: simple drawings only; get the real one with: "
	if !strings.Contains(strings.Join(info.Notices, "\n"), said) {
		t.Errorf("notices %q, want %q among them", info.Notices, said)
	}

	if info = openOptions(t, Options{Model: checkpoint.Demo}).Info(); !info.Demo || info.Missing != nil {
		t.Errorf("asked for: %+v, want the demo model and no search", info)
	}

	real := tinyModel(t, "distilled")
	t.Setenv(checkpoint.ModelVariable, real)
	if info = openOptions(t, Options{}).Info(); info.Demo || info.Location != real {
		t.Errorf("with a model: %+v, want %s", info, real)
	}
	t.Setenv(checkpoint.ModelVariable, filepath.Join(home, "gone"))
	if _, err := Open(t.Context(), Options{Device: DeviceCPU}); err == nil {
		t.Error("a model that is named but missing: no error, want one and not the demo model")
	}
}

// TestDemoPictureIsItsOwn checks that the picture in the window and the README is one that the model makes.
func TestDemoPictureIsItsOwn(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo, Precision: Float32})
	shown, err := png.Decode(bytes.NewReader(demo.Picture))
	if err != nil {
		t.Fatal(err)
	}
	made := demoPicture(t, e, Ask{Prompt: demo.Prompt, Seed: new(uint64(1))})
	if shown.Bounds() != made.Bounds() {
		t.Fatalf("the picture is %v, the model makes %v", shown.Bounds(), made.Bounds())
	}
	want := image.NewRGBA(shown.Bounds())
	draw.Draw(want, want.Rect, shown, image.Point{}, draw.Src)
	// Processors add in different orders, so that a value is sometimes rounded to the next level.
	if d := levelsApart(made, want, want.Rect); d > 0.05 {
		t.Errorf("the picture and what the model makes differ by %.3f levels, want at most 0.05", d)
	}
}

// TestDemoModelIsReadInPlace checks where the weights are: in the file of the program, not in a copy.
func TestDemoModelIsReadInPlace(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo})
	size := int64(0)
	for name, file := range demo.Weights {
		size += int64(len(file))
		source := e.ckpt.Transformer.Source
		switch strings.Split(name, "/")[0] {
		case "vae":
			source = e.ckpt.VAE.Source
		case "text_encoder":
			source = e.ckpt.TextEncoder.Source
		}
		from := uintptr(unsafe.Pointer(unsafe.SliceData(file)))
		for _, weight := range source.Names() {
			w, err := source.Tensor(weight)
			if err != nil {
				t.Fatal(err)
			}
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(w.Data))); at < from || at >= from+uintptr(len(file)) {
				t.Errorf("%s: %s lies outside the program's file", name, weight)
			}
		}
	}
	if size != e.info.SizeBytes || size > 20<<20 {
		t.Errorf("%d bytes of weights, want at most 20 MiB and the engine's %d", size, e.info.SizeBytes)
	}
	ids, err := e.tokens.Prompt("a red house", e.info.MaxSequenceLength)
	if err != nil || ids.Count < 5 {
		t.Errorf("tokens of the demo model: %v %v", ids.Count, err)
	}
}

// TestDemoReferencesAtItsOwnArea checks that the demo model gets a photo of a megapixel scaled to its native area, and
// that a picture that matches it has that area.
func TestDemoReferencesAtItsOwnArea(t *testing.T) {
	e := openOptions(t, Options{Model: checkpoint.Demo})
	native := e.Info().NativeSize
	photo, own := reference(t, 0, 1024, 1024), reference(t, 0, native, native)
	size, err := picture.Match.SizeFor(native, photo.Size)
	if err != nil || size != own.Size {
		t.Fatalf("match is %v, %v, want %v", size, err, own.Size)
	}
	ask := Ask{Prompt: "make it night", Size: &size, Steps: new(1), References: []Source{own}}
	want := e.Work(resolve(t, e, ask))
	ask.References = []Source{photo}
	if got := e.Work(resolve(t, e, ask)); got != want || want == 0 {
		t.Errorf("work of %g, want the %g of a picture of its own size", got, want)
	}
	result := generate(t, e, ask)
	if rgba(result).Rect.Dx() != native || result.Metadata.References[0].SHA256 != photo.FileSHA256 {
		t.Errorf("%v from %v", rgba(result).Rect, result.Metadata.References)
	}
	if _, ok := e.references.get(photo.For(native).PixelsSHA256); !ok {
		t.Errorf("the reference is not encoded at %d×%d", native, native)
	}
}
