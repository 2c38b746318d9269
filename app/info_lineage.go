package app

import (
	"fmt"
	"image"
	"slices"
	"strconv"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// lineage is the part of Info that shows what the picture on show was made from, and which pictures were made from it.
// Those of the history can be opened, so that one can walk from try to try.
type lineage struct {
	common
	host   lineageHost
	small  *history.Thumbnails
	shown  *studio.Picture // nil for none
	from   [inference.MaxReferences]*ui.ThumbButton
	ledTo  [maxLedTo]*ui.ThumbButton
	count  [2]int // of both that are there
	stop   [2]int // where Tab stops in both, if that one leads somewhere
	names  [2]*ui.Label
	thumbs map[string]*image.RGBA // by what they are of; nil while one is made
}

// maxLedTo is how many pictures that were made from one are shown: two rows.
const maxLedTo = 8

// lineageHost is what it asks of the window.
type lineageHost interface {
	whereIs(r picture.ReferenceFile) (slot studio.Slot, ok bool) // finds the file of a reference
	openEntry(e history.Entry)                                   // shows it on the canvas
	focus(o fyne.Focusable)
}

func newLineage(c common, small *history.Thumbnails, host lineageHost) *lineage {
	l := &lineage{common: c, host: host, small: small, thumbs: map[string]*image.RGBA{}}
	l.names = [2]*ui.Label{ui.NewCaption("Made from"), ui.NewCaption("")}
	for g, group := range l.groups() {
		for i := range group {
			b := ui.NewThumbButton()
			b.Passed = func() bool { return l.tabStop(g) != b }
			b.OnArrow = func(by int) { l.goOn(g, i, by) }
			group[i] = b
		}
	}
	return l
}

func (l *lineage) groups() [2][]*ui.ThumbButton { return [2][]*ui.ThumbButton{l.from[:], l.ledTo[:]} }

// goOn gives the keyboard to the next thumbnail of a group that leads somewhere, after place i or before it.
func (l *lineage) goOn(g, i, by int) {
	group := l.groups()[g]
	for i += by; i >= 0 && i < len(group); i += by {
		if group[i].OnTapped != nil {
			l.stop[g] = i
			l.host.focus(group[i])
			return
		}
	}
}

// tabStop is the thumbnail of a group that Tab goes to: the one that an arrow went to last, or else the first that
// leads somewhere.
func (l *lineage) tabStop(g int) *ui.ThumbButton {
	group := l.groups()[g]
	if b := group[l.stop[g]]; b.OnTapped != nil {
		return b
	}
	i := slices.IndexFunc(group, func(b *ui.ThumbButton) bool { return b.OnTapped != nil })
	if i < 0 {
		return nil
	}
	return group[i]
}

// show finds the relatives of a picture, nil for none. It returns what is to be laid out.
func (l *lineage) show(shown *studio.Picture) (objects []fyne.CanvasObject) {
	l.shown, l.count = shown, [2]int{}
	for _, b := range append(l.from[:], l.ledTo[:]...) {
		b.OnTapped, b.Image = nil, nil
	}
	if shown == nil {
		clear(l.thumbs)
		return nil
	}
	references := l.sources()
	parents, children := l.relatives()
	wanted := map[string]bool{}
	for i, r := range references {
		b := l.from[i]
		if b.Text = ""; shown.Meta.Upscale == nil && i < len(shown.Meta.References) {
			b.Text = strconv.Itoa(i + 1)
		}
		parent := slices.IndexFunc(parents, func(e history.Entry) bool {
			return e.SHA256 == r.SHA256 || e.SHA256 == "" && e.Path == r.Path
		})
		if parent >= 0 {
			b.OnTapped = func() { l.host.openEntry(parents[parent]) }
		}
		of := fmt.Sprint(r.SHA256, r.Arrangement) // one file can be there twice, cropped in two ways
		wanted[of] = true
		l.thumbnail(of, b, func() (*image.RGBA, error) { return l.readReference(r) })
		objects = append(objects, b)
	}
	if l.count[0] = len(references); l.count[0] > 0 {
		objects = append(objects, l.names[0])
	}
	for i, e := range children[:min(len(children), maxLedTo)] {
		b := l.ledTo[i]
		b.OnTapped = func() { l.host.openEntry(e) }
		wanted[e.Path] = true
		l.thumbnail(e.Path, b, func() (*image.RGBA, error) { return l.small.Get(e.Path) })
		objects = append(objects, b)
	}
	if l.count[1] = min(len(children), maxLedTo); l.count[1] > 0 {
		l.names[1].Set(ledToText(len(children)), ui.ColorDim)
		objects = append(objects, l.names[1])
	}
	for of := range l.thumbs {
		if !wanted[of] {
			delete(l.thumbs, of)
		}
	}
	return objects
}

// sources returns the files that the picture on show was made from, as far as there is room: that which was enlarged,
// or its references, then what these were composed of.
func (l *lineage) sources() []picture.ReferenceFile {
	list := l.shown.Meta.References
	if e, ok := l.Album.Find(l.shown.ID); ok {
		list = e.Sources()
	}
	return list[:min(len(list), inference.MaxReferences)]
}

func ledToText(n int) string {
	if n > maxLedTo {
		return fmt.Sprintf("Led to %s, the newest %d", pictureCount(n), maxLedTo)
	}
	return "Led to"
}

// relatives returns the entries that the picture on show was made from, and those that were made from it.
func (l *lineage) relatives() (parents, children []history.Entry) {
	e, ok := l.Album.Find(l.shown.ID)
	if !ok {
		e = history.Entry{ID: l.shown.ID, Path: l.shown.Path, Picture: l.shown.Meta}
	}
	return l.Album.Lineage(e)
}

// thumbnail shows the thumbnail of something on a button, once it is read; of names it.
func (l *lineage) thumbnail(of string, b *ui.ThumbButton, read func() (*image.RGBA, error)) {
	img, asked := l.thumbs[of]
	b.Image = img
	b.Refresh()
	if asked {
		return
	}
	l.thumbs[of] = nil
	shown := l.shown
	l.Loop.Background(func() func() {
		img, err := read()
		return func() {
			if _, wanted := l.thumbs[of]; !wanted || err != nil {
				return
			}
			l.thumbs[of] = img
			if l.shown == shown {
				b.Image = img
				b.Refresh()
			} else {
				l.show(l.shown) // which may want it in another place
			}
		}
	})
}

// readReference reads the thumbnail of a reference, away from Fyne's goroutine; nil if its file is gone or has changed.
func (l *lineage) readReference(r picture.ReferenceFile) (*image.RGBA, error) {
	slot, ok := l.host.whereIs(r)
	store := l.Keeper.Store()
	if !ok || store == nil && slot.Path == "" {
		return nil, nil
	}
	ref, err := store.Read(l.Loop.Closing, slot)
	if err != nil || ref.FileSHA256 != r.SHA256 {
		return nil, err
	}
	return history.Fit(ref.Image, 4*infoThumbWidth, 4*infoThumbHeight), nil
}

// The size of a thumbnail: four find room in the narrowest column.
const (
	infoThumbWidth  = 46
	infoThumbHeight = 34
	infoThumbGap    = 6
	infoThumbColumn = infoThumbWidth + infoThumbGap
)

// height is what place takes.
func (l *lineage) height() (height float32) {
	for _, n := range l.count {
		if n > 0 {
			height += 8 + infoRowHeight + float32((n+3)/4)*(infoThumbHeight+infoThumbGap)
		}
	}
	return height
}

// place lays both groups out below each other, from y on.
func (l *lineage) place(y, width float32) {
	for g, group := range l.groups() {
		if l.count[g] == 0 {
			continue
		}
		ui.At(l.names[g], ui.Margin, y+8, width, infoRowHeight)
		y += 8 + infoRowHeight
		for i, b := range group[:l.count[g]] {
			x := ui.Margin + float32(i%4)*infoThumbColumn
			ui.At(b, x, y+float32(i/4)*(infoThumbHeight+infoThumbGap), infoThumbWidth, infoThumbHeight)
		}
		y += float32((l.count[g]+3)/4) * (infoThumbHeight + infoThumbGap)
	}
}
