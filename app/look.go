package app

import (
	"image/color"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kleinbild/assets/look"
	"kleinbild/plain"
)

// The roles of colours, under the names that Fyne's widgets ask for.
const (
	colorCanvas   fyne.ThemeColorName = "canvas"
	colorPanel                        = theme.ColorNameBackground
	colorRaised                       = theme.ColorNameInputBackground
	colorLine                         = theme.ColorNameSeparator
	colorText                         = theme.ColorNameForeground
	colorDim                          = theme.ColorNamePlaceHolder
	colorAccent                       = theme.ColorNamePrimary
	colorOnAccent                     = theme.ColorNameForegroundOnPrimary
	colorError                        = theme.ColorNameError
	colorScrim    fyne.ThemeColorName = "scrim"   // a ground over pictures
	colorOnScrim  fyne.ThemeColorName = "onScrim" // on it
	colorNone     fyne.ThemeColorName = ""
)

// The two sizes of text.
const (
	sizeText    = theme.SizeNameText
	sizeCaption = theme.SizeNameCaptionText
)

// Spacing goes in steps of four.
const (
	gap    float32 = 8
	margin float32 = 12
	radius float32 = 6
)

// houseTheme is the theme of assets/look; variant overrides the system's light or dark.
type houseTheme struct {
	fyne.Theme
	variant *fyne.ThemeVariant
}

func newTheme(choice string) fyne.Theme {
	base, err := theme.FromJSON(look.Theme)
	if err != nil {
		panic(err) // a mistake in the embedded file, which a test reads
	}
	t := houseTheme{Theme: base}
	switch choice {
	case themeLight:
		v := theme.VariantLight
		t.variant = &v
	case themeDark:
		v := theme.VariantDark
		t.variant = &v
	}
	return t
}

func (t houseTheme) Color(name fyne.ThemeColorName, variant fyne.ThemeVariant) color.Color {
	if name == colorNone {
		return color.Transparent
	}
	if t.variant != nil {
		variant = *t.variant
	}
	return t.Theme.Color(name, variant)
}

// box is a rectangle in colours of the theme.
type box struct {
	widget.BaseWidget
	fill, stroke fyne.ThemeColorName
	radius       float32
	strokeWidth  float32
}

func newBox(fill fyne.ThemeColorName, radius float32) *box {
	b := &box{fill: fill, radius: radius, strokeWidth: 1}
	b.ExtendBaseWidget(b)
	return b
}

// set changes the colours.
func (b *box) set(fill, stroke fyne.ThemeColorName) {
	if b.fill != fill || b.stroke != stroke {
		b.fill, b.stroke = fill, stroke
		b.Refresh()
	}
}

func (b *box) CreateRenderer() fyne.WidgetRenderer {
	r := &boxRenderer{box: b, rect: canvas.NewRectangle(color.Transparent)}
	r.Refresh()
	return r
}

type boxRenderer struct {
	box  *box
	rect *canvas.Rectangle
}

func (r *boxRenderer) Layout(size fyne.Size)        { r.rect.Resize(size) }
func (r *boxRenderer) MinSize() fyne.Size           { return fyne.Size{} }
func (r *boxRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.rect} }
func (r *boxRenderer) Destroy()                     {}
func (r *boxRenderer) Refresh() {
	r.rect.FillColor = theme.Color(r.box.fill)
	r.rect.StrokeColor = theme.Color(r.box.stroke)
	r.rect.CornerRadius = r.box.radius
	r.rect.StrokeWidth = 0
	if r.box.stroke != colorNone {
		r.rect.StrokeWidth = r.box.strokeWidth
	}
	r.rect.Refresh()
}

// label is one line of text in a colour of the theme. What does not fit into its width ends in an ellipsis. Names of files
// are anybody's: what would break the line, or turn the order of what is read, shows as escapes.
type label struct {
	widget.BaseWidget
	text  string
	color fyne.ThemeColorName
	size  fyne.ThemeSizeName
	style fyne.TextStyle
	align fyne.TextAlign
}

func newLabel(text string, color fyne.ThemeColorName, size fyne.ThemeSizeName) *label {
	l := &label{text: plain.Printable(text), color: color, size: size}
	l.ExtendBaseWidget(l)
	return l
}

// newHeading names a group of controls.
func newHeading(text string) *label {
	l := newLabel(text, colorDim, sizeText)
	l.style.Bold = true
	return l
}

func (l *label) set(text string, color fyne.ThemeColorName) {
	if text = plain.Printable(text); l.text != text || l.color != color {
		l.text, l.color = text, color
		l.Refresh()
	}
}

// natural is the size at which all of the text shows.
func (l *label) natural() fyne.Size {
	s := fyne.MeasureText(l.text, theme.Size(l.size), l.style)
	return fyne.NewSize(ceil(s.Width), s.Height)
}

func (l *label) CreateRenderer() fyne.WidgetRenderer {
	r := &labelRenderer{label: l, shown: canvas.NewText("", color.Transparent)}
	r.Refresh()
	return r
}

type labelRenderer struct {
	label *label
	shown *canvas.Text
}

