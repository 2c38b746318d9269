package app

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// TestLineage walks from a picture to what was made from it and back, by the pointer and by keys.
func TestLineage(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.slots.add(0, []string{b.file("photo.png", 128, 96, 1)})
	b.settle()
	b.make("first")
	b.settle()
	first := b.view.shown
	for _, prompt := range []string{"second", "third"} { // both from the first
		b.editPicture(first.Path)
		b.settle()
		b.make(prompt)
		b.settle()
	}
	b.toggleInfo()
	b.settle()
	l := b.info.lineage
	want := func(prompt string, from, ledTo int) {
		t.Helper()
		b.settle()
		if got := b.view.shown.Meta.Prompt; got != prompt || l.count != [2]int{1, ledTo} {
			t.Fatalf("on show %q, made from and led to %v, want %q, %d", got, l.count, prompt, ledTo)
		}
		if walks := l.from[0].OnTapped != nil; walks != (from > 0) {
			t.Errorf("%s: can be walked back: %v", prompt, walks)
		}
		for i := range ledTo {
			if l.ledTo[i].Image == nil || !l.ledTo[i].Visible() || l.ledTo[i].Size().Width == 0 {
				t.Errorf("%s led to a picture without a thumbnail", prompt)
			}
		}
		if l.from[0].Image == nil {
			t.Errorf("%s: no thumbnail of image 1", prompt)
		}
	}
	want("third", 1, 0)
	test.Tap(l.from[0])
	want("first", 0, 2) // a photo is not in the history
	test.Tap(l.ledTo[1])
	want("second", 1, 0)
	l.from[0].TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	want("first", 0, 2)
	b.win.Canvas().Focus(l.ledTo[0])
	l.ledTo[0].TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	if b.win.Canvas().Focused() != fyne.Focusable(l.ledTo[1]) || !l.ledTo[0].Disabled() || l.ledTo[1].Disabled() {
		t.Error("an arrow does not go on to the next one")
	}
	l.ledTo[1].TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	l.ledTo[0].TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	want("third", 1, 0)
	if !l.from[0].Visible() || l.ledTo[0].OnTapped != nil {
		t.Error("what the picture before led to is still there")
	}
	b.Album.Forget(first.ID, func(err error) { t.Error(err) })
	want("third", 0, 0)
}
