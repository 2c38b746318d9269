package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// The greatest size of a page's content.
const (
	pageWidth  float32 = 900
	pageHeight float32 = 640
)

// ShowPage shows something to read over a window. It scrolls if it does not fit, by the keys, too.
func ShowPage(window fyne.Canvas, title string, body fyne.CanvasObject) *Modal {
	m := &Modal{}
	heading := NewLabel(title, ColorText, "headingText")
	leave := NewIconButton(theme.CancelIcon(), func() { m.Close() })
	leave.Quiet = true
	m.Buttons = []*Button{leave}
	text := newPageText(container.New(beside(scrollRoom), body))
	content := Arranged(func() fyne.Size {
		room := window.Size()
		width := min(pageWidth, room.Width-6*Margin)
		body.Resize(fyne.NewSize(width-scrollRoom, 0)) // its height depends on its width
		return fyne.NewSize(width, min(body.MinSize().Height+40, pageHeight, room.Height-6*Margin))
	}, func(size fyne.Size) {
		At(heading, 0, 0, size.Width-36, 28)
		At(leave, size.Width-28, 0, 28, 28)
		At(text, 0, 40, size.Width, size.Height-40)
	}, heading, leave, text)
	padding := canvas.NewRectangle(color.Transparent)
	m.popUp = widget.NewModalPopUp(container.NewStack(padding, container.New(inset(Margin), content)), window)
	m.popUp.Show()
	window.Focus(text)
	return m
}

// scrollRoom is the room that the bar of a scrolling text takes.
const scrollRoom float32 = 12

// beside is a layout that leaves so much room to the right of its object.
type beside float32

func (b beside) MinSize(objects []fyne.CanvasObject) fyne.Size { return objects[0].MinSize() }
func (b beside) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	At(objects[0], 0, 0, size.Width-float32(b), size.Height)
}

// inset is a layout that leaves so much room around its object.
type inset float32

func (i inset) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return objects[0].MinSize().Add(fyne.NewSquareSize(2 * float32(i)))
}

func (i inset) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	At(objects[0], float32(i), float32(i), size.Width-2*float32(i), size.Height-2*float32(i))
}

// pageText is the part of a page that scrolls. It has the keyboard.
type pageText struct{ container.Scroll }

func newPageText(body fyne.CanvasObject) *pageText {
	t := &pageText{}
	t.Direction, t.Content = container.ScrollVerticalOnly, body
	t.ExtendBaseWidget(t)
	return t
}

func (t *pageText) FocusGained()   {}
func (t *pageText) FocusLost()     {}
func (t *pageText) TypedRune(rune) {}

func (t *pageText) TypedKey(e *fyne.KeyEvent) {
	const line = 24
	page := t.Size().Height - line
	by, ok := map[fyne.KeyName]float32{
		fyne.KeyUp: -line, fyne.KeyDown: line, fyne.KeyPageUp: -page, fyne.KeyPageDown: page, fyne.KeySpace: page,
		fyne.KeyHome: -t.Content.Size().Height, fyne.KeyEnd: t.Content.Size().Height,
	}[e.Name]
	if !ok {
		Forward(t, e)
		return
	}
	most := max(t.Content.Size().Height-t.Size().Height, 0)
	t.ScrollToOffset(fyne.NewPos(0, Between(0, t.Offset.Y+by, most)))
}
