package app

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
)

// screen describes the screen that the window opens on.
type screen struct {
	width, height float32 // in pixels, without the desktop's bars; 0 if it is unknown
	system        float32 // the desktop's scale: pixels for a unit of the window
	user          float32 // the user's own factor, which multiplies it
}

// frameSize is what a desktop draws around a window's content, in units of the desktop: Windows takes 16 × 39, GNOME
// and KDE 0 × 30 to 37.
var frameSize = fyne.NewSize(16, 40)

// leastScale is the smallest scale that text can be read at.
const leastScale = 0.5

// fit returns the scale to open the window at: system × user, or less if a window of leastSize would not fit on the
// screen at that scale. room is the largest content at the scale that is returned; no size if the screen is unknown.
func (s screen) fit() (scale float32, room fyne.Size) {
	scale = fyneScale(s.system * s.user)
	width, height := s.width-frameSize.Width*s.system, s.height-frameSize.Height*s.system
	if width <= 0 || height <= 0 {
		return scale, fyne.Size{}
	}
	if most := min(width/leastSize.Width, height/leastSize.Height); scale > most {
		const steps = 10 // of fyneScale
		scale = max(float32(math.Floor(float64(most*steps)))/steps, leastScale)
	}
	return scale, fyne.NewSize(float32(math.Floor(float64(width/scale))), float32(math.Floor(float64(height/scale))))
}

// fyneScale rounds a scale as Fyne does.
func fyneScale(raw float32) float32 { return float32(math.Round(float64(raw)*10)) / 10 }

// detectedScale returns the scale that Fyne derives under X11 from the width of a screen in pixels and millimetres.
func detectedScale(pixels, millimetres int) float32 {
	switch strings.ToLower(os.Getenv("FYNE_DISABLE_DPI_DETECTION")) {
	case "1", "t", "true":
		return 1
	}
	if runtime.GOOS == "linux" && millimetres == 60 { // what Steam Deck says
		return 1
	}
	const usual, least, most = 120, 10, 1000 // dots an inch
	dpi := float32(pixels) * 25.4 / float32(millimetres)
	if !(dpi >= least && dpi <= most) {
		dpi = usual
	}
	return max(dpi/usual, 1)
}

// scaleVariable is the environment variable with the user's factor.
const scaleVariable = "FYNE_SCALE"

// userScale returns the user's factor: that of the environment, or else setting, which is that of Fyne's settings.
func userScale(setting float32) float32 {
	text := os.Getenv(scaleVariable)
	if v, err := strconv.ParseFloat(text, 32); err == nil && v != 0 {
		return max(float32(v), 0)
	}
	if text != "auto" && setting > 0 {
		return setting
	}
	return 1
}

// makeRoom returns the largest content that the screen has room for. If there is no room for leastSize, it reduces
// Fyne's scale, through the environment, which is the only way that Fyne offers.
func (s screen) makeRoom() fyne.Size {
	scale, room := s.fit()
	if !room.IsZero() && scale != fyneScale(s.system*s.user) {
		_ = os.Setenv(scaleVariable, strconv.FormatFloat(float64(scale/s.system), 'f', 4, 32)) // the name is sound
	}
	return room
}
