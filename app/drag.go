package app

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
)

// dropTarget is a place that a picture can be dropped on. It lights up while the picture is over it.
type dropTarget interface{ setLit(lit bool) }

// dragLayer shows a picture under the pointer while it is dragged inside the window, and lights the target that it is over.
type dragLayer struct {
	find    func(pos fyne.Position) dropTarget // the target at a place in the window, nil for none
	ghost   *canvas.Image
	content *fyne.Container
	over    dropTarget
	pos     fyne.Position // of the pointer, in the window
}

const ghostSide float32 = 96

func newDragLayer(find func(pos fyne.Position) dropTarget) *dragLayer {
	d := &dragLayer{find: find, ghost: canvas.NewImageFromImage(nil)}
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
	d.light(d.find(pos))
}

func (d *dragLayer) light(target dropTarget) {
	if d.over == target {
		return
	}
	if d.over != nil {
		d.over.setLit(false)
	}
	if target != nil {
		target.setLit(true)
	}
	d.over = target
}

// end takes the picture away and returns the target that it was dropped on, nil for none.
func (d *dragLayer) end() dropTarget {
	target := d.over
	d.light(nil)
	d.ghost.Hide()
	return target
}
