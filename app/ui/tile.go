package ui

import (
	"fmt"
	"image"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// TileColumns is how many tiles of a group lie side by side.
const TileColumns = 3

// Tile is one of a group of sizes to choose from, drawn in its true proportions. The tiles lie in rows of TileColumns.
// The Tab key stops once in the group; the arrow keys go from one tile to the next.
type Tile struct {
	widget.BaseWidget
	Tip
	name    string
	Missing string      // what a tile without a size says instead of it
	Pixels  image.Point // the size; zero if the tile cannot be chosen
	Ratio   string      // of the sides, such as 3:2; it stands beside the drawing
	Chosen  bool
	// OnTapped chooses the tile. OnArrow chooses the one that lies by places after it, before it if by is negative.
	// IsTabStop says whether this is the tile of its group at which Tab stops.
	OnTapped  func()
	OnArrow   func(by int)
	IsTabStop func() bool

	hovered, focused bool
}

// NewTile returns a tile with a name; its owner sets what it does.
func NewTile(name, missing string) *Tile {
	t := &Tile{name: name, Missing: missing}
	t.ExtendBaseWidget(t)
	return t
}

// Enabled says whether the tile can be chosen.
func (t *Tile) Enabled() bool { return t.Pixels != image.Point{} }

// Choose is what a click does.
func (t *Tile) Choose() {
	if t.Enabled() {
		t.OnTapped()
	}
}

func (t *Tile) Tapped(*fyne.PointEvent)        { t.Choose() }
func (t *Tile) MouseIn(*desktop.MouseEvent)    { t.hovered = true; t.enter(t); t.Refresh() }
func (t *Tile) MouseMoved(*desktop.MouseEvent) {}
func (t *Tile) MouseOut()                      { t.hovered = false; t.leave(t); t.Refresh() }
func (t *Tile) FocusGained()                   { t.focused = true; t.Refresh() }
func (t *Tile) FocusLost()                     { t.focused = false; t.Refresh() }
func (t *Tile) TypedRune(rune)                 {}

func (t *Tile) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		t.Choose()
	case fyne.KeyLeft:
		t.OnArrow(-1)
	case fyne.KeyRight:
		t.OnArrow(1)
	case fyne.KeyUp:
		t.OnArrow(-TileColumns)
	case fyne.KeyDown:
		t.OnArrow(TileColumns)
	default:
		Forward(t, e)
	}
}

// Disabled keeps all tiles but one out of the order of Tab.
func (t *Tile) Disabled() bool { return !t.IsTabStop() }
func (t *Tile) Enable()        {}
func (t *Tile) Disable()       {}

func (t *Tile) CreateRenderer() fyne.WidgetRenderer {
	r := &tileRenderer{
		tile: t, ground: NewBox(ColorRaised, Radius), veil: NewBox(ColorNone, Radius), shape: canvas.NewRectangle(nil),
		name: NewLabel(t.name, ColorText, SizeCaption), pixels: NewLabel("", ColorDim, SizeCaption),
		ratio: NewLabel("", ColorText, SizeCaption),
	}
	r.shape.CornerRadius, r.shape.StrokeWidth = 2, 1
	r.name.Align, r.pixels.Align = fyne.TextAlignCenter, fyne.TextAlignCenter
	r.Refresh()
	return r
}

type tileRenderer struct {
	tile         *Tile
	ground, veil *Box
	shape        *canvas.Rectangle
	name, pixels *Label
	ratio        *Label
}

const shapeSide float32 = 40 // of the longest side of the widest size

func (r *tileRenderer) MinSize() fyne.Size { return fyne.NewSize(60, 64) }
func (r *tileRenderer) Destroy()           {}

func (r *tileRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.veil, r.shape, r.ratio, r.name, r.pixels}
}

func (r *tileRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	texts := float32(38)
	room := size.Height - texts - 8
	w, h := shapeSide*0.7, shapeSide*0.7
	if s := r.tile.Pixels; r.tile.Enabled() {
		// All tiles draw the same area: only the proportions differ.
		area := min(shapeSide*0.75, room) * min(shapeSide*0.75, room)
		ratio := float32(s.X) / float32(s.Y)
		w, h = sqrt(area*ratio), sqrt(area/ratio)
	}
	ratio, between := r.ratio.Natural().Width, float32(5)
	if r.tile.Ratio == "" {
		ratio, between = 0, 0
	}
	if most := min(size.Width-14-ratio-between, shapeSide*1.2); w > most {
		w, h = most, h*most/w
	}
	if h > room {
		w, h = w*room/h, room
	}
	w, h = float32(int(w)), float32(int(h))
	x := float32(int((size.Width - w - between - ratio) / 2))
	At(r.shape, x, float32(int(8+(room-h)/2)), w, h)
	At(r.ratio, x+w+between, 8, ratio, float32(int(room)))
	At(r.name, 2, size.Height-texts, size.Width-4, 16)
	At(r.pixels, 2, size.Height-texts+16, size.Width-4, 15)
	r.showPixels()
}

// showPixels says the size, without spaces if there is no room for them.
func (r *tileRenderer) showPixels() {
	t := r.tile
	r.pixels.Text = fmt.Sprintf("%d × %d", t.Pixels.X, t.Pixels.Y)
	if !t.Enabled() {
		r.pixels.Text = t.Missing
	} else if r.pixels.Natural().Width > r.pixels.Size().Width {
		r.pixels.Text = fmt.Sprintf("%d×%d", t.Pixels.X, t.Pixels.Y)
	}
	r.pixels.Refresh()
}

func (r *tileRenderer) Refresh() {
	t := r.tile
	ink, edge := ColorText, ColorNone
	shape := ColorDim
	if t.Chosen {
		edge, shape = ColorAccent, ColorAccent
	}
	if !t.Enabled() {
		ink, shape = ColorDim, ColorLine
	}
	r.ground.StrokeWidth = 1
	if t.focused {
		edge, r.ground.StrokeWidth = ColorText, 2
	}
	r.ground.fill, r.ground.Stroke = ColorRaised, edge
	r.ground.Refresh()
	veil := ColorNone
	if t.hovered && t.Enabled() {
		veil = theme.ColorNameHover
	}
	r.veil.Set(veil, ColorNone)
	r.shape.StrokeColor = theme.Color(shape)
	r.shape.FillColor = theme.Color(ColorNone)
	if t.Chosen {
		r.shape.FillColor = theme.Color(theme.ColorNameSelection)
	}
	r.shape.Refresh()
	r.name.Set(t.name, ink)
	r.name.Refresh()
	r.ratio.Set(t.Ratio, ink)
	r.ratio.Refresh()
	r.Layout(t.Size())
	canvas.Refresh(t)
}

func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
