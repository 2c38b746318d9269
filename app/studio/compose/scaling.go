package compose

import (
	"context"
	"image"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// scaling scales a picture to a size and keeps a window of it, in pixels of that size.
type scaling struct {
	to     picture.Size
	window image.Rectangle
}

// both returns the window's colours, and the opacity of each of its pixels, row after row; nil stands for opaque.
func (s scaling) both(ctx context.Context, o *picture.Original, cut *paint.Mask) (*image.RGBA, []uint8, error) {
	colours, err := s.apply(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	var opacity []uint8
	if !o.Opaque() {
		alpha := image.NewGray(image.Rect(0, 0, o.Size.Width, o.Size.Height))
		for y := range o.Size.Height {
			o.AlphaRow(y, alpha.Pix[y*alpha.Stride:])
		}
		exact := s.own(o.Size) && o.PlainSRGB()
		if !exact {
			for i, v := range alpha.Pix {
				alpha.Pix[i] = withRoom(v)
			}
		}
		if opacity, err = s.plane(ctx, alpha); err != nil {
			return nil, nil, err
		}
		if exact {
			s.straight(colours, o)
		} else {
			offWhite(colours.Pix, opacity)
		}
	}
	if cut == nil || cut.Empty() {
		return colours, opacity, nil
	}
	gone, err := s.plane(ctx, cut.Gray())
	if err != nil {
		return nil, nil, err
	}
	for i, v := range gone {
		rest := 255 - int(v)
		if opacity != nil {
			rest = (int(opacity[i])*rest + 127) / 255
		}
		gone[i] = uint8(rest)
	}
	return colours, gone, nil
}

// own says whether nothing is scaled.
func (s scaling) own(size picture.Size) bool { return s.to == size }

// apply returns the window of a picture, composited on white.
func (s scaling) apply(ctx context.Context, o *picture.Original) (*image.RGBA, error) {
	size := picture.Size{Width: s.window.Dx(), Height: s.window.Dy()}
	switch {
	case s.own(o.Size):
		return o.SRGB(ctx, s.window, size)
	case size == s.to:
		return o.SRGB(ctx, o.Bounds(), s.to)
	}
	part := s.source(o.Size)
	img, err := o.SRGB(ctx, part, picture.Size{Width: part.Dx(), Height: part.Dy()})
	if err != nil {
		return nil, err
	}
	return picture.Placed(ctx, img, o.Size, part, s.to, s.window)
}

// lobes is how many pixels of the smaller picture the resampler looks at, to either side.
const lobes = 3

// source returns the part of a picture that the window is computed from.
func (s scaling) source(size picture.Size) image.Rectangle {
	span := func(from, to, first, end int) (int, int) {
		step := float64(from) / float64(to)
		reach := lobes*max(step, 1) + 2
		return int(float64(first)*step - reach), int(float64(end)*step+reach) + 1
	}
	x0, x1 := span(size.Width, s.to.Width, s.window.Min.X, s.window.Max.X)
	y0, y1 := span(size.Height, s.to.Height, s.window.Min.Y, s.window.Max.Y)
	return image.Rect(x0, y0, x1, y1).Intersect(image.Rect(0, 0, size.Width, size.Height))
}

// plane returns the window of one channel.
func (s scaling) plane(ctx context.Context, levels *image.Gray) ([]uint8, error) {
	o, err := picture.NewOriginal(levels)
	if err != nil {
		return nil, err
	}
	img, err := s.apply(ctx, o)
	if err != nil {
		return nil, err
	}
	out := make([]uint8, s.window.Dx()*s.window.Dy())
	for i := range out {
		out[i] = img.Pix[4*i]
	}
	return out, nil
}

// straight replaces colours on white by the levels of the picture itself.
func (s scaling) straight(img *image.RGBA, o *picture.Original) {
	width := s.window.Dx()
	samples := make([]uint16, 4*width)
	for y := range s.window.Dy() {
		o.Row(samples, s.window.Min.X, s.window.Min.Y+y, width)
		row := img.Pix[y*img.Stride:]
		for x := range width {
			for c := range 3 {
				row[4*x+c] = uint8(samples[4*x+c] >> 8)
			}
		}
	}
}

// Lanczos overshoots at edges: alpha is scaled with room below 0 and above 1, so that the overshoot of colour times
// alpha can be divided by that of alpha.
const (
	alphaZero = 40 // the level of the alpha 0
	alphaOne  = 215
)

func withRoom(alpha uint8) uint8 {
	const span = alphaOne - alphaZero
	return alphaZero + uint8((int(alpha)*span+127)/255)
}

// offWhite takes the white away that scaled colours were composited on. Scaling is linear: what was scaled on white is
// the scaled product of colour and alpha, plus the white that the scaled alpha leaves. Scaling the colours alone would
// bring in those of pixels that are not seen. alpha has room for overshoot before, and is an opacity after it.
func offWhite(pix, alpha []uint8) {
	for i, v := range alpha {
		a := (float32(v) - alphaZero) / (alphaOne - alphaZero)
		alpha[i] = uint8(min(max(a, 0), 1)*255 + 0.5)
		if a <= 0 || a == 1 {
			continue
		}
		for c := range 3 {
			multiplied := float32(pix[4*i+c]) - 255*(1-a)
			pix[4*i+c] = uint8(min(max(multiplied/a, 0), 255) + 0.5)
		}
	}
}

// Look returns a picture as a screen draws it: in a size, multiplied by its alpha, without what is cut out.
func Look(ctx context.Context, o *picture.Original, size picture.Size) (*image.RGBA, error) {
	s := scaling{size, image.Rect(0, 0, size.Width, size.Height)}
	img, opacity, err := s.both(ctx, o, nil)
	if err != nil || opacity == nil {
		return img, err
	}
	for i, o := range opacity {
		fade(img.Pix[4*i:4*i+4:4*i+4], o)
	}
	return img, nil
}

// Without returns a look of a picture without what is cut out of it.
func Without(look *image.RGBA, cut *paint.Mask) *image.RGBA {
	if cut == nil || cut.Empty() {
		return look
	}
	size := look.Rect.Size()
	gone := cut.Shrunk(size)
	img := &image.RGBA{Pix: make([]uint8, len(look.Pix)), Stride: look.Stride, Rect: look.Rect}
	copy(img.Pix, look.Pix)
	for i, v := range gone.Pix {
		if v > 0 {
			fade(img.Pix[4*i:4*i+4:4*i+4], 255-v)
		}
	}
	return img
}

// fade multiplies a pixel that is multiplied by its alpha by an opacity.
func fade(pixel []uint8, opacity uint8) {
	for c, v := range pixel {
		pixel[c] = uint8((int(v)*int(opacity) + 127) / 255)
	}
}
