//go:build unix

package checkpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// within runs f and fails the test if f takes longer than limit.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
	case <-time.After(limit):
		t.Fatalf("%s: not done after %v", what, limit)
	}
}

// pipe makes a named pipe at the joined path.
func pipe(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestPipesAndDevices puts named pipes and devices in the place of everything that a search opens: files, folders and
// lists of folders. Without checks a search waits for ever at a pipe, and reads a device without end.
func TestPipesAndDevices(t *testing.T) {
	home, env := home(t)
	models := filepath.Join(home, "data", "kleinbild", "models")
	good := model(t, models, "good")
	pipe(t, models, "a", "model.safetensors")
	link(t, "/dev/zero", filepath.Join(models, "b", "model.safetensors"))
	pipe(t, models, "c", "model_index.json")
	link(t, "/dev/zero", filepath.Join(models, "d", "model_index.json"))
	pipe(t, models, "e", "vae") // with unet beside it an installation
	mustWrite(t, filepath.Join(models, "e", "unet", "x"), "")
	pipe(t, models, "f.safetensors")
	broken := filepath.Join(models, "g")
	if err := os.CopyFS(broken, os.DirFS(good)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"transformer/config.json", "text_encoder/model.safetensors.index.json"} {
		path := filepath.Join(broken, filepath.FromSlash(name))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pipe(t, path)
	}
	repository := filepath.Join(home, ".cache", "huggingface", "hub", "models--x--FLUX.2-klein")
	pipe(t, repository, "refs", "main")
	pipe(t, repository, "snapshots", "abc")
	for i, name := range []string{"diffusion_models", "text_encoders", "vae"} {
		dir := filepath.Join(home, fmt.Sprintf("ui%d", i))
		pipe(t, dir, "models", name)
		pipe(t, dir, "extra_model_paths.yaml")
		env[ComfyUIVariable] = dir
		within(t, 20*time.Second, name+" is a pipe", func() {
			specs, tried, err := searchSpecs(t.Context(), func(key string) string { return env[key] })
			if err != nil || !slices.Equal(specs, []string{good}) {
				t.Errorf("%q %v, want %q; tried %v", specs, err, good, tried)
			}
		})
	}
	for _, spec := range []string{"a", "b", "c", "d", "e", "f.safetensors", "g"} {
		within(t, 20*time.Second, spec, func() {
			if c, err := Open(t.Context(), filepath.Join(models, spec)); err == nil {
				c.Close()
				t.Errorf("%s was opened", spec)
			}
		})
	}
	// The folders of models themselves are pipes.
	for _, path := range []string{models, filepath.Join(home, ".cache", "huggingface", "hub")} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		pipe(t, path)
	}
	within(t, 20*time.Second, "the places are pipes", func() {
		if _, tried, err := find("", env, ""); err == nil || len(tried) < 2 {
			t.Errorf("%v %v", tried, err)
		}
	})
}

// TestInterruptible checks that Interruptible returns before work that hangs, discards a result that comes later, and
// panics if work does; and that all functions with a context end with its cause.
func TestInterruptible(t *testing.T) {
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "a parser's fault") {
				t.Errorf("recovered %v, want the panic of the work on the caller's goroutine", p)
			}
		}()
		_, _ = Interruptible(t.Context(), func() (int, error) { panic("a parser's fault") }, func(int) {})
	}()
	hung, discarded := make(chan struct{}), make(chan int, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	began := make(chan struct{})
	go func() {
		<-began
		cancel(errors.New("enough"))
	}()
	_, err := Interruptible(ctx, func() (int, error) {
		close(began)
		<-hung
		return 7, nil
	}, func(n int) { discarded <- n })
	if err == nil || err.Error() != "enough" {
		t.Errorf("%v, want the cause", err)
	}
	close(hung)
	if n := <-discarded; n != 7 {
		t.Errorf("discarded %d, want the late result 7", n)
	}
	if _, err := Interruptible(ctx, func() (int, error) { t.Error("began"); return 0, nil }, func(int) {}); err == nil {
		t.Error("no error after the end")
	}
	if n, err := Interruptible(t.Context(), func() (int, error) { return 3, nil }, func(int) {}); n != 3 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	for what, f := range map[string]func(context.Context) error{
		"Open":   func(ctx context.Context) error { _, err := Open(ctx, Demo); return err },
		"Judge":  func(ctx context.Context) error { _, err := Judge(ctx, Demo); return err },
		"Search": func(ctx context.Context) error { _, _, err := Search(ctx, os.Getenv); return err },
		"Find":   func(ctx context.Context) error { _, err := Find(ctx, "", os.Getenv, ""); return err },
	} {
		if err := f(ctx); err == nil || err.Error() != "enough" {
			t.Errorf("%s: %v, want the cause", what, err)
		}
	}
}

