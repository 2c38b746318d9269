//go:build unix

package inference

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestModelFileCutShort truncates a file of the model while a picture is being made. The run must fail with an error
// that names the file, whichever goroutine reads the missing page first, and other engines must go on.
func TestModelFileCutShort(t *testing.T) {
	other := openEngine(t, tinyModel(t, "base"), DeviceCPU, Float32)
	for _, row := range []struct {
		name, file string
		device     Device
		precision  Precision
		from       Stage // the file is truncated when this stage begins
	}{
		{"text encoder, float32", "text_encoder/model-00002-of-00002.safetensors", DeviceCPU, Float32, StagePrompt},
		{"text encoder, bfloat16", "text_encoder/model-00001-of-00002.safetensors", DeviceCPU, BF16, StagePrompt},
		{"transformer", "transformer/diffusion_pytorch_model.safetensors", DeviceCPU, Float32, StagePrompt},
		{"VAE", "vae/diffusion_pytorch_model.safetensors", DeviceCPU, Float32, StageSteps},
		{"graphics card", "text_encoder/model-00001-of-00002.safetensors", DeviceSim, BF16, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := changedModel(t, "distilled", func(string) {})
			path := filepath.Join(dir, filepath.FromSlash(row.file))
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			e := openEngine(t, dir, row.device, row.precision)
			defer e.Close()
			cut := func() {
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
			}
			if row.from == "" {
				// The software device is slow, so that its upload meets the truncation itself, after the check before the run.
				err = e.ckpt.Guard(func() error {
					cut()
					e.b.Begin(t.Context())
					dst := e.b.Keep(e.info.MaxSequenceLength, e.encoder.Config().EmbedDim(), e.b.Activation())
					enc, err := e.tokens.Prompt("a fox", e.info.MaxSequenceLength)
					if err != nil {
						return err
					}
					return e.encoder.Encode(t.Context(), dst, enc.IDs, enc.Count, func(int, int) {})
				})
			} else {
				done := false
				_, err = e.Generate(t.Context(), resolve(t, e, quick("a fox")), func(p Progress) {
					if p.Stage == row.from && !done {
						done = true
						cut()
					}
				})
			}
			var unreadable *UnreadableError
			if !errors.As(err, &unreadable) || unreadable.Path != path ||
				!strings.Contains(err.Error(), "was changed or its disk was removed") {
				t.Fatalf("%v, want an UnreadableError of %s", err, path)
			}
			if len(e.prompts.entries)+len(e.references.entries) > 0 {
				t.Error("results of the broken run stay in the caches")
			}
			if _, err := e.Generate(t.Context(), resolve(t, e, quick("a fox")), nil); !errors.As(err, &unreadable) {
				t.Errorf("the next run: %v, want an UnreadableError", err)
			}
			generate(t, other, quick("a fox"))
			if row.device == DeviceSim {
				return
			}
			if err := os.WriteFile(path, whole, 0o666); err != nil {
				t.Fatal(err)
			}
			again := openEngine(t, dir, row.device, row.precision)
			defer again.Close()
			generate(t, again, quick("a fox"))
		})
	}
}

// TestModelFileWrittenTo copies another model of the same size over the open one. The engine must not mix them.
func TestModelFileWrittenTo(t *testing.T) {
	dir := changedModel(t, "distilled", func(string) {})
	path := filepath.Join(dir, "vae", "diffusion_pytorch_model.safetensors")
	e := openEngine(t, dir, DeviceCPU, Float32)
	defer e.Close()
	generate(t, e, quick("a fox"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A new file under the same name is another file. The old one is still mapped.
	if err := errors.Join(os.WriteFile(path+".new", text, 0o666), os.Rename(path, path+".old"),
		os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	generate(t, e, quick("a fox"))
	// A changed modification time does not make it another file either.
	later := time.Now().Add(time.Hour)
	if err := errors.Join(os.Rename(path+".old", path), os.Chtimes(path, later, later)); err != nil {
		t.Fatal(err)
	}
	generate(t, e, quick("a fox"))
	for i := len(text) / 2; i < len(text); i++ {
		text[i] ^= 1
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	var unreadable *UnreadableError
	if _, err := e.Generate(t.Context(), resolve(t, e, quick("a fox")), nil); !errors.As(err, &unreadable) ||
		unreadable.Path != path {
		t.Errorf("%v, want an UnreadableError of %s", err, path)
	}
}
