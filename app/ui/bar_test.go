package ui

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// TestBar: a bar shows all of its groups if there is room, or else gives up those in the middle; nothing overlaps.
func TestBar(t *testing.T) {
	test.NewTempApp(t).Settings().SetTheme(NewTheme(ThemeDark))
	var groups [][]fyne.CanvasObject
	var buttons []*Button
	for range 4 {
		a, b := NewButton("a button", nil), NewButton("another one", nil)
		groups = append(groups, []fyne.CanvasObject{a, b})
		buttons = append(buttons, a, b)
	}
	bar := NewBar(groups...)
	all := bar.MinSize().Width
	for _, row := range []struct {
		width float32
		shown [4]bool
	}{
		{all, [4]bool{true, true, true, true}}, {all + 200, [4]bool{true, true, true, true}},
		{all - 1, [4]bool{true, true, false, true}}, {all * 0.6, [4]bool{true, false, false, true}},
		{10, [4]bool{true, false, false, true}}, {all, [4]bool{true, true, true, true}},
	} {
		bar.Resize(fyne.NewSize(row.width, BarHeight))
		end := float32(0)
		for i, b := range buttons {
			if b.Visible() != row.shown[i/2] {
				t.Errorf("%v wide: group %d visible %v", row.width, i/2, b.Visible())
			}
			if !b.Visible() {
				continue
			}
			if b.Position().X < end {
				t.Errorf("%v wide: button %d begins at %v, before %v", row.width, i, b.Position().X, end)
			}
			end = b.Position().X + b.Size().Width
		}
		if row.width >= all*0.6 && end > row.width {
			t.Errorf("%v wide: the buttons end at %v", row.width, end)
		}
	}
}
