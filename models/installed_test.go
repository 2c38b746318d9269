package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	h, content := smallHub(t)
	opts := h.options(t)
	dir, err := Get(context.Background(), small(), opts)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "weights", "a.bin")
	for _, row := range []struct{ name, content, want string }{
		{"a bit", "\x00" + string(content[1:]), "SHA-256 is "},
		{"cut", string(content[:1000]), "1000 bytes, want 100000"},
		{"longer", string(content) + "x", "100001 bytes, want 100000"},
	} {
		mustWrite(t, path, row.content)
		damaged, err := Verify(context.Background(), dir, nil)
		if err != nil || len(damaged) != 1 || damaged[0].File != "weights/a.bin" ||
			!strings.Contains(damaged[0].Err.Error(), row.want) {
			t.Errorf("%s: %v %v", row.name, damaged, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "config.json"), strings.Repeat("x", 100))
	damaged, err := Verify(context.Background(), dir, nil)
	if err != nil || len(damaged) != 2 || !strings.Contains(damaged[0].Err.Error(), "git's SHA-1 is ") ||
		!errors.Is(damaged[1].Err, os.ErrNotExist) {
		t.Errorf("%v %v", damaged, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Verify(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	mustWrite(t, filepath.Join(dir, manifestName),
		`{"files": [{"path": "../../etc/passwd", "size": 1, "sha256": "`+strings.Repeat("a", 64)+`"}]}`)
	if _, err := Verify(context.Background(), dir, nil); err == nil ||
		!strings.Contains(err.Error(), "want a plain relative path") {
		t.Errorf("a manifest with a path out of the folder: %v", err)
	}
	for _, path := range []string{t.TempDir(), "a.safetensors,b.safetensors"} {
		if _, err := Verify(context.Background(), path, nil); !errors.Is(err, ErrNoDigests) {
			t.Errorf("no manifest: %v", err)
		}
	}
}

// TestVerifyCache verifies a model in the Hugging Face cache, whose files are named by their digests.
func TestVerifyCache(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege there")
	}
	repository := t.TempDir()
	sum := sha256.Sum256([]byte("weights"))
	digest := hex.EncodeToString(sum[:])
	mustWrite(t, filepath.Join(repository, "blobs", digest), "weights")
	snapshot := filepath.Join(repository, "snapshots", "c")
	if err := os.MkdirAll(filepath.Join(snapshot, "vae"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../blobs/"+digest, filepath.Join(snapshot, "vae", "a.safetensors")); err != nil {
		t.Fatal(err)
	}
	if damaged, err := Verify(context.Background(), snapshot, nil); err != nil || len(damaged) != 0 {
		t.Errorf("%v %v", damaged, err)
	}
	mustWrite(t, filepath.Join(repository, "blobs", digest), "weighty")
	if damaged, err := Verify(context.Background(), snapshot, nil); err != nil || len(damaged) != 1 ||
		damaged[0].File != "vae/a.safetensors" {
		t.Errorf("%v %v", damaged, err)
	}
}

func TestListPathRemove(t *testing.T) {
	dir := t.TempDir()
	if err := synthetic.WriteTiny(filepath.Join(dir, "mine"), synthetic.TinyDistilled()); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "half.part", "x"), "")
	mustWrite(t, filepath.Join(dir, "broken", "model_index.json"), "")
	hub := t.TempDir()
	repository := filepath.Join(hub, "models--black-forest-labs--FLUX.2-klein-4B")
	mustWrite(t, filepath.Join(repository, "refs", "main"), "c")
	if err := synthetic.WriteTiny(filepath.Join(repository, "snapshots", "c"), synthetic.TinyDistilled()); err != nil {
		t.Fatal(err)
	}
	env := func(key string) string {
		if key == "HF_HUB_CACHE" {
			return hub
		}
		return ""
	}
	list, err := List(t.Context(), dir, env)
	if err != nil || len(list) < 3 || list[0].Name != "broken" || list[0].Size != 0 || list[1].Name != "mine" ||
		list[1].Size == 0 || !list[1].Own ||
		list[2].Name != "FLUX.2-klein-4B" || list[2].Own {
		t.Fatalf("%+v", list)
	}
	if path, err := Path(dir, "mine"); err != nil || path != filepath.Join(dir, "mine") {
		t.Errorf("%q %v", path, err)
	}
	for _, name := range []string{"", "..", "a/b", "/etc", "gone", `a\b`, "half"} {
		if path, err := Path(dir, name); err == nil {
			t.Errorf("Path of %q is %q, want an error", name, path)
		}
	}
	for _, name := range []string{"", "..", "a/b", "/etc", "gone", `..\x`} {
		if err := Remove(dir, name); err == nil {
			t.Errorf("Remove of %q: no error", name)
		}
	}
	for _, name := range []string{"mine", "half"} {
		if err := Remove(dir, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := List(t.Context(), dir, env); err != nil || list[0].Name != "broken" || list[1].Own {
		t.Errorf("%+v", list)
	}
}

func TestRate(t *testing.T) {
	var last Progress
	track := newTracker(func(p Progress) { last = p })
	track.begin(1000, 500)
	track.finish()
	if last.Rate != 0 || last.Remaining != 0 || last.DoneBytes != 500 {
		t.Errorf("%+v, want no rate from bytes that were downloaded before", last)
	}
	track.samples = []sample{{time.Now().Add(-2 * time.Second), 0}}
	track.add(250)
	track.finish()
	// Slightly more than 2 s have passed since the sample.
	if last.Rate < 100 || last.Rate > 126 || last.Remaining < 2*time.Second || last.Remaining > 3*time.Second {
		t.Errorf("250 bytes in 2 s with 250 left: %+v", last)
	}
	track.problem("x")
	if last.Problem != "x" {
		t.Errorf("%+v", last)
	}
	track.finish()
	if last.Problem != "" {
		t.Errorf("%+v, want the problem in one report only", last)
	}
}
