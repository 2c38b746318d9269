package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// opened returns the names of the files below dir that f opens.
func opened(t *testing.T, dir string, f func()) (names []string) {
	t.Helper()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	if err != nil {
		t.Skip("inotify is not available:", err)
	}
	defer unix.Close(watch)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_, err = unix.InotifyAddWatch(watch, path, unix.IN_OPEN)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f()
	events := make([]byte, 1<<20)
	n, err := unix.Read(watch, events)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	for at := 0; at < n; {
		mask, length := binary.NativeEndian.Uint32(events[at+4:]), int(binary.NativeEndian.Uint32(events[at+12:]))
		name := string(bytes.TrimRight(events[at+16:at+16+length], "\x00"))
		if mask&unix.IN_ISDIR == 0 && name != "main" { // refs/main is always read
			names = append(names, name)
		}
		at += 16 + length
	}
	return names
}

// age sets the times of everything below dir to an hour ago.
func age(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink == 0 {
			err = os.Chtimes(path, then, then)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecondSearchReadsNothing searches places with good, broken and foreign models. A second search must open no file,
// until a file changes.
func TestSecondSearchReadsNothing(t *testing.T) {
	home, env := home(t)
	models := filepath.Join(home, "data", "kleinbild", "models")
	good := model(t, models, "good")
	if err := synthetic.WriteSingleFiles(t.Context(), filepath.Join(models, "single"), small()); err != nil {
		t.Fatal(err)
	}
	broken := model(t, models, "broken")
	shard := filepath.Join(broken, "text_encoder", "model-00002-of-00002.safetensors")
	if err := os.Truncate(shard, 1000); err != nil {
		t.Fatal(err)
	}
	repository := filepath.Join(home, ".cache", "huggingface", "hub", "models--black-forest-labs--FLUX.2-klein-4B")
	mustWrite(t, filepath.Join(repository, "refs", "main"), "abc")
	snapshot := model(t, repository, "snapshots", "abc")
	env[ComfyUIVariable] = comfyModel(t, filepath.Join(home, "ui"))
	age(t, home)
	var before []string
	search := func() (specs []string) {
		specs, tried, err := searchSpecs(t.Context(), func(key string) string { return env[key] })
		if err != nil || len(tried) == 0 {
			t.Fatal(tried, err)
		}
		for _, spec := range specs {
			if s, err := Judge(t.Context(), spec); err != nil || s.Name == "" || s.SizeBytes == 0 {
				t.Errorf("%s: %+v %v", spec, s, err)
			}
		}
		return specs
	}
	if names := opened(t, home, func() { before = search() }); len(names) == 0 {
		t.Fatal("the first search opens nothing")
	}
	if len(before) != 3 {
		t.Fatalf("found %q", before)
	}
	if names := opened(t, home, func() {
		if again := search(); !slices.Equal(again, before) {
			t.Errorf("%q, then %q", before, again)
		}
	}); len(names) != 0 {
		t.Errorf("the second search opens %q", names)
	}
	// A change must be noticed even if the file's size and time of modification stay the same.
	config := filepath.Join(good, "vae", "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(config)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, config, strings.Repeat("x", len(text)))
	if err := os.Chtimes(config, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(snapshot, "vae")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(broken, "new"), os.DirFS(filepath.Join(broken, "text_encoder"))); err != nil {
		t.Fatal(err)
	}
	if after := search(); slices.Contains(after, good) || slices.Contains(after, snapshot) || len(after) != 1 {
		t.Errorf("after changes: %q", after)
	}
	mustWrite(t, config, string(text))
	if after := search(); !slices.Contains(after, good) {
		t.Errorf("after the repair: %q", after)
	}
}

// TestVerdictsAreBounded checks that at most maxVerdicts verdicts are cached.
func TestVerdictsAreBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	mustWrite(t, path, "no model")
	age(t, dir)
	for i := range maxVerdicts + 10 {
		_, err := cached(t.Context(), strings.Repeat("k", i%7)+path+string(rune(i)),
			func() (stamp, bool) { return stampOf(path) }, func() (int, error) { return i, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	verdicts.Lock()
	defer verdicts.Unlock()
	if len(verdicts.list) > maxVerdicts {
		t.Errorf("%d verdicts, want at most %d", len(verdicts.list), maxVerdicts)
	}
	clear(verdicts.list)
}
