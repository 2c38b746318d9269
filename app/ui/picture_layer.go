package ui

import (
	"image"
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"golang.org/x/image/draw"
)

// layer draws one picture of a view. However large the picture is, the graphics card gets little more of it than there
// are pixels on the screen: a copy of the whole picture, shrunk to the screen's pixels, or else a copy of what is in
// sight over a coarser one of the whole. Copies are made in the background, one at a time: of all the scales that a
// turn of the wheel passes, the last one counts.
type layer struct {
	*fyne.Container // lies where the whole picture does
	background      func(work func() (done func()))

	given *image.RGBA // the picture
	full  *image.RGBA // the same with its origin at 0
	whole *canvas.Image
	part  *canvas.Image // over whole; hidden if that is enough

	wholeIs, partIs copyOf // what they draw
	want            copyOf
	making          bool
}

// copyOf is a copy of an area of a picture, of a size in pixels.
type copyOf struct {
	area image.Rectangle
	size image.Point
}

// uploadPixels bounds what the graphics card gets at once, in pixels: 16 MB, which take it a few milliseconds. A view
// with more pixels than that takes as many as it has.
const uploadPixels = 4 << 20

func newLayer() *layer {
	l := &layer{whole: canvas.NewImageFromImage(nil), part: canvas.NewImageFromImage(nil)}
	for _, img := range []*canvas.Image{l.whole, l.part} {
		img.ScaleMode, img.FillMode = canvas.ImageScaleFastest, canvas.ImageFillStretch
	}
	l.part.Hide()
	l.Container = container.NewWithoutLayout(l.whole, l.part)
	return l
}

// set shows another picture, nil for none.
func (l *layer) set(img *image.RGBA) {
	if img == l.given {
		return
	}
	l.given, l.full = img, rgba(img)
	l.want, l.partIs = copyOf{}, copyOf{}
	l.part.Image = nil
	l.part.Hide()
	switch {
	case img == nil:
		l.draw(l.whole, nil)
	case area(l.full.Rect.Size()) > uploadPixels:
		l.wholeIs = copyOf{area: l.full.Rect, size: sampleSize(l.full.Rect.Size())}
		l.draw(l.whole, sample(l.full, l.wholeIs.size)) // until a better copy is made
	default:
		l.wholeIs = copyOf{l.full.Rect, l.full.Rect.Size()}
		l.draw(l.whole, l.full)
	}
}

func (l *layer) draw(on *canvas.Image, img *image.RGBA) {
	if img == nil {
		on.Image = nil
		on.Refresh()
	} else if on.Image != image.Image(img) {
		on.Image = img
		on.Refresh()
	}
}

// place lays the picture out in a container. Each pixel of the screen is a square of the picture's if pixels is true,
// as where the user looks at single pixels.
func (l *layer) place(x, y, width, height float32, pixels bool) {
	mode := canvas.ImageScaleFastest
	if pixels {
		mode = canvas.ImageScalePixels
	}
	l.whole.ScaleMode, l.part.ScaleMode = mode, mode
	At(l.Container, x, y, width, height)
	l.whole.Resize(fyne.NewSize(width, height))
	l.placePart()
}

func (l *layer) placePart() {
	Show(l.part, l.part.Image != nil)
	if l.part.Image == nil {
		return
	}
	kx := l.Size().Width / float32(l.full.Rect.Dx())
	ky := l.Size().Height / float32(l.full.Rect.Dy())
	a := l.partIs.area
	l.part.Move(fyne.NewPos(float32(a.Min.X)*kx, float32(a.Min.Y)*ky))
	l.part.Resize(fyne.NewSize(float32(a.Dx())*kx, float32(a.Dy())*ky))
}

// sharpen has copies made for a picture that is drawn with size pixels of the screen, of which those in seen, an area
// of the picture, are in sight. room is the number of pixels of the view.
func (l *layer) sharpen(size image.Point, seen image.Rectangle, room int) {
	if l.full == nil || l.background == nil || size.X < 1 || size.Y < 1 {
		return
	}
	most := max(uploadPixels, room)
	natural := l.full.Rect.Size()
	shrinks := size.X < natural.X
	if !shrinks {
		size = natural // the graphics card enlarges
	}
	if area(size) <= most {
		l.want = copyOf{l.full.Rect, size}
		l.next()
		return
	}
	if seen = seen.Intersect(l.full.Rect); seen.Empty() {
		return
	}
	perPixel := func(c copyOf) bool { return c.area.Dx() > 0 && near(c.size.X*natural.X, size.X*c.area.Dx()) }
	if seen.In(l.partIs.area) && perPixel(l.partIs) || seen.In(l.want.area) && perPixel(l.want) {
		return
	}
	margin := min(seen.Dx(), seen.Dy()) / 4 // for the next move
	a := seen.Inset(-margin).Intersect(l.full.Rect)
	l.want = copyOf{a, image.Pt(max(a.Dx()*size.X/natural.X, 1), max(a.Dy()*size.Y/natural.Y, 1))}
	l.next()
}

