package ui

import (
	"image/color"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// luminance is that of WCAG 2.
func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	part := func(v uint32) float64 {
		x := float64(v) / 0xffff
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*part(r) + 0.7152*part(g) + 0.0722*part(b)
}

// TestContrast wants 4.5:1 for every text on every ground that it lies on.
func TestContrast(t *testing.T) {
	// The canvas carries no text in the accent.
	pairs := [][2]fyne.ThemeColorName{{ColorOnAccent, ColorAccent}, {ColorText, ColorCanvas}, {ColorDim, ColorCanvas}}
	for _, g := range []fyne.ThemeColorName{ColorPanel, ColorRaised} {
		for _, ink := range []fyne.ThemeColorName{ColorText, ColorDim, ColorAccent, ColorError} {
			pairs = append(pairs, [2]fyne.ThemeColorName{ink, g})
		}
	}
	for _, choice := range []string{ThemeDark, ThemeLight} {
		th := NewTheme(choice)
		for _, p := range pairs {
			a, b := luminance(th.Color(p[0], theme.VariantDark)), luminance(th.Color(p[1], theme.VariantDark))
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s on %s: %.2f, want 4.5", choice, p[0], p[1], ratio)
			}
		}
	}
}

// TestNamesDoNotMislead: a file's name, and what a file says, can neither break a line nor turn the order of what is
// read.
func TestNamesDoNotMislead(t *testing.T) {
	const name, want = "fox\u202egnp.exe\x1b[2J\nYour disk is full", `fox\u202egnp.exe\x1b[2J\nYour disk is full`
	l := NewLabel(name, ColorText, SizeText)
	first := l.Text
	l.Set("x", ColorText)
	l.Set(name, ColorText)
	for where, have := range map[string]string{
		"label": first, "label that is set": l.Text, "notice": NewSentenceLabel(name).Text,
	} {
		if have != want {
			t.Errorf("%s: %q, want %q", where, have, want)
		}
	}
}
