package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// Chip is a few words on a dark ground, to be read on any picture. It lets the pointer through to what lies below.
type Chip struct {
	widget.BaseWidget
	label  *Label
	ground *Box
}

// chipHeight and chipInset are the height of a chip, and the room beside its words.
const (
	chipHeight float32 = 22
	chipInset  float32 = 8
)

// NewChip returns a chip with words.
func NewChip(text string) *Chip {
	c := &Chip{label: NewLabel(text, colorOnScrim, SizeCaption), ground: NewBox(colorScrim, 4)}
	c.ExtendBaseWidget(c)
	return c
}

// Text returns the words.
func (c *Chip) Text() string { return c.label.Text }

// SetText changes the words.
func (c *Chip) SetText(text string) { c.label.Set(text, colorOnScrim) }

// MinSize has room for all words.
func (c *Chip) MinSize() fyne.Size {
	return fyne.NewSize(c.label.Natural().Width+2*chipInset, chipHeight)
}

func (c *Chip) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(Arranged(c.MinSize, func(size fyne.Size) {
		c.ground.Resize(size)
		At(c.label, chipInset, 0, size.Width-2*chipInset, size.Height)
	}, c.ground, c.label))
}
