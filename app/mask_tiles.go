package app

import (
	"bytes"
	"image"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
)

// maskTiles draws a mask as a colour over the picture of a view. It consists of tiles of the screen: Fyne uploads a
// whole texture for each picture that has changed, and a stroke changes one or two of them. A stroke under way is drawn
// at once, all else away from Fyne's goroutine; until that is there, the last tiles are shown at the new scale.
type maskTiles struct {
	view       *ui.PictureView
	background func(work func() (done func()))
	content    *fyne.Container
	look       maskLook
	scale      float64 // pixels of the screen for a pixel of the picture, at which tiles were drawn
	tiles      map[image.Point]*maskTile
	old        []*maskTile // of another scale, shown until all tiles are drawn
	drawing    bool
	wanted     int // counts changes of look and scale: tiles that were begun at a lower count are outdated
}

// maskLook is what is shown: the mask that is painted on, and what comes to it or leaves it by the stroke under way.
type maskLook struct {
	mask   *paint.Mask
	stroke *paint.Mask // changes while it is shown: only Fyne's goroutine reads it
	remove bool
	drawn  image.Rectangle // where the stroke has changed so far, in pixels of the picture as large as it is drawn
	edge   maskEdge
}

// maskEdge is the feather of a mask, as it will be.
type maskEdge struct {
	of   *paint.Mask
	soft *image.Gray // the factor of each pixel, at any size; nil before it is known
}

// maskTile is a square of the screen, part of it where the picture ends.
type maskTile struct {
	part  image.Rectangle // in pixels of the picture as large as it is drawn
	scale float64
	img   *image.RGBA
	image *canvas.Image
	done  bool // it shows the look
}

const maskTileSide = 256

func newMaskTiles(view *ui.PictureView, background func(func() func())) *maskTiles {
	return &maskTiles{
		view: view, background: background, content: &fyne.Container{}, tiles: map[image.Point]*maskTile{},
	}
}

// clear removes all tiles.
func (t *maskTiles) clear() {
	t.wanted++
	t.look, t.tiles, t.old = maskLook{}, map[image.Point]*maskTile{}, nil
	t.fill()
}

// show shows a mask, without a stroke. Its edge is that of the mask before until edge is called: what differs from that
// mask is shown without one.
func (t *maskTiles) show(mask *paint.Mask) {
	t.look.mask, t.look.stroke, t.look.drawn = mask, nil, image.Rectangle{}
	t.outdate()
}

// edge shows the feather of a mask.
func (t *maskTiles) edge(of *paint.Mask, soft *image.Gray) {
	t.look.edge = maskEdge{of, soft}
	t.outdate()
}

func (t *maskTiles) outdate() {
	t.wanted++
	for _, tile := range t.tiles {
		tile.done = false
	}
	t.place()
}

// stroke shows what a stroke does. It has changed in a rectangle, in pixels of the picture.
func (t *maskTiles) stroke(stroke *paint.Mask, remove bool, changed image.Rectangle) {
	t.look.stroke, t.look.remove = stroke, remove
	if changed.Empty() {
		return
	}
	part := image.Rect(
		int(math.Floor(float64(changed.Min.X)*t.scale))-1, int(math.Floor(float64(changed.Min.Y)*t.scale))-1,
		int(math.Ceil(float64(changed.Max.X)*t.scale))+1, int(math.Ceil(float64(changed.Max.Y)*t.scale))+1,
	)
	t.look.drawn = t.look.drawn.Union(part)
	for _, tile := range t.tiles {
		if dirty := part.Intersect(tile.part); tile.img != nil && !dirty.Empty() {
			t.look.draw(tile.img, tile.part.Min, dirty, t.scale)
			tile.image.Refresh()
		}
	}
}

// place puts the tiles where the view has its picture, and has those drawn that are missing.
func (t *maskTiles) place() {
	if t.look.mask == nil || t.view.Picture() == nil {
		return
	}
	scale := float64(t.view.Pixels())
	if scale != t.scale {
		t.wanted++
		for at, tile := range t.tiles {
			if tile.img != nil {
				t.old = append(t.old, tile)
			}
			delete(t.tiles, at)
		}
		t.scale = scale
	}
	t.cover()
	for _, tile := range t.old {
		t.put(tile)
	}
	for _, tile := range t.tiles {
		t.put(tile)
	}
	t.fill()
	t.draw()
}

