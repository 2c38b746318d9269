package studio

import (
	"slices"

	"github.com/kleinbild/kleinbild/history"
)

// Query returns the words that Search was given.
func (a *Album) Query() string { return a.query }

// Search has Found return the entries whose prompts have all words of query.
func (a *Album) Search(query string) {
	if query != a.query {
		a.query = query
		a.changed()
	}
}

// Found returns the entries that match the last Search, newest first. The caller must not change them.
func (a *Album) Found() []history.Entry { return a.found }

func (a *Album) find() { a.found = history.Search(a.entries, a.query) }

// Folders returns the folders that pictures can be filed in, ordered by their names.
func (a *Album) Folders() []history.Folder { return a.folders }

// Folder returns a folder by its ID.
func (a *Album) Folder(id uint64) (f history.Folder, ok bool) {
	i := slices.IndexFunc(a.folders, func(f history.Folder) bool { return f.ID == id })
	if i < 0 {
		return f, false
	}
	return a.folders[i], true
}

// Star gives entries a star, or takes it away. The album shows it at once; failed is called if it cannot be stored.
func (a *Album) Star(ids []uint64, starred bool, failed func(error)) {
	a.change(ids, func(e *history.Entry) { e.Starred = starred }, failed)
}

// File files entries in a folder, or takes them out. The album shows it at once; failed is called if it cannot be
// stored.
func (a *Album) File(ids []uint64, folder uint64, in bool, failed func(error)) {
	a.change(ids, func(e *history.Entry) { e.File(folder, in) }, failed)
}

// PutFolder stores a new folder, renames one or puts one back: see history.Store.PutFolder. done is called with the
// folder, or with the error.
func (a *Album) PutFolder(f history.Folder, done func(history.Folder, error)) {
	a.changeFolders(func() (history.Folder, error) { return a.store.PutFolder(f) }, done)
}

// RemoveFolder removes a folder, but none of its pictures. done is called with the error.
func (a *Album) RemoveFolder(id uint64, done func(error)) {
	a.changeFolders(func() (f history.Folder, err error) { return f, a.store.RemoveFolder(id) },
		func(_ history.Folder, err error) { done(err) })
}

func (a *Album) changeFolders(do func() (history.Folder, error), done func(history.Folder, error)) {
	a.queue(change{work: func() func() {
		f, err := do()
		folders := a.store.Folders()
		return func() {
			if err == nil {
				a.folders = folders
				a.changed()
			}
			done(f, err)
		}
	}})
}

// change is work with the store, away from the loop's goroutine. What the work returns runs on the loop's.
type change struct {
	work func() (done func())
	ids  []uint64 // the entries that it changes, if any
	do   func(*history.Entry)
}

// mark makes the change to the entries of a list.
func (c change) mark(list []history.Entry) {
	if c.do == nil {
		return
	}
	ids := map[uint64]bool{}
	for _, id := range c.ids {
		ids[id] = true
	}
	for i := range list {
		if ids[list[i].ID] {
			c.do(&list[i])
		}
	}
}

// change changes entries here, and then in the store.
func (a *Album) change(ids []uint64, do func(*history.Entry), failed func(error)) {
	c := change{ids: ids, do: do}
	c.work = func() func() {
		err := a.store.Change(ids, do)
		return func() {
			if err != nil {
				a.Reload() // as it is in the store
				failed(err)
			}
		}
	}
	a.entries = slices.Clone(a.entries)
	c.mark(a.entries)
	a.changed()
	a.queue(c) // after what the user sees: thousands of entries keep a processor busy
}

// queue does work after all that was asked for before, so that of two changes the later one stays.
func (a *Album) queue(c change) {
	a.changes = append(a.changes, c)
	if len(a.changes) == 1 {
		a.nextChange()
	}
}

func (a *Album) nextChange() {
	work := a.changes[0].work
	a.loop.Background(func() func() {
		done := work()
		return func() {
			done()
			a.changes = a.changes[1:]
			if len(a.changes) > 0 {
				a.nextChange()
			}
		}
	})
}

// WriteNow writes what waits to be written: the window closes. To write something twice changes nothing.
func (a *Album) WriteNow() {
	for _, c := range a.changes {
		c.work()
	}
}