// hostileHeader returns a file with the largest header that is parsed.
func hostileHeader(t *testing.T) []byte {
	t.Helper()
	var b strings.Builder
	b.WriteString("{")
	n := 0
	for ; b.Len() < 8<<20-600; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"transformer.blocks.%d.%s":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}`,
			n, strings.Repeat("x.", 10), n, n+1)
	}
	b.WriteString("}")
	file := binary.LittleEndian.AppendUint64(nil, uint64(b.Len()))
	return append(append(file, b.String()...), make([]byte, n)...)
}

// TestManyHostileFiles searches an installation with thousands of files with the largest headers, deep folders and
// loops of links. The search must end soon, at once if it is cancelled.
func TestManyHostileFiles(t *testing.T) {
	home, env := home(t)
	dir := filepath.Join(home, "ui")
	env[ComfyUIVariable] = dir
	first := filepath.Join(dir, "models", "unet", "klein-0.safetensors")
	mustWrite(t, first, string(hostileHeader(t)))
	for i := 1; i < 3000; i++ {
		if err := os.Link(first, filepath.Join(dir, "models", "unet", fmt.Sprintf("klein-%d.safetensors", i))); err != nil {
			t.Fatal(err)
		}
	}
	deep := filepath.Join(dir, "models", "vae", strings.Repeat("d/", 200))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		link(t, "..", filepath.Join(dir, "models", "vae", fmt.Sprintf("flux2-up-%d", i)))
		link(t, ".", filepath.Join(dir, "models", "unet", fmt.Sprintf("klein-self-%d", i)))
	}
	read := func(limit time.Duration) {
		within(t, limit, "search", func() {
			specs, _, err := searchSpecs(t.Context(), func(key string) string { return env[key] })
			if err != nil || len(specs) != 0 {
				t.Errorf("%q %v", specs, err)
			}
		})
	}
	read(30 * time.Second)
	// A cancelled search returns at once.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	within(t, 5*time.Second, "a search that is cancelled", func() {
		if _, _, err := Search(ctx, func(key string) string { return env[key] }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the cause", err)
		}
	})
}

// TestHugeBlockNumbers opens files with huge numbers of blocks. Without a limit the list of missing blocks fills the
// memory.
func TestHugeBlockNumbers(t *testing.T) {
	e := func(name string, shape ...int) safetensors.Entry {
		return safetensors.Entry{
			Name: name, DType: tensor.BF16, Shape: shape, Fill: func([]byte, int) error { return nil },
		}
	}
	for _, row := range []struct {
		name    string
		entries []safetensors.Entry
		want    string
	}{
		{"a transformer", []safetensors.Entry{e("img_in.weight", 8, 8),
			e("double_blocks.9000000000000000000.img_attn.qkv.weight", 24, 8)},
			"holds double block 9000000000000000000, want less than 1024"},
		{"single blocks", []safetensors.Entry{e("x_embedder.weight", 8, 8),
			e("single_transformer_blocks.1024.attn.norm_q.weight", 8)}, "holds single block 1024, want less than 1024"},
		{"a text encoder", []safetensors.Entry{e("model.embed_tokens.weight", 8, 8),
			e("model.layers.4611686018427387904.self_attn.q_norm.weight", 8)},
			"holds layer 4611686018427387904, want less than 1024"},
		{"a VAE", []safetensors.Entry{e("decoder.mid.block_1.conv1.weight", 8, 8), e("encoder.conv_in.weight", 8, 8),
			e("decoder.conv_in.weight", 8, 8), e("decoder.up.9223372036854775807.block.0.conv1.weight", 8, 8)}, "incomplete"},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		writeEntries(t, path, row.entries)
		within(t, 5*time.Second, row.name, func() {
			_, err := Open(t.Context(), path)
			wantError(t, row.name, err, path, row.want)
		})
	}
}

// TestWalkIsBounded checks that a walk ends after left entries and says where, and that it ends if its context has
// ended.
func TestWalkIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		mustWrite(t, filepath.Join(dir, fmt.Sprintf("d%02d", i%3), fmt.Sprintf("klein-%02d.safetensors", i)), "")
	}
	w := walker{ctx: t.Context(), left: 15}
	found := w.files(dir, func(string) bool { return true })
	if len(found) != 12 || len(w.skipped) != 1 || !strings.Contains(w.skipped[0].Reason, "was not searched completely") {
		t.Errorf("%d files, %v", len(found), w.skipped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w = walker{ctx: ctx, left: 15}
	if found := w.files(dir, func(string) bool { return true }); len(found) != 0 {
		t.Errorf("after its end: %q", found)
	}
}

// TestVocabularyCutShort truncates a text encoder's GGUF file between Open and the reading of its vocabulary, which
// must give an error: a fault would end the program.
func TestVocabularyCutShort(t *testing.T) {
	folder, single := tiny(t)
	encoder := mustOpen(t, folder).TextEncoder.Source
	tokens := make([]string, 4096) // more than a page
	for i := range tokens {
		tokens[i] = fmt.Sprint("token ", i)
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	ggufOf(t, path, encoder, append(qwen3Metadata(t, encoder),
		gguftest.Pair{Key: "tokenizer.ggml.model", Value: "gpt2"}, gguftest.Pair{Key: "tokenizer.ggml.pre", Value: "qwen2"},
		gguftest.Pair{Key: "tokenizer.ggml.tokens", Value: tokens}), llamaName)
	c := mustOpen(t, strings.Join([]string{path, filepath.Join(single, vaeFile), filepath.Join(single, bf16File)}, ","))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	var unreadable *UnreadableError
	if v, err := c.Vocabulary(); v != nil || !errors.As(err, &unreadable) || unreadable.Path != path {
		t.Errorf("%v, %v, want an error that names %s", v, err, path)
	}
}
