// Package picture prepares reference pictures for the model, and writes the model's pictures as PNG, JPEG, WebP or TIFF
// files that contain everything needed to generate them again.
//
// A reference is a PNG, JPEG, WebP, HEIC, AVIF, BMP, TIFF or GIF file, recognised by its content. The package turns it
// into upright sRGB pixels whose sides are multiples of 16, and gives them to the VAE encoder as float32 rows in [−1,
// 1]. In the other direction it turns the VAE decoder's float32 rows into a picture file with metadata, and it reads
// that metadata back.
//
// A picture that is edited is also read as an Original: at full resolution, in the levels and the colour space of its
// file. Files that are written of an Original keep its profile and its Exif block.
//
// It refuses other formats, damaged files, files of more than MaxFileBytes, pictures of more than MaxPixels, sides
// shorter than MinSide, and pictures longer than MaxRatio:1. Sizes are checked before anything is decoded. It knows
// nothing of latents and prompts.
package picture

import (
	"fmt"
	"image"
	"math"
)

// levels holds v/255·2 − 1 for every 8-bit level v. Each operation is rounded to float32, as in NumPy, which the
// reference implementation uses.
var levels = func() (table [256]float32) {
	for v := range table {
		unit := float32(v) / 255
		doubled := 2 * unit
		table[v] = doubled - 1
	}
	return table
}()

// Rows returns the picture as the VAE encoder reads it: float32 [height·width, 3], row-major, RGB, in [−1, 1].
func (r *Reference) Rows() []float32 {
	rows := make([]float32, 0, 3*r.Size.Width*r.Size.Height)
	for i := 0; i < len(r.Image.Pix); i += 4 {
		rows = append(rows, levels[r.Image.Pix[i]], levels[r.Image.Pix[i+1]], levels[r.Image.Pix[i+2]])
	}
	return rows
}

// NewReference returns img as a Reference that came from no file. img is opaque sRGB with its origin at (0, 0) and no
// padding between rows, and its sides are multiples of 16. It belongs to the Reference.
func NewReference(img *image.RGBA) *Reference {
	size := Size{img.Rect.Dx(), img.Rect.Dy()}
	return &Reference{Image: img, Size: size, Original: size, PixelsSHA256: pixelsDigest(img)}
}

// FromFloats returns the picture that the VAE decoder made: rows is float32 [height·width, 3], row-major, RGB, with
// −1 for black and 1 for white. As in VaeImageProcessor.postprocess of Diffusers, a level is
// clamp(x/2 + 0.5, 0, 1)·255 in float32, rounded half to even. It returns an error for a NaN, which means that the
// computation failed.
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
