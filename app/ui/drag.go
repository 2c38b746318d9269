package ui

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
)

// DropTarget is a place that a picture can be dropped on. It lights up while the picture is over it.
type DropTarget interface{ SetLit(lit bool) }

// DragLayer shows a picture under the pointer while it is dragged inside the window, and lights the target that it is
// over.
type DragLayer struct {
	Ghost   *canvas.Image
	Content *fyne.Container
	Pos     fyne.Position // of the pointer, in the window
	find    func(pos fyne.Position) DropTarget
	over    DropTarget
}

const ghostSide float32 = 96

// NewDragLayer returns a layer to put over all else in the window; find returns the target at a place in it, nil for
// none.
func NewDragLayer(find func(pos fyne.Position) DropTarget) *DragLayer {
	d := &DragLayer{find: find, Ghost: canvas.NewImageFromImage(nil)}
	d.Ghost.FillMode = canvas.ImageFillContain
	d.Ghost.ScaleMode = canvas.ImageScaleFastest
	d.Ghost.Translucency = 0.25
	d.Ghost.Hide()
	d.Content = container.NewWithoutLayout(d.Ghost)
	return d
}

// Follow shows img at pos, a place in the window.
func (d *DragLayer) Follow(img *image.RGBA, pos fyne.Position) {
	if img != nil && !d.Ghost.Visible() {
		d.Ghost.Image = img
		d.Ghost.Resize(fyne.NewSquareSize(ghostSide))
		d.Ghost.Show()
		d.Ghost.Refresh()
	}
	d.Pos = pos
	d.Ghost.Move(pos.SubtractXY(ghostSide/2, ghostSide/2))
	d.light(d.find(pos))
}

func (d *DragLayer) light(target DropTarget) {
	if d.over == target {
		return
	}
	if d.over != nil {
		d.over.SetLit(false)
	}
	if target != nil {
		target.SetLit(true)
	}
	d.over = target
}

// End takes the picture away and returns the target that it was dropped on, nil for none.
func (d *DragLayer) End() DropTarget {
	target := d.over
	d.light(nil)
	d.Ghost.Hide()
	return target
}