// cover makes a tile for each part of the view that shows the picture, and drops those that are far out of sight.
func (t *maskTiles) cover() {
	size := t.look.mask.Size()
	whole := image.Rect(0, 0, int(float64(size.X)*t.scale+0.5), int(float64(size.Y)*t.scale+0.5))
	x0, y0 := t.view.ToPicture(fyne.Position{})
	x1, y1 := t.view.ToPicture(fyne.NewPos(t.view.Size().Width, t.view.Size().Height))
	seen := image.Rect(int(float64(x0)*t.scale), int(float64(y0)*t.scale), int(float64(x1)*t.scale)+1,
		int(float64(y1)*t.scale)+1).Intersect(whole)
	near := seen.Inset(-maskTileSide)
	for at, tile := range t.tiles {
		if !tile.part.Overlaps(near) {
			delete(t.tiles, at)
		}
	}
	for y := seen.Min.Y / maskTileSide; y*maskTileSide < seen.Max.Y; y++ {
		for x := seen.Min.X / maskTileSide; x*maskTileSide < seen.Max.X; x++ {
			at := image.Pt(x, y)
			if t.tiles[at] != nil {
				continue
			}
			origin := at.Mul(maskTileSide)
			part := image.Rectangle{origin, origin.Add(image.Pt(maskTileSide, maskTileSide))}.Intersect(whole)
			tile := &maskTile{part: part, scale: t.scale, image: canvas.NewImageFromImage(nil)}
			tile.image.ScaleMode, tile.image.FillMode = canvas.ImageScaleFastest, canvas.ImageFillStretch
			t.tiles[at] = tile
		}
	}
}

// put gives a tile its place in the view.
func (t *maskTiles) put(tile *maskTile) {
	place := func(x, y int) fyne.Position {
		return t.view.ToView(float32(float64(x)/tile.scale), float32(float64(y)/tile.scale))
	}
	least, most := place(tile.part.Min.X, tile.part.Min.Y), place(tile.part.Max.X, tile.part.Max.Y)
	ui.At(tile.image, least.X, least.Y, most.X-least.X, most.Y-least.Y)
}

// fill has the container hold the tiles that there are.
func (t *maskTiles) fill() {
	var objects []fyne.CanvasObject
	for _, tile := range t.old {
		objects = append(objects, tile.image)
	}
	for _, tile := range t.tiles {
		if tile.img != nil {
			objects = append(objects, tile.image)
		}
	}
	if len(objects) == 0 && len(t.content.Objects) == 0 {
		return
	}
	t.content.Objects = objects
	canvas.Refresh(t.content)
}

// draw draws the tiles that do not show the look, away from Fyne's goroutine. One drawing runs at a time.
func (t *maskTiles) draw() {
	var tiles []*maskTile
	for _, tile := range t.tiles {
		if !tile.done {
			tiles = append(tiles, tile)
		}
	}
	if t.drawing || len(tiles) == 0 {
		return
	}
	t.drawing = true
	wanted, scale, look := t.wanted, t.scale, t.look
	look.stroke = nil
	t.background(func() func() {
		drawn := make([]*image.RGBA, len(tiles))
		for i, tile := range tiles {
			drawn[i] = image.NewRGBA(image.Rectangle{Max: tile.part.Size()})
			look.draw(drawn[i], tile.part.Min, tile.part, scale)
		}
		return func() {
			t.drawing = false
			if t.wanted == wanted {
				t.drawn(tiles, drawn)
			}
			t.place()
		}
	})
}

// drawn shows tiles that were drawn. A stroke that is under way by now is drawn over them.
func (t *maskTiles) drawn(tiles []*maskTile, drawn []*image.RGBA) {
	t.old = nil
	for i, tile := range tiles {
		tile.done = true
		if dirty := t.look.drawn.Intersect(tile.part); t.look.stroke != nil && !dirty.Empty() {
			t.look.draw(drawn[i], tile.part.Min, dirty, t.scale)
		}
		if tile.img != nil && bytes.Equal(tile.img.Pix, drawn[i].Pix) {
			continue
		}
		tile.img = drawn[i]
		tile.image.Image = drawn[i]
		tile.image.Refresh()
	}
}

