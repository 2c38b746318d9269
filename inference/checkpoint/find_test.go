package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// home gives the test an empty home folder, and returns it with an empty environment.
func home(t *testing.T) (dir string, env map[string]string) {
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	t.Setenv("LOCALAPPDATA", filepath.Join(dir, "data"))
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	return dir, map[string]string{}
}

func find(explicit string, env map[string]string, setting string) (string, []Place, error) {
	c, err := Find(context.Background(), explicit, func(key string) string { return env[key] }, setting)
	var none *NotFoundError
	if errors.As(err, &none) {
		c.Tried = none.Tried
	}
	return c.Spec, c.Tried, err
}

// searchSpecs is Search without the reasons.
func searchSpecs(ctx context.Context, env func(string) string) (specs []string, tried []Place, err error) {
	found, tried, err := Search(ctx, env)
	for _, f := range found {
		specs = append(specs, f.Spec)
	}
	return specs, tried, err
}

// model writes a complete checkpoint to the joined path and returns the path.
func model(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := synthetic.WriteTiny(dir, small()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindOrder(t *testing.T) {
	dir, env := home(t)
	commit := filepath.Base(hubSnapshot)
	hubModel := func(hub ...string) string {
		repository := filepath.Join(append(hub, "models--black-forest-labs--FLUX.2-klein-4B")...)
		mustWrite(t, filepath.Join(repository, "refs", "main"), commit)
		return model(t, repository, "snapshots", commit)
	}
	expect := func(name, explicit, setting, want string) {
		t.Helper()
		if got, _, err := find(explicit, env, setting); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	// Models are added from the last place to the first. Each must be found before those that were added earlier.
	comfyUI := comfyModel(t, filepath.Join(dir, "ComfyUI"))
	expect("ComfyUI", "", "", comfySpecOf(comfyUI))
	env[ComfyUIVariable] = comfyModel(t, filepath.Join(dir, "elsewhere"))
	expect("$COMFYUI_PATH", "", "", comfySpecOf(env[ComfyUIVariable]))
	inHome := hubModel(dir, ".cache", "huggingface", "hub")
	expect("cache in the home folder", "", "", inHome)
	if name := folderName(inHome); name != "FLUX.2-klein-4B" {
		t.Errorf("folderName gives %q", name)
	}
	env["HF_HOME"] = filepath.Join(dir, "hf")
	inHFHome := hubModel(dir, "hf", "hub")
	expect("$HF_HOME", "", "", inHFHome)
	env["HF_HUB_CACHE"] = filepath.Join(dir, "hub")
	expect("$HF_HUB_CACHE", "", "", hubModel(dir, "hub"))
	other := model(t, dir, "data", "kleinbild", "models", "another")
	expect("data folder", "", "", other)
	expect("data folder, the default name first", "", "", model(t, dir, "data", "kleinbild", "models", DefaultName))
	expect("setting", "", other, other)
	env[ModelVariable] = inHome
	expect("environment", "", other, inHome)
	expect("explicit", inHFHome, other, inHFHome)
	get := func(key string) string { return env[key] }
	all, _, err := searchSpecs(t.Context(), get)
	want := []string{
		filepath.Join(dir, "data", "kleinbild", "models", DefaultName), other, filepath.Join(dir, "hub", hubSnapshot),
		inHFHome, inHome,
		comfySpecOf(env[ComfyUIVariable]), comfySpecOf(comfyUI),
	}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("Search gives %q, want %q", all, want)
	}
}

// hubSnapshot is the path of a snapshot in a Hugging Face cache.
var hubSnapshot = filepath.Join("models--black-forest-labs--FLUX.2-klein-4B", "snapshots", "0123456789abcdef")

// comfySpecOf returns the spec of comfyModel's model in dir.
func comfySpecOf(dir string) string {
	models := filepath.Join(dir, "models")
	return strings.Join([]string{
		filepath.Join(models, "diffusion_models", "flux2", "flux-2-klein-4b.safetensors"),
		filepath.Join(models, "text_encoders", "qwen_3_4b.safetensors"),
		filepath.Join(models, "vae", "flux2-vae.safetensors"),
	}, ",")
}

// comfyModel writes a ComfyUI folder with a model and with files that are no model, and returns dir.
func comfyModel(t *testing.T, dir string) string {
	t.Helper()
	single := filepath.Join(t.TempDir(), "single")
	if err := synthetic.WriteSingleFiles(context.Background(), single, small()); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"flux-2-klein-4b.safetensors": "diffusion_models/flux2/flux-2-klein-4b.safetensors",
		"qwen_3_4b.safetensors":       "text_encoders/qwen_3_4b.safetensors",
		"flux2-vae.safetensors":       "vae/flux2-vae.safetensors",
	} {
		data, err := os.ReadFile(filepath.Join(single, from))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dir, "models", filepath.FromSlash(to)), string(data))
	}
	mustWrite(t, filepath.Join(dir, "models", "diffusion_models", "another.safetensors"), "not opened")
	mustWrite(t, filepath.Join(dir, "models", "vae", "ae-flux2-broken.safetensors"), "no safetensors file")
	return dir
}

