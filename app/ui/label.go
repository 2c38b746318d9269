package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/plain"
)

// Label is one line of text in a colour of the theme. A text that does not fit into the width ends in an ellipsis.
// Names of files are anybody's: characters that would break the line, or turn the order of what is read, show as
// escapes.
//
// Unlike widget.Label it has no padding, so that it can stand in a tile or beside a badge, it takes every colour of
// the theme, and it lies at whole pixels of the screen.
type Label struct {
	widget.BaseWidget
	Text  string
	Color fyne.ThemeColorName
	size  fyne.ThemeSizeName
	Style fyne.TextStyle
	Align fyne.TextAlign
}

// NewLabel returns a label of the given colour and size.
func NewLabel(text string, color fyne.ThemeColorName, size fyne.ThemeSizeName) *Label {
	l := &Label{Text: plain.Printable(text), Color: color, size: size}
	l.ExtendBaseWidget(l)
	return l
}

// NewCaption returns a label for what is less important, dim and in the smaller size.
func NewCaption(text string) *Label { return NewLabel(text, ColorDim, SizeCaption) }

// NewHeading returns a label that names a group of controls, dim and bold.
func NewHeading(text string) *Label {
	l := NewLabel(text, ColorDim, SizeText)
	l.Style.Bold = true
	return l
}

// Set changes text and colour.
func (l *Label) Set(text string, color fyne.ThemeColorName) {
	if text = plain.Printable(text); l.Text != text || l.Color != color {
		l.Text, l.Color = text, color
		l.Refresh()
	}
}

// Natural returns the size that shows all of the text.
func (l *Label) Natural() fyne.Size {
	s := fyne.MeasureText(l.Text, theme.Size(l.size), l.Style)
	return fyne.NewSize(ceil(s.Width), s.Height)
}

func (l *Label) CreateRenderer() fyne.WidgetRenderer {
	r := &labelRenderer{label: l, shown: canvas.NewText("", color.Transparent)}
	r.Refresh()
	return r
}

type labelRenderer struct {
	label *Label
	shown *canvas.Text
}

func (r *labelRenderer) Layout(size fyne.Size) {
	r.fit()
	text := r.shown.MinSize()
	var x float32
	switch r.label.Align {
	case fyne.TextAlignCenter:
		x = (size.Width - text.Width) / 2
	case fyne.TextAlignTrailing:
		x = size.Width - text.Width
	}
	// Text between pixels is blurred.
	scale := screenScale(r.label)
	r.shown.Move(fyne.NewPos(toPixel(x, scale), toPixel((size.Height-text.Height)/2, scale)))
	r.shown.Resize(text)
}

// fit shortens the text until it fits into the width.
func (r *labelRenderer) fit() {
	l, width := r.label, r.label.Size().Width
	size := theme.Size(l.size)
	fits := func(s string) bool { return fyne.MeasureText(s, size, l.Style).Width <= width+0.5 }
	text := []rune(l.Text)
	shown := l.Text
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
	return fyne.NewSize(0, fyne.MeasureText("Ag", theme.Size(r.label.size), r.label.Style).Height)
}

func (r *labelRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.shown} }
func (r *labelRenderer) Destroy()                     {}

func (r *labelRenderer) Refresh() {
	l := r.label
	r.shown.Color = theme.Color(l.Color)
	r.shown.TextSize = theme.Size(l.size)
	r.shown.TextStyle = l.Style
	r.Layout(l.Size())
	r.shown.Refresh()
}

// SentenceLabel is a text of several lines. It takes no focus: a label whose text can be selected would, and then
// swallow the window's keys. A right click copies the text.
type SentenceLabel struct{ widget.Label }

// NewSentenceLabel returns a text that wraps at words.
func NewSentenceLabel(text string) *SentenceLabel {
	l := &SentenceLabel{}
	text = plain.Printable(text) // it may quote a file's name, or what a file says
	l.Text, l.Wrapping = text, fyne.TextWrapWord
	l.ExtendBaseWidget(l)
	return l
}

// Set shows another text. A failure has the colour of errors.
func (l *SentenceLabel) Set(text string, failure bool) {
	l.Text, l.Importance = plain.Printable(text), widget.MediumImportance
	if failure {
		l.Importance = widget.DangerImportance
	}
	l.Refresh()
}

func (l *SentenceLabel) TappedSecondary(e *fyne.PointEvent) {
	copyText := fyne.NewMenuItem("Copy text", func() { fyne.CurrentApp().Clipboard().SetContent(l.Text) })
	ShowMenu(l, fyne.NewMenu("", copyText), e.AbsolutePosition)
}
