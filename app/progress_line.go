package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// progressLine is a thin line that grows.
type progressLine struct {
	widget.BaseWidget
	fraction float32
	bar      *box
}

func newProgressLine() *progressLine {
	p := &progressLine{bar: newBox(colorAccent, 0)}
	p.ExtendBaseWidget(p)
	return p
}

func (p *progressLine) set(fraction float32) {
	if p.fraction != fraction {
		p.fraction = fraction
		p.Refresh()
	}
}

func (p *progressLine) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(arranged(noSize, func(size fyne.Size) {
		at(p.bar, 0, 0, size.Width*p.fraction, size.Height)
	}, p.bar))
}
