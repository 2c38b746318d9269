package app

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestInfoFacts(t *testing.T) {
	feather := 8
	m := picture.Metadata{
		Prompt: "p", Seed: 7, Width: 640, Height: 320, Model: "klein", Steps: 4, Guidance: 3.5,
		LoRAs: []picture.LoRAFile{{Name: "a.safetensors", Strength: 0.5}, {Name: "b.safetensors", Strength: 1}},
		Edit: &picture.Edit{
			Strength: 0.6, Feather: &feather, SourceHidden: true, MatchColours: true, Extend: [4]int{64, 0, 0, 128},
			KeepUnchanged: 0.5, Mask: &picture.Mask{File: picture.ReferenceFile{Path: "/secret/sleeve.png"}},
		},
	}
	want := "[[Seed 7] [Size 640 × 320] [Model klein] [Steps 4 · guidance 3.5] [Made in 3 s] " +
		"[LoRA 0.5 · a.safetensors] [ 1 · b.safetensors] [Edit mask: sleeve.png] [ extended: left 64, bottom 128] " +
		"[ strength 0.6] [ image 1 hidden] [ colours matched] [ rest kept: 50 %]]"
	if got := fmt.Sprint(infoFacts(m, 3*time.Second)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	m = picture.Metadata{Seed: 1, Width: 64, Height: 64}
	if got := fmt.Sprint(infoFacts(m, 0)); got != "[[Seed 1] [Size 64 × 64]]" {
		t.Errorf("little is known: %s", got)
	}
}

// TestInfo opens the block by its key, and takes prompt, seed and all of the picture on show to the desk.
func TestInfo(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	key := func() { b.win.Canvas().Unfocus(); b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyI}) }
	key()
	if !b.info.content.Visible() || b.info.shown != nil {
		t.Error("without a picture the block does not open, or shows one")
	}
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2)})
	b.settle()
	b.make("made of image 1")
	b.settle()
	made := b.view.shown
	if b.info.shown != made || b.info.prompt.Text != "made of image 1" || len(b.info.rows) < 4 ||
		b.info.lineage.from[0].Image == nil || b.info.lineage.from[1].Image == nil {
		t.Fatalf("%d rows, prompt %q, images %v", len(b.info.rows), b.info.prompt.Text, b.info.lineage.from[0].Image)
	}
	if !b.view.info.Chosen {
		t.Error("the button does not show that the block is open")
	}
	seed := strconv.FormatUint(made.Meta.Seed, 10)
	draft := func() {
		b.Desk.Choose(func(d *studio.Desk) { d.Slots = nil })
		b.shape.choose(picture.Wide)
		b.prompt.setText("a draft")
		b.shape.setLocked(false)
		b.shape.setSeed("5")
	}
	for i, want := range []struct {
		prompt, seed string
		slots        int
	}{
		{"made of image 1", "5", 0},
		{"a draft", seed, 0},
		{"made of image 1", seed, 2},
	} {
		draft()
		test.Tap(b.info.use[i])
		b.settle()
		d := b.Desk.Desk()
		if d.Prompt != want.prompt || d.Seed != want.seed || len(d.Slots) != want.slots {
			t.Errorf("%s: %+v", b.info.use[i].Text, d)
		}
		b.Desk.Undo()
		b.settle()
		if d := b.Desk.Desk(); d.Prompt != "a draft" || d.Seed != "5" || d.Locked || len(d.Slots) != 0 ||
			d.Aspect != picture.Wide {
			t.Errorf("%s, undone: %+v", b.info.use[i].Text, d)
		}
	}
	b.removed(made.ID)
	if b.info.shown != nil {
		t.Error("the picture is gone, and the block still shows it")
	}
	key()
	if b.info.content.Visible() || b.info.height() != 0 {
		t.Error("the key does not close the block")
	}
}
