package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestResolve finds models by the names that lists show, by ids of the hub, and by paths that begin with ~.
func TestResolve(t *testing.T) {
	dir, env := home(t)
	own := model(t, dir, "data", "kleinbild", "models", "mine")
	comfyUI := comfyModel(t, filepath.Join(dir, "ComfyUI"))
	hub := filepath.Join(dir, "hub")
	env["HF_HUB_CACHE"] = "~/hub"
	repository := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-4B")
	snapshot := model(t, repository, "snapshots", "0123")
	fork := model(t, hub, "models--someone--My-Klein-4B", "snapshots", "4567")
	single := singles(t)
	if err := os.Rename(single, filepath.Join(dir, "single")); err != nil {
		t.Fatal(err)
	}
	at := func(names ...string) string { return spec(filepath.Join(dir, "single"), names...) }
	for _, row := range []struct{ name, spec, want string }{
		{"demo", "demo", "demo"},
		{"folder of the app", "mine", own},
		{"name of a snapshot", "FLUX.2-klein-4B", snapshot},
		{"name in another case", "flux.2-KLEIN-4b", snapshot},
		{"name of a fork", "My-Klein-4B", fork},
		{"name of ComfyUI's transformer", "flux-2-klein-4b", comfySpecOf(comfyUI)},
		{"hub id", "black-forest-labs/FLUX.2-klein-4B", snapshot},
		{"hub id of a fork", "someone/My-Klein-4B", fork},
		{"name of the cache's folder", "models--black-forest-labs--FLUX.2-klein-4B", snapshot},
		{"the cache's folder", repository, repository},
		{"home", "~/hub/models--black-forest-labs--FLUX.2-klein-4B", repository},
		{"home in a list", "~/single/" + bf16File + ", ~/single/" + textFile + ",~/single/" + vaeFile,
			at(bf16File, textFile, vaeFile)},
		{"an id in a list", "~/single/" + bf16File + ",black-forest-labs/FLUX.2-klein-4B", at(bf16File) + "," + snapshot},
	} {
		for _, by := range []string{"--model", ModelVariable, "setting"} {
			explicit, setting := "", ""
			delete(env, ModelVariable)
			switch by {
			case "--model":
				explicit = row.spec
			case "setting":
				setting = row.spec
			default:
				env[by] = row.spec
			}
			got, _, err := find(explicit, env, setting)
			if err != nil || got != row.want {
				t.Errorf("%s by %s: %q %v, want %q", row.name, by, got, err, row.want)
				continue
			}
			if c, err := Open(t.Context(), got); err != nil {
				t.Errorf("%s: %v", row.name, err)
			} else {
				c.Close()
			}
		}
	}
	delete(env, ModelVariable)
	broken := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-base-4B", "snapshots", "89")
	mustWrite(t, filepath.Join(broken, "model_index.json"), "")
	for _, name := range []string{"FLUX.2-klein-base-4B", "black-forest-labs/FLUX.2-klein-base-4B"} {
		got, _, err := find(name, env, "")
		if got != broken || err != nil {
			t.Errorf("%s, which does not open: %q %v, want %q", name, got, err, broken)
		}
	}
	if runtime.GOOS != "windows" {
		dangling := filepath.Join(dir, "dangling.safetensors")
		link(t, filepath.Join(dir, "nothing"), dangling)
		for _, spec := range []string{dangling, at(bf16File) + "," + dangling} {
			_, _, err := find(spec, env, "")
			wantError(t, "a link in "+spec, err, dangling, "is a link without a target")
		}
	}
	for _, name := range []string{"nothing", "black-forest-labs/FLUX.2-klein-9B", "../mine", "..", "models--a--b"} {
		want := "model: " + name + ": does not exist, neither as a file or folder nor as a model on this machine"
		got, _, err := find(name, env, "")
		if err == nil && name != ".." || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	advice := "is not on this machine; get it with: kleinbild models get flux2-klein-9b"
	if _, _, err := find("flux2-klein-9b", env, ""); err == nil || !strings.HasSuffix(err.Error(), advice) {
		t.Errorf("a model to download: %v", err)
	}
	// Find finds every model of Search by its name.
	specs, _, err := searchSpecs(t.Context(), func(key string) string { return env[key] })
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		if got, _, err := find(nameOf(spec), env, ""); err != nil || got != spec {
			t.Errorf("%s: %q %v, want %q", nameOf(spec), got, err, spec)
		}
	}
}

