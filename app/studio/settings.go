package studio

import (
	"strconv"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Preferences is where settings are stored; fyne.Preferences is one. What is stored there may be anything.
type Preferences interface {
	Bool(key string) bool
	SetBool(key string, value bool)
	IntWithFallback(key string, fallback int) int
	SetInt(key string, value int)
	String(key string) string
	SetString(key, value string)
}

// Settings are the artist's lasting choices. They are checked when they are read.
type Settings struct{ stored Preferences }

// NewSettings returns the settings that are stored in p.
func NewSettings(p Preferences) Settings { return Settings{p} }

// Prompt is the last prompt, for a start at which no desk is found.
func (s Settings) Prompt() string     { return s.stored.String("prompt") }
func (s Settings) SetPrompt(v string) { s.stored.SetString("prompt", v) }

// Device is where to compute.
func (s Settings) Device() inference.Device {
	if d, err := inference.ParseDevice(s.stored.String("device")); err == nil {
		return d
	}
	return inference.DeviceAuto
}
func (s Settings) SetDevice(v inference.Device) { s.stored.SetString("device", string(v)) }

// DemoTried says that the user has chosen to go on with the demo model.
func (s Settings) DemoTried() bool { return s.stored.Bool("demoTried") }
func (s Settings) SetDemoTried()   { s.stored.SetBool("demoTried", true) }

// PicturesDir is the folder that the user chose for pictures, "" before that.
func (s Settings) PicturesDir() string     { return s.stored.String("pictures") }
func (s Settings) SetPicturesDir(v string) { s.stored.SetString("pictures", v) }

// Aspect is the aspect ratio that was chosen last, never Match.
func (s Settings) Aspect() picture.AspectRatio {
	if a, err := picture.ParseAspectRatio(s.stored.String("aspect")); err == nil && a != picture.Match {
		return a
	}
	return picture.DefaultAspectRatio
}
func (s Settings) SetAspect(v picture.AspectRatio) { s.stored.SetString("aspect", string(v)) }

// Count is the number of pictures of a batch, from 1 to MaxCount.
func (s Settings) Count() int     { return min(max(s.stored.IntWithFallback("count", 1), 1), MaxCount) }
func (s Settings) SetCount(v int) { s.stored.SetInt("count", v) }

// LockedSeed is the seed that is locked, "" if each batch draws a new one.
func (s Settings) LockedSeed() string {
	v := s.stored.String("seed")
	if _, err := strconv.ParseUint(v, 10, 64); err != nil {
		return ""
	}
	return v
}
func (s Settings) SetLockedSeed(v string) { s.stored.SetString("seed", v) }
