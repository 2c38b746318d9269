package cli

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

const upscaler = "../inference/testdata/golden/upscale/compact-x2.pth"

// upscaleArgs are the arguments of an exact enlargement.
func upscaleArgs(more ...string) []string {
	return append([]string{"upscale", "-m", upscaler, "--device", "cpu", "--precision", "float32"}, more...)
}

func pictureFile(t *testing.T, dir, name string, width, height int) string {
	t.Helper()
	path := filepath.Join(dir, name)
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = uint8(i*3) | 0x80
	}
	meta := picture.Metadata{Prompt: "a fox", Seed: 3, Width: width, Height: height}
	if _, err := picture.Write(path, img, meta, picture.Refuse); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpscale(t *testing.T) {
	dir := t.TempDir()
	a, b := pictureFile(t, dir, "a.png", 20, 10), pictureFile(t, dir, "b.jpg", 1, 1)
	out := filepath.Join(dir, "out.png")
	got := mustMake(t, upscaleArgs("-o", out, "--scale", "3", a)...)
	size := func(path string) picture.Size {
		t.Helper()
		o, err := picture.OpenAnySize(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return o.Size
	}
	if strings.TrimSpace(got.out) != out || size(out) != (picture.Size{Width: 60, Height: 30}) ||
		!strings.Contains(got.err, "20x10 to 60x30") || !strings.Contains(got.err, "SRVGGNetCompact") {
		t.Errorf("%+v", got)
	}
	if info := mustMake(t, "info", out).out; !strings.Contains(info, "a fox") ||
		!strings.Contains(info, "to 60x30 by compact-x2 (SHA-256 ") {
		t.Errorf("info: %s", info)
	}

	// Several pictures into a folder, one of which is none: the others are enlarged.
	folder := filepath.Join(dir, "large")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "c.png")
	if err := os.WriteFile(broken, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	got = call("", upscaleArgs("--json", "-o", folder, a, broken, b)...)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != exitFailure || len(lines) != 2 || !strings.Contains(got.err, "c.png: ") ||
		!strings.Contains(got.err, "1 of 3 pictures could not be enlarged") {
		t.Fatalf("%+v", got)
	}
	for i, want := range []string{"a-2x.png", "b-2x.png"} {
		var r upscaleReport
		if err := json.Unmarshal([]byte(lines[i]), &r); err != nil || r.Path != filepath.Join(folder, want) ||
			size(r.Path) != (picture.Size{Width: r.Width, Height: r.Height}) || r.Upscaler != "compact-x2" {
			t.Errorf("%s: %v", lines[i], err)
		}
	}
	if got := mustMake(t, upscaleArgs("-o", folder, a)...); !strings.HasSuffix(strings.TrimSpace(got.out), "a-2x-2.png") {
		t.Errorf("again: %q, want a number", got.out)
	}
}

func TestUpscaleRefuses(t *testing.T) {
	dir := t.TempDir()
	a := pictureFile(t, dir, "a.png", 20, 10)
	before := readFile(t, a)
	long := pictureFile(t, dir, "long.png", 60_000, 1)
	glass := filepath.Join(dir, "glass.png")
	empty := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	if _, err := picture.Write(glass, empty, picture.Metadata{}, picture.Refuse); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("COMFYUI_PATH", dir)
	t.Setenv("HOME", dir)
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{upscaleArgs("--scale", "5", a), exitUsage, "--scale 5, want 2, 3 or 4"},
		{upscaleArgs("--precision", "int8", a), exitUsage, `--precision must be one of "auto","float32","bf16"`},
		{upscaleArgs("--device", "tpu", a), exitUsage, `device "tpu"`},
		{upscaleArgs("-o", a, a), exitUsage, "is also the picture to enlarge"},
		{upscaleArgs("-o", filepath.Join(dir, "x.png"), a, a), exitUsage, "with 2 pictures, want a folder"},
		{upscaleArgs("-o", filepath.Join(dir, "none")+"/", a), exitUsage, "want a folder that exists"},
		{upscaleArgs("-o", filepath.Join(dir, "x.gif"), a), exitFailure, "extension .gif"},
		{upscaleArgs(), exitUsage, "expected"},
		{upscaleArgs("-s", "3", a), exitUsage, "--seed without --refine"},
		{upscaleArgs("-p", "", a), exitUsage, "--prompt without --refine"},
		{upscaleArgs("--refine", "--strength", "2", a), exitUsage, "--strength: found 2, want a number above 0"},
		{upscaleArgs("--refine", "--steps", "x", a), exitUsage, `--steps: found "x"`},
		{upscaleArgs("--refine", "--seed", "x", a), exitUsage, `--seed: found "x"`},
		{upscaleArgs("--refine", "--refine-model", filepath.Join(dir, "none"), a), exitFailure, "none: does not exist"},
		{upscaleArgs("--refine", a), exitFailure, "40x20 pixels, want at least 64 a side"},
		{upscaleArgs("--refine", glass), exitFailure, "transparent parts"},
		{upscaleArgs(filepath.Join(dir, "none.png")), exitFailure, "is not there"},
		{upscaleArgs("-o", filepath.Join(dir, "x.webp"), long), exitFailure, "want at most 16384 a side"},
		{[]string{"upscale", a}, exitFailure, "kleinbild models get realesr-general-x4v3"},
		{[]string{"upscale", "-m", "none", a}, exitUsage, `no upscaler "none"`},
		{[]string{"upscale", "-m", a, a}, exitFailure, "a.png"},
	} {
		got := call("", row.args...)
		last := strings.Split(strings.TrimSpace(got.err), "\n")
		if got.code != row.code || !strings.Contains(last[len(last)-1], row.want) || got.out != "" {
			t.Errorf("%q: %+v, want code %d and %s", row.args, got, row.code, row.want)
		}
	}
	if string(readFile(t, a)) != string(before) {
		t.Error("the picture was changed")
	}
}

