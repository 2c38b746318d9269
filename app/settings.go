package app

import (
	"strconv"

	"fyne.io/fyne/v2"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// settings are the user's lasting choices, in Fyne's preferences. What is stored there may be anything: it is
// checked when it is read.
type settings struct{ fyne.Preferences }

func (p settings) theme() string      { return p.StringWithFallback("theme", ui.ThemeSystem) }
func (p settings) setTheme(v string)  { p.SetString("theme", v) }
func (p settings) prompt() string     { return p.String("prompt") }
func (p settings) setPrompt(v string) { p.SetString("prompt", v) }

// device is the engine's name of where to compute.
func (p settings) device() string {
	if d, err := inference.ParseDevice(p.String("device")); err == nil {
		return string(d)
	}
	return string(inference.DeviceAuto)
}
func (p settings) setDevice(v string) { p.SetString("device", v) }

// demoTried says that the user has chosen to go on with the demo model.
func (p settings) demoTried() bool { return p.Bool("demoTried") }
func (p settings) setDemoTried()   { p.SetBool("demoTried", true) }

// picturesDir is the folder that the user chose, "" before that.
func (p settings) picturesDir() string     { return p.String("pictures") }
func (p settings) setPicturesDir(v string) { p.SetString("pictures", v) }

func (p settings) aspect() picture.AspectRatio {
	if a, err := picture.ParseAspectRatio(p.String("aspect")); err == nil && a != picture.Match {
		return a
	}
	return picture.DefaultAspectRatio
}
func (p settings) setAspect(v picture.AspectRatio) { p.SetString("aspect", string(v)) }

func (p settings) count() int     { return min(max(p.IntWithFallback("count", 1), 1), studio.MaxCount) }
func (p settings) setCount(v int) { p.SetInt("count", v) }

// lockedSeed is the seed to go on with, "" for a new one each time.
func (p settings) lockedSeed() string {
	v := p.String("seed")
	if _, err := strconv.ParseUint(v, 10, 64); err != nil {
		return ""
	}
	return v
}
func (p settings) setLockedSeed(v string) { p.SetString("seed", v) }

func (p settings) historyOpen() bool     { return p.Bool("historyOpen") }
func (p settings) setHistoryOpen(v bool) { p.SetBool("historyOpen", v) }

// The window's size where none is stored, and the least that all of it is usable at.
var (
	usualSize = fyne.NewSize(1280, 800)
	leastSize = fyne.NewSize(900, 600)
)

// maxSide is more than any screen has.
const maxSide = 8192

// windowSize is the size that was stored, within what the screen has room for; a room of no size is unknown.
func (p settings) windowSize(room fyne.Size) fyne.Size {
	if room.IsZero() {
		room = fyne.NewSquareSize(maxSide)
	}
	limit := func(name string, usual, least, most float32) float32 {
		return max(min(float32(p.FloatWithFallback(name, float64(usual))), most), least)
	}
	return fyne.NewSize(limit("width", usualSize.Width, leastSize.Width, room.Width), limit("height", usualSize.Height, leastSize.Height, room.Height))
}

func (p settings) setWindowSize(s fyne.Size) {
	p.SetFloat("width", float64(s.Width))
	p.SetFloat("height", float64(s.Height))
}
