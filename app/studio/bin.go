package studio

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/history"
)

// Bin moves files to the system's bin.
type Bin struct {
	Throw    func(path string) error
	TakeBack func(path string) error // nil for a bin that gives nothing back
}

// binDelay is how long pictures wait before they go to a bin that gives nothing back.
const binDelay = 15 * time.Second

// waste are pictures that wait on their way to the bin.
type waste struct {
	list   []history.Entry
	timer  *time.Timer
	now    func() ([]history.Entry, error) // moves them
	moving bool                            // now runs: it is too late to take the pictures back
}

// Throw moves the pictures of entries to the bin and forgets the entries. done is called with those that are away, and
// with the error of the first one that is not. Pictures for a bin that gives nothing back are hidden at once and moved
// after a while: if that fails, late is called, and the entries are there again.
func (a *Album) Throw(list []history.Entry, done func(gone []history.Entry, err error), late func(error)) {
	if a.Bin.TakeBack == nil {
		a.throwLater(list, late)
		done(list, nil)
		return
	}
	throw := a.throwing(list)
	a.loop.Background(func() func() {
		gone, err := throw()
		return func() {
			a.remove(gone)
			done(gone, err)
		}
	})
}

// throwing returns what moves the pictures of entries to the bin and forgets the entries, on any goroutine. It stops at
// the first picture that cannot be moved.
func (a *Album) throwing(list []history.Entry) func() (gone []history.Entry, err error) {
	bin, store := a.Bin, a.store
	return func() (gone []history.Entry, err error) {
		var ids []uint64
		for _, e := range list {
			if err = bin.Throw(e.Path); err != nil {
				break
			}
			gone, ids = append(gone, e), append(ids, e.ID)
		}
		if len(ids) > 0 {
			_ = store.Remove(ids...) // the store tells an error; the entries say then that their files are gone
		}
		return gone, err
	}
}

func (a *Album) throwLater(list []history.Entry, failed func(error)) {
	w := &waste{list: list, now: a.throwing(list)}
	w.timer = time.AfterFunc(binDelay, func() {
		a.loop.Post(func() {
			if a.binned[list[0].ID] == w { // they were not taken back
				a.move(w, failed)
			}
		})
	})
	for _, e := range list {
		a.binned[e.ID] = w
	}
	a.remove(list)
}

// move moves pictures that have waited long enough to the bin.
func (a *Album) move(w *waste, failed func(error)) {
	w.moving = true
	a.loop.Background(func() func() {
		_, err := w.now()
		return func() {
			a.forgetWaste(w)
			if err != nil {
				failed(err)
			}
			a.Reload()
		}
	})
}

func (a *Album) forgetWaste(w *waste) {
	for _, e := range w.list {
		delete(a.binned, e.ID)
	}
}

// ThrowNow brings to the bin what is on its way there: the window closes. A picture that cannot be moved stays where it
// is.
func (a *Album) ThrowNow() {
	for len(a.binned) > 0 {
		for _, w := range a.binned {
			w.timer.Stop()
			_, _ = w.now()
			a.forgetWaste(w)
			break
		}
	}
}

// errInBin is the error of TakeBack for pictures that have reached a bin that gives nothing back.
var errInBin = errors.New("it is in the system's bin already: restore it there")

// TakeBack takes the pictures of entries that were thrown away together back from the bin, and their entries to their
// places in the history. done is called with the error of the first one that cannot be taken back.
func (a *Album) TakeBack(list []history.Entry, done func(error)) {
	bin, store := a.Bin, a.store
	switch w := a.binned[list[0].ID]; {
	case w != nil && !w.moving:
		w.timer.Stop()
		a.forgetWaste(w)
		a.insert(list)
		done(nil)
		return
	case bin.TakeBack == nil:
		done(errInBin)
		return
	}
	a.loop.Background(func() func() {
		var back []history.Entry
		var failed error
		for _, e := range list {
			if err := bin.TakeBack(e.Path); err == nil {
				back = append(back, e)
			} else if failed == nil {
				failed = err
			}
		}
		if len(back) > 0 {
			store.Restore(back...)
		}
		return func() {
			a.insert(back)
			done(failed)
		}
	})
}

// insert puts entries back to their places.
func (a *Album) insert(list []history.Entry) {
	newestFirst := func(other history.Entry, id uint64) int { return cmp.Compare(id, other.ID) }
	a.entries = slices.Clone(a.entries)
	for _, e := range list {
		if i, there := slices.BinarySearchFunc(a.entries, e.ID, newestFirst); !there {
			a.entries = slices.Insert(a.entries, i, e)
		}
	}
	a.changed()
}
