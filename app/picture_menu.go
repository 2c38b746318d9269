package app

import (
	"fmt"
	"path/filepath"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
)

// pictureMenu returns the menu of a picture that was made; onCanvas says whether it is the one on show.
func (s *session) pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu {
	item, line := fyne.NewMenuItem, fyne.NewMenuItemSeparator
	var items []*fyne.MenuItem
	e, inHistory := s.Album.Find(p.ID)
	if inHistory && !onCanvas {
		items = append(items, item("Open", func() { s.openEntry(e) }))
		if s.view.shown != nil && !s.view.previewing && !s.onCanvas(p.ID) {
			items = append(items, item("Compare with this", func() {
				s.leaveGallery()
				s.compareWith(e)
			}))
		}
	}
	edit := func() {
		if s.gallery.open {
			s.openEntry(e)
		}
		s.editPicture(p.Path)
	}
	if p.Path != "" {
		use := item("Use as reference", nil)
		use.ChildMenu = s.slotsMenu(p.Path)
		items = append(items, item("Edit this", edit), use,
			item("Place on the board", func() { s.placeOnBoard(studio.Slot{Path: p.Path}) }))
		if s.canUpscale() {
			items = append(items, item("Upscale…", func() { s.upscalePicture(p) }))
		}
	}
	if len(items) > 0 {
		items = append(items, line())
	}
	save := func() { s.savePicture(&p) }
	if onCanvas {
		save = s.showSavePanel // which tells the canvas where the picture lies
	}
	items = append(items,
		item("Save as…", save), item("Copy picture", func() { s.copyPictureOf(p) }),
		item("Copy prompt", func() { s.app.Clipboard().SetContent(p.Meta.Prompt) }),
		item("Use seed", func() { s.useSeed(p.Meta.Seed) }),
		item("Restore its settings", func() { s.restorePicture(p) }), line())
	if inHistory {
		items = append(items, s.markItems([]history.Entry{e})...)
	}
	if p.Path != "" {
		items = append(items, item("Copy file", func() { s.copyFiles(p.Path) }),
			item("Open in another program", func() { s.launch(p.Path) }),
			item("Show in folder", func() { s.reveal(p.Path) }))
	}
	if inHistory {
		items = append(items, line(), item("Move to bin", func() { s.bin(p.ID) }))
	}
	return fyne.NewMenu("", items...)
}

// picturesMenu returns the menu of several pictures of the history.
func (s *session) picturesMenu(list []history.Entry) *fyne.Menu {
	item, line := fyne.NewMenuItem, fyne.NewMenuItemSeparator
	items := []*fyne.MenuItem{item("Use as references", func() { s.useAsReferences(list) })}
	if len(list) == 2 {
		items = append(items, item("Compare", func() { s.compareTwo(list[0].ID, list[1].ID) }))
	}
	items = append(items, line(), item("Export…", func() { s.export(list) }), line())
	items = append(items, s.markItems(list)...)
	items = append(items, line(), item(fmt.Sprintf("Move %s to bin", pictureCount(len(list))), func() {
		s.bin(idsOf(list)...)
	}))
	return fyne.NewMenu("", items...)
}

// slotsMenu returns the menu of the slots that a picture can go to.
func (s *session) slotsMenu(path string) *fyne.Menu {
	slots := s.Desk.Desk().Slots
	var items []*fyne.MenuItem
	for i := range min(len(slots)+1, inference.MaxReferences) {
		text := fmt.Sprintf("Image %d", i+1)
		if i < len(slots) {
			text += " instead of " + shorten(slots[i].Name(), 30)
		}
		items = append(items, fyne.NewMenuItem(text, func() { s.useAsReference(i+1, path) }))
	}
	slices.Reverse(items) // the free one first
	return fyne.NewMenu("", items...)
}

// markItems returns what a menu offers to find pictures again by: their stars and their folders.
func (s *session) markItems(list []history.Entry) []*fyne.MenuItem {
	star := fyne.NewMenuItem("Star", func() { s.star(list) })
	star.Checked = !slices.ContainsFunc(list, func(e history.Entry) bool { return !e.Starred })
	folder := fyne.NewMenuItem("Folder", nil)
	folder.ChildMenu = s.filingMenu(list)
	return []*fyne.MenuItem{star, folder}
}

// filingMenu returns the menu of the folders that pictures can be filed in. A folder that has all of them is checked,
// and takes them out.
func (s *session) filingMenu(list []history.Entry) *fyne.Menu {
	ids := idsOf(list)
	var items []*fyne.MenuItem
	for _, f := range s.Album.Folders() {
		all := !slices.ContainsFunc(list, func(e history.Entry) bool { return !e.Filed(f.ID) })
		in := fyne.NewMenuItem(f.Name, func() { s.Album.File(ids, f.ID, !all, s.notStored) })
		in.Checked = all
		items = append(items, in)
	}
	if len(items) > 0 {
		items = append(items, fyne.NewMenuItemSeparator())
	}
	items = append(items, fyne.NewMenuItem("New folder…", func() { s.newFolder(ids) }))
	return fyne.NewMenu("", items...)
}

func idsOf(list []history.Entry) []uint64 {
	ids := make([]uint64, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

// notStored says that a star or a folder could not be stored.
func (s *session) notStored(err error) {
	if err != nil {
		s.notice.Say("That could not be stored in the history. " + explain(err))
	}
}

// star gives pictures a star, or takes it away if all of them have one.
func (s *session) star(list []history.Entry) {
	starred := slices.ContainsFunc(list, func(e history.Entry) bool { return !e.Starred })
	s.Album.Star(idsOf(list), starred, s.notStored)
}

// launch opens a picture in the program that the system has for it.
func (s *session) launch(path string) {
	s.Loop.Background(func() func() {
		err := shell.Open(path)
		return func() {
			if err != nil {
				s.notice.fail(err)
			}
		}
	})
}

// export asks for a folder and copies pictures into it.
func (s *session) export(list []history.Entry) {
	s.pickFolder("Where to copy "+pictureCount(len(list)), s.PicturesDir(), func(dir string) {
		s.exportTo(dir, pathsOf(list))
	})
}

func (s *session) exportTo(dir string, paths []string) {
	s.Loop.Background(func() func() {
		n, err := studio.Export(s.Loop.Closing, dir, paths)
		return func() {
			show := ui.Action{Text: "Show in folder", Do: func() { s.reveal(filepath.Join(dir, filepath.Base(paths[0]))) }}
			switch {
			case n == 0:
				s.notice.fail(err)
			case err != nil:
				s.notice.Ask(fmt.Sprintf("%d of %s were copied. %s", n, pictureCount(len(paths)), explain(err)), show)
			default:
				s.notice.Say(fmt.Sprintf("%s copied to %s.", pictureCount(n), dir), show)
			}
		}
	})
}

// useAsReferences fills the free slots with pictures.
func (s *session) useAsReferences(list []history.Entry) {
	s.place(0, pathsOf(list))
}
