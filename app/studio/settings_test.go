package studio

import (
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// memory holds preferences in memory.
type memory map[string]any

func (m memory) Bool(key string) bool        { v, _ := m[key].(bool); return v }
func (m memory) SetBool(key string, v bool)  { m[key] = v }
func (m memory) SetInt(key string, v int)    { m[key] = v }
func (m memory) String(key string) string    { v, _ := m[key].(string); return v }
func (m memory) SetString(key, value string) { m[key] = value }
func (m memory) IntWithFallback(key string, fallback int) int {
	if v, ok := m[key].(int); ok {
		return v
	}
	return fallback
}

// TestStoredSettings: what is stored may be anything.
func TestStoredSettings(t *testing.T) {
	for _, row := range []struct {
		name   string
		stored memory
		aspect picture.AspectRatio
		count  int
		seed   string
		device inference.Device
	}{
		{"nothing", memory{}, picture.DefaultAspectRatio, 1, "", inference.DeviceAuto},
		{"sound", memory{"aspect": "wide", "count": 5, "seed": "77", "device": "cpu"},
			picture.Wide, 5, "77", inference.DeviceCPU},
		{"match", memory{"aspect": "match"}, picture.DefaultAspectRatio, 1, "", inference.DeviceAuto},
		{"nonsense", memory{"aspect": "round", "count": 99, "seed": "fox", "device": "abacus"},
			picture.DefaultAspectRatio, MaxCount, "", inference.DeviceAuto},
		{"other types", memory{"aspect": 3, "count": "many", "seed": true, "device": 1},
			picture.DefaultAspectRatio, 1, "", inference.DeviceAuto},
	} {
		s := NewSettings(row.stored)
		if s.Aspect() != row.aspect || s.Count() != row.count || s.LockedSeed() != row.seed || s.Device() != row.device {
			t.Errorf("%s: %s, %d, %q, %s", row.name, s.Aspect(), s.Count(), s.LockedSeed(), s.Device())
		}
	}
	s := NewSettings(memory{})
	s.SetAspect(picture.Photo)
	s.SetCount(3)
	s.SetLockedSeed("5")
	s.SetDevice(inference.DeviceCUDA)
	s.SetPrompt("a fox")
	s.SetPicturesDir("/p")
	s.SetDemoTried()
	if s.Aspect() != picture.Photo || s.Count() != 3 || s.LockedSeed() != "5" || s.Device() != inference.DeviceCUDA ||
		s.Prompt() != "a fox" || s.PicturesDir() != "/p" || !s.DemoTried() {
		t.Errorf("not kept: %+v", s)
	}
}
