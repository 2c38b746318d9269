// Package ui holds the window's widgets and its look: buttons, labels, tiles, a view of one picture, a row and a page
// of thumbnails, notices. They know nothing of pictures to be made: what a widget needs of its owner is a field that
// the owner sets.
//
// Fyne's own widgets serve where they can. A label, a button and a column of its own exist because Fyne's place them
// between the pixels of a scaled screen, where text is blurred, and because Fyne's buttons have one line of text.
package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/kleinbild/kleinbild/assets/look"
)

// The roles of colours, under the names that Fyne's widgets ask for.
const (
	ColorCanvas   fyne.ThemeColorName = "canvas"
	ColorPanel                        = theme.ColorNameBackground
	ColorRaised                       = theme.ColorNameInputBackground
	ColorLine                         = theme.ColorNameSeparator
	ColorText                         = theme.ColorNameForeground
	ColorDim                          = theme.ColorNamePlaceHolder
	ColorAccent                       = theme.ColorNamePrimary
	ColorOnAccent                     = theme.ColorNameForegroundOnPrimary
	ColorError                        = theme.ColorNameError
	ColorNone     fyne.ThemeColorName = ""        // draws nothing
	colorScrim    fyne.ThemeColorName = "scrim"   // a ground over pictures
	colorOnScrim  fyne.ThemeColorName = "onScrim" // on it
	colorMarked   fyne.ThemeColorName = "marked"  // on it, for what is chosen
)

// The two sizes of text.
const (
	SizeText    = theme.SizeNameText
	SizeCaption = theme.SizeNameCaptionText
)

// Spacing goes in steps of four.
const (
	Gap    float32 = 8
	Margin float32 = 12
	Radius float32 = 6
)

// The choices of theme, as settings keep them.
const (
	ThemeSystem = "system"
	ThemeLight  = "light"
	ThemeDark   = "dark"
)

// houseTheme is the theme of assets/look; variant overrides the system's light or dark.
type houseTheme struct {
	fyne.Theme
	variant *fyne.ThemeVariant
}

// NewTheme returns the window's theme in the variant of a choice; ThemeSystem, like any other text, leaves it to the
// system.
func NewTheme(choice string) fyne.Theme {
	base, err := theme.FromJSON(look.Theme)
	if err != nil {
		panic(err) // a mistake in the embedded file, which a test reads
	}
	t := houseTheme{Theme: base}
	switch choice {
	case ThemeLight:
		v := theme.VariantLight
		t.variant = &v
	case ThemeDark:
		v := theme.VariantDark
		t.variant = &v
	}
	return t
}

func (t houseTheme) Color(name fyne.ThemeColorName, variant fyne.ThemeVariant) color.Color {
	if name == ColorNone {
		return color.Transparent
	}
	if t.variant != nil {
		variant = *t.variant
	}
	return t.Theme.Color(name, variant)
}
