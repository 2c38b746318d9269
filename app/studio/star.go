package studio

import (
	"slices"

	"github.com/kleinbild/kleinbild/history"
)

// Star gives entries a star, or takes it away. The album shows it at once; failed is called if it cannot be stored.
func (a *Album) Star(ids []uint64, starred bool, failed func(error)) {
	a.entries = slices.Clone(a.entries)
	for i := range a.entries {
		if slices.Contains(ids, a.entries[i].ID) {
			a.entries[i].Starred = starred
		}
	}
	a.Changed.tell()
	store := a.store
	a.loop.Background(func() func() {
		err := store.Change(ids, func(e *history.Entry) { e.Starred = starred })
		return func() {
			if err != nil {
				failed(err)
			}
		}
	})
}
