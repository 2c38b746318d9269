package app

import (
	"os"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// TestFit: the window with its frame fits on every screen, whatever its scale and the size that is remembered.
func TestFit(t *testing.T) {
	for _, row := range []struct {
		name          string
		screen        screen
		scale         float32
		width, height float32 // of the room
	}{
		{"Full HD", screen{1920, 1032, 1, 1}, 1, 1904, 992},
		{"Full HD at 144 dpi", screen{1920, 1020, 1.5, 1}, 1.5, 1264, 640},
		{"Full HD at 192 dpi", screen{1920, 984, 2, 1}, 1.5, 1258, 602},
		{"1440 × 900 at 192 dpi", screen{1440, 900, 2, 1}, 1.3, 1083, 630},
		{"a small laptop", screen{1366, 728, 1, 1}, 1, 1350, 688},
		{"a small laptop at 120 dpi", screen{1366, 718, 1.25, 1}, 1.1, 1223, 607},
		{"1024 × 768", screen{1024, 768, 1, 1}, 1, 1008, 728},
		{"800 × 600", screen{800, 600, 1, 1}, 0.8, 980, 700},
		{"4K at 192 dpi", screen{3840, 2064, 2, 1}, 2, 1904, 992},
		{"the user wants it larger", screen{1366, 728, 1, 2}, 1.1, 1227, 625},
		{"the user wants it smaller", screen{1024, 768, 1, 0.7}, 0.7, 1440, 1040},
		{"no screen that anything fits on", screen{300, 200, 1, 1}, 0.5, 568, 320},
		{"unknown", screen{0, 0, 1.5, 1}, 1.5, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv(scaleVariable, "")
			s := row.screen
			scale, room := s.fit()
			if scale != row.scale || room != fyne.NewSize(row.width, row.height) {
				t.Errorf("scale %v, room %v", scale, room)
			}
			if made := s.makeRoom(); made != room {
				t.Errorf("room %v", made)
			}
			// What Fyne makes of it.
			if user := s.user; os.Getenv(scaleVariable) != "" {
				s.user = userScale(user)
			}
			if have := fyneScale(s.system * s.user); have != row.scale {
				t.Errorf("Fyne's scale is %v", have)
			}
			if row.width >= leastSize.Width && row.height >= leastSize.Height {
				if w, h := room.Width*scale+16*s.system, room.Height*scale+40*s.system; w > s.width || h > s.height {
					t.Errorf("a window of %v × %v pixels", w, h)
				}
			}
		})
	}
}

func TestScales(t *testing.T) {
	for _, row := range []struct {
		pixels, millimetres int
		want                float32
	}{{1920, 509, 1}, {3840, 600, 1.3546666}, {1024, 0, 1}, {1280, 60, 1}, {1920, 1, 1}} {
		if have := detectedScale(row.pixels, row.millimetres); have != row.want {
			t.Errorf("%d pixels in %d mm: %v, want %v", row.pixels, row.millimetres, have, row.want)
		}
	}
	for _, row := range []struct {
		environment   string
		setting, want float32
	}{{"", 0, 1}, {"", 1.5, 1.5}, {"2", 1.5, 2}, {"auto", 1.5, 1}, {"large", 1.5, 1.5}, {"", -1, 1}} {
		t.Setenv(scaleVariable, row.environment)
		if have := userScale(row.setting); have != row.want {
			t.Errorf("FYNE_SCALE %q, setting %v: %v, want %v", row.environment, row.setting, have, row.want)
		}
	}
}

// TestWindowSize: neither the usual size nor one that is remembered from a larger screen is larger than the screen.
func TestWindowSize(t *testing.T) {
	set := newSettings(test.NewTempApp(t).Preferences())
	for _, row := range []struct{ remembered, room, want fyne.Size }{
		{fyne.Size{}, fyne.Size{}, usualSize},
		{fyne.Size{}, fyne.NewSize(1008, 728), fyne.NewSize(1008, 728)},
		{fyne.NewSize(2500, 1400), fyne.NewSize(1904, 992), fyne.NewSize(1904, 992)},
		{fyne.NewSize(1000, 700), fyne.NewSize(1904, 992), fyne.NewSize(1000, 700)},
		{fyne.NewSize(1, 1), fyne.NewSize(1904, 992), leastSize},
		{fyne.NewSize(1e9, 1e9), fyne.Size{}, fyne.NewSize(8192, 8192)},
		{fyne.Size{}, fyne.NewSize(568, 320), leastSize}, // smaller cannot be used
	} {
		if row.remembered.IsZero() {
			set.window.RemoveValue("width")
			set.window.RemoveValue("height")
		} else {
			set.setWindowSize(row.remembered)
		}
		if have := set.windowSize(row.room); have != row.want {
			t.Errorf("remembered %v, room for %v: %v, want %v", row.remembered, row.room, have, row.want)
		}
	}
}
