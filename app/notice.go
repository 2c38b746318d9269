package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// noticeBar is one sentence over the canvas, with what can be done about it. It takes the place of dialogs: nothing
// ever opens by itself, and the next sentence replaces the last one.
type noticeBar struct {
	s       *session
	ground  *box
	text    *widget.Label
	close   *button
	actions []*button
	content *fyne.Container
}

// action is a button of a notice.
type action struct {
	text string
	do   func()
}

func newNoticeBar(s *session) *noticeBar {
	n := &noticeBar{s: s, ground: newBox(colorPanel, radius), text: widget.NewLabel("")}
	n.ground.stroke = colorLine
	n.text.Wrapping = fyne.TextWrapWord
	n.text.Selectable = true
	n.close = newIconButton(theme.CancelIcon(), n.hide)
	n.close.quiet = true
	n.content = arranged(noSize, n.place, n.ground, n.text, n.close)
	n.content.Hide()
	return n
}

// say shows a sentence. The notice goes when an action is taken, when it is closed, or when the next picture begins.
func (n *noticeBar) say(text string, actions ...action) {
	n.text.SetText(text)
	n.actions = nil
	n.content.Objects = []fyne.CanvasObject{n.ground, n.text, n.close}
	for _, a := range actions {
		b := newButton(a.text, func() {
			n.hide()
			if a.do != nil {
				a.do()
			}
		})
		n.actions = append(n.actions, b)
		n.content.Objects = append(n.content.Objects, b)
	}
	n.content.Show()
	n.s.view.layout()
}

func (n *noticeBar) fail(err error) { n.say(explain(err)) }

func (n *noticeBar) hide() {
	if n.content.Visible() {
		n.content.Hide()
		n.s.view.layout()
	}
}

func (n *noticeBar) visible() bool { return n.content.Visible() }

// height is what the notice needs at a width.
func (n *noticeBar) height(width float32) float32 {
	n.text.Resize(fyne.NewSize(n.textWidth(width), 0))
	height := n.text.MinSize().Height + 2
	if len(n.actions) > 0 && !n.actionsBeside(width) {
		height += 36
	}
	return max(height, 38)
}

func (n *noticeBar) actionsWidth() float32 {
	var sum float32
	for _, b := range n.actions {
		sum += b.MinSize().Width + gap
	}
	return sum
}

// actionsBeside says whether text and buttons share a line.
func (n *noticeBar) actionsBeside(width float32) bool { return width-n.actionsWidth()-40 > 280 }

func (n *noticeBar) textWidth(width float32) float32 {
	if n.actionsBeside(width) {
		width -= n.actionsWidth()
	}
	return width - 40
}

func (n *noticeBar) place(size fyne.Size) {
	n.ground.Resize(size)
	text := n.textWidth(size.Width)
	at(n.text, 4, 1, text, size.Height-2)
	at(n.close, size.Width-34, 5, 28, 28)
	x, y := text+4, float32(5)
	if !n.actionsBeside(size.Width) {
		x, y = margin, size.Height-34
	}
	for _, b := range n.actions {
		w := b.MinSize().Width
		at(b, x, y, w, 28)
		x += w + gap
	}
}
