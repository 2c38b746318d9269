package synthetic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/goldentest"
)

// goldenDigests are the SHA-256 of the files with which the reference's outputs were made. Equal digests mean equal
// names, order, shapes, values, shards and fp8 scales.
var goldenDigests = map[string]map[string]string{
	"distilled": {
		"text_encoder/model-00001-of-00002.safetensors":   "fbd20fc1b31dacd4a7a0c09bf54cae784e72406ab5551aee6f5520492b3b8284",
		"text_encoder/model-00002-of-00002.safetensors":   "5b8a5ecf1a15b0bd3cc58d2bf27b6d8486fced0d8975d6e15b0ca423714b9f92",
		"tokenizer/chat_template.jinja":                   "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",
		"tokenizer/merges.txt":                            "f27f814c7a058e02c59424d78e04e553e998b15bb38480769464573b1d9ae76a",
		"tokenizer/tokenizer.json":                        "c4c11e2bfec587e48db207b262e36dcec940a2a1ffc4569a5619bb8f4cdf2cfe",
		"tokenizer/tokenizer_config.json":                 "ba3bb43523c45b42863d1e191111cb49a7a0bf977b2e053aceb9a33409f82033",
		"tokenizer/vocab.json":                            "6d13c5d86b89a94fc9bf4b2c71c269acf88895d9d67af5b1f966e6bd765dc85c",
		"transformer/diffusion_pytorch_model.safetensors": "c2e72aba1f46cf28898cb46dc9de62584660a0abd021ad5d34c351ef113d1d36",
		"vae/diffusion_pytorch_model.safetensors":         "0a9d6d35e7d667d5eff04cb4c31ec94a5d27266cb5cd0ead24a6236e97709e13",
	},
	"base": {
		"text_encoder/model-00001-of-00002.safetensors":                  "c7a6b364361c962917af0acae67003f2ce4d669ab83505dadb3153c58260af34",
		"text_encoder/model-00002-of-00002.safetensors":                  "753d5474a15055259f0d30eb7bcb146c077ce435c86e4ee03e18d82418e8c869",
		"tokenizer/chat_template.jinja":                                  "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",
		"tokenizer/merges.txt":                                           "f0adb09a72821ad01cb99aaed35a0091ec9096ddea8ce9addb7963843eb1f02d",
		"tokenizer/tokenizer.json":                                       "537eb44896f39d65e0441f305a0b4f67771d9d59c68db13e56012af79f821646",
		"tokenizer/tokenizer_config.json":                                "56eb09659bef53d1e6ce76f044f8ba880a3378273a0af9e1152c87a2aaa20593",
		"tokenizer/vocab.json":                                           "3d4f83b73767754ea8bd37d1a1ccff5054026ce6b639aef27cf2146d3d94c535",
		"transformer/diffusion_pytorch_model-00001-of-00002.safetensors": "1c5900375c47fa80b10e9a9ee6337da3e134bdc703f7384ec3c074d850da0304",
		"transformer/diffusion_pytorch_model-00002-of-00002.safetensors": "06181227454c655d387689ed806091f7acac416a1fbede48f5a2786776f2d58c",
		"vae/diffusion_pytorch_model.safetensors":                        "12de27aaf0ba60317c49894c4f6f38c211d528108e62c74514a662ee4b177966",
	},
	"single": {
		"flux-2-klein-4b-fp8.safetensors": "fc503e8ce5180e4f2701685e1cfc725f97aed7b837e673facca9f0b4892a4945",
		"flux-2-klein-4b.safetensors":     "990845962691af83eae2fa3fdee6b0108bb958b2cd2d4d73267d34864b6e21c6",
		"flux2-vae.safetensors":           "6d98605e76200dc80660f904a41bf52fe7356b38b74a590b772aa3a46e4db48f",
		"qwen_3_4b.safetensors":           "d452e74d85be8d69158b6e1e211138a40f41f81f14d71ad3851864c215492fba",
	},
}

