package ui

import (
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Frame is a rectangle over the picture of a view, with a handle at each corner and edge. The pointer and the arrow
// keys move and resize it within its rules; what the pointer does elsewhere, and the wheel, pan and zoom the view.
//
// A frame lies exactly over its view. It is drawn where the picture is: whoever shows it calls Place when the view has
// moved its picture (PictureView.OnPlaced).
//
// A frame that is disabled only shows something: it has no handles, and the Tab key passes it.
type Frame struct {
	widget.DisableableWidget
	Rules FrameRules
	// Dims darkens what of the picture lies outside of the frame. Ground draws a neutral ground where the frame reaches
	// beyond the picture.
	Dims, Ground bool
	// Grips is for a frame under something that takes the pointer: only the handles and the label can be taken hold of.
	Grips     bool
	OnChanged func() // the user moves or resizes the frame
	OnSettled func() // the user has done so: the pointer was released, or the key
	OnReset   func() // the user presses Delete; nil if nothing comes of that

	view    *PictureView
	rect    image.Rectangle
	seen    image.Rectangle // what Dims leaves as it is; empty for rect
	label   string
	tab     fyne.Position // where the label lies, if tabSize is not zero
	tabSize fyne.Size

	// While the pointer is down: what it moves, from where, and the frame as it was. panning moves the picture instead.
	drag    framePart
	panning bool
	dragged bool
	ended   bool // the frame was settled in the drag under way: nothing comes of the rest of it
	startX  float32
	startY  float32
	from    image.Rectangle
	pointer fyne.Position // where it was last
	focused bool
	stepped bool // an arrow key that is down has changed the frame
	shift   bool // is down
	space   bool // is down: the pointer pans, wherever it is
	FrameHooks
}

// FrameHooks are what the owner of a frame may do before the frame does anything: all of them may be nil.
type FrameHooks struct {
	// OnPress says that the pointer takes hold of what lies at a place in the view. The owner may put the frame around
	// something else. It is not called where a handle is.
	OnPress func(pos fyne.Position)
	// OnKey and OnWheel say whether the owner has taken a key or a turn of the wheel.
	OnKey   func(*fyne.KeyEvent) bool
	OnWheel func(*fyne.ScrollEvent) bool
	OnMenu  func(*fyne.PointEvent) // shows a menu, instead of the view's
	// OnReleased says that nothing holds the frame any more, after OnSettled: also if nothing was changed, or the view
	// was panned.
	OnReleased func()
}

// NewFrame returns a frame over a view. It is empty, and so not seen, until it is set.
func NewFrame(view *PictureView) *Frame {
	f := &Frame{view: view}
	f.ExtendBaseWidget(f)
	return f
}

// Rect returns where the frame lies, in pixels of the picture.
func (f *Frame) Rect() image.Rectangle { return f.rect }

// Held says whether the pointer or a key is moving or resizing the frame, or the pointer panning its view.
func (f *Frame) Held() bool { return f.dragged && !f.ended || f.stepped }

// Set puts the frame somewhere, whatever its rules are. It calls neither OnChanged nor OnSettled.
func (f *Frame) Set(r image.Rectangle) {
	f.rect, f.seen, f.stepped = r, image.Rectangle{}, false
	f.Place()
}

// Label returns the text above the frame.
func (f *Frame) Label() string { return f.label }

// SetLabel changes the text above the frame, "" for none.
func (f *Frame) SetLabel(text string) {
	if f.label != text {
		f.label = text
		f.Place()
	}
}

// SetSeen has the frame also dim what lies inside of it and outside of r. It ends with the next Set.
func (f *Frame) SetSeen(r image.Rectangle) {
	if f.seen != r {
		f.seen = r
		f.Place()
	}
}

// Place draws the frame where the view has its picture now.
func (f *Frame) Place() { f.Refresh() }

// corners returns the frame in places of the view.
func (f *Frame) corners() (least, most fyne.Position) {
	return f.view.ToView(float32(f.rect.Min.X), float32(f.rect.Min.Y)),
		f.view.ToView(float32(f.rect.Max.X), float32(f.rect.Max.Y))
}

// Hide hides the frame, which loses the keyboard.
func (f *Frame) Hide() {
	f.DisableableWidget.Hide()
	if c := fyne.CurrentApp().Driver().CanvasForObject(f); c != nil && f.focused {
		c.Unfocus()
	}
}

func (f *Frame) MinSize() fyne.Size { return fyne.NewSize(64, 64) }

// What a frame is drawn with. It is white with a dark edge, to be seen on any picture and in every theme.
var (
	frameLine  = color.White
	frameShade = color.NRGBA{A: 0x80}
	frameDim   = color.NRGBA{A: 0x99}
)

const (
	handleSide float32 = 9
	cellSide   float32 = 12 // of the ground's squares
	labelSide  float32 = 22
)

// handles are the parts with a handle, corners last, so that they lie on top.
var handles = [8]framePart{{0, -1}, {-1, 0}, {1, 0}, {0, 1}, {-1, -1}, {1, -1}, {-1, 1}, {1, 1}}

func (f *Frame) CreateRenderer() fyne.WidgetRenderer {
	r := &frameRenderer{
		frame: f, box: NewBox(colorScrim, 4), text: NewLabel("", colorOnScrim, SizeCaption),
	}
	r.text.Align = fyne.TextAlignCenter
	var all []fyne.CanvasObject
	rectangles := func(list []*canvas.Rectangle, fill color.Color) {
		for i := range list {
			list[i] = canvas.NewRectangle(fill)
			all = append(all, list[i])
		}
	}
	for i := range r.ground {
		r.cells[i] = canvas.NewImageFromImage(nil)
		r.cells[i].ScaleMode, r.cells[i].FillMode = canvas.ImageScalePixels, canvas.ImageFillStretch
		r.ground[i] = container.NewClip(container.NewWithoutLayout(r.cells[i]))
		all = append(all, r.ground[i])
	}
	rectangles(r.dims[:], frameDim)
	rectangles(r.shades[:], frameShade)
	rectangles(r.lines[:], frameLine)
	rectangles(r.edges[:], frameShade)
	rectangles(r.handles[:], frameLine)
	all = append(all, r.box, r.text)
	r.content = container.NewClip(container.NewWithoutLayout(all...))
	r.Refresh()
	return r
}

type frameRenderer struct {
	frame   *Frame
	content *container.Clip
	ground  [4]*container.Clip // left of the picture, right, above, below
	cells   [4]*canvas.Image
	dims    [4]*canvas.Rectangle // left of the frame, right, above, below
	shades  [4]*canvas.Rectangle // the dark edge of the lines
	lines   [4]*canvas.Rectangle
	edges   [8]*canvas.Rectangle // the dark edge of the handles
	handles [8]*canvas.Rectangle
	box     *Box
	text    *Label
	colours [2]color.Color // of the cells
	across  image.Point    // how many cells there are
}

func (r *frameRenderer) MinSize() fyne.Size           { return r.frame.MinSize() }
func (r *frameRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.content} }
func (r *frameRenderer) Destroy()                     {}

