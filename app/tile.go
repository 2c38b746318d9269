package app

import (
	"fmt"
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// tileColumns is how many tiles of a group lie side by side.
const tileColumns = 3

// tile is one of a group of sizes to choose from, drawn in its true proportions. The group is one stop of Tab, in rows of
// tileColumns; the arrow keys go from one tile to the next.
type tile struct {
	widget.BaseWidget
	name    string
	missing string      // what a tile without a size says instead of it
	pixels  image.Point // the size; zero if the tile cannot be chosen
	chosen  bool
	// tapped chooses the tile. beside chooses the one that lies by tiles after it. tabStop says whether Tab goes to this tile
	// of its group.
	tapped  func()
	beside  func(by int)
	tabStop func() bool

	hovered, focused bool
}

// newTile returns a tile with a name; its owner sets what it does.
func newTile(name, missing string) *tile {
	t := &tile{name: name, missing: missing}
	t.ExtendBaseWidget(t)
	return t
}

func (t *tile) enabled() bool { return t.pixels != image.Point{} }

func (t *tile) choose() {
	if t.enabled() {
		t.tapped()
	}
}

func (t *tile) Tapped(*fyne.PointEvent)        { t.choose() }
func (t *tile) MouseIn(*desktop.MouseEvent)    { t.hovered = true; t.Refresh() }
func (t *tile) MouseMoved(*desktop.MouseEvent) {}
func (t *tile) MouseOut()                      { t.hovered = false; t.Refresh() }
func (t *tile) FocusGained()                   { t.focused = true; t.Refresh() }
func (t *tile) FocusLost()                     { t.focused = false; t.Refresh() }
func (t *tile) TypedRune(rune)                 {}
func (t *tile) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		t.choose()
	case fyne.KeyLeft:
		t.beside(-1)
	case fyne.KeyRight:
		t.beside(1)
	case fyne.KeyUp:
		t.beside(-tileColumns)
	case fyne.KeyDown:
		t.beside(tileColumns)
	default:
		forward(t, e)
	}
}

// Disabled keeps all tiles but one out of the order of Tab.
func (t *tile) Disabled() bool { return !t.tabStop() }
func (t *tile) Enable()        {}
func (t *tile) Disable()       {}

func (t *tile) CreateRenderer() fyne.WidgetRenderer {
	r := &tileRenderer{
		tile: t, ground: newBox(colorRaised, radius), veil: newBox(colorNone, radius), shape: canvas.NewRectangle(nil),
		name: newLabel(t.name, colorText, sizeCaption), pixels: newLabel("", colorDim, sizeCaption),
	}
	r.shape.CornerRadius, r.shape.StrokeWidth = 2, 1
	r.name.align, r.pixels.align = fyne.TextAlignCenter, fyne.TextAlignCenter
	r.Refresh()
	return r
}

type tileRenderer struct {
	tile         *tile
	ground, veil *box
	shape        *canvas.Rectangle
	name, pixels *label
}

const shapeSide float32 = 40 // of the longest side of the widest size

func (r *tileRenderer) MinSize() fyne.Size { return fyne.NewSize(60, 64) }
func (r *tileRenderer) Destroy()           {}
func (r *tileRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.veil, r.shape, r.name, r.pixels}
}

func (r *tileRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	texts := float32(38)
	room := size.Height - texts - 8
	w, h := shapeSide*0.7, shapeSide*0.7
	if s := r.tile.pixels; r.tile.enabled() {
		// The same area for all: the proportions are what differs.
		area := min(shapeSide*0.75, room) * min(shapeSide*0.75, room)
		ratio := float32(s.X) / float32(s.Y)
		w, h = sqrt(area*ratio), sqrt(area/ratio)
	}
	if most := min(size.Width-16, shapeSide*1.2); w > most {
		w, h = most, h*most/w
	}
	if h > room {
		w, h = w*room/h, room
	}
	w, h = float32(int(w)), float32(int(h))
	at(r.shape, float32(int((size.Width-w)/2)), float32(int(8+(room-h)/2)), w, h)
	at(r.name, 2, size.Height-texts, size.Width-4, 16)
	at(r.pixels, 2, size.Height-texts+16, size.Width-4, 15)
	r.showPixels()
}

// showPixels says the size, without spaces if there is no room for them.
func (r *tileRenderer) showPixels() {
	t := r.tile
	r.pixels.text = fmt.Sprintf("%d × %d", t.pixels.X, t.pixels.Y)
	if !t.enabled() {
		r.pixels.text = t.missing
	} else if r.pixels.natural().Width > r.pixels.Size().Width {
		r.pixels.text = fmt.Sprintf("%d×%d", t.pixels.X, t.pixels.Y)
	}
	r.pixels.Refresh()
}

func (r *tileRenderer) Refresh() {
	t := r.tile
	ink, edge := colorText, colorNone
	shape := colorDim
	if t.chosen {
		edge, shape = colorAccent, colorAccent
	}
	if !t.enabled() {
		ink, shape = colorDim, colorLine
	}
	r.ground.strokeWidth = 1
	if t.focused {
		edge, r.ground.strokeWidth = colorText, 2
	}
	r.ground.fill, r.ground.stroke = colorRaised, edge
	r.ground.Refresh()
	veil := colorNone
	if t.hovered && t.enabled() {
		veil = theme.ColorNameHover
	}
	r.veil.set(veil, colorNone)
	r.shape.StrokeColor = theme.Color(shape)
	r.shape.FillColor = theme.Color(colorNone)
	if t.chosen {
		r.shape.FillColor = theme.Color(theme.ColorNameSelection)
	}
	r.shape.Refresh()
	r.name.set(t.name, ink)
	r.name.Refresh()
	r.Layout(t.Size())
	canvas.Refresh(t)
}
