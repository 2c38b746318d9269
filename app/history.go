package app

import (
	"errors"
	"fmt"
	"image"
	"io/fs"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// historyNews says what has happened to the history's file.
func (s *session) historyNews(n history.News) {
	switch {
	case n.Aside != "":
		found := "None of its entries could be read"
		if n.Rescued > 0 {
			found = pictureCount(n.Rescued) + " could be read and stayed in it"
		}
		s.notice.Say("The history was damaged. " + found + "; the damaged file is now " + n.Aside +
			". All pictures are still in their folder.")
	case n.Err != nil:
		s.notice.Say("The history cannot be written at present. " + explain(n.Err) +
			" What you make meanwhile is kept, and is added once it can be.")
	case n.Entered > 0:
		s.notice.Say("The history can be written: " + pictureCount(n.Entered) + " that waited were added.")
	case n.Back:
		s.notice.Say("The history can be written again.")
	}
}

// renumber gives the pictures on show the IDs that their entries have now: an entry that has waited gets another one.
func (s *session) renumber() {
	for _, pic := range append([]*studio.Picture{s.view.shown}, s.view.unseen...) {
		if pic == nil || pic.ID == 0 {
			continue
		}
		if now, ok := s.Album.IDNow(pic.ID, pic.Path); ok && now != pic.ID {
			if s.strip.row.Marked == pic.ID {
				s.strip.row.Marked = now
			}
			pic.ID = now
		}
	}
}

// removed takes a picture off the canvas whose entry is gone.
func (s *session) removed(id uint64) {
	s.view.seen(&studio.Picture{ID: id})
	s.view.refreshTools()
	if e, ok := s.grid.entry(); ok && e.ID != id {
		return // the grid has chosen another one
	}
	if s.onCanvas(id) {
		s.view.shown = nil
		if !s.view.leaveMode() {
			s.view.draw()
		}
	}
}

func (s *session) onCanvas(id uint64) bool { return s.view.shown != nil && s.view.shown.ID == id }

// readEntry reads the picture of an entry, away from Fyne's goroutine.
func (s *session) readEntry(e history.Entry) (*image.RGBA, error) {
	if e.Picture.Edit == nil && e.Picture.Upscale == nil {
		return history.Read(e.Path)
	}
	return s.readPhoto(picture.ReferenceFile{Path: e.Path})
}

// readPhoto reads a picture that may have the size, the bits and the colours of a photo. If ref has a digest, its file
// must have it.
func (s *session) readPhoto(ref picture.ReferenceFile) (*image.RGBA, error) {
	original, err := picture.OpenArrangedOriginal(s.Loop.Closing, ref.Path, ref.Arrangement)
	if err != nil {
		return nil, err
	}
	if ref.SHA256 != "" && original.FileSHA256 != ref.SHA256 {
		return nil, fmt.Errorf("%s %w", ref.Path, studio.ErrChanged)
	}
	return studio.View(s.Loop.Closing, original)
}

// readBefore reads image 1 of a picture for comparison, or what was enlarged, away from Fyne's goroutine. It returns
// nil if there is none, or if it is gone or has changed. What was enlarged, and image 1 of an edit, are read at their
// full resolution.
func (s *session) readBefore(e history.Entry) *image.RGBA {
	m := e.Picture
	if e.Enlarged != nil {
		img, err := s.readPhoto(*e.Enlarged)
		if err != nil {
			return nil
		}
		return img
	}
	if len(m.References) == 0 || m.References[0].Path == "" {
		return nil
	}
	ref := m.References[0]
	if m.Edit != nil {
		if img, err := s.readPhoto(ref); err == nil {
			return img
		}
	}
	r, err := inference.OpenArranged(s.Loop.Closing, ref.Path, ref.Arrangement)
	if err != nil || r.FileSHA256 != ref.SHA256 {
		return nil
	}
	return r.Image
}

// openEntry shows a picture of the history, on the canvas.
func (s *session) openEntry(e history.Entry) {
	s.leaveGallery()
	s.showEntry(e)
}

// showEntry puts a picture of the history on the canvas, which may be out of sight.
func (s *session) showEntry(e history.Entry) { s.openThen(e, func() {}) }

// openThen does that, and then what is to be done once the picture is on show.
func (s *session) openThen(e history.Entry, then func()) {
	s.strip.mark(e.ID)
	s.Loop.Background(func() func() {
		img, err := s.readEntry(e)
		var before *image.RGBA
		if err == nil {
			before = s.readBefore(e)
		}
		return func() {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.strip.row.Found(e.Path, nil, true)
				s.gallery.grid.Found(e.Path, nil, true)
				remove := ui.Action{Text: "Remove from the history", Do: func() { s.strip.forget(e.ID) }}
				s.notice.Ask(fmt.Sprintf("%s is no longer there.", e.Path), remove)
			case err != nil:
				s.notice.fail(err)
			case s.strip.row.Marked == e.ID:
				s.view.away = s.Maker.Run() != nil
				s.view.show(&studio.Picture{Image: img, Meta: e.Picture, Path: e.Path, ID: e.ID, Before: before})
				then()
			}
		}
	})
}
