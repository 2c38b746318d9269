package edit

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Margins are the pixels by which a picture grows at each edge.
type Margins struct{ Left, Top, Right, Bottom int }

// Canvas returns the size of a picture of that size with the margins.
func (g Margins) Canvas(size picture.Size) picture.Size {
	return picture.Size{Width: size.Width + g.Left + g.Right, Height: size.Height + g.Top + g.Bottom}
}

// Check returns an error if a picture of that size cannot grow by the margins: a negative margin, no margin at all, or
// a canvas of more than picture.MaxPixels or picture.MaxRatio.
func (g Margins) Check(size picture.Size) error {
	for _, side := range []struct {
		name   string
		pixels int
	}{{"left", g.Left}, {"top", g.Top}, {"right", g.Right}, {"bottom", g.Bottom}} {
		if side.pixels < 0 {
			return fmt.Errorf("edit: extend: %d pixels at the %s, want 0 or more", side.pixels, side.name)
		}
		if side.pixels > picture.MaxPixels {
			return fmt.Errorf("edit: extend: %d pixels at the %s, want a picture of at most %d megapixels",
				side.pixels, side.name, picture.MaxPixels/1_000_000)
		}
	}
	canvas := g.Canvas(size)
	short, long := min(canvas.Width, canvas.Height), max(canvas.Width, canvas.Height)
	switch {
	case g == Margins{}:
		return fmt.Errorf("edit: extend: no pixels at any edge: %w", ErrNothingToChange)
	case long > picture.MaxPixels/short:
		return fmt.Errorf("edit: extend: a picture of %v pixels, want at most %d megapixels",
			canvas, picture.MaxPixels/1_000_000)
	case long > picture.MaxRatio*short:
		return fmt.Errorf("edit: extend: a picture of %v pixels, %.1f:1, want at most %d:1",
			canvas, float64(long)/float64(short), picture.MaxRatio)
	}
	return nil
}

// MarginsFor returns the margins that bring a picture to the ratio width:height by growing it at two opposite edges; if
// the number of pixels is odd, the right or lower edge has one more. They are all 0 if the picture has that ratio, to
// a pixel, or if width or height is not a positive number.
func MarginsFor(size picture.Size, width, height float64) (g Margins) {
	ratio := width / height
	if !(ratio > 0) || math.IsInf(ratio, 0) {
		return g
	}
	most := float64(picture.MaxPixels) // Check refuses it, and it fits into an int
	across := int(min(math.Round(float64(size.Height)*ratio), most)) - size.Width
	down := int(min(math.Round(float64(size.Width)/ratio), most)) - size.Height
	switch {
	case across > 0:
		g.Left, g.Right = across/2, across-across/2
	case down > 0:
		g.Top, g.Bottom = down/2, down-down/2
	}
	return g
}