func TestTinyEqualsReference(t *testing.T) {
	for _, row := range []struct {
		name  string // of the folder, as in the goldens
		write func(dir string) error
	}{
		{"distilled", func(dir string) error { return WriteTiny(dir, TinyDistilled()) }},
		{"base", func(dir string) error { return WriteTiny(dir, TinyBase()) }},
		{"single", func(dir string) error { return WriteSingleFiles(t.Context(), dir, TinyDistilled()) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), row.name)
			if err := row.write(dir); err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") && !strings.Contains(path, "tokenizer") {
					return err
				}
				text, err := os.ReadFile(path)
				sum := sha256.Sum256(text)
				name, _ := filepath.Rel(dir, path)
				found[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := goldenDigests[row.name]; !reflect.DeepEqual(found, want) {
				text, _ := json.MarshalIndent(found, "", "  ")
				t.Errorf("digests differ from the reference's; found\n%s", text)
			}
		})
	}
}

// TestFull4BSizes compares the sizes of Full4B's files with those of the published files.
func TestFull4BSizes(t *testing.T) {
	want := []struct {
		path string
		size float64 // GB
	}{
		{"transformer/diffusion_pytorch_model.safetensors", 7.75},
		{"vae/diffusion_pytorch_model.safetensors", 0.168},
		{"text_encoder/model-00001-of-00002.safetensors", 4.97},
		{"text_encoder/model-00002-of-00002.safetensors", 3.08},
	}
	files := Full4B().files()
	if len(files) != len(want) {
		t.Fatalf("%d files, want %d", len(files), len(want))
	}
	for i, w := range want {
		got := float64(files[i].sizeBytes()) / 1e9
		// Published sizes are rounded to three digits.
		if files[i].path != w.path || got < w.size*0.998 || got > w.size*1.002 {
			t.Errorf("%s: %.4f GB, want %s: %.3f GB", files[i].path, got, w.path, w.size)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Run("an existing folder", func(t *testing.T) {
		dir := t.TempDir()
		if err := WriteTiny(dir, TinyBase()); err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Error(err)
		}
	})
	t.Run("more than the disk holds", func(t *testing.T) {
		s := TinyBase()
		s.TextEncoder.VocabSize = 1 << 50
		parent := t.TempDir()
		err := WriteTiny(filepath.Join(parent, "m"), s)
		if err == nil || !strings.Contains(err.Error(), "GB free, want") {
			t.Error(err)
		}
		wantEmpty(t, parent)
	})
	t.Run("when cancelled, leaving nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		parent := t.TempDir()
		err := Write(ctx, filepath.Join(parent, "m"), TinyBase(), Options{Progress: func(written, total int64) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		wantEmpty(t, parent)
	})
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("the folder holds %v (%v), want nothing", list, err)
	}
}

func TestProgressEndsAtTotal(t *testing.T) {
	var last, total int64
	dir := filepath.Join(t.TempDir(), "m")
	err := Write(t.Context(), dir, TinyBase(), Options{Progress: func(w, n int64) {
		if w <= last || w > n {
			t.Errorf("progress went from %d to %d of %d", last, w, n)
		}
		last, total = w, n
	}})
	if err != nil || total == 0 || last != total {
		t.Errorf("progress ended at %d of %d: %v", last, total, err)
	}
}

// TestConfigsAgreeWithReference checks that every value of the configs is the same in the reference's configs, which
// have more keys.
func TestConfigsAgreeWithReference(t *testing.T) {
	base := goldentest.Find(goldentest.Folders(), "models", "base")
	if base == "" {
		t.Skip("no folder of goldens has these checkpoints")
	}
	for name, s := range map[string]Spec{"distilled": TinyDistilled(), "base": TinyBase()} {
		dir := filepath.Join(t.TempDir(), name)
		if err := WriteTiny(dir, s); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{
			"model_index.json", "scheduler/scheduler_config.json", "transformer/config.json", "vae/config.json",
			"text_encoder/config.json",
		} {
			got, want := readObject(t, filepath.Join(dir, file)), readObject(t, filepath.Join(filepath.Dir(base), name, file))
			for key, value := range got {
				// The reference's config says float32, in which it computed, though its files hold bfloat16.
				if key != "dtype" && !reflect.DeepEqual(value, want[key]) {
					t.Errorf("%s/%s: %s: %v, want %v", name, file, key, value, want[key])
				}
			}
		}
	}
}

func readObject(t *testing.T, path string) (object map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}
