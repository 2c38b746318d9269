package studio

import (
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
)

// Album is the history of this window: the entries of the store, without those on their way to the bin.
type Album struct {
	Changed  Signal              // Entries, Found or Folders return others now
	Reloaded Signal              // all entries were read anew, and may have other IDs (see IDNow); told before Changed
	Removed  Event[uint64]       // the entry with this ID is gone; told after Changed
	News     Event[history.News] // what has happened to the history's file
	Bin      Bin                 // the system's

	loop    *Loop
	store   *history.Store
	entries []history.Entry   // newest first
	binned  map[uint64]*waste // on their way to the bin
	folders []history.Folder  // ordered by their names
	query   string
	found   []history.Entry // those that match query
	changes []change        // of the store; the first one is under way
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
	for i := range a.entries {
		if a.entries[i].ID == id {
			return a.entries[i], true
		}
	}
	return e, false
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
	for i := range a.entries { // an entry is large: none is copied
		if a.entries[i].Path == path {
			return a.entries[i].ID, true
		}
	}
	return 0, false
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
	a.queue(change{work: func() func() {
		list, folders := a.store.List(), a.store.Folders()
		return func() {
			list = slices.DeleteFunc(list, func(e history.Entry) bool { return a.binned[e.ID] != nil })
			for _, c := range a.changes { // they are not in the store yet
				c.mark(list)
			}
			a.folders = folders
			a.Show(list)
		}
	}})
}

// Show replaces the entries by those of a list, newest first.
func (a *Album) Show(list []history.Entry) {
	a.entries = list
	a.Reloaded.tell()
	a.changed()
}

// changed tells that there are other entries.
func (a *Album) changed() {
	a.find()
	a.Changed.tell()
}

// Added puts a new entry in front.
func (a *Album) Added(e history.Entry) {
	if _, there := a.Find(e.ID); !there || e.ID == 0 {
		a.entries = slices.Insert(slices.Clone(a.entries), 0, e)
	}
	a.changed()
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
			a.remove([]history.Entry{{ID: id}})
		}
	})
}

// remove takes entries out of the album.
func (a *Album) remove(list []history.Entry) {
	gone := map[uint64]bool{}
	for _, e := range list {
		gone[e.ID] = true
	}
	a.entries = slices.DeleteFunc(slices.Clone(a.entries), func(e history.Entry) bool { return gone[e.ID] })
	a.changed()
	for _, e := range list {
		a.Removed.tell(e.ID)
	}
}