func (r *labelRenderer) Layout(size fyne.Size) {
	r.fit()
	text := r.shown.MinSize()
	var x float32
	switch r.label.align {
	case fyne.TextAlignCenter:
		x = (size.Width - text.Width) / 2
	case fyne.TextAlignTrailing:
		x = size.Width - text.Width
	}
	// Between pixels text is blurred.
	scale := screenScale(r.label)
	r.shown.Move(fyne.NewPos(toPixel(x, scale), toPixel((size.Height-text.Height)/2, scale)))
	r.shown.Resize(text)
}

// fit shortens the text until it goes into the width.
func (r *labelRenderer) fit() {
	l, width := r.label, r.label.Size().Width
	size := theme.Size(l.size)
	fits := func(s string) bool { return fyne.MeasureText(s, size, l.style).Width <= width+0.5 }
	text := []rune(l.text)
	shown := l.text
	if !fits(shown) {
		low, high := 0, len(text) // text[:low] fits, text[:high] does not
		for low+1 < high {
			if middle := (low + high) / 2; fits(string(text[:middle]) + "…") {
				low = middle
			} else {
				high = middle
			}
		}
		shown = string(text[:low]) + "…"
	}
	r.shown.Text = shown
}

func (r *labelRenderer) MinSize() fyne.Size {
	return fyne.NewSize(0, fyne.MeasureText("Ag", theme.Size(r.label.size), r.label.style).Height)
}
func (r *labelRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.shown} }
func (r *labelRenderer) Destroy()                     {}
func (r *labelRenderer) Refresh() {
	l := r.label
	r.shown.Color = theme.Color(l.color)
	r.shown.TextSize = theme.Size(l.size)
	r.shown.TextStyle = l.style
	r.Layout(l.Size())
	r.shown.Refresh()
}

// arranged is a container whose objects lie where place puts them.
func arranged(min func() fyne.Size, place func(size fyne.Size), objects ...fyne.CanvasObject) *fyne.Container {
	return &fyne.Container{Layout: arrangement{min, place}, Objects: objects}
}

type arrangement struct {
	min   func() fyne.Size
	place func(size fyne.Size)
}

func (a arrangement) Layout(_ []fyne.CanvasObject, size fyne.Size) { a.place(size) }
func (a arrangement) MinSize([]fyne.CanvasObject) fyne.Size        { return a.min() }

// at gives an object its place, at whole pixels of the screen.
func at(o fyne.CanvasObject, x, y, width, height float32) {
	scale := screenScale(o)
	o.Move(fyne.NewPos(toPixel(x, scale), toPixel(y, scale)))
	o.Resize(fyne.NewSize(max(width, 0), max(height, 0)))
}

// screenScale is how many pixels of the screen a unit of the window takes, 1 where the object is in no window yet.
func screenScale(o fyne.CanvasObject) float32 {
	if c := fyne.CurrentApp().Driver().CanvasForObject(o); c != nil && c.Scale() > 0 {
		return c.Scale()
	}
	return 1
}

// toPixel is the place next to x that is a whole pixel.
func toPixel(x, scale float32) float32 { return float32(math.Round(float64(x*scale))) / scale }

func ceil(x float32) float32 {
	if t := float32(int(x)); t < x {
		return t + 1
	}
	return x
}

func noSize() fyne.Size { return fyne.Size{} }

// fixed is the least size of something that is always as large as that.
func fixed(width, height float32) func() fyne.Size {
	return func() fyne.Size { return fyne.NewSize(width, height) }
}

func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func pow(x, y float32) float32 { return float32(math.Pow(float64(x), float64(y))) }

// between returns x, held within the limits.
func between(least, x, most float32) float32 { return min(max(x, least), most) }

// within says whether a place in the window lies on an object.
func within(o fyne.CanvasObject, pos fyne.Position) bool {
	origin, size := fyne.CurrentApp().Driver().AbsolutePositionForObject(o), o.Size()
	return o.Visible() && pos.X >= origin.X && pos.Y >= origin.Y && pos.X < origin.X+size.Width && pos.Y < origin.Y+size.Height
}

// show hides or shows an object.
func show(o fyne.CanvasObject, visible bool) {
	switch {
	case visible && !o.Visible():
		o.Show()
	case !visible && o.Visible():
		o.Hide()
	}
}

// columnWidth is what a line of text reads well at.
const columnWidth float32 = 580

// centred puts one object in the middle of its width, and of its height where there is room.
type centred struct{}

func (centred) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(200, objects[0].MinSize().Height+2*margin)
}

func (centred) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	width := min(size.Width-4*margin, columnWidth)
	height := objects[0].MinSize().Height
	at(objects[0], (size.Width-width)/2, max((size.Height-height)/2, margin), width, height)
}

// stacked puts objects below each other, at the full width and their least height. Unlike Fyne's VBox it has them begin at
// whole pixels of the screen, wherever a text of several lines ends.
type stacked struct{}

func (stacked) MinSize(objects []fyne.CanvasObject) (min fyne.Size) {
	for _, o := range objects {
		min.Height += o.MinSize().Height
	}
	return min
}

func (stacked) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	var y float32
	for _, o := range objects {
		height := o.MinSize().Height
		at(o, 0, y, size.Width, height)
		y += height
	}
}
