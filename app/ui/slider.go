package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// Slider is Fyne's slider, but leaves keys that it has no use for to the window.
type Slider struct {
	widget.Slider
	Tip
}

// NewSlider returns a horizontal slider from least to most that moves by step.
func NewSlider(least, most, step float64) *Slider {
	s := &Slider{}
	s.Min, s.Max, s.Step = least, most, step
	s.Orientation = widget.Horizontal
	s.ExtendBaseWidget(s)
	return s
}

func (s *Slider) TypedKey(e *fyne.KeyEvent) {
	if e.Name == fyne.KeyLeft || e.Name == fyne.KeyRight {
		s.Slider.TypedKey(e)
		return
	}
	Forward(s, e)
}
