package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"
)

// modal is a small window inside the window, in front of everything: for what the user has asked for and what cannot go on
// without an answer. It can be closed without one.
type modal struct {
	popUp   *widget.PopUp
	buttons []*button
	content *fyne.Container
}

const modalWidth float32 = 460

// open says whether the modal is on show; a nil one is not.
func (m *modal) open() bool { return m != nil && m.popUp.Visible() }

// is says whether an overlay of the canvas is this modal.
func (m *modal) is(overlay fyne.CanvasObject) bool {
	return m.open() && overlay == fyne.CanvasObject(m.popUp)
}

// showModal puts body over a row of buttons, in front of a window. A button closes the modal before it does its work; the
// last one is the usual answer and has the focus, so that a key that was pressed too often destroys nothing.
func showModal(window fyne.Canvas, body fyne.CanvasObject, answers ...action) *modal {
	m := &modal{}
	var row []fyne.CanvasObject
	for i, a := range answers {
		b := newButton(a.text, func() {
			m.close()
			if a.do != nil {
				a.do()
			}
		})
		b.accent = i == len(answers)-1
		m.buttons = append(m.buttons, b)
		row = append(row, b)
	}
	buttons := arranged(fixed(0, 32), func(size fyne.Size) {
		x := size.Width
		for i := len(row) - 1; i >= 0; i-- {
			w := row[i].MinSize().Width + 12
			x -= w
			at(row[i], x, 0, w, 32)
			x -= gap
		}
	}, row...)
	m.content = container.NewPadded(container.NewPadded(container.NewVBox(body, buttons)))
	width := canvas.NewRectangle(nil)
	width.SetMinSize(fyne.NewSize(min(modalWidth, window.Size().Width-2*margin), 0))
	m.popUp = widget.NewModalPopUp(container.NewStack(width, m.content), window)
	m.popUp.Show()
	window.Focus(m.buttons[len(m.buttons)-1])
	return m
}

func (m *modal) close() { m.popUp.Hide() }