func TestComfyUI(t *testing.T) {
	dir := comfyModel(t, t.TempDir())
	for _, spec := range []string{dir, filepath.Join(dir, "models")} {
		c, err := Open(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != "flux-2-klein-4b" || c.Layout != SingleFiles || c.Hint == nil || c.Hint.Base {
			t.Errorf("%s: %+v", spec, c)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	// A base model comes after the distilled one.
	base := filepath.Join(dir, "models", "unet", "a-klein-base.safetensors")
	data, err := os.ReadFile(filepath.Join(dir, "models", "diffusion_models", "flux2", "flux-2-klein-4b.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, base, string(data))
	specs := modelsInInstallation(t.Context(), filepath.Join(dir, "models"), &[]Place{})
	if err != nil || len(specs) != 2 || specs[0].Spec != comfySpecOf(dir) || !strings.HasPrefix(specs[1].Spec, base+",") {
		t.Errorf("%q %v", specs, err)
	}
	// A text encoder of another width does not fit the transformer.
	wide := small()
	wide.TextEncoder.HiddenSize *= 2
	other := filepath.Join(t.TempDir(), "wide")
	if err := synthetic.WriteSingleFiles(context.Background(), other, wide); err != nil {
		t.Fatal(err)
	}
	encoder := filepath.Join(dir, "models", "text_encoders", "qwen_3_4b.safetensors")
	if data, err = os.ReadFile(filepath.Join(other, "qwen_3_4b.safetensors")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, encoder, string(data))
	if c, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("%v %v", c, err)
	}
	if err := os.Remove(encoder); err != nil {
		t.Fatal(err)
	}
	missing := "no text encoder in text_encoders or clip; qwen_3_4b.safetensors (bf16) for 4B"
	if c, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("%v %v", c, err)
	}
}

func TestFindNamesWhatDoesNotExist(t *testing.T) {
	dir, env := home(t)
	model(t, dir, "data", "kleinbild", "models", DefaultName) // must not be found instead
	gone := filepath.Join(dir, "gone")
	there := filepath.Join(dir, "there.safetensors")
	mustWrite(t, there, "")
	for _, row := range []struct {
		name, explicit, variable, setting, want string
	}{
		{"explicit", gone, "", "", "model: " + gone + ": does not exist"},
		{"explicit list", there + "," + gone, "", "", "model: " + gone + ": does not exist"},
		{"environment", "", gone, dir, "$KLEINBILD_MODEL: " + gone + ": does not exist"},
		{"setting", "", "", gone, "model in the settings: " + gone + ": does not exist"},
	} {
		env[ModelVariable] = row.variable
		if _, _, err := find(row.explicit, env, row.setting); err == nil || err.Error() != row.want {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

func TestFindSkipsIncomplete(t *testing.T) {
	dir, env := home(t)
	models := filepath.Join(dir, "data", "kleinbild", "models")
	broken := model(t, models, "broken")
	shard := filepath.Join(broken, "text_encoder", "model-00002-of-00002.safetensors")
	if err := os.Truncate(shard, 100_000); err != nil {
		t.Fatal(err)
	}
	hub := filepath.Join(dir, ".cache", "huggingface", "hub")
	noRefs := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-4B")
	mustWrite(t, filepath.Join(noRefs, "blobs", "x.incomplete"), "")
	half := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-base-4B")
	mustWrite(t, filepath.Join(half, "refs", "main"), "abc\n")
	mustWrite(t, filepath.Join(half, "snapshots", "abc", "vae", "config.json"), "{}")

	_, tried, err := find("", env, "")
	var notFound *NotFoundError
	if !errors.As(err, &notFound) {
		t.Fatalf("%v, want a NotFoundError", err)
	}
	want := []Place{
		{broken, shard + ": 100000 bytes, want "},
		{noRefs, "holds no snapshot of a model: the download is not complete"},
		{filepath.Join(half, "snapshots", "abc"), "model_index.json: is missing"},
	}
	if len(tried) != len(want) {
		t.Fatalf("tried %v, want %v", tried, want)
	}
	for i, w := range want {
		if tried[i].Where != w.Where || !strings.Contains(tried[i].Reason, w.Reason) {
			t.Errorf("tried %v, want %v", tried[i], w)
		}
		if !strings.Contains(err.Error(), w.Where) {
			t.Errorf("the error does not name %s", w.Where)
		}
	}
	const command = "kleinbild models get flux2-klein-4b"
	if notFound.Command != command || !strings.HasSuffix(err.Error(), command) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q\ndoes not end in one line with\n%q", err, command)
	}
	good := model(t, models, "good")
	if got, tried, err := find("", env, ""); got != good || len(tried) != 1 || err != nil {
		t.Errorf("%q %v %v, want %q after one place", got, tried, err, good)
	}
}

func TestFindNothing(t *testing.T) {
	dir, env := home(t)
	_, tried, err := find("", env, "")
	if err == nil || len(tried) != 2 || tried[0].Reason != "does not exist" ||
		tried[1].Where != filepath.Join(dir, ".cache", "huggingface", "hub") {
		t.Errorf("%v %v", tried, err)
	}
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
