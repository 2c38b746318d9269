package studio

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
)

// Album is the history of this window: the entries of the store, without those on their way to the bin.
type Album struct {
	Changed  Signal              // Entries returns others now
	Reloaded Signal              // all entries were read anew, and may have other IDs (see IDNow); told before Changed
	Removed  Event[uint64]       // the entry with this ID is gone; told after Changed
	News     Event[history.News] // what has happened to the history's file
	Bin      Bin                 // the system's

	loop    *Loop
	store   *history.Store
	entries []history.Entry   // newest first
	binned  map[uint64]*waste // on their way to the bin
}

// Bin moves files to the system's bin.
type Bin struct {
	Throw    func(path string) error
	TakeBack func(path string) error // nil for a bin that gives nothing back
}

// NewAlbum returns the album of a history's file, which Open reads.
func NewAlbum(loop *Loop, file string, bin Bin) *Album {
	a := &Album{loop: loop, Bin: bin, binned: map[uint64]*waste{}}
	a.store = history.At(file, func(n history.News) {
		if loop.Closing.Err() == nil {
			loop.Post(func() { a.news(n) })
		}
	})
	return a
}

// Store returns the store of the entries.
func (a *Album) Store() *history.Store { return a.store }

// Entries returns the entries of the history, newest first. The caller must not change them.
func (a *Album) Entries() []history.Entry { return a.entries }

// Find returns an entry by its ID.
func (a *Album) Find(id uint64) (e history.Entry, ok bool) {
	i := slices.IndexFunc(a.entries, func(e history.Entry) bool { return e.ID == id })
	if i < 0 {
		return e, false
	}
	return a.entries[i], true
}

// Batch returns the entries of the batch that a picture belongs to, in the order in which they were made. A picture
// that was made alone, or by an earlier version, has none.
func (a *Album) Batch(id uint64) (list []history.Entry) {
	batch := uint64(0)
	for i := range a.entries {
		if a.entries[i].ID == id {
			batch = a.entries[i].Batch
			break
		}
	}
	if batch == 0 {
		return nil
	}
	for i := len(a.entries) - 1; i >= 0; i-- {
		if a.entries[i].Batch == batch {
			list = append(list, a.entries[i])
		}
	}
	return list
}

// Lineage returns the entries that the picture of e was made from, and those that were made from it: see
// history.Lineage.
func (a *Album) Lineage(e history.Entry) (madeFrom, ledTo []history.Entry) {
	return history.Lineage(a.entries, e)
}

// IDNow returns the present ID of the entry that had the ID id and whose picture lies at path: an entry that waited
// because the history's file could not be written gets another ID when it is written. ok is false if there is no such
// entry.
func (a *Album) IDNow(id uint64, path string) (now uint64, ok bool) {
	if _, ok := a.Find(id); ok {
		return id, true
	}
	i := slices.IndexFunc(a.entries, func(e history.Entry) bool { return e.Path == path })
	if i < 0 {
		return 0, false
	}
	return a.entries[i].ID, true
}

// Prompts returns the prompts of the history, newest first, each once.
func (a *Album) Prompts() (list []string) {
	seen := map[string]bool{"": true}
	for _, e := range a.entries {
		if text := e.Picture.Prompt; !seen[text] {
			seen[text] = true
			list = append(list, text)
		}
	}
	return list
}

// Estimate returns how long work takes, judged by the last picture that the same model made on the same device; 0 if
// there is none.
func (a *Album) Estimate(info inference.Info, work float64) time.Duration {
	for _, e := range a.entries {
		p := e.Picture
		if e.Work > 0 && p.ModelDigest == info.Digest && p.Device == info.Device && p.Precision == string(info.Precision) {
			return time.Duration(float64(e.Took) * work / e.Work)
		}
	}
	return 0
}

// Open reads the store, and from then on looks every two seconds whether another window has changed it.
func (a *Album) Open() {
	a.loop.Background(func() func() {
		a.store.Prepare()
		return func() {
			a.Reload()
			a.watch()
		}
	})
}

const watchPause = 2 * time.Second

func (a *Album) watch() {
	go func() {
		tick := time.NewTicker(watchPause)
		defer tick.Stop()
		for last := a.store.Version(); ; {
			select {
			case <-a.loop.Closing.Done():
				return
			case <-tick.C:
			}
			a.store.Retry()
			if now := a.store.Version(); now != last {
				last = now
				a.loop.Post(a.Reload)
			}
		}
	}()
}

func (a *Album) news(n history.News) {
	a.News.tell(n)
	if n.Err == nil {
		a.Reload()
	}
}

