package app

import (
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// undoText hands undo or redo to a text box. If the text does not change by that, the desk is undone or redone.
func (s *session) undoText(e *widget.Entry, shortcut fyne.Shortcut) {
	before := e.Text
	e.TypedShortcut(shortcut)
	if e.Text != before {
		return
	}
	if _, ok := shortcut.(*fyne.ShortcutUndo); ok {
		s.Desk.Undo()
	} else {
		s.Desk.Redo()
	}
}

// overwrite replaces what is on the desk. If something of the user's is lost by that, a notice with the given text
// offers to take it back.
func (s *session) overwrite(text string, do func()) {
	before := s.Desk.Desk()
	if !s.Desk.Change(do) {
		return
	}
	unfinished := strings.TrimSpace(before.Prompt) != "" && !slices.Contains(s.Album.Prompts(), before.Prompt)
	if unfinished || len(before.Slots) > 0 {
		s.notice.Say(text, s.undoAction())
	}
}

// editShown takes the picture on show on as image 1, to be edited, or the one that was chosen in the gallery.
func (s *session) editShown() {
	if e, ok := s.gallery.current(); ok && s.gallery.open {
		s.openEntry(e)
		s.editPicture(e.Path)
		return
	}
	if e, ok := s.grid.entry(); ok {
		s.editPicture(e.Path)
		return
	}
	switch p := s.view.shown; {
	case p == nil || s.gallery.open || s.view.previewing || s.start.content.Visible():
		s.notice.Say("There is no finished picture on show to edit yet.")
	case p.Path == "":
		s.saveFirst()
	default:
		s.editPicture(p.Path)
	}
}

// editPicture takes a picture that was made on as image 1. The prompt is selected, so that what is typed replaces it.
func (s *session) editPicture(path string) {
	s.view.leaveMode() // to look at what is edited
	before := s.Desk.Desk().Slots
	changed := s.Desk.Change(func() {
		s.Desk.Choose(func(d *studio.Desk) { d.EditPicture(path) })
		s.advanced.edit.lay(s.Desk.Desk())
	})
	if changed && len(before) > 0 && !before[0].Same(s.Desk.Desk().Slots[0]) {
		s.notice.Say("Image 1 was replaced.", s.undoAction())
	}
	s.prompt.replaceNext()
}

// extendImage1 changes by how much image 1 grows.
func (s *session) extendImage1(m inference.Margins) {
	s.Desk.Extend(m)
	s.advanced.edit.lay(s.Desk.Desk())
}

// saveFirst says that the picture on show lies in no file yet.
func (s *session) saveFirst() {
	save := ui.Action{Text: "Save as…", Do: s.saveCopy}
	s.notice.Say("This picture is not saved yet: save it first, then use it.", save)
}

// openDesk brings back the desk and the queue of the last time, or the last prompt if no desk was kept.
func (s *session) openDesk() {
	desk, ok, err := s.Keeper.Open(s.cfg.DeskDir)
	if err != nil {
		s.notice.Say("What is on the desk may not be there the next time: " + explain(err))
	}
	switch {
	case !ok:
		s.Desk.Amend(func() { s.prompt.setText(s.set.Prompt()) })
	case !desk.Sized():
		desk.Aspect = s.Desk.Desk().Aspect
		fallthrough
	default:
		s.Desk.Lay(desk)
	}
	s.Keeper.ReadQueue(s.cfg.DeskDir, desk, func(back []studio.Batch, broken, err error) {
		s.queued.offer(back)
		switch {
		case err != nil:
			s.notice.Say("What waited last time could not be read: " + explain(err))
		case broken != nil:
			s.sayBroken(broken)
		}
	})
}

// sayBroken offers the desks of batches whose pictures are gone, for a reason.
func (s *session) sayBroken(why error) {
	broken := s.Keeper.Broken()
	text := fmt.Sprintf("%d of the pictures that wait cannot be made. %s", len(broken), explain(why))
	discard := ui.Action{Text: "Discard", Do: s.Keeper.DropBroken}
	if !slices.ContainsFunc(broken, func(b studio.Batch) bool { return b.Upscale == nil }) { // no desk would help
		s.notice.Say(text, discard)
		return
	}
	s.notice.Say(text, ui.Action{Text: "Put it on the desk", Do: func() {
		if b, ok := s.Keeper.TakeBroken(); ok {
			s.Desk.Change(func() { s.Desk.Lay(b.Edited()) })
		}
	}}, discard)
}
