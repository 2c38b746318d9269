package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// Popover is a small panel beside the button that opens it. A click elsewhere, or Escape in the window, closes it.
type Popover struct {
	body  fyne.CanvasObject
	popUp *widget.PopUp
}

// NewPopover returns a popover with a body of a fixed size.
func NewPopover(body fyne.CanvasObject) *Popover { return &Popover{body: body} }

// Show opens the popover above an object, or in the middle of the window if the object is hidden.
func (p *Popover) Show(window fyne.Canvas, above fyne.CanvasObject) {
	ground := NewBox(ColorPanel, 0)
	ground.Stroke = ColorLine
	const padding, around = 4, 8 // the popup's own, and what this adds
	p.popUp = widget.NewPopUp(Arranged(func() fyne.Size {
		return p.body.MinSize().Add(fyne.NewSquareSize(2 * around))
	}, func(size fyne.Size) {
		At(ground, -padding, -padding, size.Width+2*padding, size.Height+2*padding)
		At(p.body, around, around, size.Width-2*around, size.Height-2*around)
	}, ground, p.body), window)
	size, room := p.popUp.MinSize(), window.Size()
	at := fyne.NewPos((room.Width-size.Width)/2, (room.Height-size.Height)/2)
	if above.Visible() {
		place := fyne.CurrentApp().Driver().AbsolutePositionForObject(above)
		at = fyne.NewPos(place.X+above.Size().Width-size.Width, place.Y-size.Height-Gap)
	}
	p.popUp.ShowAtPosition(fyne.NewPos(max(at.X, Margin), max(at.Y, Margin)))
}

// IsOpen says whether the popover is on show.
func (p *Popover) IsOpen() bool { return p != nil && p.popUp != nil && p.popUp.Visible() }

// Close takes the popover away, and the keyboard from what is in it.
func (p *Popover) Close() {
	p.popUp.Canvas.Unfocus()
	p.popUp.Hide()
}
