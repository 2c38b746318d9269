package app

import (
	"context"
	"image"
	"image/color"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
)

// maskTool is what the pointer does on a mask.
type maskTool int

const (
	brushTool maskTool = iota
	eraserTool
	lassoTool
	rectangleTool
	fillTool
)

// maskLayer lies over the picture in the mode of the mask: it draws the mask, and paints with the pointer and the keys.
type maskLayer struct {
	widget.BaseWidget
	mode    *maskMode
	tiles   *maskTiles
	content *fyne.Container // the frame of the work area, and the layer, which takes the pointer, on top of it
	shade   *canvas.Circle  // the brush, with a dark edge to be seen on anything
	ring    *canvas.Circle
	edge    *canvas.Rectangle // the rectangle under way, with a dark edge, too
	box     *canvas.Rectangle

	tool      maskTool
	brush     paint.Brush
	tolerance int

	pointer fyne.Position // where it is, or where the arrow keys have moved it
	inside  bool          // the pointer is over the layer, or the keys move it
	space   bool          // is down: a drag pans
	panning bool
	framing bool     // the pointer holds the frame of the work area
	gesture *gesture // nil while nothing is painted
	last    *paint.Point
}

// gesture is what is painted from the press of the pointer to its release.
type gesture struct {
	tool   maskTool
	remove bool
	work   *paint.Work   // what is covered, or the outline of a lasso
	points []paint.Point // of a lasso; the first and the last corner of a rectangle
}

// markShade is the dark edge of what is white, so that it is seen on any picture.
var markShade = color.NRGBA{A: 0xa0}

func newMaskLayer(m *maskMode) *maskLayer {
	l := &maskLayer{
		mode: m, tiles: newMaskTiles(m.view, m.Loop.Background), brush: paint.Brush{Size: 64, Hardness: 1}, tolerance: 24,
		shade: canvas.NewCircle(color.Transparent), ring: canvas.NewCircle(color.Transparent),
		edge: canvas.NewRectangle(color.Transparent), box: canvas.NewRectangle(color.Transparent),
	}
	l.shade.StrokeColor, l.shade.StrokeWidth = markShade, 3
	l.edge.StrokeColor, l.edge.StrokeWidth = markShade, 3
	l.ring.StrokeColor, l.ring.StrokeWidth = color.White, 1.5
	l.box.StrokeColor, l.box.StrokeWidth = color.White, 1.5
	l.ExtendBaseWidget(l)
	l.content = container.NewStack(m.frame, l)
	l.placed()
	return l
}

func (l *maskLayer) MinSize() fyne.Size { return fyne.NewSize(64, 64) }

func (l *maskLayer) CreateRenderer() fyne.WidgetRenderer {
	all := container.NewWithoutLayout(l.tiles.content, l.edge, l.box, l.shade, l.ring)
	return widget.NewSimpleRenderer(container.NewClip(all))
}

func (l *maskLayer) Resize(size fyne.Size) {
	l.BaseWidget.Resize(size)
	l.placed()
}

// forget ends what is under way.
func (l *maskLayer) forget() {
	l.gesture, l.last, l.inside, l.space, l.panning, l.framing = nil, nil, false, false, false, false
	l.placed()
}

// placed draws everything where the view has its picture now.
func (l *maskLayer) placed() {
	l.tiles.place()
	l.drawPointer()
	g := l.gesture
	rectangle := g != nil && g.tool == rectangleTool
	ui.Show(l.box, rectangle)
	ui.Show(l.edge, rectangle)
	if !rectangle {
		return
	}
	a, b := l.mode.view.ToView(g.points[0].X, g.points[0].Y), l.mode.view.ToView(g.points[1].X, g.points[1].Y)
	for _, r := range []*canvas.Rectangle{l.edge, l.box} {
		r.Move(fyne.NewPos(min(a.X, b.X), min(a.Y, b.Y)))
		r.Resize(fyne.NewSize(max(a.X, b.X)-min(a.X, b.X), max(a.Y, b.Y)-min(a.Y, b.Y)))
	}
}

// leastRing is the diameter below which the brush is shown as a cross.
const leastRing float32 = 6

// drawPointer shows how large the brush is.
func (l *maskLayer) drawPointer() {
	side := float32(l.brush.Size) * l.mode.view.CurrentScale()
	shown := l.inside && l.brushes() && side >= leastRing && !l.space && !l.panning && !l.overFrame()
	for _, c := range []*canvas.Circle{l.shade, l.ring} {
		ui.Show(c, shown)
		c.Resize(fyne.NewSize(side, side))
		c.Move(l.pointer.Subtract(fyne.NewPos(side/2, side/2)))
	}
}

// overFrame says whether the pointer is over a part of the frame that it can take hold of.
func (l *maskLayer) overFrame() bool {
	return l.framing || l.gesture == nil && !l.space && l.mode.frame.Holds(l.pointer)
}

// brushes says whether the tool paints with the brush.
func (l *maskLayer) brushes() bool { return l.tool == brushTool || l.tool == eraserTool }

func (l *maskLayer) setTool(tool maskTool) {
	l.tool = tool
	l.drawPointer()
	l.mode.tools.refresh()
}

// swap goes from the brush to the eraser and back.
func (l *maskLayer) swap() {
	if l.tool == brushTool {
		l.setTool(eraserTool)
	} else {
		l.setTool(brushTool)
	}
}

