package app

import (
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
)

// dragPicture shows a picture that is dragged inside the window.
func (s *session) dragPicture(img *image.RGBA, pos fyne.Position) { s.drag.Follow(img, pos) }

// dropPictures uses pictures that were dragged here as references: in the slot that they were dropped on and free ones,
// or in free ones if they were dropped on the canvas. On the board they are placed.
func (s *session) dropPictures(paths ...string) {
	pos := s.drag.Pos
	if target := s.droppedOn(); target != nil {
		s.place(target.number, paths)
	} else if s.board.on && !s.gallery.open && ui.Within(s.view.content, pos) {
		s.board.add(paths, &pos)
	} else if s.gallery.open || len(paths) == 1 && s.dropToCompare(paths[0], pos) {
		return
	} else if ui.Within(s.view.view, pos) || ui.Within(s.view.emptyTitle, pos) {
		s.place(0, paths)
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
