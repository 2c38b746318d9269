package app

import (
	"image"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
)

// fakeMode is a mode of the canvas that shows a picture of its own.
type fakeMode struct {
	text, key      string
	refuses, idle  bool
	staged         *image.RGBA
	tools, drawing fyne.CanvasObject
	entered, left  int
}

func (m *fakeMode) name() (text, key string) { return m.text, m.key }
func (m *fakeMode) offered() bool            { return !m.idle }
func (m *fakeMode) enter() bool              { m.entered++; return !m.refuses }
func (m *fakeMode) leave()                   { m.left++ }
func (m *fakeMode) bar() fyne.CanvasObject   { return m.tools }
func (m *fakeMode) over() fyne.CanvasObject  { return m.drawing }
func (m *fakeMode) picture() (*image.RGBA, image.Point) {
	if m.staged == nil {
		return nil, image.Point{}
	}
	return m.staged, m.staged.Rect.Size()
}

// TestModes enters modes of the canvas and leaves them in every way that there is. What belongs to a mode is there
// only while the canvas is in it.
func TestModes(t *testing.T) {
	b := newBench(t, usual)
	paint := &fakeMode{text: "Paint", key: "Y", staged: landscape(640, 480, 1), tools: ui.NewButton("Brush", nil),
		drawing: canvas.NewRectangle(nil)}
	other := &fakeMode{text: "Other", key: "Z"}
	b.view.use(paint, other)
	paintButton := b.view.modes[len(b.view.modes)-2].button
	b.make("a house")
	shown := b.view.view.Picture()
	room := b.view.view.Size()
	want := func(in bool, entered, left int) {
		t.Helper()
		b.settle()
		if paint.tools.Visible() != in || paint.drawing.Visible() != in || paint.entered != entered || paint.left != left {
			t.Fatalf("tools %v, drawing %v, entered %d, left %d; want %v, %d, %d", paint.tools.Visible(),
				paint.drawing.Visible(), paint.entered, paint.left, in, entered, left)
		}
		picture, size := shown, room
		if in {
			picture, size = paint.staged, fyne.NewSize(room.Width, room.Height-barHeight)
		}
		if got := b.view.view.Picture(); got != picture || b.view.view.Size() != size {
			t.Fatalf("another picture or size %v; want %v", b.view.view.Size(), size)
		}
		if b.view.save.Visible() == in {
			t.Fatalf("Save as… is for the picture on show: visible %v", b.view.save.Visible())
		}
	}
	key := func(name fyne.KeyName) {
		if name == fyne.KeyEscape {
			b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: name})
		} else {
			b.view.modeKey(name) // the table of keys has no row for a mode that only tests have
		}
	}
	want(false, 0, 0)
	test.Tap(paintButton)
	want(true, 1, 0)
	if paint.drawing.Size() != b.view.view.Size() || paint.drawing.Position() != b.view.view.Position() {
		t.Error("what is drawn does not lie on the view")
	}
	test.Tap(paintButton)
	want(false, 1, 1)
	key("Y")
	want(true, 2, 1)
	key(fyne.KeyEscape)
	want(false, 2, 2)
	key("Y")
	key("Z")
	want(false, 3, 3)
	if b.view.mode != canvasMode(other) {
		t.Error("the other mode was not entered")
	}
	key("Y")
	want(true, 4, 3)
	b.view.show(b.view.shown)
	want(false, 4, 4)
	key("Y")
	b.make("a second house") // leaves the mode when Generate is pressed
	shown = b.view.view.Picture()
	want(false, 5, 5)
	b.chooseModel() // the page of models takes the canvas
	if paintButton.Visible() {
		t.Error("a mode is offered on the page of models")
	}
	key("Y")
	key(fyne.KeyEscape)
	want(false, 5, 5)
	paint.refuses = true
	key("Y")
	want(false, 6, 5)
	paint.idle = true
	key("Y")
	want(false, 6, 5)
}
