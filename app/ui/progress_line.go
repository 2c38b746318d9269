package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// ProgressLine is a thin line that grows.
type ProgressLine struct {
	widget.BaseWidget
	Fraction float32
	bar      *Box
}

// NewProgressLine returns a line of no length.
func NewProgressLine() *ProgressLine {
	p := &ProgressLine{bar: NewBox(ColorAccent, 0)}
	p.ExtendBaseWidget(p)
	return p
}

// Set changes the length, from 0 to 1 of the width.
func (p *ProgressLine) Set(fraction float32) {
	if p.Fraction != fraction {
		p.Fraction = fraction
		p.Refresh()
	}
}

func (p *ProgressLine) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(Arranged(NoSize, func(size fyne.Size) {
		At(p.bar, 0, 0, size.Width*p.Fraction, size.Height)
	}, p.bar))
}
