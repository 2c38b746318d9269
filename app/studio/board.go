package studio

import (
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Board is a composition: pictures that were placed roughly on a canvas, to become image 1. A Board never changes, and
// neither do its layers: what changes it returns another one. So a step of undo keeps a pointer.
type Board struct {
	Size   picture.Size `json:"size"`             // of the canvas in pixels
	Ground string       `json:"ground,omitempty"` // its colour, as "#rrggbb"; "" for a canvas that is empty
	Layers []Layer      `json:"layers,omitempty"` // from the lowest to the highest
}

// Layer is a picture on a board.
type Layer struct {
	ID      int             `json:"id"`      // that no other layer of the board has
	Picture Slot            `json:"picture"` // where it lies, and how it is arranged; without Ref
	Size    picture.Size    `json:"size"`    // of the picture, arranged, in its own pixels
	At      image.Rectangle `json:"at"`      // where it lies on the canvas, in its pixels; it may reach beyond the canvas
	Cut     Mask            `json:"cut,omitzero"`
}

// The limits of a board.
const (
	MaxLayers  = 32
	leastLayer = 8   // of a side of Layer.At in pixels
	mostLayer  = 1e5 // the same
)

// check says what is wrong with a board, which may come from a file that holds anything.
func (b *Board) check() error {
	if min(b.Size.Width, b.Size.Height) < picture.MinSide || b.Size.Width > mostLayer || b.Size.Height > mostLayer ||
		b.Size.Width*b.Size.Height > picture.MaxPixels {
		return fmt.Errorf("studio: a board of %v pixels", b.Size)
	}
	if _, err := GroundColour(b.Ground); err != nil {
		return err
	}
	if len(b.Layers) > MaxLayers {
		return fmt.Errorf("studio: a board of %d pictures, want at most %d", len(b.Layers), MaxLayers)
	}
	for i, l := range b.Layers {
		twice := slices.ContainsFunc(b.Layers[:i], func(o Layer) bool { return o.ID == l.ID })
		if l.ID < 1 || twice || l.Size.Width < 1 || l.Size.Height < 1 || !fits(l.At) {
			return fmt.Errorf("studio: a board with a picture of %v pixels at %v", l.Size, l.At)
		}
		if err := errors.Join(checkAll(l.Picture.Board), checkAll(l.Cut.Of.Board)); err != nil {
			return err
		}
	}
	return nil
}

func checkAll(boards ...*Board) (err error) {
	for _, b := range boards {
		if b != nil {
			err = errors.Join(err, b.check())
		}
	}
	return err
}

// fits says whether a picture may lie at a place: its sides, and how far away it is, are bounded.
func fits(at image.Rectangle) bool {
	far := image.Rect(-mostLayer, -mostLayer, 2*mostLayer, 2*mostLayer)
	return at.Dx() >= leastLayer && at.Dy() >= leastLayer && at.Dx() <= mostLayer && at.Dy() <= mostLayer && at.In(far)
}

// Fits says whether the layer may lie at a place, in pixels of the canvas.
func (l Layer) Fits(at image.Rectangle) bool { return fits(at) }

// Same says whether two boards make the same picture; both may be nil.
func (b *Board) Same(other *Board) bool {
	if b == other {
		return true
	}
	return b != nil && other != nil && b.Size == other.Size && b.Ground == other.Ground &&
		slices.EqualFunc(b.Layers, other.Layers, Layer.same)
}

func (l Layer) same(other Layer) bool {
	return l.ID == other.ID && l.At == other.At && l.Picture.Same(other.Picture) && l.Cut.Is(other.Cut)
}

// Layer returns the layer with an ID, and its place among the layers; ok is false if there is none.
func (b *Board) Layer(id int) (l Layer, i int, ok bool) {
	if b == nil {
		return l, -1, false
	}
	i = slices.IndexFunc(b.Layers, func(l Layer) bool { return l.ID == id })
	if i < 0 {
		return l, i, false
	}
	return b.Layers[i], i, true
}

// with returns the board with other layers.
func (b *Board) with(layers []Layer) *Board {
	other := *b
	other.Layers = layers
	return &other
}

// Adds returns the board with a layer above a place of the others, and the ID that it got: -1 stands for the lowest
// place, and a large number for the highest.
func (b *Board) Adds(l Layer, above int) (*Board, int) {
	l.ID = 1
	for _, o := range b.Layers {
		l.ID = max(l.ID, o.ID+1)
	}
	l.Picture.Ref = nil
	if inner := l.Picture.Board; inner != nil {
		// What its pictures were composed of is left out: copies in copies would double a desk with each composition.
		layers := slices.Clone(inner.Layers)
		for i := range layers {
			layers[i].Picture.Board = nil
		}
		l.Picture.Board = inner.with(layers)
	}
	at := min(above+1, len(b.Layers))
	return b.with(slices.Insert(slices.Clone(b.Layers), at, l)), l.ID
}

// Changes returns the board with a layer changed. It is b if there is no such layer.
func (b *Board) Changes(id int, do func(*Layer)) *Board {
	_, i, ok := b.Layer(id)
	if !ok {
		return b
	}
	layers := slices.Clone(b.Layers)
	do(&layers[i])
	layers[i].ID = id
	return b.with(layers)
}

// Removes returns the board without a layer.
func (b *Board) Removes(id int) *Board {
	_, i, ok := b.Layer(id)
	if !ok {
		return b
	}
	return b.with(slices.Delete(slices.Clone(b.Layers), i, i+1))
}

// Raises returns the board with a layer moved by places up, or down with a negative number, as far as there are any.
func (b *Board) Raises(id, by int) *Board {
	l, i, ok := b.Layer(id)
	to := min(max(i+by, 0), len(b.Layers)-1)
	if !ok || to == i {
		return b
	}
	layers := slices.Delete(slices.Clone(b.Layers), i, i+1)
	return b.with(slices.Insert(layers, to, l))
}

// Resized returns the board on a canvas of another size. What lay on the canvas is scaled with it and stays in the
// middle. A picture that filled the canvas at its own size, as a photo that others are put on, fills the other canvas
// if that has its shape.
func (b *Board) Resized(size picture.Size) *Board {
	k := min(float64(size.Width)/float64(b.Size.Width), float64(size.Height)/float64(b.Size.Height))
	left, top := (float64(size.Width)-k*float64(b.Size.Width))/2, (float64(size.Height)-k*float64(b.Size.Height))/2
	other := b.with(slices.Clone(b.Layers))
	other.Size = size
	for i, l := range other.Layers {
		// Both edges are rounded, so that pictures that touched each other still do.
		at := image.Rect(rounded(float64(l.At.Min.X)*k+left), rounded(float64(l.At.Min.Y)*k+top),
			rounded(float64(l.At.Max.X)*k+left), rounded(float64(l.At.Max.Y)*k+top))
		if fits(at) {
			other.Layers[i].At = at
		}
	}
	return other
}

// Grounded returns the board with another ground.
func (b *Board) Grounded(ground string) *Board {
	other := *b
	other.Ground = ground
	return &other
}

// Placed returns where a picture of a size lies that comes to the board: as large as there is room for in a share of
// the canvas, but not larger than it is, in the middle, a little lower for each picture that is there.
func (b *Board) Placed(size picture.Size, share float64) image.Rectangle {
	k := min(share*float64(b.Size.Width)/float64(size.Width), share*float64(b.Size.Height)/float64(size.Height), 1)
	w, h := max(rounded(k*float64(size.Width)), leastLayer), max(rounded(k*float64(size.Height)), leastLayer)
	at := image.Pt((b.Size.Width-w)/2, (b.Size.Height-h)/2)
	if share < 1 {
		step := min(b.Size.Width, b.Size.Height) / 24 * (len(b.Layers) % 6)
		at = at.Add(image.Pt(step, step))
	}
	return image.Rectangle{at, at.Add(image.Pt(w, h))}
}

// Filling returns where a picture of a size lies that is as large as the canvas has room for.
func (b *Board) Filling(size picture.Size) image.Rectangle {
	k := min(float64(b.Size.Width)/float64(size.Width), float64(b.Size.Height)/float64(size.Height))
	w, h := max(rounded(k*float64(size.Width)), leastLayer), max(rounded(k*float64(size.Height)), leastLayer)
	at := image.Pt((b.Size.Width-w)/2, (b.Size.Height-h)/2)
	return image.Rectangle{at, at.Add(image.Pt(w, h))}
}

// Sources returns the pictures on the board, each once, from the lowest up.
func (b *Board) Sources() (list []Slot) {
	for _, l := range b.Layers {
		if !slices.ContainsFunc(list, l.Picture.SameFile) {
			list = append(list, l.Picture)
		}
	}
	return list
}

func rounded(v float64) int {
	if v < 0 {
		return -int(0.5 - v)
	}
	return int(v + 0.5)
}

// UseBoard puts the picture that was made of a board into slot 1, in the place of what was there. The margins by which
// the picture before was to grow do not apply to it.
func (d *Desk) UseBoard(digest string, b *Board) {
	image1 := Slot{Digest: digest, Board: b}
	d.Slots = slices.Clone(d.Slots)
	if len(d.Slots) == 0 {
		d.Slots = []Slot{image1}
		d.PickAspect(picture.Match)
	} else if !d.Slots[0].Same(image1) {
		d.Slots[0] = image1
	} else {
		d.Slots[0].Board = b
	}
	d.Edit.Left, d.Edit.Top, d.Edit.Right, d.Edit.Bottom = "", "", "", ""
}

// composed returns the files that the pictures of a desk were composed of, each once.
func (d Desk) composed() (list []picture.ReferenceFile) {
	var take func(b *Board)
	take = func(b *Board) {
		if b == nil {
			return
		}
		for _, s := range b.Sources() {
			file := picture.ReferenceFile{Path: s.Path, SHA256: s.Digest}
			if s.Board == nil && !slices.Contains(list, file) {
				list = append(list, file)
			}
			take(s.Board)
		}
	}
	for _, s := range d.Slots {
		take(s.Board)
	}
	return list
}

// boards returns the boards of a desk, with those that its pictures were made of.
func (d Desk) boards() (list []*Board) {
	var take func(b *Board)
	take = func(b *Board) {
		if b == nil || slices.Contains(list, b) {
			return
		}
		list = append(list, b)
		for _, l := range b.Layers {
			take(l.Picture.Board)
		}
	}
	take(d.Board)
	for _, s := range d.Slots {
		take(s.Board)
	}
	return list
}
