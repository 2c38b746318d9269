package app

import (
	"kleinbild/app/studio"
)

// bin moves a picture to the system's bin and forgets it; undo takes it back.
func (p *historyPanel) bin(id uint64) {
	s := p.s
	e, ok := s.Album.Find(id)
	if !ok {
		return
	}
	onCanvas := s.shown != nil && s.shown.ID == id
	failed := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be moved to the bin. " + explain(err))
		}
	}
	back := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be taken back from the bin. " + explain(err))
		} else if onCanvas {
			s.openEntry(e)
		}
	}
	s.Album.Throw(e, func(err error) {
		if err != nil {
			failed(err)
			return
		}
		s.Desk.Do(studio.Step{
			Undo: func() { s.Album.TakeBack(e, back) },
			Redo: func() { s.Album.Throw(e, failed, failed) },
		}, func() {})
		s.notice.Say("Moved to the bin.", s.undoAction())
	}, failed)
}
