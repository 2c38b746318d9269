package app

import (
	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// toggleGallery opens the gallery in the canvas's place, or leaves it.
func (s *session) toggleGallery() {
	if s.gallery.open {
		s.leaveGallery()
		return
	}
	s.openGallery()
}

func (s *session) openGallery() {
	id := uint64(0)
	if s.view.shown != nil {
		id = s.view.shown.ID
	}
	ui.Show(s.view.content, false)
	s.frame.placeNotices()
	s.gallery.show(id)
	s.comparison.rest() // nobody sees it
	s.strip.refreshGallery()
}

// leaveGallery goes back to the canvas.
func (s *session) leaveGallery() {
	if !s.gallery.open {
		return
	}
	s.gallery.hide()
	s.strip.refreshGallery()
	ui.Show(s.view.content, true)
	s.frame.placeNotices()
	s.view.layout()
	s.comparison.takeTurn()
	switch k, ok := s.view.mode.(keyboard); {
	case s.win.Canvas().Focused() == fyne.Focusable(s.prompt.entry):
	case ok:
		s.focus(k.first())
	case s.view.view.Visible():
		s.focus(s.view.view)
	default:
		s.focus(s.prompt.entry)
	}
}

// galleryOpen says whether the gallery is in the canvas's place.
func (s *session) galleryOpen() bool { return s.gallery.open }

// chooseAll chooses all pictures that the gallery shows.
func (s *session) chooseAll() {
	if s.gallery.open {
		s.gallery.grid.ChooseAll()
	}
}

// newFolder opens the gallery and asks there for the name of a folder for pictures.
func (s *session) newFolder(ids []uint64) {
	if !s.gallery.open {
		s.openGallery()
	}
	s.gallery.naming.start(history.Folder{}, ids)
}

// inHand returns the picture that keys such as Ctrl + S are for: the one on show, or in the gallery the one that the
// keyboard is at, or the one that is chosen in the grid, which may still be read. It returns nil if there is none.
func (s *session) inHand() *studio.Picture {
	e, ok := s.grid.entry()
	if s.gallery.open {
		if e, ok = s.gallery.current(); !ok {
			return nil
		}
	}
	if shown := s.view.shown; !ok || shown != nil && shown.ID == e.ID {
		return shown
	}
	return &studio.Picture{Meta: e.Picture, Path: e.Path, ID: e.ID}
}

// starInHand gives the picture on show a star, the one that is chosen in the grid, or those that are chosen in the
// gallery, or takes the stars away.
func (s *session) starInHand() {
	if s.gallery.open {
		if list := s.gallery.chosenEntries(); len(list) > 0 {
			s.star(list)
		}
		return
	}
	chosen, inGrid := s.grid.entry()
	if p := s.view.shown; !inGrid && p != nil && !s.view.previewing {
		chosen.ID = p.ID
	}
	e, ok := s.Album.Find(chosen.ID)
	if !ok {
		s.notice.Say("There is no picture of the history on show to give a star to.")
		return
	}
	s.star([]history.Entry{e})
	text := "This picture has a star now."
	if e.Starred {
		text = "The star is taken away."
	}
	s.notice.Say(text)
}

func pathsOf(list []history.Entry) []string {
	paths := make([]string, len(list))
	for i := range list {
		paths[i] = list[i].Path
	}
	return paths
}
