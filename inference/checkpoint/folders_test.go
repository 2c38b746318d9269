package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// link makes a symbolic link. It skips the test on Windows, where links need a privilege.
func link(t *testing.T, target, path string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege on Windows")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies a file, makes the folders of to, and returns to.
func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, to, string(data))
	return to
}

// singles writes the small checkpoint as single files and returns their folder.
func singles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "single")
	if err := synthetic.WriteSingleFiles(t.Context(), dir, small()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUIFolders checks that a model is found in the folders of ComfyUI and similar programs, with all spellings of the
// folders, with links, and with lists of further folders.
func TestUIFolders(t *testing.T) {
	single := singles(t)
	put := func(name string, to ...string) { copyFile(t, filepath.Join(single, name), filepath.Join(to...)) }
	for _, row := range []struct {
		name string
		make func(dir string) // of an installation
	}{
		{"links to folders elsewhere", func(dir string) {
			store := t.TempDir()
			put(bf16File, store, "a", bf16File)
			put(textFile, store, "b", textFile)
			put(vaeFile, store, "c", vaeFile)
			link(t, filepath.Join(store, "a"), filepath.Join(dir, "models", "diffusion_models"))
			link(t, filepath.Join(store, "b"), filepath.Join(dir, "models", "text_encoders"))
			link(t, filepath.Join(store, "c"), filepath.Join(dir, "models", "vae"))
		}},
		{"linked folders inside, in loops", func(dir string) {
			store := t.TempDir()
			for _, row := range [][3]string{{"diffusion_models", "a", bf16File}, {"text_encoders", "b", textFile},
				{"vae", "c", vaeFile}} {
				put(row[2], store, row[1], "deep", row[2])
				link(t, filepath.Join(store, row[1]), filepath.Join(dir, "models", row[0], "linked"))
				link(t, filepath.Join(dir, "models", row[0]), filepath.Join(store, row[1], "back"))
				link(t, ".", filepath.Join(store, row[1], "self"))
			}
		}},
		{"models itself a link", func(dir string) {
			store := t.TempDir()
			put(bf16File, store, "unet", bf16File)
			put(textFile, store, "clip", textFile)
			put(vaeFile, store, "vae", vaeFile)
			link(t, store, filepath.Join(dir, "models"))
		}},
		{"links to files", func(dir string) {
			link(t, filepath.Join(single, bf16File), filepath.Join(dir, "models", "diffusion_models", bf16File))
			link(t, filepath.Join(single, textFile), filepath.Join(dir, "models", "text_encoders", textFile))
			link(t, filepath.Join(single, vaeFile), filepath.Join(dir, "models", "vae", vaeFile))
		}},
		{"other cases", func(dir string) {
			put(bf16File, dir, "Models", "Diffusion_Models", "FLUX-2-Klein-4B.SafeTensors")
			put(textFile, dir, "Models", "Text_Encoders", "Qwen_3_4b.safetensors")
			put(vaeFile, dir, "Models", "VAE", "Flux2-VAE.safetensors")
		}},
		{".sft", func(dir string) {
			put(bf16File, dir, "models", "diffusion_models", "klein.sft")
			put(textFile, dir, "models", "text_encoders", "qwen.sft")
			put(vaeFile, dir, "models", "vae", "flux2-vae.sft")
		}},
		{"Forge", func(dir string) {
			put(bf16File, dir, "models", "Stable-diffusion", "Flux", bf16File)
			put(textFile, dir, "models", "text_encoder", textFile)
			put(vaeFile, dir, "models", "VAE", vaeFile)
		}},
		{"SwarmUI", func(dir string) {
			put(bf16File, dir, "Models", "diffusion_models", bf16File)
			put(textFile, dir, "Models", "clip", textFile)
			put(vaeFile, dir, "Models", "VAE", "Flux", vaeFile)
		}},
		{"Stability Matrix", func(dir string) {
			put(bf16File, dir, "Models", "DiffusionModels", bf16File)
			put(textFile, dir, "Models", "TextEncoders", textFile)
			put(vaeFile, dir, "Models", "VAE", vaeFile)
		}},
		{"the family in the folder's name only", func(dir string) {
			put(bf16File, dir, "models", "diffusion_models", "klein-4b", "model.safetensors")
			put(textFile, dir, "models", "text_encoders", "qwen3", "model.safetensors")
			put(vaeFile, dir, "models", "vae", "flux2", "diffusion_pytorch_model.safetensors")
		}},
		{"a text encoder in shards", func(dir string) {
			put(bf16File, dir, "models", "diffusion_models", bf16File)
			put(vaeFile, dir, "models", "vae", vaeFile)
			folder, _ := tiny(t)
			if err := os.CopyFS(filepath.Join(dir, "models", "text_encoders", "Qwen3-4B"),
				os.DirFS(filepath.Join(folder, "text_encoder"))); err != nil {
				t.Fatal(err)
			}
		}},
		{"an all-in-one checkpoint", func(dir string) {
			mustWrite(t, filepath.Join(dir, "models", "checkpoints", "x"), "")
			writeEntries(t, filepath.Join(dir, "models", "checkpoints", "my-klein.safetensors"),
				allInOne(small(), "text_encoders.qwen3_4b.transformer.", "vae."))
		}},
		{"beside files of other families and a link without a target", func(dir string) {
			put(bf16File, dir, "models", "diffusion_models", bf16File)
			put(textFile, dir, "models", "text_encoders", textFile)
			put(vaeFile, dir, "models", "vae", vaeFile)
			put(vaeFile, dir, "models", "diffusion_models", "a-klein-that-is-a-vae.safetensors")
			put(bf16File, dir, "models", "text_encoders", "a-qwen-that-is-a-transformer.safetensors")
			link(t, filepath.Join(dir, "gone"), filepath.Join(dir, "models", "vae", "a-flux2-vae.safetensors"))
			link(t, filepath.Join(dir, "gone"), filepath.Join(dir, "models", "vae", "folder"))
		}},
		{"extra_model_paths.yaml", func(dir string) {
			store := t.TempDir()
			put(bf16File, store, "nets", "second", bf16File)
			put(textFile, store, "encoders", textFile)
			put(vaeFile, store, "other", "vae", vaeFile)
			mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"), "# mine\na111:\n  base_path: "+store+"\n"+
				"  checkpoints: nowhere\n  diffusion_models: |\n    nets/first\n    nets/second\n"+
				"  clip: nowhere\n  clip: encoders/\n  is_default: false\n\n"+
				"comfyui:\n  vae: "+filepath.ToSlash(filepath.Join(store, "other", "vae"))+"\nempty:\n")
		}},
		{"extra_model_paths.yaml, relative and as lists", func(dir string) {
			put(bf16File, dir, "store", "unet", bf16File)
			put(textFile, dir, "store", "te", textFile)
			put(vaeFile, dir, "store", "vae", vaeFile)
			mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"),
				"x:\n  base_path: ./store\n  unet: unet\n  text_encoders:\n    - gone\n    - te\n  vae: [vae]\n")
		}},
		{"the desktop program's file", func(dir string) {
			put(bf16File, dir, "store", "unet", bf16File)
			put(textFile, dir, "store", "te", textFile)
			put(vaeFile, dir, "store", "vae", vaeFile)
			mustWrite(t, filepath.Join(dir, "extra_models_config.yaml"),
				"x:\n  base_path: "+dir+"\n  unet: store/unet\n  text_encoders: store/te\n  vae: store/vae\n")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			base, env := home(t)
			dir := filepath.Join(base, "somewhere")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			row.make(dir)
			env[ComfyUIVariable] = dir
			specs, tried, _ := searchSpecs(t.Context(), func(key string) string { return env[key] })
			if len(specs) != 1 {
				t.Fatalf("found %q, want one model; tried %v", specs, tried)
			}
			for _, spec := range []string{specs[0], dir} {
				c, err := Open(t.Context(), spec)
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

// TestExtraPathsOrder checks that the folders of sections with is_default come before the installation's own folders,
// and those of other sections after them. It also reads files with errors.
func TestExtraPathsOrder(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "models", "unet", "x"), "")
	mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"),
		"a:\n  base_path: /one\n  unet: u\nb:\n  base_path: /two\n  is_default: true\n  unet: u\n")
	found, ok, err := installationAt(dir)
	want := []string{filepath.FromSlash("/two/u"), filepath.Join(dir, "models", "unet"), filepath.FromSlash("/one/u")}
	if runtime.GOOS != "windows" && (!ok || err != nil || !slices.Equal(found.folders[transformer], want)) {
		t.Errorf("%q %v %v, want %q", found.folders[transformer], ok, err, want)
	}
	for _, row := range []struct{ text, want string }{
		{"a:\n\t- b", "yaml: line 2"},
		{"- a", "found no sections"},
	} {
		mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"), row.text)
		_, err := Open(t.Context(), dir)
		wantError(t, row.text, err, dir, row.want)
	}
	for from, to := range map[string]string{bf16File: "unet", textFile: "clip", vaeFile: "vae"} {
		copyFile(t, filepath.Join(singles(t), from), filepath.Join(dir, "models", to, from))
	}
	var tried []Place
	if specs := modelsInInstallation(t.Context(), dir, &tried); len(specs) != 1 || len(tried) != 1 ||
		!strings.Contains(tried[0].Reason, "found no sections") {
		t.Errorf("beside a broken file of paths: %q %v", specs, tried)
	}
	for _, text := range []string{"", "# nothing\n", "a: b\nc: 3\n"} {
		mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"), text)
		if _, _, err := installationAt(dir); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestUnreadableFolder checks that a search skips folders that it cannot read, and returns them with the reason.
func TestUnreadableFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other permissions")
	}
	base, env := home(t)
	dir := comfyModel(t, filepath.Join(base, "elsewhere"))
	env[ComfyUIVariable] = dir
	// Nobody can read a link to itself.
	endless := filepath.Join(dir, "models", "vae", "endless")
	link(t, endless, endless)
	specs, tried, _ := searchSpecs(t.Context(), func(key string) string { return env[key] })
	unreadable := func(p Place) bool { return p.Where == endless && strings.HasPrefix(p.Reason, "cannot be read: ") }
	if len(specs) != 1 || !slices.ContainsFunc(tried, unreadable) {
		t.Errorf("%q %v", specs, tried)
	}
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	locked := filepath.Join(dir, "models", "diffusion_models", "a-locked")
	if err := os.Mkdir(locked, 0); err != nil {
		t.Fatal(err)
	}
	specs, tried, _ = searchSpecs(t.Context(), func(key string) string { return env[key] })
	if len(specs) != 1 || !slices.Contains(tried, Place{locked, "cannot be read: permission denied"}) {
		t.Errorf("%q %v", specs, tried)
	}
}

// TestWhatIsMissing checks the reasons that errors give for a file that does not exist: a link without a target, a
// download that is not complete, or just missing.
func TestWhatIsMissing(t *testing.T) {
	folder, single := tiny(t)
	hub := t.TempDir()
	repository := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-4B")
	snapshot := filepath.Join(repository, "snapshots", "abc")
	if err := os.CopyFS(snapshot, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(repository, "blobs", "x"), "")
	weights := filepath.Join(snapshot, "vae", "diffusion_pytorch_model.safetensors")
	config := filepath.Join(snapshot, "transformer", "config.json")
	shard := filepath.Join(snapshot, "text_encoder", "model-00002-of-00002.safetensors")
	for _, path := range []string{weights, config, shard} {
		kept := path + ".kept"
		if err := os.Rename(path, kept); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), repository)
		if err == nil || strings.Contains(err.Error(), "not complete") || strings.Contains(err.Error(), "link") {
			t.Errorf("%s is missing: %v", path, err)
		}
		mustWrite(t, filepath.Join(repository, "blobs", "y.incomplete"), "")
		if path != shard {
			_, err = Open(t.Context(), repository)
			wantError(t, "a download under way", err, path, "is missing: the download is not complete")
		}
		if err := os.Remove(filepath.Join(repository, "blobs", "y.incomplete")); err != nil {
			t.Fatal(err)
		}
		link(t, "../../../blobs/gone", path)
		_, err = Open(t.Context(), repository)
		wantError(t, "a blob is gone", err, path, "is a link without a target: ../../../blobs/gone does not exist")
		if err != nil && strings.Contains(err.Error(), "not complete") {
			t.Error(err)
		}
		if err := os.Rename(kept, path); err != nil {
			t.Fatal(err)
		}
	}
	// The unfinished file of another download does not make this one unfinished. A file in Hugging Face's .cache does.
	if err := os.Remove(filepath.Join(folder, "vae", "config.json")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(folder, "vae", "film.mp4.part"), "")
	_, err := Open(t.Context(), folder)
	if err == nil || strings.Contains(err.Error(), "not complete") {
		t.Errorf("another download: %v", err)
	}
	mustWrite(t, filepath.Join(folder, ".cache", "huggingface", "download", "vae", "x.incomplete"), "")
	_, err = Open(t.Context(), folder)
	wantError(t, "a download to a folder", err, filepath.Join(folder, "vae", "config.json"),
		"is missing: the download is not complete")
	_, err = Open(t.Context(), filepath.Join(single, "gone.safetensors"))
	wantError(t, "a file", err, "gone.safetensors", "no such file")
	dangling := filepath.Join(single, "dangling.safetensors")
	link(t, filepath.Join(single, "nothing"), dangling)
	_, err = Open(t.Context(), dangling)
	wantError(t, "a link", err, dangling, "is a link without a target")
}