// TestSnapshots finds the complete snapshot in a Hugging Face cache: without refs/main, with one that names a snapshot
// that does not exist, and with one that names it.
func TestSnapshots(t *testing.T) {
	dir, env := home(t)
	repository := filepath.Join(dir, ".cache", "huggingface", "hub", "models--black-forest-labs--FLUX.2-klein-4B")
	mustWrite(t, filepath.Join(repository, "snapshots", "aaa", "vae", "config.json"), "{}")
	good := model(t, repository, "snapshots", "bbb")
	expect := func(name string) {
		t.Helper()
		if got, _, err := find("", env, ""); err != nil || got != good {
			t.Errorf("%s: %q %v, want %q", name, got, err, good)
		}
		c := mustOpen(t, repository)
		if c.Name != "FLUX.2-klein-4B" {
			t.Errorf("%s: name %q", name, c.Name)
		}
	}
	expect("no refs/main")
	mustWrite(t, filepath.Join(repository, "refs", "main"), "ccc")
	expect("refs/main of a snapshot that does not exist")
	mustWrite(t, filepath.Join(repository, "refs", "main"), "bbb\n")
	expect("refs/main")
}

// TestListItems opens specs whose items are folders and shards.
func TestListItems(t *testing.T) {
	folder, single := tiny(t)
	in := func(name string) string { return filepath.Join(folder, filepath.FromSlash(name)) }
	one, two := in("text_encoder/model-00001-of-00002.safetensors"), in("text_encoder/model-00002-of-00002.safetensors")
	want := mustOpen(t, folder)
	for _, row := range []struct{ name, spec, tokenizer string }{
		{"the first shard", spec(single, bf16File, vaeFile) + "," + one, ""},
		{"another shard", spec(single, bf16File, vaeFile) + "," + two, ""},
		{"both shards", spec(single, bf16File, vaeFile) + "," + two + "," + one, ""},
		{"a shard and its index",
			spec(single, bf16File, vaeFile) + "," + one + "," + in("text_encoder/model.safetensors.index.json"), ""},
		{"the folder of the shards", spec(single, bf16File, vaeFile) + "," + in("text_encoder"), ""},
		{"folders of all", in("transformer") + "," + in("vae") + "," + in("text_encoder") + "," + in("tokenizer"),
			in("tokenizer")},
		{"a whole model for what is not given", spec(single, bf16File) + "," + folder, in("tokenizer")},
	} {
		c, err := Open(t.Context(), row.spec)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if c.Tokenizer != row.tokenizer {
			t.Errorf("%s: tokenizer %q, want %q", row.name, c.Tokenizer, row.tokenizer)
		}
		compareSources(t, c.Transformer.Source, want.Transformer.Source)
		compareSources(t, c.VAE.Source, want.VAE.Source)
		compareSources(t, c.TextEncoder.Source, want.TextEncoder.Source)
		c.Close()
	}
	empty := t.TempDir()
	_, err := Open(t.Context(), spec(single, bf16File)+","+empty)
	wantError(t, "an empty folder", err, empty, "is a folder without .safetensors or .gguf files")
	_, err = Open(t.Context(), folder+","+folder+"/")
	wantError(t, "two models", err, folder, "is a second model beside")
	if err := errors.Join(os.Remove(in("text_encoder/model.safetensors.index.json"))); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), spec(single, bf16File, vaeFile)+","+one)
	wantError(t, "a shard without its index", err, one,
		"is one of 00002 files; "+in("text_encoder/model.safetensors.index.json")+", which lists them, is missing")
}
