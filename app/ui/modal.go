package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"
)

// Modal is a small window inside the window, in front of everything: for what the user has asked for and what cannot
// go on without an answer. It can be closed without one.
type Modal struct {
	popUp   *widget.PopUp
	Buttons []*Button
	content *fyne.Container
}

const modalWidth float32 = 460

// IsOpen says whether the modal is on show; a nil one is not.
func (m *Modal) IsOpen() bool { return m != nil && m.popUp.Visible() }

// Is says whether an overlay of the canvas is this modal.
func (m *Modal) Is(overlay fyne.CanvasObject) bool {
	return m.IsOpen() && overlay == fyne.CanvasObject(m.popUp)
}

// ShowModal puts body over a row of buttons, in front of a window. A button closes the modal before it does its work,
// unless its action stays. The last one is the usual answer and has the focus, so that a key that was pressed too often
// destroys nothing.
func ShowModal(window fyne.Canvas, body fyne.CanvasObject, answers ...Action) *Modal {
	m := &Modal{}
	var row []fyne.CanvasObject
	for i, a := range answers {
		b := NewButton(a.Text, func() {
			if !a.Stay {
				m.Close()
			}
			if a.Do != nil {
				a.Do()
			}
		})
		b.Accent = i == len(answers)-1
		m.Buttons = append(m.Buttons, b)
		row = append(row, b)
	}
	buttons := Arranged(Fixed(0, 32), func(size fyne.Size) {
		x := size.Width
		for i := len(row) - 1; i >= 0; i-- {
			w := row[i].MinSize().Width + 12
			x -= w
			At(row[i], x, 0, w, 32)
			x -= Gap
		}
	}, row...)
	m.content = container.NewPadded(container.NewPadded(container.NewVBox(body, buttons)))
	width := canvas.NewRectangle(color.Transparent)
	width.SetMinSize(fyne.NewSize(min(modalWidth, window.Size().Width-2*Margin), 0))
	m.popUp = widget.NewModalPopUp(container.NewStack(width, m.content), window)
	m.popUp.Show()
	window.Focus(m.Buttons[len(m.Buttons)-1])
	return m
}

// Close takes the modal away. What had the keyboard in it loses it first: a text field would let its cursor blink on,
// unseen, and draw the window again and again.
func (m *Modal) Close() {
	m.popUp.Canvas.Unfocus()
	m.popUp.Hide()
}