func (r *frameRenderer) Layout(size fyne.Size) {
	r.content.Resize(size)
	r.place()
}

func (r *frameRenderer) Refresh() {
	r.place()
	canvas.Refresh(r.frame)
}

// place puts everything where the picture is. What reaches out of the view is cut to it: a frame can be drawn larger
// than any texture.
func (r *frameRenderer) place() {
	f := r.frame
	visible := !f.rect.Empty() && f.view.Picture() != nil
	Show(r.content, visible)
	if !visible {
		f.tabSize = fyne.Size{}
		return
	}
	least, most := f.corners()
	scale := screenScale(f)
	x0, y0 := toPixel(least.X, scale), toPixel(least.Y, scale)
	x1, y1 := toPixel(most.X, scale), toPixel(most.Y, scale)
	origin, size := f.view.Placed()
	px0, py0 := toPixel(origin.X, scale), toPixel(origin.Y, scale)
	px1, py1 := toPixel(origin.X+size.Width, scale), toPixel(origin.Y+size.Height, scale)

	r.placeGround(x0, y0, x1, y1, px0, py0, px1, py1)
	sides := bands(px0, py0, px1, py1, x0, y0, x1, y1)
	if !f.seen.Empty() {
		from := f.view.ToView(float32(f.seen.Min.X), float32(f.seen.Min.Y))
		to := f.view.ToView(float32(f.seen.Max.X), float32(f.seen.Max.Y))
		sides = bands(px0, py0, px1, py1,
			toPixel(from.X, scale), toPixel(from.Y, scale), toPixel(to.X, scale), toPixel(to.Y, scale))
	}
	for i, dim := range r.dims {
		r.put(dim, sides[i], f.Dims)
	}
	for i, line := range bands(x0-1, y0-1, x1+1, y1+1, x0, y0, x1, y1) {
		r.put(r.lines[i], line, true)
	}
	for i, line := range bands(x0-2, y0-2, x1+2, y1+2, x0-1, y0-1, x1+1, y1+1) {
		r.put(r.shades[i], line, true)
	}
	fill := color.Color(frameLine)
	if f.focused {
		fill = theme.Color(ColorAccent)
	}
	for i, h := range handles {
		x, y := toPixel(middleOf(h.x, x0, x1)-handleSide/2, scale), toPixel(middleOf(h.y, y0, y1)-handleSide/2, scale)
		shown := h.shown(x1-x0, y1-y0) && !f.Disabled()
		r.put(r.edges[i], [4]float32{x - 1, y - 1, x + handleSide + 1, y + handleSide + 1}, shown)
		r.put(r.handles[i], [4]float32{x, y, x + handleSide, y + handleSide}, shown)
		r.handles[i].FillColor = fill
	}
	r.placeLabel(x0, y0)
}

