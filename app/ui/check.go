package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// NewCheck returns a box to tick with a sentence beside it, and the object that shows it. Fyne draws the box in the
// colour of lines, in which it can hardly be seen; here it has that of captions.
func NewCheck(text string) (check *widget.Check, shown fyne.CanvasObject) {
	check = widget.NewCheck(text, nil)
	return check, container.NewThemeOverride(check, clearBoxes{})
}

// clearBoxes is the app's theme with boxes to tick that can be seen.
type clearBoxes struct{}

func (clearBoxes) base() fyne.Theme { return fyne.CurrentApp().Settings().Theme() }

func (t clearBoxes) Color(name fyne.ThemeColorName, variant fyne.ThemeVariant) color.Color {
	if name == theme.ColorNameInputBorder {
		name = ColorDim
	}
	return t.base().Color(name, variant)
}
func (t clearBoxes) Font(s fyne.TextStyle) fyne.Resource     { return t.base().Font(s) }
func (t clearBoxes) Icon(n fyne.ThemeIconName) fyne.Resource { return t.base().Icon(n) }
func (t clearBoxes) Size(n fyne.ThemeSizeName) float32       { return t.base().Size(n) }
