package studio

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

func ref(side int) *picture.Reference {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	return &picture.Reference{Image: img, Size: picture.Size{Width: side, Height: side}}
}

func TestUndoAndRedo(t *testing.T) {
	var h UndoHistory
	if _, ok := h.Undo(Desk{}); ok {
		t.Fatal("an empty history undoes something")
	}
	queue := "full"
	h.Do(Step{Desk: Desk{Prompt: "one"}})
	h.Do(Step{Desk: Desk{Prompt: "two"}, Undo: func() { queue = "full" }, Redo: func() { queue = "empty" }})
	queue = "empty"
	back := func(present, want string) {
		t.Helper()
		s, ok := h.Undo(Desk{Prompt: present})
		if !ok || s.Desk.Prompt != want {
			t.Fatalf("undo of %q: %q, %v, want %q", present, s.Desk.Prompt, ok, want)
		}
		if s.Undo != nil {
			s.Undo()
		}
	}
	forth := func(present, want string) {
		t.Helper()
		s, ok := h.Redo(Desk{Prompt: present})
		if !ok || s.Desk.Prompt != want {
			t.Fatalf("redo of %q: %q, %v, want %q", present, s.Desk.Prompt, ok, want)
		}
		if s.Redo != nil {
			s.Redo()
		}
	}
	back("three", "two")
	if queue != "full" {
		t.Error("the step's own undo was not there")
	}
	back("two, changed", "one")
	forth("one", "two, changed") // what was typed meanwhile is not lost
	forth("two, changed", "three")
	if queue != "empty" {
		t.Error("the step's own redo was not there")
	}
	back("three", "two, changed")
	h.Do(Step{Desk: Desk{Prompt: "two, changed"}})
	if _, ok := h.Redo(Desk{}); ok {
		t.Error("redo after something new was done")
	}
}