// next begins to make the copy that is wanted, unless it is there or one is being made.
func (l *layer) next() {
	want, full := l.want, l.full
	if l.making || want == (copyOf{}) {
		return
	}
	if want.area == full.Rect {
		if want == l.wholeIs {
			l.dropPart()
			return
		}
		if want.size == full.Rect.Size() {
			l.install(want, full)
			return
		}
	} else if want == l.partIs {
		return
	}
	l.making = true
	l.background(func() func() {
		img := shrunk(full, want.area, want.size)
		return func() {
			l.making = false
			if l.full == full && l.want == want {
				l.install(want, img)
			}
			l.next()
		}
	})
}

// install draws a copy that was made.
func (l *layer) install(c copyOf, img *image.RGBA) {
	if c.area == l.full.Rect {
		l.wholeIs = c
		l.draw(l.whole, img)
		l.dropPart()
		return
	}
	l.partIs = c
	l.draw(l.part, img)
	l.placePart()
	canvas.Refresh(l.Container)
}

func (l *layer) dropPart() {
	l.partIs, l.part.Image = copyOf{}, nil
	Show(l.part, false)
}

func area(size image.Point) int { return size.X * size.Y }

// near says whether two products of sizes are the same but for rounding.
func near(a, b int) bool { return max(a, b)-min(a, b) <= max(a, b)/100 }

// Reduced returns a picture scaled down to at most so many pixels, or the picture itself if it has no more.
func Reduced(img *image.RGBA, most int) *image.RGBA {
	size := img.Rect.Size()
	if area(size) <= most {
		return img
	}
	k := math.Sqrt(float64(most) / float64(area(size)))
	return shrunk(img, img.Rect, image.Pt(max(int(float64(size.X)*k), 1), max(int(float64(size.Y)*k), 1)))
}

// sampleSize is the size of the coarse copy that is drawn before there is another one.
func sampleSize(size image.Point) image.Point {
	const side = 192
	longest := max(size.X, size.Y)
	return image.Pt(max(size.X*side/longest, 1), max(size.Y*side/longest, 1))
}

// sample returns every n-th pixel of a picture, which takes a millisecond.
func sample(src *image.RGBA, size image.Point) *image.RGBA {
	dst := image.NewRGBA(image.Rectangle{Max: size})
	draw.NearestNeighbor.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	return dst
}

// shrunk returns an area of a picture, scaled down to size pixels. Scale holds 32 bytes for each pixel between its two
// passes, over rows and columns: they are made in turn, each in bands, which leaves four bytes.
func shrunk(src *image.RGBA, a image.Rectangle, size image.Point) *image.RGBA {
	const band = 64
	wide := image.NewRGBA(image.Rect(0, 0, size.X, a.Dy()))
	if size.X == a.Dx() {
		draw.Copy(wide, image.Point{}, src, a, draw.Src, nil)
	} else {
		for y := 0; y < a.Dy(); y += band {
			n := min(band, a.Dy()-y)
			from := image.Rect(a.Min.X, a.Min.Y+y, a.Max.X, a.Min.Y+y+n)
			draw.CatmullRom.Scale(wide, image.Rect(0, y, size.X, y+n), src, from, draw.Src, nil)
		}
	}
	if size.Y == a.Dy() {
		return wide
	}
	small := image.NewRGBA(image.Rectangle{Max: size})
	for x := 0; x < size.X; x += band {
		n := min(band, size.X-x)
		to, from := image.Rect(x, 0, x+n, size.Y), image.Rect(x, 0, x+n, a.Dy())
		draw.CatmullRom.Scale(small, to, wide, from, draw.Src, nil)
	}
	return small
}

// rgba returns img with its origin at 0, as Fyne draws it. A picture that Fyne may get as it is has rows without gaps.
func rgba(img *image.RGBA) *image.RGBA {
	if img == nil {
		return nil
	}
	size := img.Rect.Size()
	if img.Rect.Min == (image.Point{}) && img.Stride == 4*size.X {
		return img
	}
	if img.Stride != 4*size.X && area(size) <= uploadPixels {
		dst := image.NewRGBA(image.Rectangle{Max: size})
		draw.Copy(dst, image.Point{}, img, img.Rect, draw.Src, nil)
		return dst
	}
	return &image.RGBA{Pix: img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y):], Stride: img.Stride,
		Rect: image.Rectangle{Max: size}}
}