// TestExtraPathsBombs reads hostile files of paths. Each must be an error, or give at most maxExtraPaths paths, in
// bounded time.
func TestExtraPathsBombs(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8), c-1)
	}
	for _, row := range []struct{ name, text string }{
		{"over the limit", "a:\n  unet: " + strings.Repeat("x", maxExtraPathsBytes)},
		{"deeply nested, not closed", "a:\n  unet: " + strings.Repeat("[", 30_000)},
		{"deeply nested", "a:\n  unet: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)},
		{"deeply nested by indentation", func() string {
			var b strings.Builder
			for i := range 300 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}()},
		{"aliases of aliases", laughs + "s:\n  unet: *i\n"},
		{"an alias of itself", "s: &s\n  unet: *s\n"},
		{"many paths", "s:\n  unet: |\n" + strings.Repeat("    x\n", 10_000)},
		{"a long path", "s:\n  base_path: " + strings.Repeat("$HOME", 10_000) + "\n  unet: x\n"},
		{"many keys", "s:\n" + strings.Repeat("  unet: x\n", 6_000)},
	} {
		dir := t.TempDir()
		mustWrite(t, filepath.Join(dir, "extra_model_paths.yaml"), row.text)
		start := time.Now()
		found, _, err := installationAt(dir)
		if n := len(found.folders[transformer]); n > maxExtraPaths {
			t.Errorf("%s: %d paths", row.name, n)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: a message of %d bytes", row.name, len(err.Error()))
		}
		spent := time.Since(start)
		t.Logf("%-22s %v, %d paths, %.80v",
			row.name, spent.Round(time.Millisecond), len(found.folders[transformer]), err)
		if spent > 5*time.Second {
			t.Errorf("%s: %v", row.name, spent)
		}
	}
}
