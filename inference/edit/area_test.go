package edit

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// checkArea checks what holds for every area of NewArea.
func checkArea(t *testing.T, a Area, size picture.Size, box image.Rectangle, native int) {
	t.Helper()
	if native == 0 {
		native = picture.NativeSide
	}
	s := a.Size()
	name := fmt.Sprintf("picture %v, box %v, native %d: %+v", size, box, native, a)
	if s.Width%16 != 0 || s.Height%16 != 0 || s.Width < 64 || s.Height < 64 || s.Width > 2048 || s.Height > 2048 {
		t.Fatalf("%s: work size %v", name, s)
	}
	if !a.Source.In(image.Rect(0, 0, size.Width, size.Height)) || !box.In(a.Source) {
		t.Fatalf("%s: not in the picture, or without the box", name)
	}
	if a.Rect() != a.Source {
		t.Fatalf("%s: has a result for %v only", name, a.Rect())
	}
	if area := s.Width * s.Height; area > native*native && min(s.Width, s.Height) > 64 {
		t.Fatalf("%s: %d pixels, want at most %d", name, area, native*native)
	}
	x, y := float64(s.Width)/float64(a.Source.Dx()), float64(s.Height)/float64(a.Source.Dy())
	if max(x, y) > mostEnlarged*1.05 && min(s.Width, s.Height) > 64 {
		t.Fatalf("%s: enlarged %.2f and %.2f times", name, x, y)
	}
	// The scales of both axes differ by less than a token, of which a short side has few.
	if stretch := max(x/y, y/x) - 1; stretch > 16.5/float64(min(s.Width, s.Height)) {
		t.Fatalf("%s: stretched by %.3f", name, stretch)
	}
}

func TestAreasFitTheModelAndThePicture(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		width := int(math.Exp(random.Float64()*math.Log(12_000/64.0)) * 64)
		height := min(max(int(float64(width)*math.Exp((random.Float64()*2-1)*math.Log(8))), 64), 12_000)
		width = min(width, height*8)
		height = min(height, width*8)
		size := picture.Size{Width: width, Height: height}
		x0, y0 := random.IntN(width), random.IntN(height)
		box := image.Rect(x0, y0, x0+1+random.IntN(width-x0), y0+1+random.IntN(height-y0))
		if random.IntN(4) == 0 {
			box = image.Rect(x0, y0, x0+1, y0+1)
		}
		native := []int{0, 1024, 512, 256}[random.IntN(4)]
		context := []int{Chosen, Chosen, 0, 200, 1 << 40}[random.IntN(5)]
		a := NewArea(size, box, context, native)
		checkArea(t, a, size, box, native)
		if again := NewArea(size, box, context, native); again != a {
			t.Fatalf("%+v, then %+v", a, again)
		}
	}
}

