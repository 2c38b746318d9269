package inference

import (
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/upscale"
)

// sourceOf reads the samples of a picture as values from 0 to 1. Gray is read three times.
func sourceOf(o *picture.Original) upscale.Source {
	if o.Opaque() {
		return func(dst []float32, x, y, width, height int) { readColours(dst, nil, o, x, y, width, height) }
	}
	return func(dst []float32, x, y, width, height int) {
		// What is read for the filling lies around the rectangle, so that the result does not depend on the tile.
		left, top := min(x, fillSteps), min(y, fillSteps)
		wide := min(x+width+fillSteps, o.Size.Width) - (x - left)
		high := min(y+height+fillSteps, o.Size.Height) - (y - top)
		colours, known := make([]float32, 3*wide*high), make([]bool, wide*high)
		readColours(colours, known, o, x-left, y-top, wide, high)
		fillUnknown(colours, known, wide)
		for row := range height {
			copy(dst[3*width*row:3*width*(row+1)], colours[3*((row+top)*wide+left):])
		}
	}
}

// readColours reads a rectangle of a picture. known, unless nil, says which pixels are visible at all.
func readColours(dst []float32, known []bool, o *picture.Original, x, y, width, height int) {
	samples := make([]uint16, 4*width)
	for row := range height {
		o.Row(samples, x, y+row, width)
		for i := range width {
			at := row*width + i
			for c := range 3 {
				dst[3*at+c] = float32(samples[4*i+c]) / math.MaxUint16
			}
			if known != nil {
				known[at] = samples[4*i+3] > 0
			}
		}
	}
}

// fillSteps is how far the colours of visible pixels go on into what is transparent.
const fillSteps = 16

// fillUnknown gives transparent pixels near visible ones the mean colour of their neighbours, step by step: what files
// have there is often black, and the network would draw a dark seam around what is visible.
func fillUnknown(colours []float32, known []bool, width int) {
	height := len(known) / width
	var border []int // unknown pixels beside known ones
	for range fillSteps {
		border = border[:0]
		for at, k := range known {
			if k {
				continue
			}
			sums, n := [3]float32{}, float32(0)
			x, y := at%width, at/width
			for ny := max(y-1, 0); ny <= min(y+1, height-1); ny++ {
				for nx := max(x-1, 0); nx <= min(x+1, width-1); nx++ {
					if i := ny*width + nx; known[i] {
						n++
						for c := range sums {
							sums[c] += colours[3*i+c]
						}
					}
				}
			}
			if n > 0 {
				border = append(border, at)
				for c, sum := range sums {
					colours[3*at+c] = sum / n
				}
			}
		}
		if len(border) == 0 {
			return
		}
		for _, at := range border {
			known[at] = true
		}
	}
}

// enlargedRows makes samples of the rows of the enlarged colours, with the alpha of the picture, enlarged by Lanczos.
type enlargedRows struct {
	o       *picture.Original
	samples []uint16
	emit    func([]uint16) error
	// alpha are the enlarged rows of alpha that are not yet used, scaled the scaler that makes them, both nil if the
	// picture is opaque; read is the next row of the picture.
	alpha  [][]float32
	scaler *picture.RowScaler
	read   int
}

func newEnlargedRows(o *picture.Original, size picture.Size, emit func([]uint16) error) *enlargedRows {
	r := &enlargedRows{o: o, samples: make([]uint16, 4*size.Width), emit: emit}
	if !o.Opaque() {
		r.scaler = picture.NewRowScaler(o.Size, size, 1, func(row []float32) error {
			r.alpha = append(r.alpha, append([]float32(nil), row...))
			return nil
		})
	}
	return r
}

// nextAlpha returns the next row of alpha, or nil if the picture is opaque.
func (r *enlargedRows) nextAlpha() ([]float32, error) {
	if r.scaler == nil {
		return nil, nil
	}
	for len(r.alpha) == 0 {
		width := r.o.Size.Width
		samples, row := make([]uint16, 4*width), make([]float32, width)
		r.o.Row(samples, 0, r.read, width)
		for i := range row {
			row[i] = float32(samples[4*i+3]) / math.MaxUint16
		}
		r.read++
		if err := r.scaler.Put(row); err != nil {
			return nil, err
		}
	}
	row := r.alpha[0]
	r.alpha = r.alpha[1:]
	return row, nil
}

// The weights of red, green and blue in the gray of a gray picture, as in Pillow.
const grayOfRed, grayOfGreen, grayOfBlue = 0.299, 0.587, 0.114

// put takes a row of colours from 0 to 1.
func (r *enlargedRows) put(row []float32) error {
	alpha, err := r.nextAlpha()
	if err != nil {
		return err
	}
	for i := range len(r.samples) / 4 {
		rgb := row[3*i : 3*i+3 : 3*i+3]
		pixel := r.samples[4*i : 4*i+4 : 4*i+4]
		if r.o.Gray() {
			v := r.sample(grayOfRed*rgb[0] + grayOfGreen*rgb[1] + grayOfBlue*rgb[2])
			pixel[0], pixel[1], pixel[2] = v, v, v
		} else {
			pixel[0], pixel[1], pixel[2] = r.sample(rgb[0]), r.sample(rgb[1]), r.sample(rgb[2])
		}
		pixel[3] = math.MaxUint16
		if alpha != nil {
			pixel[3] = r.sample(alpha[i])
		}
	}
	return r.emit(r.samples)
}

// sample rounds a value to the levels of the picture, half to even, in 16 bits.
func (r *enlargedRows) sample(v float32) uint16 {
	v = min(max(v, 0), 1)
	if r.o.Depth() == 16 {
		return uint16(math.RoundToEven(float64(v) * math.MaxUint16))
	}
	return uint16(math.RoundToEven(float64(v)*255)) * 257
}
