package app

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
)

// dragLayer shows a picture under the pointer while it is dragged inside the window, and lights the slot it is over.
type dragLayer struct {
	s       *session
	ghost   *canvas.Image
	content *fyne.Container
	over    *slot
	pos     fyne.Position
}

const ghostSide float32 = 96

func newDragLayer(s *session) *dragLayer {
	d := &dragLayer{s: s, ghost: canvas.NewImageFromImage(nil)}
	d.ghost.FillMode = canvas.ImageFillContain
	d.ghost.ScaleMode = canvas.ImageScaleFastest
	d.ghost.Translucency = 0.25
	d.ghost.Hide()
	d.content = container.NewWithoutLayout(d.ghost)
	return d
}

// follow shows img at pos, a place in the window.
func (d *dragLayer) follow(img *image.RGBA, pos fyne.Position) {
	if img != nil && !d.ghost.Visible() {
		d.ghost.Image = img
		d.ghost.Resize(fyne.NewSquareSize(ghostSide))
		d.ghost.Show()
		d.ghost.Refresh()
	}
	d.pos = pos
	d.ghost.Move(pos.SubtractXY(ghostSide/2, ghostSide/2))
	d.light(d.s.slots.at(pos))
}

func (d *dragLayer) light(c *slot) {
	if d.over == c {
		return
	}
	for _, slot := range []*slot{d.over, c} {
		if slot != nil {
			slot.lit = slot == c
			slot.Refresh()
		}
	}
	d.over = c
}

// end takes the picture away and returns the slot that it was dropped on, nil for none.
func (d *dragLayer) end() *slot {
	target := d.over
	d.light(nil)
	d.ghost.Hide()
	return target
}