// Extend returns the original on a larger canvas, and the mask of the new area. The new area continues the edges of the
// picture: a pixel at some distance from an edge is the mean of about as many pixels of the edge. The old pixels are
// equal to the original's, and the new ones are opaque. The error is the context's, or that of Margins.Check.
func Extend(ctx context.Context, o *picture.Original, g Margins) (*picture.Original, *Mask, error) {
	if err := g.Check(o.Size); err != nil {
		return nil, nil, err
	}
	canvas := g.Canvas(o.Size)
	pixels := o.New(canvas)
	old := image.Rect(g.Left, g.Top, g.Left+o.Size.Width, g.Top+o.Size.Height)
	edges := newLine(canvas.Width) // of the old picture's upper and lower edges, with their continuation
	lower := newLine(canvas.Width)
	err := picture.InBands(ctx, o.Size.Height, func() func(first, count int) {
		samples := make([]uint16, 4*canvas.Width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				o.Row(samples[4*g.Left:], 0, y, o.Size.Width)
				picture.PutRow(pixels, samples[4*g.Left:4*old.Max.X], g.Left, old.Min.Y+y)
				sideways(o, pixels, samples, y, old, canvas)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	read := func(l *line, y int) {
		samples := make([]uint16, 4*canvas.Width)
		o.With(pixels).Row(samples, 0, y, canvas.Width)
		l.set(samples)
	}
	if g.Top > 0 {
		read(edges, old.Min.Y)
	}
	if g.Bottom > 0 {
		read(lower, old.Max.Y-1)
	}
	err = picture.InBands(ctx, canvas.Height, func() func(first, count int) {
		samples := make([]uint16, 4*canvas.Width)
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				switch {
				case y < old.Min.Y:
					edges.blurred(samples, old.Min.Y-y)
				case y >= old.Max.Y:
					lower.blurred(samples, y-old.Max.Y+1)
				default:
					continue
				}
				picture.PutRow(pixels, samples, 0, y)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	m := &Mask{gray: image.NewGray(image.Rect(0, 0, canvas.Width, canvas.Height)), size: canvas, extended: true}
	for i := range m.gray.Pix {
		m.gray.Pix[i] = 255
	}
	for y := old.Min.Y; y < old.Max.Y; y++ {
		clear(m.gray.Pix[y*m.gray.Stride+old.Min.X : y*m.gray.Stride+old.Max.X])
	}
	return o.With(pixels), m, m.findBounds("the canvas has no new area")
}

// sideways continues row y of the old picture, whose samples lie in their place of the canvas, to the left and to the
// right: a pixel takes the mean of the edge's pixels in as many rows as it is away from the edge.
func sideways(
	o *picture.Original, pixels image.Image, samples []uint16, y int, old image.Rectangle, canvas picture.Size,
) {
	continued := func(x, edge, towards int) {
		var edgeSample [4]uint16
		n := 0
		var sum [3]int
		taken := 0
		// The window grows with the distance; each step adds the rows at its ends.
		add := func(row int) {
			if row < 0 || row >= o.Size.Height {
				return
			}
			o.Row(edgeSample[:], edge, row, 1)
			taken++
			for c := range sum {
				sum[c] += int(edgeSample[c])
			}
		}
		add(y)
		for ; x >= 0 && x < canvas.Width; x += towards {
			if half := n / 2; n%2 == 1 && half < mostBlur {
				add(y - half - 1)
				add(y + half + 1)
			}
			n++
			for c := range sum {
				samples[4*x+c] = uint16(sum[c] / taken)
			}
			samples[4*x+3] = math.MaxUint16
		}
	}
	if old.Min.X > 0 {
		continued(old.Min.X-1, 0, -1)
		picture.PutRow(pixels, samples[:4*old.Min.X], 0, old.Min.Y+y)
	}
	if old.Max.X < canvas.Width {
		continued(old.Max.X, o.Size.Width-1, 1)
		picture.PutRow(pixels, samples[4*old.Max.X:], old.Max.X, old.Min.Y+y)
	}
}

// mostBlur bounds the window of the continuation, in pixels to each side.
const mostBlur = 128

// line holds the sums of a row's samples from its beginning, so that the mean of any piece is known.
type line struct{ sums [][3]uint64 }

func newLine(n int) *line { return &line{make([][3]uint64, n+1)} }

func (l *line) set(samples []uint16) {
	for i := range len(samples) / 4 {
		for c := range 3 {
			l.sums[i+1][c] = l.sums[i][c] + uint64(samples[4*i+c])
		}
	}
}

// blurred writes the row at a distance from the line: each pixel is the mean of about as many pixels of the line.
func (l *line) blurred(samples []uint16, distance int) {
	half := min(distance/2, mostBlur)
	n := len(l.sums) - 1
	for x := range n {
		from, end := max(x-half, 0), min(x+half+1, n)
		for c := range 3 {
			samples[4*x+c] = uint16((l.sums[end][c] - l.sums[from][c]) / uint64(end-from))
		}
		samples[4*x+3] = math.MaxUint16
	}
}
