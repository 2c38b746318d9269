package ui

import (
	"errors"
	"image"
	"io/fs"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/assets/look"
)

// ThumbItem is one picture of a row or grid of thumbnails.
type ThumbItem struct {
	ID      uint64
	Path    string
	Starred bool
}

// Thumbs reads thumbnails in the background and keeps a bounded number of them.
type Thumbs struct {
	// Load reads the thumbnail of a file, away from Fyne's goroutine. Background runs such work, and then what the work
	// returns on Fyne's goroutine.
	Load       func(path string) (*image.RGBA, error)
	Background func(work func() (done func()))

	keep    int                    // how many are kept
	changed func(path string)      // a thumbnail was found
	known   map[string]*image.RGBA // thumbnails by path; nil while they are read, or if they cannot be
	gone    map[string]bool        // paths where no file is any more
	order   []string               // the paths in known, oldest first
	wait    []string               // to be read, the last one first
	busy    int                    // readers at work
}

const readers = 2 // goroutines that read thumbnails at a time

// newThumbs returns a reader that keeps a number of thumbnails, and calls changed for each one that was read.
func newThumbs(keep int, changed func(path string)) *Thumbs {
	return &Thumbs{keep: keep, changed: changed, known: map[string]*image.RGBA{}, gone: map[string]bool{}}
}

// get returns the thumbnail of a path. If it is not known yet, get returns nil and has it read.
func (t *Thumbs) get(path string) *image.RGBA {
	img, asked := t.known[path]
	if !asked {
		t.known[path] = nil
		t.order = append(t.order, path)
		for len(t.order) > t.keep {
			delete(t.known, t.order[0])
			delete(t.gone, t.order[0])
			t.order = t.order[1:]
		}
		t.wait = append(t.wait, path)
		t.read()
	}
	return img
}

// want drops what waits to be read and is not in sight any more: items are in sight. It keeps more thumbnails than the
// usual number if that many are in sight.
func (t *Thumbs) want(items []ThumbItem) {
	t.keep = max(t.keep, 2*len(items))
	if len(t.wait) == 0 {
		return
	}
	sight := make(map[string]bool, len(items))
	for _, item := range items {
		sight[item.Path] = true
	}
	dropped := false
	t.wait = slices.DeleteFunc(t.wait, func(path string) bool {
		if sight[path] {
			return false
		}
		delete(t.known, path)
		dropped = true
		return true
	})
	if dropped {
		t.order = slices.DeleteFunc(t.order, func(path string) bool { _, known := t.known[path]; return !known })
	}
}

// read begins to read what was asked for last.
func (t *Thumbs) read() {
	for t.busy < readers && len(t.wait) > 0 {
		path := t.wait[len(t.wait)-1]
		t.wait = t.wait[:len(t.wait)-1]
		if _, wanted := t.known[path]; !wanted {
			continue
		}
		t.busy++
		t.Background(func() func() {
			img, err := t.Load(path)
			return func() {
				t.busy--
				if _, wanted := t.known[path]; wanted {
					t.Found(path, img, errors.Is(err, fs.ErrNotExist))
				}
				t.read()
			}
		})
	}
}

// Found takes the thumbnail of a path, nil for none; gone says that there is no file.
func (t *Thumbs) Found(path string, img *image.RGBA, gone bool) {
	if _, asked := t.known[path]; !asked {
		t.order = append(t.order, path)
	}
	t.known[path] = img
	if delete(t.gone, path); gone {
		t.gone[path] = true
	}
	t.changed(path)
}

// The icons of stars.
var (
	StarIcon        = fyne.NewStaticResource("star.svg", look.Star)
	StarOutlineIcon = fyne.NewStaticResource("star-outline.svg", look.StarOutline)
)
