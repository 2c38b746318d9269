package app

import (
	"errors"
	"fmt"
	"image"
	"io/fs"

	"fyne.io/fyne/v2"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
	"kleinbild/inference"
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
	if s.onCanvas(id) {
		s.view.shown = nil
		s.view.draw()
	}
}

func (s *session) onCanvas(id uint64) bool { return s.view.shown != nil && s.view.shown.ID == id }

// pictureMenu returns the menu of a picture that was made; onCanvas says whether it is on show.
func (s *session) pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu {
	var items []*fyne.MenuItem
	if onCanvas {
		items = append(items, fyne.NewMenuItem("Save as…", s.saveCopy), fyne.NewMenuItem("Copy picture", s.copyPicture))
	} else {
		items = append(items, fyne.NewMenuItem("Show", func() { s.strip.open(p.ID) }))
	}
	if p.Path != "" {
		items = append(items,
			fyne.NewMenuItem("Use as reference", func() { s.useAsReference(0, p.Path) }),
			fyne.NewMenuItem("Show in folder", func() { s.reveal(p.Path) }))
	}
	items = append(items, fyne.NewMenuItem("Restore its settings", func() { s.restore(p.Meta) }))
	if p.ID != 0 {
		items = append(items, fyne.NewMenuItemSeparator(), fyne.NewMenuItem("Move to bin", func() { s.strip.bin(p.ID) }))
	}
	return fyne.NewMenu("", items...)
}

// openEntry shows a picture of the history.
func (s *session) openEntry(e history.Entry) {
	s.strip.mark(e.ID)
	s.Loop.Background(func() func() {
		img, err := history.Read(e.Path)
		var before *image.RGBA
		if refs := e.Picture.References; err == nil && len(refs) > 0 && refs[0].Path != "" {
			// The reference is for comparison only: if it is gone or has changed, it is not offered.
			ref, err := inference.OpenReference(s.Loop.Closing, refs[0].Path)
			if err == nil && ref.FileSHA256 == refs[0].SHA256 {
				before = ref.Image
			}
		}
		return func() {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.strip.row.Found(e.Path, nil, true)
				remove := ui.Action{Text: "Remove from the history", Do: func() { s.strip.forget(e.ID) }}
				s.notice.Ask(fmt.Sprintf("%s is no longer there.", e.Path), remove)
			case err != nil:
				s.notice.fail(err)
			case s.strip.row.Marked == e.ID:
				s.view.away = s.Maker.Run() != nil
				s.view.show(&studio.Picture{Image: img, Meta: e.Picture, Path: e.Path, ID: e.ID, Before: before})
			}
		}
	})
}
