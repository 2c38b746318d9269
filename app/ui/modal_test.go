package ui

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
)

// focusCounter is a text field that knows whether it has the keyboard.
type focusCounter struct {
	widget.Entry
	focused bool
}

func (f *focusCounter) FocusGained() { f.focused = true; f.Entry.FocusGained() }
func (f *focusCounter) FocusLost()   { f.focused = false; f.Entry.FocusLost() }

// TestClosedFieldsRest: a field in a modal or a popover that is closed has lost the keyboard, so that its cursor does
// not blink on.
func TestClosedFieldsRest(t *testing.T) {
	a := test.NewTempApp(t)
	a.Settings().SetTheme(NewTheme(ThemeDark))
	win := a.NewWindow("")
	below := &focusCounter{}
	below.ExtendBaseWidget(below)
	win.SetContent(below)
	win.Resize(fyne.NewSize(600, 400))
	field := &focusCounter{}
	field.ExtendBaseWidget(field)
	for name, open := range map[string]func() (closed func()){
		"modal": func() func() { return ShowModal(win.Canvas(), field, Action{Text: "Close"}).Close },
		"popover": func() func() {
			p := NewPopover(field)
			p.Show(win.Canvas(), below)
			return p.Close
		},
	} {
		win.Canvas().Focus(below)
		closed := open()
		if win.Canvas().Focus(field); !field.focused {
			t.Fatalf("%s: the field has no keyboard", name)
		}
		closed()
		if field.focused || win.Canvas().Focused() != fyne.Focusable(below) {
			t.Errorf("%s: the field has the keyboard after it was closed: %v, the window %T", name, field.focused,
				win.Canvas().Focused())
		}
	}
}