// TestGivenAreas checks that an area that is given stays what it is, apart from what the model needs, and that the
// automatic area, given, is the automatic area.
func TestGivenAreas(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	within := func(size picture.Size) image.Rectangle {
		x, y := random.IntN(size.Width), random.IntN(size.Height)
		return image.Rect(x, y, x+1+random.IntN(size.Width-x), y+1+random.IntN(size.Height-y))
	}
	for range 20_000 {
		width := int(math.Exp(random.Float64()*math.Log(12_000/64.0)) * 64)
		height := min(max(int(float64(width)*math.Exp((random.Float64()*2-1)*math.Log(8))), 64), 12_000)
		size := picture.Size{Width: min(width, height*8), Height: min(height, width*8)}
		native := []int{0, 1024, 512, 256}[random.IntN(4)]
		given := within(size)
		box := within(picture.Size{Width: given.Dx(), Height: given.Dy()}).Add(given.Min)
		a := GivenArea(size, given, box, native)
		s, side := a.Size(), native
		if side == 0 {
			side = picture.NativeSide
		}
		name := fmt.Sprintf("picture %v, given %v, native %d: %+v", size, given, native, a)
		if s.Width%16 != 0 || s.Height%16 != 0 || s.Width < 64 || s.Height < 64 || s.Width > 2048 || s.Height > 2048 ||
			s.Width*s.Height > side*side && min(s.Width, s.Height) > 64 {
			t.Fatalf("%s: work size %v", name, s)
		}
		if !given.In(a.Source) || !a.Source.In(image.Rect(0, 0, size.Width, size.Height)) || a.Rect() != a.Source {
			t.Fatalf("%s: without what was given, or not in the picture", name)
		}
		x, y := float64(s.Width)/float64(a.Source.Dx()), float64(s.Height)/float64(a.Source.Dy())
		if stretch := max(x/y, y/x) - 1; stretch > 16.5/float64(min(s.Width, s.Height)) {
			t.Fatalf("%s: stretched by %.3f", name, stretch)
		}
		elongated := float64(max(given.Dx(), given.Dy())) / float64(min(given.Dx(), given.Dy()))
		if grown := a.Source.Size().Sub(given.Size()); elongated < 16 && min(given.Dx(), given.Dy()) >= 64 &&
			(grown.X >= 16 || grown.Y >= 16 || grown != image.Point{} && x != 1 && y != 1) {
			t.Fatalf("%s: grown by %v", name, grown)
		}
		if again := GivenArea(size, a.Source, box, native); again.Source != a.Source {
			t.Fatalf("%s: given again it is %v", name, again.Source)
		}
		if chosen := NewArea(size, box, Chosen, native); GivenArea(size, chosen.Source, box, native) != chosen {
			t.Fatalf("%s: the automatic area %+v is another one when it is given", name, chosen)
		}
	}
}

// TestGivenAreasThatAreExpected checks at which size a model works on areas of a photo.
func TestGivenAreasThatAreExpected(t *testing.T) {
	size := picture.Size{Width: 6000, Height: 4000}
	for _, row := range []struct {
		name  string
		given image.Rectangle
		want  image.Rectangle
		work  picture.Size
	}{
		{"small, enlarged", image.Rect(100, 100, 500, 400), image.Rect(100, 100, 500, 400),
			picture.Size{Width: 1152, Height: 864}},
		{"nearly the model's, not scaled", image.Rect(100, 100, 1001, 911), image.Rect(94, 97, 1006, 913),
			picture.Size{Width: 912, Height: 816}},
		{"large, reduced", image.Rect(0, 0, 3000, 2000), image.Rect(0, 0, 3000, 2000),
			picture.Size{Width: 1248, Height: 832}},
		{"tiny", image.Rect(5999, 3999, 6000, 4000), image.Rect(5984, 3984, 6000, 4000),
			picture.Size{Width: 64, Height: 64}},
		{"a strip", image.Rect(0, 1000, 6000, 1010), image.Rect(0, 911, 6000, 1099), picture.Size{Width: 2048, Height: 64}},
	} {
		if a := GivenArea(size, row.given, row.given, 0); a.Source != row.want || a.Size() != row.work {
			t.Errorf("%s: %v at %v, want %v at %v", row.name, a.Source, a.Size(), row.want, row.work)
		}
	}
}

