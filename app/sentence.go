package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"kleinbild/plain"
)

// sentenceLabel is a text of several lines. It takes no focus: a label whose text can be selected would, and then swallow the
// window's keys. A right click copies the text.
type sentenceLabel struct{ widget.Label }

func newSentenceLabel(text string) *sentenceLabel {
	l := &sentenceLabel{}
	text = plain.Printable(text) // it may quote a file's name, or what a file says
	l.Text, l.Wrapping = text, fyne.TextWrapWord
	l.ExtendBaseWidget(l)
	return l
}

func (l *sentenceLabel) TappedSecondary(e *fyne.PointEvent) {
	copyText := fyne.NewMenuItem("Copy text", func() { fyne.CurrentApp().Clipboard().SetContent(l.Text) })
	canvas := fyne.CurrentApp().Driver().CanvasForObject(l)
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", copyText), canvas, e.AbsolutePosition)
}
