package ui

import (
	"math"

	"fyne.io/fyne/v2"
)

// Arranged returns a container whose objects lie where place puts them; min returns the least size of it.
func Arranged(min func() fyne.Size, place func(size fyne.Size), objects ...fyne.CanvasObject) *fyne.Container {
	return &fyne.Container{Layout: arrangement{min, place}, Objects: objects}
}

type arrangement struct {
	min   func() fyne.Size
	place func(size fyne.Size)
}

func (a arrangement) Layout(_ []fyne.CanvasObject, size fyne.Size) { a.place(size) }
func (a arrangement) MinSize([]fyne.CanvasObject) fyne.Size        { return a.min() }

// At gives an object a place and a size. The place is moved to the nearest whole pixels of the screen.
func At(o fyne.CanvasObject, x, y, width, height float32) {
	scale := screenScale(o)
	o.Move(fyne.NewPos(toPixel(x, scale), toPixel(y, scale)))
	o.Resize(fyne.NewSize(max(width, 0), max(height, 0)))
}

// screenScale returns how many pixels of the screen a unit of the window takes, 1 if the object is in no window yet.
func screenScale(o fyne.CanvasObject) float32 {
	if c := fyne.CurrentApp().Driver().CanvasForObject(o); c != nil && c.Scale() > 0 {
		return c.Scale()
	}
	return 1
}

// toPixel returns the nearest place to x that is a whole pixel.
func toPixel(x, scale float32) float32 { return float32(math.Round(float64(x*scale))) / scale }

func ceil(x float32) float32 {
	if t := float32(int(x)); t < x {
		return t + 1
	}
	return x
}

// RowSize returns the least size of objects beside each other, a Gap apart.
func RowSize[T fyne.CanvasObject](row []T) (size fyne.Size) {
	for i, o := range row {
		least := o.MinSize()
		if size.Width += least.Width; i > 0 {
			size.Width += Gap
		}
		size.Height = max(size.Height, least.Height)
	}
	return size
}

// PlaceRow puts objects beside each other, a Gap apart, each of its least size.
func PlaceRow[T fyne.CanvasObject](row []T, x, y float32) {
	for _, o := range row {
		least := o.MinSize()
		At(o, x, y, least.Width, least.Height)
		x += least.Width + Gap
	}
}

// NoSize is the least size of something that takes what there is.
func NoSize() fyne.Size { return fyne.Size{} }

// Fixed returns a function for the least size of something that is always that large.
func Fixed(width, height float32) func() fyne.Size {
	return func() fyne.Size { return fyne.NewSize(width, height) }
}

// Between returns x, or the limit that x is beyond.
func Between(least, x, most float32) float32 { return min(max(x, least), most) }

// Within says whether a place in the window lies on an object.
func Within(o fyne.CanvasObject, pos fyne.Position) bool {
	origin, size := fyne.CurrentApp().Driver().AbsolutePositionForObject(o), o.Size()
	in := pos.Subtract(origin)
	return o.Visible() && in.X >= 0 && in.Y >= 0 && in.X < size.Width && in.Y < size.Height
}

// Show shows or hides an object. One that is so already is left alone, as each change draws it anew.
func Show(o fyne.CanvasObject, visible bool) {
	switch {
	case visible && !o.Visible():
		o.Show()
	case !visible && o.Visible():
		o.Hide()
	}
}

// ColumnWidth is the greatest width of a line of text that reads well.
const ColumnWidth float32 = 580

// Centred puts one object of at most ColumnWidth in the middle of the width, and of the height if there is room.
type Centred struct{}

func (Centred) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(200, objects[0].MinSize().Height+2*Margin)
}

func (Centred) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	width := min(size.Width-4*Margin, ColumnWidth)
	height := objects[0].MinSize().Height
	At(objects[0], (size.Width-width)/2, max((size.Height-height)/2, Margin), width, height)
}

// Stacked puts objects below each other, at the full width and their least height. Unlike Fyne's VBox it has them
// begin at whole pixels of the screen, wherever a text of several lines ends. Hidden objects take no room.
type Stacked struct{}

func (Stacked) MinSize(objects []fyne.CanvasObject) (min fyne.Size) {
	for _, o := range objects {
		if o.Visible() {
			min.Height += o.MinSize().Height
		}
	}
	return min
}

func (Stacked) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	var y float32
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		height := o.MinSize().Height
		At(o, 0, y, size.Width, height)
		y += height
	}
}
