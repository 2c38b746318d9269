// Package compose lays pictures over each other on a canvas, at the canvas's full resolution, and says what they look
// like there. It knows pixels and masks, but neither files nor a desk.
package compose

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Layer is a picture on a canvas.
type Layer struct {
	Picture *picture.Original
	// At is where the picture lies, in pixels of the canvas; what lies beyond the canvas is not seen. The picture is
	// scaled to it as Pillow's Lanczos does. At its own size the levels of an sRGB picture are used as they are.
	At image.Rectangle
	// Cut is as large as the picture: nothing is left of it where the level is 255. nil cuts nothing out.
	Cut *paint.Mask
}

// Canvas is what pictures are laid on: 8-bit sRGB with straight alpha.
type Canvas struct{ img *image.NRGBA }

// NewCanvas returns a canvas of one colour, which may be transparent.
func NewCanvas(size picture.Size, ground color.NRGBA) *Canvas {
	img := image.NewNRGBA(image.Rect(0, 0, size.Width, size.Height))
	if ground != (color.NRGBA{}) {
		for i := 0; i < len(img.Pix); i += 4 {
			img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = ground.R, ground.G, ground.B, ground.A
		}
	}
	return &Canvas{img}
}

// Image returns what was laid on the canvas so far.
func (c *Canvas) Image() *image.NRGBA { return c.img }

// Lay lays a picture over what is on the canvas. Where its opacity is between none and full, because of its own alpha
// or a soft edge of what is cut out, it is mixed with what lies below in linear light, as an edit mixes its result with
// the photo: a mean of sRGB levels would draw a dark line around whatever is brighter than its new ground. The error is
// the context's, or says what does not fit.
func (c *Canvas) Lay(ctx context.Context, l Layer) error {
	seen := l.At.Intersect(c.img.Rect)
	switch {
	case l.At.Empty():
		return fmt.Errorf("compose: a picture at %v, want a place with pixels", l.At)
	case l.Cut != nil && l.Cut.Size() != image.Pt(l.Picture.Size.Width, l.Picture.Size.Height):
		return fmt.Errorf("compose: a cut-out of %v pixels, want the %v of its picture", l.Cut.Size(), l.Picture.Size)
	case seen.Empty():
		return ctx.Err()
	}
	s := scaling{picture.Size{Width: l.At.Dx(), Height: l.At.Dy()}, seen.Sub(l.At.Min)}
	colours, opacity, err := s.both(ctx, l.Picture, l.Cut)
	if err != nil {
		return err
	}
	width := seen.Dx()
	return picture.InBands(ctx, seen.Dy(), func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				below := c.img.Pix[c.img.PixOffset(seen.Min.X, seen.Min.Y+y):][:4*width]
				above := colours.Pix[y*colours.Stride:][:4*width]
				if opacity == nil {
					copy(below, above)
					continue
				}
				mixRow(below, above, opacity[y*width:][:width])
			}
		}
	})
}

// mixRow lays a row of colours over another one, with an opacity for each pixel.
func mixRow(below, above, opacity []uint8) {
	for x, o := range opacity {
		under, over := below[4*x:4*x+4:4*x+4], above[4*x:4*x+4:4*x+4]
		switch {
		case o == 0:
		case o == 255 || under[3] == 0:
			copy(under, over[:3])
			under[3] = o
		default:
			a := float32(o) / 255
			rest := float32(under[3]) / 255 * (1 - a)
			sum := a + rest
			for i := range 3 {
				under[i] = levelOf((lightOf[over[i]]*a + lightOf[under[i]]*rest) / sum)
			}
			under[3] = uint8(sum*255 + 0.5)
		}
	}
}

// lightOf has the linear light of each sRGB level. levels has the level for the square root of light, in whose even
// steps levels lie nearly even, too: a step is a tenth of a level or less.
var lightOf, levels = lightTables()

const levelSteps = 1 << 12

func lightTables() (light [256]float32, levels [levelSteps + 1]uint8) {
	for i := range light {
		light[i] = picture.SRGBToLight(float32(i))
	}
	next := 0
	for i := range levels {
		root := float32(i) / levelSteps
		for next < 255 && root*root > picture.SRGBToLight(float32(next)+0.5) {
			next++
		}
		levels[i] = uint8(next)
	}
	return light, levels
}

func levelOf(light float32) uint8 {
	return levels[int(math.Sqrt(float64(min(max(light, 0), 1)))*levelSteps+0.5)]
}
