package ui

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// Tips shows what a control is for while the pointer rests on it. It lies over all else in its window, except dialogs.
type Tips struct {
	// After runs a function on Fyne's goroutine after a time, unless it is stopped before.
	After   func(d time.Duration, do func()) (stop func() bool)
	Content *fyne.Container

	ground *Box
	text   *Label
	of     fyne.CanvasObject // the control under the pointer, nil for none
	stop   func() bool       // stops the clock after which the tip shows; nil if none runs
}

// tipsOf has the tips of each window. It is used on Fyne's goroutine only.
var tipsOf = map[fyne.Canvas]*Tips{}

// NewTips returns the tips of a window, for its owner to put over all else.
func NewTips(window fyne.Canvas) *Tips {
	t := &Tips{ground: NewBox(ColorRaised, 4), text: NewLabel("", ColorText, SizeCaption)}
	t.ground.Stroke = ColorLine
	t.Content = Arranged(NoSize, func(fyne.Size) {}, t.ground, t.text)
	t.hide()
	tipsOf[window] = t
	return t
}

// Forget is called when the window is closed.
func (t *Tips) Forget() {
	for window, other := range tipsOf {
		if other == t {
			delete(tipsOf, window)
		}
	}
}

// restTime is how long the pointer rests on a control before its tip shows.
const restTime = 600 * time.Millisecond

// Tip is the part of a control that says what the control is for: a few words, and the key that does the same. An empty
// text says nothing.
type Tip struct{ Tip string }

// enter begins to wait at a control, for the pointer to rest.
func (t Tip) enter(o fyne.CanvasObject) {
	tips := tipsOf[fyne.CurrentApp().Driver().CanvasForObject(o)]
	if tips == nil || t.Tip == "" || tips.After == nil {
		return
	}
	tips.leave()
	tips.of = o
	tips.stop = tips.After(restTime, func() {
		tips.stop = nil
		if tips.of == o && o.Visible() {
			tips.show(o, t.Tip)
		}
	})
}

// leave takes the tip of a control away.
func (t Tip) leave(o fyne.CanvasObject) {
	if tips := tipsOf[fyne.CurrentApp().Driver().CanvasForObject(o)]; tips != nil && tips.of == o {
		tips.leave()
	}
}

func (t *Tips) leave() {
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
	t.of = nil
	t.hide()
}

func (t *Tips) hide() {
	Show(t.ground, false)
	Show(t.text, false)
}

// show puts the tip below the control, or above it if there is no room.
func (t *Tips) show(o fyne.CanvasObject, text string) {
	t.text.Set(text, ColorText)
	const height, side = 24, 8
	width := t.text.Natural().Width + 2*side
	room, at := t.Content.Size(), fyne.CurrentApp().Driver().AbsolutePositionForObject(o)
	x := Between(4, at.X+(o.Size().Width-width)/2, room.Width-width-4)
	y := at.Y + o.Size().Height + 6
	if y+height > room.Height {
		y = at.Y - height - 6
	}
	At(t.ground, x, y, width, height)
	At(t.text, x+side, y, width-2*side, height)
	Show(t.ground, true)
	Show(t.text, true)
}

// Shown returns the text of the tip on show, "" for none.
func (t *Tips) Shown() string {
	if !t.text.Visible() {
		return ""
	}
	return t.text.Text
}

// The controls say what they are for while the pointer is on them.

func (f *Field) MouseIn(*desktop.MouseEvent)    { f.enter(f) }
func (f *Field) MouseMoved(*desktop.MouseEvent) {}
func (f *Field) MouseOut()                      { f.leave(f) }

func (s *Slider) MouseIn(e *desktop.MouseEvent) { s.Slider.MouseIn(e); s.enter(s) }
func (s *Slider) MouseOut()                     { s.Slider.MouseOut(); s.leave(s) }

func (c *Choice) MouseIn(e *desktop.MouseEvent) { c.Select.MouseIn(e); c.enter(c) }
func (c *Choice) MouseOut()                     { c.Select.MouseOut(); c.leave(c) }