// TestWhatAStepLeaves: what was typed or chosen after a step that did not touch it is there when the step is undone.
func TestWhatAStepLeaves(t *testing.T) {
	before := Desk{Prompt: "before", Count: 1, Seed: "1"}
	present := Desk{Prompt: "typed since", Count: 2, Seed: "2"}
	for _, row := range []struct {
		name string
		step Step
		want Desk
	}{
		{"all", Step{Desk: before}, before},
		{"a choice", Step{Desk: before, TextsStay: true}, Desk{Prompt: "typed since", Count: 1, Seed: "2"}},
		{"a text", Step{Desk: before, ChoicesStay: true}, Desk{Prompt: "before", Count: 2, Seed: "1"}},
		{"something else", Step{Desk: before, TextsStay: true, ChoicesStay: true}, present},
	} {
		if got := row.step.Show(present); !got.Same(row.want) {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

func TestUndoIsBounded(t *testing.T) {
	var h UndoHistory
	for range 10 * MaxSteps {
		h.Do(Step{})
	}
	if len(h.undo) != MaxSteps {
		t.Errorf("%d steps, want %d", len(h.undo), MaxSteps)
	}
	h = UndoHistory{}
	const side = 2048 // 16 MiB
	shared := ref(side)
	for range MaxSteps {
		h.Do(Step{Desk: Desk{Slots: []Slot{{Ref: shared}}}})
	}
	if len(h.undo) != MaxSteps {
		t.Errorf("%d steps with one picture, want all", len(h.undo))
	}
	for i := range 40 {
		h.Do(Step{Slots: []Slot{{Ref: ref(side), Digest: fmt.Sprint(i)}}})
	}
	if n := len(h.undo); n != MaxPictureBytes/(4*side*side) {
		t.Errorf("%d steps with a picture of 16 MiB each", n)
	}
}

func TestSame(t *testing.T) {
	whole := Desk{Prompt: "p", Slots: []Slot{{Path: "/a.png", Digest: "1"}}, Aspect: picture.Square, Seed: "1", Count: 1}
	for _, row := range []struct {
		name   string
		change func(*Desk)
		same   bool
	}{
		{"nothing", func(*Desk) {}, true},
		{"a size that does not apply", func(d *Desk) { d.Size.Width = 64 }, true},
		{"not read yet", func(d *Desk) { d.Slots = []Slot{{Path: "/a.png"}} }, true},
		{"prompt", func(d *Desk) { d.Prompt = "" }, false},
		{"lock", func(d *Desk) { d.Locked = true }, false},
		{"count", func(d *Desk) { d.Count = 2 }, false},
		{"another file", func(d *Desk) { d.Slots = []Slot{{Path: "/b.png", Digest: "1"}} }, false},
		{"other content", func(d *Desk) { d.Slots = []Slot{{Path: "/a.png", Digest: "2"}} }, false},
		{"pasted", func(d *Desk) { d.Slots = []Slot{{Digest: "1"}} }, false},
		{"no picture", func(d *Desk) { d.Slots = nil }, false},
	} {
		other := whole
		row.change(&other)
		if whole.Same(other) != row.same || other.Same(whole) != row.same {
			t.Errorf("%s: same is not %v", row.name, row.same)
		}
	}
}

func mustOpen(t *testing.T, root string) *Store {
	t.Helper()
	s, err := OpenStore(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func pngFile(t *testing.T, level uint8) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = level
	}
	img.SetRGBA(0, 0, color.RGBA{level, 0, 0, 255})
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestStore(t *testing.T) {
	root := filepath.Join(t.TempDir(), "deep", "desk")
	s := mustOpen(t, root)
	if _, ok, err := s.LoadDesk(); ok || err != nil {
		t.Fatalf("a new store has a desk: %v", err)
	}
	file := filepath.Join(filepath.Dir(root), "on disk.png")
	if err := os.WriteFile(file, pngFile(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	digest, err := s.Keep(pngFile(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	unnamed, err := s.Keep(pngFile(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	desk := Desk{
		Prompt: "лиса\n狐", Slots: []Slot{{Path: file, Digest: Digest(pngFile(t, 1))}, {Digest: digest}},
		Size: picture.Size{Width: 64, Height: 128}, Seed: "18446744073709551615", Locked: true,
		Count: 3, Steps: "x", Guidance: "2",
	}
	batch := Batch{Desk: desk, Size: desk.Size, Seed: 1<<64 - 1, Count: 2, Steps: 7, Guidance: 2.5}
	err = errors.Join(s.SaveDesk(Desk{Prompt: "old"}), s.SaveDesk(desk), s.SaveQueue([]Batch{batch, batch}), s.Close())
	if err != nil {
		t.Fatal(err)
	}

	s = mustOpen(t, root)
	back, ok, err := s.LoadDesk()
	if !ok || err != nil || !back.Same(desk) {
		t.Errorf("desk %+v, %v, %v", back, ok, err)
	}
	batches, err := s.LoadQueue()
	if err != nil || len(batches) != 2 {
		t.Fatalf("%d batches, %v", len(batches), err)
	}
	if b := batches[1]; b.Seed != batch.Seed || b.Count != 2 || b.Steps != 7 || b.Guidance != 2.5 || !b.Desk.Same(desk) {
		t.Errorf("batches %+v, %v", batches, err)
	}
	later := Digest(pngFile(t, 9))
	// The times of the files must not matter: the clock may have been set back or forward by a year in between.
	for range 2 { // the second time it is there already
		if _, err := s.Keep(pngFile(t, 9)); err != nil {
			t.Fatal(err)
		}
	}
	past, future := time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0)
	err = errors.Join(os.Chtimes(s.pasted(later), past, past), os.Chtimes(s.pasted(unnamed), future, future))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prune([]Desk{back}, nil, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.pasted(later)); err != nil {
		t.Error("a picture that was kept since the start is gone:", err)
	}
	if _, err := os.Stat(s.pasted(unnamed)); err == nil {
		t.Error("a picture that nothing names is still there")
	}
	if err := s.Prune([]Desk{back}, nil, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.pasted(later)); err == nil {
		t.Error("a picture that nothing names is still there at the end")
	}
	for _, slot := range back.Slots {
		r, err := s.Read(t.Context(), slot)
		if err != nil || r.Path != slot.Path || r.FileSHA256 != slot.Digest {
			t.Errorf("%+v: %v", slot, err)
		}
	}
	if err := os.WriteFile(file, pngFile(t, 4), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), back.Slots[0]); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), file) {
		t.Errorf("a changed file: %v", err)
	}
	size := picture.Size{Width: 64, Height: 64}
	ask, err := Batch{Desk: Desk{Slots: []Slot{{Path: "a", Ref: ref(64)}}}, Size: size, Steps: 7}.Ask(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(ask.References) != 1 || *ask.Steps != 7 || ask.Guidance != nil || ask.Size.Width != 64 {
		t.Errorf("%+v", ask)
	} else if r, err := ask.References[0].Open(t.Context()); err != nil || r.Path != "a" {
		t.Errorf("reference %q, %v", r.Path, err)
	}
}

// TestTwoWindows: of two windows at a time, neither loses its batches, nor sees those of the other.
func TestTwoWindows(t *testing.T) {
	root := filepath.Join(t.TempDir(), "desk")
	first, second := mustOpen(t, root), mustOpen(t, root)
	digest, err := second.Keep(pngFile(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	waits := func(prompt string) []Batch {
		return []Batch{{Desk: Desk{Prompt: prompt, Slots: []Slot{{Digest: digest}}}, Count: 1}}
	}
	if err := errors.Join(first.SaveQueue(waits("first")), second.SaveQueue(waits("second"))); err != nil {
		t.Fatal(err)
	}
	adopt := func(s *Store) []Batch {
		t.Helper()
		if err := s.Adopt(root); err != nil {
			t.Fatal(err)
		}
		batches, err := s.LoadQueue()
		if err != nil {
			t.Fatal(err)
		}
		return batches
	}
	if batches := adopt(first); len(batches) != 1 {
		t.Errorf("%d batches, want those of the window itself: the other is open", len(batches))
	}
	if err := errors.Join(second.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	next := mustOpen(t, root)
	for range 2 { // the second time there is nothing to adopt
		batches := adopt(next)
		if len(batches) != 2 || batches[0].Desk.Prompt != "first" || batches[1].Desk.Prompt != "second" {
			t.Fatalf("batches %+v", batches)
		}
		if _, err := next.Read(t.Context(), batches[1].Desk.Slots[0]); err != nil {
			t.Errorf("its pasted picture: %v", err)
		}
	}
}

// TestDamagedStore sets aside what can't be read.
func TestDamagedStore(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut off": `{"format":1,"value":{"prompt":"a`,
		"another format": `{"format":99,"value":{}}`, "another type": `{"format":1,"value":[1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, filepath.Join(t.TempDir(), "desk"))
			if err := os.WriteFile(filepath.Join(s.dir, deskFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := s.LoadDesk(); ok || err == nil || !strings.Contains(err.Error(), ".damaged-") {
				t.Fatalf("%v, %v", ok, err)
			}
			aside, err := filepath.Glob(filepath.Join(s.dir, deskFile+".damaged-*"))
			if err != nil || len(aside) != 1 {
				t.Errorf("set aside: %v, %v", aside, err)
			}
			if _, ok, err := s.LoadDesk(); ok || err != nil {
				t.Errorf("afterwards: %v, %v", ok, err)
			}
		})
	}
	s := mustOpen(t, filepath.Join(t.TempDir(), "desk"))
	if err := os.Mkdir(filepath.Join(s.dir, queueFile), 0o700); err != nil { // or a pipe, which never ends
		t.Fatal(err)
	}
	if _, err := s.LoadQueue(); err == nil || !strings.Contains(err.Error(), ".damaged-") {
		t.Errorf("a folder in the file's place: %v", err)
	}
	if err := s.SaveQueue([]Batch{{Count: 1}}); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(filepath.Join(file, "desk")); err == nil {
		t.Error("a store inside a file")
	}
}
