package app

import (
	"fmt"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/history"
)

// star gives pictures of the history a star, or takes it away.
func (s *session) star(starred bool, ids ...uint64) { s.Album.Star(ids, starred, s.notice.fail) }

// bin moves pictures to the system's bin and forgets them; undo takes all of them back.
func (s *session) bin(ids ...uint64) {
	var list, gone []history.Entry
	for _, id := range ids {
		if e, ok := s.Album.Find(id); ok {
			list = append(list, e)
		}
	}
	failed := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be moved to the bin. " + explain(err))
		}
	}
	back := func(err error) {
		if err != nil {
			s.notice.Say("The picture could not be taken back from the bin. " + explain(err))
		}
	}
	left := len(list)
	for _, e := range list {
		s.Album.Throw(e, func(err error) {
			if failed(err); err == nil {
				gone = append(gone, e)
			}
			if left--; left > 0 || len(gone) == 0 {
				return
			}
			each := func(do func(e history.Entry)) func() {
				return func() {
					for _, e := range gone {
						do(e)
					}
				}
			}
			s.Desk.Do(studio.Step{
				Undo: each(func(e history.Entry) { s.Album.TakeBack(e, back) }),
				Redo: each(func(e history.Entry) { s.Album.Throw(e, failed, failed) }),
			}, func() {})
			s.notice.Say(fmt.Sprintf("%s moved to the bin.", pictureCount(len(gone))), s.undoAction())
		}, failed)
	}
}
