package app

import (
	"github.com/kleinbild/kleinbild/app/studio"
)

// bin moves a picture to the system's bin and forgets it; undo takes it back.
func (p *historyPanel) bin(id uint64) {
	e, ok := p.Album.Find(id)
	if !ok {
		return
	}
	onCanvas := p.host.onCanvas(id)
	failed := func(err error) {
		if err != nil {
			p.notice.Say("The picture could not be moved to the bin. " + explain(err))
		}
	}
	back := func(err error) {
		if err != nil {
			p.notice.Say("The picture could not be taken back from the bin. " + explain(err))
		} else if onCanvas {
			p.host.openEntry(e)
		}
	}
	p.Album.Throw(e, func(err error) {
		if err != nil {
			failed(err)
			return
		}
		p.Desk.Do(studio.Step{
			Undo: func() { p.Album.TakeBack(e, back) },
			Redo: func() { p.Album.Throw(e, failed, failed) },
		}, func() {})
		p.notice.Say("Moved to the bin.", p.undoAction())
	}, failed)
}
