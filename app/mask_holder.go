package app

import (
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
)

// maskHolder is where a mask lies that is painted: the mask of image 1, or what is cut out of a picture on the board.
type maskHolder interface {
	picture(d studio.Desk) (of studio.Slot, there bool) // that the mask is painted over
	mask(d studio.Desk) studio.Mask
	lay(d *studio.Desk, mask *paint.Mask) // puts another mask in its place; a mask of nothing is none
}

// where returns where the mask lies that is painted.
func (m *maskMode) where() maskHolder {
	if m.holder == nil {
		return ofImage1{}
	}
	return m.holder
}

// ofImage1 is the mask of image 1, which says what of it changes.
type ofImage1 struct{}

func (ofImage1) picture(d studio.Desk) (of studio.Slot, there bool) {
	if len(d.Slots) == 0 {
		return of, false
	}
	return d.Slots[0], true
}

func (ofImage1) mask(d studio.Desk) studio.Mask { return d.Edit.Mask }

func (ofImage1) lay(d *studio.Desk, mask *paint.Mask) {
	if len(d.Slots) > 0 {
		d.Edit.Mask = d.Edit.Mask.WithPainted(mask, d.Slots[0])
	}
}

// ofLayer is what is cut out of a picture on the board: nothing is left of it where it is painted.
type ofLayer struct{ id int }

func (l ofLayer) picture(d studio.Desk) (of studio.Slot, there bool) {
	layer, _, ok := d.Board.Layer(l.id)
	return layer.Picture, ok
}

func (l ofLayer) mask(d studio.Desk) studio.Mask {
	layer, _, _ := d.Board.Layer(l.id)
	return layer.Cut
}

func (l ofLayer) lay(d *studio.Desk, mask *paint.Mask) {
	if d.Board != nil {
		d.Board = d.Board.Changes(l.id, func(layer *studio.Layer) {
			layer.Cut = layer.Cut.WithPainted(mask, studio.Slot{})
		})
	}
}
