package ui

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
)

// TestDashesMeet: the frame of an empty slot is closed in its corners.
func TestDashesMeet(t *testing.T) {
	for _, size := range []fyne.Size{{Width: 132, Height: 118}, {Width: 181, Height: 150.5}, {Width: 300, Height: 240}} {
		test.NewTempApp(t)
		d := NewDashes()
		d.Resize(size)
		at := func(x, y float32) (n int) { // dashes over a place
			for _, o := range test.WidgetRenderer(d).Objects() {
				p, s := o.Position(), o.Size()
				if x >= p.X && x < p.X+s.Width && y >= p.Y && y < p.Y+s.Height {
					n++
				}
			}
			return n
		}
		right, bottom := toPixel(size.Width-1, 1)+0.5, toPixel(size.Height-1, 1)+0.5
		for _, corner := range [][2]float32{{0.5, 0.5}, {right, 0.5}, {0.5, bottom}, {right, bottom}} {
			if n := at(corner[0], corner[1]); n != 2 {
				t.Errorf("%v: %d dashes in the corner %v, want one of each side", size, n, corner)
			}
		}
	}
}
