package app

import (
	"fmt"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/history"
)

// bin moves pictures to the system's bin and forgets them; undo takes them back.
func (s *session) bin(ids ...uint64) {
	var list []history.Entry
	var shown *history.Entry
	for _, id := range ids {
		if e, ok := s.Album.Find(id); ok {
			list = append(list, e)
			if s.onCanvas(id) {
				shown = &e
			}
		}
	}
	if len(list) == 0 {
		return
	}
	failed := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be moved to the bin. " + explain(err))
		}
	}
	back := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be taken back from the bin. " + explain(err))
		} else if shown != nil {
			s.showEntry(*shown)
		}
	}
	s.Album.Throw(list, func(gone []history.Entry, err error) {
		failed(err)
		if len(gone) == 0 {
			return
		}
		s.Desk.Do(studio.Step{
			Undo: func() { s.Album.TakeBack(gone, back) },
			Redo: func() { s.Album.Throw(gone, func(_ []history.Entry, err error) { failed(err) }, failed) },
		}, func() {})
		text := "Moved to the bin."
		if len(list) > 1 {
			text = fmt.Sprintf("%s moved to the bin.", pictureCount(len(gone)))
		}
		s.notice.Say(text, s.undoAction())
	}, failed)
}
