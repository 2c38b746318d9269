package app

import (
	"cmp"
	"slices"
	"time"

	"kleinbild/app/shell"
	"kleinbild/app/studio"
	"kleinbild/history"
)

// binDelay is how long a picture waits before it goes to a bin that gives nothing back.
const binDelay = 15 * time.Second

// bin moves a picture to the system's bin and forgets it; undo takes it back.
func (p *historyPanel) bin(id uint64) {
	i := p.index(id)
	if i < 0 {
		return
	}
	e := p.found[i]
	onCanvas := p.s.shown != nil && p.s.shown.id == id
	p.throw(e, func() {
		p.s.do(studio.Step{Undo: func() { p.unbin(e, onCanvas) }, Redo: func() { p.throw(e, func() {}) }}, func() {})
		p.s.notice.Say("Moved to the bin.", p.s.undoAction())
	})
}

// throw does the work of bin and calls done once the picture is away.
func (p *historyPanel) throw(e history.Entry, done func()) {
	if !shell.CanUnbin {
		p.throwLater(e, shell.Bin)
		done()
		return
	}
	store := p.s.store
	p.s.background(func() func() {
		err := shell.Bin(e.Path)
		if err == nil {
			_ = store.Remove(e.ID) // which the store tells; the entry says then that its file is gone
		}
		return func() {
			if err != nil {
				p.s.notice.Say("The picture could not be moved to the bin. " + explain(err))
				return
			}
			p.removed(e.ID)
			done()
		}
	})
}

// throwLater hides an entry at once and moves its picture to the bin after a while, so that undo needs no bin.
func (p *historyPanel) throwLater(e history.Entry, bin func(string) error) {
	store := p.s.store
	now := func() error {
		err := bin(e.Path)
		if err == nil {
			_ = store.Remove(e.ID)
		}
		return err
	}
	w := &waste{now: now}
	w.timer = time.AfterFunc(binDelay, func() {
		p.s.post(func() {
			if p.binned[e.ID] != w {
				return // taken back
			}
			p.s.background(func() func() {
				err := now()
				return func() {
					delete(p.binned, e.ID)
					if err != nil {
						p.s.notice.Say("The picture could not be moved to the bin. " + explain(err))
					}
					p.reload()
				}
			})
		})
	})
	p.binned[e.ID] = w
	p.removed(e.ID)
}

// waste is a picture on its way to the bin.
type waste struct {
	timer *time.Timer
	now   func() error
}

// binNow brings to the bin what is on its way there: the window closes. What fails stays where it is.
func (p *historyPanel) binNow() {
	for id, w := range p.binned {
		w.timer.Stop()
		_ = w.now()
		delete(p.binned, id)
	}
}

// unbin takes a picture back from the bin, into its place in the history and on the canvas.
func (p *historyPanel) unbin(e history.Entry, onCanvas bool) {
	back := func() {
		p.insert(e)
		if onCanvas {
			p.s.openEntry(e)
		}
	}
	if w := p.binned[e.ID]; w != nil {
		w.timer.Stop()
		delete(p.binned, e.ID)
		back()
		return
	}
	store := p.s.store
	p.s.background(func() func() {
		err := shell.Unbin(e.Path)
		if err == nil {
			store.Restore(e)
		}
		return func() {
			if err != nil {
				p.s.notice.Say("The picture could not be taken back from the bin. " + explain(err))
				return
			}
			back()
		}
	})
}

// insert puts an entry back to its place.
func (p *historyPanel) insert(e history.Entry) {
	i, there := slices.BinarySearchFunc(p.all, e.ID, func(other history.Entry, id uint64) int { return cmp.Compare(id, other.ID) })
	if !there {
		p.all = slices.Insert(p.all, i, e)
	}
	p.filter()
}
