// Package picture prepares reference pictures for the model and writes the model's pictures as PNG files that carry
// what is needed to make them again.
//
// In: PNG, JPEG, WebP, HEIC, AVIF, BMP, TIFF and GIF files, recognised by their content; the decoder's float rows. Out:
// upright sRGB pixels whose sides are multiples of 16, as float rows in [−1, 1]; PNG files; the metadata of such files.
// Refused: other formats, damaged files, more than MaxPixels or MaxFileBytes (both known before anything is
// decoded), sides under MinSide, sides beyond MaxRatio:1. It knows nothing of latents and prompts.
package picture

import (
	"fmt"
	"image"
	"math"
)

// levels holds v/255·2 − 1 for every 8-bit v, rounded to float32 after each operation as the reference's arrays are.
var levels = func() (table [256]float32) {
	for v := range table {
		unit := float32(v) / 255
		doubled := 2 * unit
		table[v] = doubled - 1
	}
	return table
}()

// Rows returns the picture as the VAE encoder takes it: [height·width, 3] float32 in [−1, 1], row-major, RGB.
func (r *Reference) Rows() []float32 {
	rows := make([]float32, 0, 3*r.Size.Width*r.Size.Height)
	for i := 0; i < len(r.Image.Pix); i += 4 {
		rows = append(rows, levels[r.Image.Pix[i]], levels[r.Image.Pix[i+1]], levels[r.Image.Pix[i+2]])
	}
	return rows
}

// FromFloats returns the picture of a decoded latent: rows is [height·width, 3] float32, row-major, RGB, −1 black and
// 1 white. As in VaeImageProcessor.postprocess a level is clamp(x/2 + 0.5, 0, 1)·255 in float32, rounded half to even.
// A NaN is an error: it means that the computation failed, and no colour stands for it.
func FromFloats(rows []float32, width, height int) (*image.RGBA, error) {
	if width <= 0 || height <= 0 || len(rows) != 3*width*height {
		return nil, fmt.Errorf("picture: decoded rows: %d values, want 3 × %d × %d", len(rows), width, height)
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for pixel := range width * height {
		for c := range 3 {
			x := rows[3*pixel+c]
			if x != x {
				return nil, fmt.Errorf("picture: decoded rows: pixel (%d, %d) is NaN, want a number", pixel%width, pixel/width)
			}
			half := x / 2
			unit := min(max(half+0.5, 0), 1)
			img.Pix[4*pixel+c] = uint8(math.RoundToEven(float64(unit * 255)))
		}
		img.Pix[4*pixel+3] = 255
	}
	return img, nil
}