// setSize changes the brush's diameter, in pixels of image 1.
func (l *maskLayer) setSize(size float64) {
	l.brush.Size = math.Round(min(max(size, paint.LeastSize), paint.MostSize))
	l.drawPointer()
	l.mode.tools.refresh()
}

// resize makes the brush larger by a step, or smaller.
func (l *maskLayer) resize(steps float64) {
	size := l.brush.Size * math.Pow(1.15, steps)
	if math.Abs(size-l.brush.Size) < 1 { // at small sizes a step is a pixel
		size = l.brush.Size + math.Copysign(1, steps)
	}
	l.setSize(size)
}

func (l *maskLayer) setHardness(hardness float64) {
	l.brush.Hardness = math.Round(min(max(hardness, 0), 1)*100) / 100
	l.mode.tools.refresh()
}

// at returns the place in image 1 of a place in the view.
func (l *maskLayer) at(pos fyne.Position) paint.Point {
	x, y := l.mode.view.ToPicture(pos)
	return paint.Point{X: x, Y: y}
}

// press begins a gesture. straight draws a line from where the last stroke ended; remove takes away instead of adding.
func (l *maskLayer) press(pos fyne.Position, straight, remove bool) {
	if l.mode.mask == nil || l.gesture != nil {
		return
	}
	p := l.at(pos)
	g := &gesture{tool: l.tool, remove: remove || l.tool == eraserTool, points: []paint.Point{p, p}}
	if l.tool == fillTool {
		l.fill(p, remove)
		return
	}
	l.gesture, g.work = g, paint.New(l.mode.size).Edit()
	from := p
	if straight && l.last != nil && l.brushes() {
		from = *l.last
	}
	l.draw(from, p)
}

// move goes on with a gesture.
func (l *maskLayer) move(pos fyne.Position) {
	g := l.gesture
	if g == nil {
		return
	}
	p := l.at(pos)
	before := g.points[len(g.points)-1]
	if g.tool == lassoTool {
		g.points = append(g.points, p)
	} else {
		g.points[1] = p
	}
	l.draw(before, p)
}

// draw draws the next part of a gesture.
func (l *maskLayer) draw(from, to paint.Point) {
	g := l.gesture
	brush := l.brush
	switch g.tool {
	case rectangleTool:
		l.placed()
		return
	case lassoTool: // its outline, two pixels of the screen wide
		brush = paint.Brush{Size: 2 / float64(l.mode.view.Pixels()), Hardness: 1}
	}
	changed := g.work.Line(brush, float64(from.X), float64(from.Y), float64(to.X), float64(to.Y))
	l.tiles.stroke(&g.work.Mask, g.remove, changed)
}

// release ends a gesture: what was painted is a step.
func (l *maskLayer) release() {
	g := l.gesture
	if g == nil {
		return
	}
	l.gesture = nil
	last := g.points[len(g.points)-1]
	switch g.tool {
	case brushTool, eraserTool:
		l.last = &last
		l.mode.apply(g.work.Done(), g.remove)
	case rectangleTool:
		w := paint.New(l.mode.size).Edit()
		w.Rectangle(rectangleOf(g.points[0], g.points[1]))
		l.placed()
		l.mode.apply(w.Done(), g.remove)
	case lassoTool:
		l.tiles.show(l.mode.mask) // without the outline
		l.lasso(g.points, g.remove)
	}
}

// rectangleOf returns the pixels between two corners.
func rectangleOf(a, b paint.Point) image.Rectangle {
	round := func(v float32) int { return int(math.Round(float64(v))) }
	return image.Rect(round(a.X), round(a.Y), round(b.X), round(b.Y)) // image.Rect puts the lower corner first
}

// lasso fills what a line goes around.
func (l *maskLayer) lasso(points []paint.Point, remove bool) {
	size := l.mode.size
	l.mode.change(func(_ context.Context, from *paint.Mask) (*paint.Mask, error) {
		w := paint.New(size).Edit()
		w.Polygon(points)
		if remove {
			return from.Remove(w.Done()), nil
		}
		return from.Add(w.Done()), nil
	})
}

// fill adds what hangs together with a place and has its colour.
func (l *maskLayer) fill(p paint.Point, remove bool) {
	at := image.Pt(int(math.Floor(float64(p.X))), int(math.Floor(float64(p.Y))))
	if !at.In(image.Rectangle{Max: l.mode.size}) {
		return
	}
	photo, size, tolerance := l.mode.photo, l.mode.size, l.tolerance
	l.mode.change(func(ctx context.Context, from *paint.Mask) (*paint.Mask, error) {
		cover, err := paint.Fill(ctx, photo, size, at, tolerance)
		switch {
		case err != nil:
			return nil, err
		case remove:
			return from.Remove(cover), nil
		}
		return from.Add(cover), nil
	})
}

// Cursor hides the system's pointer where the brush is drawn in its place.
func (l *maskLayer) Cursor() desktop.Cursor {
	switch {
	case l.overFrame():
		return l.mode.frame.Cursor()
	case l.space || l.panning:
		return desktop.PointerCursor
	case l.ring.Visible():
		return desktop.HiddenCursor
	}
	return desktop.CrosshairCursor
}
