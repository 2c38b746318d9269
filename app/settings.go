package app

import (
	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// settings are the user's lasting choices, in Fyne's preferences: those of the artist, and those about the window
// itself.
type settings struct {
	studio.Settings
	window fyne.Preferences
}

func newSettings(p fyne.Preferences) settings { return settings{studio.NewSettings(p), p} }

func (s settings) theme() string         { return s.window.StringWithFallback("theme", ui.ThemeSystem) }
func (s settings) setTheme(v string)     { s.window.SetString("theme", v) }
func (s settings) copies() copyChoices   { return copyChoices{s.window} }
func (s settings) historyOpen() bool     { return s.window.Bool("historyOpen") }
func (s settings) setHistoryOpen(v bool) { s.window.SetBool("historyOpen", v) }
func (s settings) setWindowSize(v fyne.Size) {
	s.window.SetFloat("width", float64(v.Width))
	s.window.SetFloat("height", float64(v.Height))
}

// The window's size if none is stored, and the least size at which all of it is usable.
var (
	usualSize = fyne.NewSize(1280, 800)
	leastSize = fyne.NewSize(900, 600)
)

// maxSide is more than any screen has.
const maxSide = 8192

// windowSize is the size that was stored, within what the screen has room for; a room of no size is unknown.
func (s settings) windowSize(room fyne.Size) fyne.Size {
	if room.IsZero() {
		room = fyne.NewSquareSize(maxSide)
	}
	limit := func(name string, usual, least, most float32) float32 {
		return max(min(float32(s.window.FloatWithFallback(name, float64(usual))), most), least)
	}
	return fyne.NewSize(
		limit("width", usualSize.Width, leastSize.Width, room.Width),
		limit("height", usualSize.Height, leastSize.Height, room.Height))
}
