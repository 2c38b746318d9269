package inference

import (
	"context"
	"image"
	"image/color"
	"testing"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestSoftEdgeIsTheFeather compares the feather that is shown on a small copy of a mask with the one that a stitch
// makes at full size, and the area that is shown with the one that is resolved.
func TestSoftEdgeIsTheFeather(t *testing.T) {
	size := picture.Size{Width: 600, Height: 400}
	full, small := image.NewGray(image.Rect(0, 0, 600, 400)), image.NewGray(image.Rect(0, 0, 300, 200))
	for y := range 400 {
		for x := range 600 {
			if dx, dy := x-300, y-200; dx*dx+dy*dy < 120*120 {
				full.SetGray(x, y, color.Gray{255})
				small.SetGray(x/2, y/2, color.Gray{255})
			}
		}
	}
	mask, err := edit.NewMask(full, size)
	if err != nil {
		t.Fatal(err)
	}
	at := func(n int) *int { return &n }
	chosen := edit.DefaultFeather(mask)
	for _, feather := range []*int{nil, at(0), at(24), at(80)} {
		soft, used, err := SoftEdge(context.Background(), small, size, feather)
		if err != nil {
			t.Fatal(err)
		}
		want := chosen
		if feather != nil {
			want = *feather
		}
		if max(used-want, want-used) > want/20 {
			t.Errorf("feather %d, want %d", used, want)
		}
		exact, err := edit.SoftEdge(context.Background(), mask, used)
		if err != nil {
			t.Fatal(err)
		}
		// The small copy knows edge and feather to a pixel of its own, which is 2, and the smooth step rises by 1.5.
		most := 4 + 255*3/max(used, 1)
		for y := range 200 {
			for x := range 300 {
				if small.GrayAt(x, y).Y == 0 {
					continue
				}
				got, want := int(soft.GrayAt(x, y).Y), int(exact.GrayAt(2*x+1, 2*y+1).Y)
				if max(got-want, want-got) > most {
					t.Fatalf("feather %d at %d, %d: %d, want %d", used, x, y, got, want)
				}
			}
		}
	}
	if _, _, err := SoftEdge(context.Background(), image.NewGray(small.Rect), size, nil); err == nil {
		t.Error("a mask that changes nothing has an edge")
	}
	for _, e := range []Edit{{}, {Whole: true}, {Context: at(10)}} {
		c := Checked{edit: &checkedEdit{whole: e.Whole, context: edit.Chosen}, mask: mask}
		if e.Context != nil {
			c.edit.context = *e.Context
		}
		if c.original, err = picture.NewOriginal(full); err != nil {
			t.Fatal(err)
		}
		want := c.area(Info{NativeSize: 512})
		if area, work := e.WorkArea(size, mask.Bounds(), 512); area != want.Rect() || work != want.Size() {
			t.Errorf("%+v: %v at %v, want %v at %v", e, area, work, want.Rect(), want.Size())
		}
	}
}
