package app

import (
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
)

// TestTips: a tip shows while the pointer rests on a control, and goes with the pointer or a click.
func TestTips(t *testing.T) {
	b := newBench(t, usual)
	b.make("a fox")
	dice := b.shape.dice
	shown := func(want string) {
		t.Helper()
		if got := b.tips.Shown(); got != want {
			t.Errorf("the tip %q, want %q", got, want)
		}
	}
	dice.MouseIn(nil)
	b.clock.pass(300 * time.Millisecond)
	shown("") // the pointer may only pass
	b.clock.pass(400 * time.Millisecond)
	shown("Draw another seed")
	dice.MouseOut()
	shown("")
	dice.MouseIn(nil)
	dice.MouseOut()
	b.clock.pass(time.Second)
	shown("")
	b.view.edit.MouseIn(nil)
	b.clock.pass(time.Second)
	shown("Go on with this picture as image 1 (E)")
	b.view.edit.Tapped(nil)
	shown("")
	// At the window's edges a tip stays inside.
	for _, control := range []interface {
		fyne.CanvasObject
		Tapped(*fyne.PointEvent)
	}{b.view.save, b.slots.all, b.prompt.generate, b.prompt.earlier} {
		control.(*ui.Button).MouseIn(nil)
		b.clock.pass(time.Second)
		walk(b.tips.Content, fyne.Position{}, func(o fyne.CanvasObject, pos fyne.Position) {
			if l, ok := o.(*ui.Label); ok && (pos.X < 0 || pos.Y < 0 || pos.X+l.Size().Width > usual.Width ||
				pos.Y+l.Size().Height > usual.Height || l.Size().Width < l.Natural().Width) {
				t.Errorf("%q lies at %v with the size %v", l.Text, pos, l.Size())
			}
		})
		control.(*ui.Button).MouseOut()
	}
}

// TestControlsHaveTips: each control of the window says what it is for, unless its own text is a sentence about that.
func TestControlsHaveTips(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	b.make("a fox")
	b.advanced.toggle()
	tip := func(o fyne.CanvasObject) (string, bool) {
		switch o := o.(type) {
		case *ui.Button:
			return o.Tip.Tip, len(strings.Fields(o.Text)) < 2
		case *ui.Field:
			return o.Tip.Tip, true
		case *ui.Tile:
			return o.Tip.Tip, true
		case *ui.Slider:
			return o.Tip.Tip, true
		case *ui.Choice:
			return o.Tip.Tip, true
		}
		return "", false
	}
	found := 0
	walk(b.win.Content(), fyne.Position{}, func(o fyne.CanvasObject, pos fyne.Position) {
		text, needed := tip(o)
		if text != "" {
			found++
		} else if needed {
			t.Errorf("%T %+v at %v has no tip", o, o, pos)
		}
	})
	if found < 30 {
		t.Errorf("found %d tips", found)
	}
}