// TestUpscaleRefines has the demo model work enlarged pictures over: the same arguments give the same file, another
// seed another one, and both say how the picture was made and what was done to it.
func TestUpscaleRefines(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("COMFYUI_PATH", dir)
	t.Setenv("HOME", dir)
	from := filepath.Join(dir, "a.png")
	img := image.NewRGBA(image.Rect(0, 0, 48, 40))
	for i := range img.Pix {
		img.Pix[i] = uint8(i/4*5) | uint8(i%4/3*255)
	}
	meta := picture.Metadata{Prompt: "a fox", Seed: 3, Width: 48, Height: 40}
	if _, err := picture.Write(from, img, meta, picture.Refuse); err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(strings.TrimSpace(mustMake(t, upscaleArgs("-o", dir, from)...).out))
	if err != nil {
		t.Fatal(err)
	}
	refine := func(seed string) ([]byte, string) {
		t.Helper()
		got := mustMake(t, upscaleArgs("--refine", "-p", "finer", "--strength", "0.5", "--steps", "2", "-s", seed, "-o", dir,
			from)...)
		if !strings.Contains(got.err, "tile 1/") {
			t.Errorf("says %q", got.err)
		}
		path := strings.TrimSpace(got.out)
		return readFile(t, path), path
	}
	first, path := refine("7")
	again, _ := refine("7")
	other, _ := refine("8")
	if string(first) != string(again) || string(first) == string(other) || string(first) == string(plain) {
		t.Error("the seed does not decide, or the model did nothing")
	}
	o, err := picture.OpenAnySize(t.Context(), path)
	if err != nil || o.Size != (picture.Size{Width: 96, Height: 80}) {
		t.Fatal(o, err)
	}
	got, err := picture.ReadMetadataFile(path)
	if err != nil || got.Prompt != "a fox" || got.Seed != 3 || got.Version != Version || got.Upscale == nil ||
		got.Upscale.Refine == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := got.Upscale.Refine; r.Prompt != "finer" || r.Strength != 0.5 || r.Steps != 2 || r.Seed != 7 || r.Model == "" {
		t.Errorf("%+v", r)
	}
	if info := mustMake(t, "info", path).out; !strings.Contains(info, "strength 0.5, 2 steps, seed 7: finer") {
		t.Errorf("info: %s", info)
	}
}