// draw draws a part of a tile that begins at origin. Both are in pixels of the picture at the given scale.
func (l maskLook) draw(img *image.RGBA, origin image.Point, part image.Rectangle, scale float64) {
	// One more row and column: an outline lies between two pixels.
	more := image.Rectangle{part.Min, part.Max.Add(image.Pt(1, 1))}
	width := more.Dx()
	sample := func(m *paint.Mask) []uint8 {
		levels := make([]uint8, width*more.Dy())
		m.Sample(levels, more, 1/scale)
		return levels
	}
	levels := sample(l.mask)
	shown := levels
	if l.edge.soft != nil {
		before := levels
		if l.edge.of != l.mask {
			before = sample(l.edge.of)
		}
		shown = l.edge.weaken(levels, before, more, scale)
	}
	if l.stroke != nil {
		stroke := sample(l.stroke)
		levels, shown = joined(levels, stroke, l.remove), joined(shown, stroke, l.remove)
	}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		at := (y - part.Min.Y) * width
		out := img.Pix[img.PixOffset(part.Min.X-origin.X, y-origin.Y):]
		for x := range part.Dx() {
			i := at + x
			c := tintOf[shown[i]]
			if in := levels[i] >= 128; in != (levels[i+1] >= 128) || in != (levels[i+width] >= 128) {
				c = outline
			}
			copy(out[4*x:4*x+4], c[:])
		}
	}
}

// joined returns levels with those of a stroke added, or removed.
func joined(levels, stroke []uint8, remove bool) []uint8 {
	out := make([]uint8, len(levels))
	for i, v := range levels {
		if remove {
			out[i] = min(v, 255-stroke[i])
		} else {
			out[i] = max(v, stroke[i])
		}
	}
	return out
}

// weaken returns the levels as the edit uses them: a mask of one half or more takes the whole result, times the factor
// of the feather. Where the mask is another one than before, the feather is not known yet.
func (e maskEdge) weaken(levels, before []uint8, part image.Rectangle, scale float64) []uint8 {
	out := make([]uint8, len(levels))
	size, soft := e.of.Size(), e.soft.Rect.Size()
	across, down := float64(soft.X)/(float64(size.X)*scale), float64(soft.Y)/(float64(size.Y)*scale)
	for i, v := range levels {
		if v == 0 || v != before[i] {
			out[i] = v
			continue
		}
		x, y := part.Min.X+i%part.Dx(), part.Min.Y+i/part.Dx()
		f := between(e.soft, (float64(x)+0.5)*across-0.5, (float64(y)+0.5)*down-0.5)
		out[i] = uint8(float64(min(2*int(v), 255)) * f / 255)
	}
	return out
}

// between returns the level of a place between pixels.
func between(gray *image.Gray, x, y float64) float64 {
	most := gray.Rect.Max
	x, y = min(max(x, 0), float64(most.X-1)), min(max(y, 0), float64(most.Y-1))
	i, k := int(x), int(y)
	u, v := x-float64(i), y-float64(k)
	right, below := min(i+1, most.X-1), min(k+1, most.Y-1)
	at := func(x, y int) float64 { return float64(gray.Pix[y*gray.Stride+x]) }
	return (at(i, k)*(1-u)+at(right, k)*u)*(1-v) + (at(i, below)*(1-u)+at(right, below)*u)*v
}

// tintOf has the colour of each level, multiplied by its opacity. outline lies around what changes: the tint alone
// would not be seen on a picture of its own colour.
var (
	tintOf  = tints()
	outline = [4]uint8{235, 235, 235, 235}
)

func tints() (list [256][4]uint8) {
	for level := range list {
		alpha := level * tintWeight / 256
		for c, v := range [4]uint8{tint.R, tint.G, tint.B, 255} {
			list[level][c] = uint8((int(v)*alpha + 127) / 255)
		}
	}
	return list
}
