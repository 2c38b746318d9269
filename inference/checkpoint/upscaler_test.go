package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestFindUpscaler checks where networks that enlarge pictures are looked for, and which one comes first.
func TestFindUpscaler(t *testing.T) {
	dir, env := home(t)
	get := func(name string) string { return env[name] }
	var none *NoUpscalerError
	if got, err := FindUpscaler("", get); got != "" || !errors.As(err, &none) ||
		!strings.Contains(err.Error(), "kleinbild models get realesr-general-x4v3") {
		t.Errorf("found %s, %v where there is none", got, err)
	}
	comfy := filepath.Join(dir, "ComfyUI", "models", "upscale_models")
	other := filepath.Join(comfy, "4x_other.pth")
	mustWrite(t, other, "x")
	mustWrite(t, filepath.Join(comfy, "readme.txt"), "x")
	plus := filepath.Join(comfy, "RealESRGAN_x4plus.safetensors")
	mustWrite(t, plus, "x")
	known := filepath.Join(comfy, "realesr-animevideov3.pth")
	mustWrite(t, known, "x")
	file := filepath.Join(dir, "mine.pth")
	mustWrite(t, file, "x")
	own := filepath.Join(ModelsDir(), Upscalers[1], UpscalerFile(Upscalers[1]))
	for _, row := range []struct{ name, want string }{
		{"", known}, {"4x_other", other}, {"4X_OTHER.pth", other}, {"RealESRGAN_x4plus", plus}, {file, file},
		{"readme.txt", ""}, {"readme", ""}, {"missing", ""}, {filepath.Join(dir, "missing.pth"), ""}, {"../x", ""},
	} {
		got, err := FindUpscaler(row.name, get)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q: %q, %v; want %q", row.name, got, err, row.want)
		}
	}
	mustWrite(t, own, "x")
	for _, name := range []string{"", Upscalers[1], strings.ToUpper(Upscalers[1])} {
		if got, err := FindUpscaler(name, get); got != own {
			t.Errorf("%q: %q, %v; want %q", name, got, err, own)
		}
	}
	if got := ListUpscalers(get); !slices.Equal(got, []string{own, known, other, plus}) {
		t.Errorf("found %q", got)
	}
}

func TestReadUpscaler(t *testing.T) {
	small := func(names ...string) string {
		var list []safetensors.Entry
		for _, name := range names {
			list = append(list, of(name, tensor.F32, 3))
		}
		return tensorFile(t, "x.safetensors", list...)
	}
	for _, row := range []struct {
		names, want []string
	}{
		{[]string{"body.0.weight"}, []string{"body.0.weight"}},
		{[]string{"params.a", "params_ema.b", "step"}, []string{"b"}},
		{[]string{"params.module.a", "params.module.b"}, []string{"a", "b"}},
		{[]string{"module.a"}, []string{"a"}},
	} {
		src, digest, err := ReadUpscaler(t.Context(), small(row.names...))
		if err != nil || len(digest) != 64 || !slices.Equal(src.Names(), row.want) {
			t.Errorf("%q: %v, %s, %v; want %q", row.names, src, digest, err, row.want)
		}
	}
	empty := filepath.Join(t.TempDir(), "x.pth")
	mustWrite(t, empty, "")
	broken := filepath.Join(t.TempDir(), "x.pth")
	mustWrite(t, broken, "\x80\x02}q\x00.")
	text := filepath.Join(t.TempDir(), "x.safetensors")
	mustWrite(t, text, "<html>not found</html>")
	large := filepath.Join(t.TempDir(), "large.safetensors")
	mustWrite(t, large, "")
	if err := os.Truncate(large, maxUpscalerBytes+1); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, path, want string }{
		{"empty", empty, "0 bytes, want a .safetensors or .pth file"},
		{"a bare pickle", broken, "neither a zip archive"},
		{"a page", text, "safetensors"},
		{"a folder", t.TempDir(), "is not a file"},
		{"missing", filepath.Join(t.TempDir(), "x.pth"), "no such file"},
		{"large", large, "of at most 256"},
	} {
		_, _, err := ReadUpscaler(t.Context(), row.path)
		wantError(t, row.name, err, row.path, row.want)
	}
}