// shown says whether a handle is shown on a frame of this size: between the corners there is none without room for it.
func (h framePart) shown(width, height float32) bool {
	const room = 5 * handleSide
	return (h.x != 0 || width >= room) && (h.y != 0 || height >= room)
}

// bands returns what of the outer rectangle lies left of the inner one, right of it, above and below: each as its least
// and its greatest places.
func bands(ox0, oy0, ox1, oy1, x0, y0, x1, y1 float32) [4][4]float32 {
	cx0, cx1 := Between(ox0, x0, ox1), Between(ox0, x1, ox1)
	cy0, cy1 := Between(oy0, y0, oy1), Between(oy0, y1, oy1)
	return [4][4]float32{{ox0, cy0, cx0, cy1}, {cx1, cy0, ox1, cy1}, {ox0, oy0, ox1, cy0}, {ox0, cy1, ox1, oy1}}
}

// cut returns the part of a rectangle that lies in the view.
func (r *frameRenderer) cut(b [4]float32) [4]float32 {
	size := r.frame.Size()
	return [4]float32{max(b[0], 0), max(b[1], 0), min(b[2], size.Width), min(b[3], size.Height)}
}

// put shows an object in the part of a rectangle that lies in the view.
func (r *frameRenderer) put(o fyne.CanvasObject, b [4]float32, shown bool) {
	b = r.cut(b)
	shown = shown && b[0] < b[2] && b[1] < b[3]
	if shown {
		o.Move(fyne.NewPos(b[0], b[1]))
		o.Resize(fyne.NewSize(b[2]-b[0], b[3]-b[1]))
	}
	Show(o, shown)
}

// middleOf returns the place of a handle: at the lower end, in the middle, or at the higher end.
func middleOf(side int, lo, hi float32) float32 {
	switch {
	case side < 0:
		return lo
	case side > 0:
		return hi
	}
	return (lo + hi) / 2
}

// placeGround shows the squares where the frame reaches beyond the picture. They stay with the picture when it is
// panned.
func (r *frameRenderer) placeGround(x0, y0, x1, y1, px0, py0, px1, py1 float32) {
	size := r.frame.Size()
	const pair = 2 * cellSide
	anchorX, anchorY := before(px0, pair), before(py0, pair)
	r.draw(image.Pt(int(size.Width/cellSide)+4, int(size.Height/cellSide)+4))
	for i, b := range bands(x0, y0, x1, y1, px0, py0, px1, py1) {
		r.put(r.ground[i], b, r.frame.Ground)
		at := r.ground[i].Position()
		r.cells[i].Move(fyne.NewPos(anchorX, anchorY).Subtract(at))
		r.cells[i].Resize(fyne.NewSize(float32(r.across.X)*cellSide, float32(r.across.Y)*cellSide))
	}
}

// before returns the last place at or before 0 that lies whole steps away from x.
func before(x, step float32) float32 {
	n := int(x / step)
	if x -= float32(n) * step; x > 0 {
		x -= step
	}
	return x
}

// draw makes the picture of the squares, one pixel for each, if it does not fit any more.
func (r *frameRenderer) draw(across image.Point) {
	colours := [2]color.Color{theme.Color(ColorPanel), theme.Color(ColorLine)}
	if r.across.X >= across.X && r.across.Y >= across.Y && r.colours == colours || !r.frame.Ground {
		return
	}
	r.across, r.colours = across, colours
	img := image.NewPaletted(image.Rectangle{Max: across}, color.Palette{colours[0], colours[1]})
	for y := range across.Y {
		for x := range across.X {
			img.Pix[y*img.Stride+x] = uint8((x + y) % 2)
		}
	}
	for _, c := range r.cells {
		c.Image = img
		c.Refresh()
	}
}

// placeLabel puts the text above the frame, or inside where there is no room above.
func (r *frameRenderer) placeLabel(x, y float32) {
	text, size := r.frame.label, r.frame.Size()
	r.text.Set(text, colorOnScrim)
	Show(r.box, text != "")
	Show(r.text, text != "")
	width := r.text.Natural().Width + 16
	top := y - labelSide - handleSide/2 - 3
	if top < 4 {
		top = max(y, 0) + handleSide
	}
	x, top = Between(4, x, max(size.Width-width-4, 4)), min(top, size.Height-labelSide-4)
	r.frame.tab, r.frame.tabSize = fyne.NewPos(x, top), fyne.Size{}
	if text != "" {
		r.frame.tabSize = fyne.NewSize(width, labelSide)
	}
	At(r.box, x, top, width, labelSide)
	At(r.text, x, top, width, labelSide)
}