func TestAreasThatAreExpected(t *testing.T) {
	for _, row := range []struct {
		name    string
		size    picture.Size
		box     image.Rectangle
		context int
		source  image.Point // the size of the source
		work    picture.Size
	}{
		{"a pixel in a photo is enlarged four times", picture.Size{Width: 6000, Height: 4000},
			image.Rect(3000, 2000, 3001, 2001), Chosen, image.Pt(256, 256), picture.Size{Width: 1024, Height: 1024}},
		{"a pixel in a corner", picture.Size{Width: 6000, Height: 4000},
			image.Rect(0, 3999, 1, 4000), Chosen, image.Pt(256, 256), picture.Size{Width: 1024, Height: 1024}},
		{"a face is worked on enlarged", picture.Size{Width: 6000, Height: 4000},
			image.Rect(3000, 2000, 3200, 2300), Chosen, image.Pt(350, 450), picture.Size{Width: 896, Height: 1152}},
		{"nearly the model's area is not scaled", picture.Size{Width: 6000, Height: 4000},
			image.Rect(3000, 2000, 3600, 2600), Chosen, image.Pt(1024, 1024), picture.Size{Width: 1024, Height: 1024}},
		{"a large region is reduced", picture.Size{Width: 6000, Height: 4000},
			image.Rect(0, 0, 6000, 4000), Chosen, image.Pt(6000, 4000), picture.Size{Width: 1248, Height: 832}},
		{"the user's context", picture.Size{Width: 6000, Height: 4000},
			image.Rect(1000, 1000, 2000, 2000), 500, image.Pt(2000, 2000), picture.Size{Width: 1024, Height: 1024}},
		{"a picture of the model's size is not scaled", picture.Size{Width: 1024, Height: 1024},
			image.Rect(100, 100, 1000, 1000), Chosen, image.Pt(1024, 1024), picture.Size{Width: 1024, Height: 1024}},
		{"a strip gets a shape that the model knows", picture.Size{Width: 6000, Height: 4000},
			image.Rect(0, 0, 300, 4000), Chosen, image.Pt(1680, 4000), picture.Size{Width: 656, Height: 1568}},
	} {
		a := NewArea(row.size, row.box, row.context, 0)
		checkArea(t, a, row.size, row.box, 0)
		off := a.Source.Size().Sub(row.source)
		if off.X < -20 || off.X > 20 || off.Y < -20 || off.Y > 20 || a.Size() != row.work {
			t.Errorf("%s: %v of the picture at %v, want %v at %v", row.name, a.Source.Size(), a.Size(), row.source, row.work)
		}
	}
}

// TestStretchedAreaLeavesNoBorder checks that each pixel of a picture has a result, and that the axes' scales hardly
// differ.
func TestStretchedAreaLeavesNoBorder(t *testing.T) {
	for _, size := range []picture.Size{
		{Width: 103, Height: 91}, {Width: 1024, Height: 768}, {Width: 6000, Height: 4001}, {Width: 523, Height: 66},
	} {
		a := StretchedArea(size, 0)
		across := float64(a.Scaled.Width) / float64(size.Width)
		down := float64(a.Scaled.Height) / float64(size.Height)
		if a.Rect() != a.Source || a.Source.Size() != image.Pt(size.Width, size.Height) ||
			a.Size() != WholeArea(size, 0).Size() || max(across/down, down/across) > 1.08 {
			t.Errorf("%v: %v at %v, scales %v and %v", size, a.Rect(), a.Size(), across, down)
		}
	}
}

func TestWholeAreaIsAReferences(t *testing.T) {
	for _, row := range []struct {
		size   picture.Size
		native int
		want   image.Rectangle // of the original's pixels that have a result
		work   picture.Size
	}{
		{picture.Size{Width: 103, Height: 91}, 0, image.Rect(3, 5, 99, 85), picture.Size{Width: 96, Height: 80}},
		{picture.Size{Width: 1024, Height: 768}, 0, image.Rect(0, 0, 1024, 768), picture.Size{Width: 1024, Height: 768}},
		{picture.Size{Width: 2048, Height: 2048}, 0, image.Rect(0, 0, 2048, 2048), picture.Size{Width: 1024, Height: 1024}},
		{picture.Size{Width: 6000, Height: 4000}, 0, image.Rect(14, 10, 5986, 3990), picture.Size{Width: 1248, Height: 832}},
		{picture.Size{Width: 512, Height: 512}, 256, image.Rect(0, 0, 512, 512), picture.Size{Width: 256, Height: 256}},
	} {
		a := WholeArea(row.size, row.native)
		off := a.Rect().Min.Sub(row.want.Min)
		end := a.Rect().Max.Sub(row.want.Max)
		if a.Size() != row.work || off.X*off.X+off.Y*off.Y+end.X*end.X+end.Y*end.Y > 10 {
			t.Errorf("%v for %d: %v at %v, want %v at %v", row.size, row.native, a.Rect(), a.Size(), row.want, row.work)
		}
	}
}
