package app

import (
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
)

// dragPicture shows a picture that is dragged inside the window.
func (s *session) dragPicture(img *image.RGBA, pos fyne.Position) { s.drag.Follow(img, pos) }

// dropPicture uses a picture that was dragged here as a reference: in the slot that it was dropped on, or in the next
// free one if it was dropped on the canvas.
func (s *session) dropPicture(path string) {
	pos := s.drag.Pos
	if target := s.droppedOn(); target != nil {
		s.useAsReference(target.number, path)
	} else if s.dropToCompare(path, pos) {
		return
	} else if ui.Within(s.view.view, pos) || ui.Within(s.view.emptyTitle, pos) {
		s.useAsReference(0, path)
	}
}

// droppedOn ends a drag and returns the slot that it ended on, nil for none.
func (s *session) droppedOn() *slot {
	c, _ := s.drag.End().(*slot)
	return c
}

// overSlots says whether a place in the window lies on the slots.
func (s *session) overSlots(pos fyne.Position) bool { return ui.Within(s.slots.content, pos) }

// useAsReference puts a picture into a slot; 0 is the next free one.
func (s *session) useAsReference(number int, path string) { s.slots.add(number, []string{path}) }