// Reload reads the store.
func (a *Album) Reload() {
	a.loop.Background(func() func() {
		list := a.store.List()
		return func() {
			a.Show(slices.DeleteFunc(list, func(e history.Entry) bool { return a.binned[e.ID] != nil }))
		}
	})
}

// Show replaces the entries by those of a list, newest first.
func (a *Album) Show(list []history.Entry) {
	a.entries = list
	a.Reloaded.tell()
	a.Changed.tell()
}

// Added puts a new entry in front.
func (a *Album) Added(e history.Entry) {
	if _, there := a.Find(e.ID); !there || e.ID == 0 {
		a.entries = slices.Insert(slices.Clone(a.entries), 0, e)
	}
	a.Changed.tell()
}

// Forget removes an entry whose picture is gone from the store; failed is called if that fails.
func (a *Album) Forget(id uint64, failed func(error)) {
	a.loop.Background(func() func() {
		err := a.store.Remove(id)
		return func() {
			if err != nil {
				failed(err)
				return
			}
			a.remove(id)
		}
	})
}

func (a *Album) remove(id uint64) {
	a.entries = slices.DeleteFunc(slices.Clone(a.entries), func(e history.Entry) bool { return e.ID == id })
	a.Changed.tell()
	a.Removed.tell(id)
}

// binDelay is how long a picture waits before it goes to a bin that gives nothing back.
const binDelay = 15 * time.Second

// waste is a picture that waits on its way to the bin.
type waste struct {
	timer  *time.Timer
	now    func() error // moves it
	moving bool         // now runs: it is too late to take the picture back
}

// Throw moves an entry's picture to the bin and forgets the entry. done is called once the picture is away, or with the
// error. A picture for a bin that gives nothing back is hidden at once and moved after a while: if that fails, late is
// called, and the entry is there again.
func (a *Album) Throw(e history.Entry, done, late func(error)) {
	if a.Bin.TakeBack == nil {
		a.throwLater(e, late)
		done(nil)
		return
	}
	throw := a.throwing(e)
	a.loop.Background(func() func() {
		err := throw()
		return func() {
			if err == nil {
				a.remove(e.ID)
			}
			done(err)
		}
	})
}

// throwing returns what moves an entry's picture to the bin and forgets the entry, on any goroutine.
func (a *Album) throwing(e history.Entry) func() error {
	bin, store := a.Bin, a.store
	return func() error {
		err := bin.Throw(e.Path)
		if err == nil {
			_ = store.Remove(e.ID) // the store tells an error; the entry says then that its file is gone
		}
		return err
	}
}

func (a *Album) throwLater(e history.Entry, failed func(error)) {
	w := &waste{now: a.throwing(e)}
	w.timer = time.AfterFunc(binDelay, func() {
		a.loop.Post(func() {
			if a.binned[e.ID] == w { // it was not taken back
				a.move(e.ID, w, failed)
			}
		})
	})
	a.binned[e.ID] = w
	a.remove(e.ID)
}

// move moves the picture of an entry that has waited long enough to the bin.
func (a *Album) move(id uint64, w *waste, failed func(error)) {
	w.moving = true
	a.loop.Background(func() func() {
		err := w.now()
		return func() {
			delete(a.binned, id)
			if err != nil {
				failed(err)
			}
			a.Reload()
		}
	})
}

// ThrowNow brings to the bin what is on its way there: the window closes. A picture that cannot be moved stays where it
// is.
func (a *Album) ThrowNow() {
	for id, w := range a.binned {
		w.timer.Stop()
		_ = w.now()
		delete(a.binned, id)
	}
}

// errInBin is the error of TakeBack for a picture that has reached a bin that gives nothing back.
var errInBin = errors.New("it is in the system's bin already: restore it there")

// TakeBack takes a picture back from the bin, and its entry to its place in the history. done is called with the error.
func (a *Album) TakeBack(e history.Entry, done func(error)) {
	bin, store := a.Bin, a.store
	switch w := a.binned[e.ID]; {
	case w != nil && !w.moving:
		w.timer.Stop()
		delete(a.binned, e.ID)
		a.insert(e)
		done(nil)
		return
	case bin.TakeBack == nil:
		done(errInBin)
		return
	}
	a.loop.Background(func() func() {
		err := bin.TakeBack(e.Path)
		if err == nil {
			store.Restore(e)
		}
		return func() {
			if err == nil {
				a.insert(e)
			}
			done(err)
		}
	})
}

// insert puts an entry back to its place.
func (a *Album) insert(e history.Entry) {
	newestFirst := func(other history.Entry, id uint64) int { return cmp.Compare(id, other.ID) }
	i, there := slices.BinarySearchFunc(a.entries, e.ID, newestFirst)
	if !there {
		a.entries = slices.Insert(slices.Clone(a.entries), i, e)
	}
	a.Changed.tell()
}
