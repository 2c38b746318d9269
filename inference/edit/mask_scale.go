package edit

import (
	"image"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// The scaling of masks by area mean. The rectangle that a target pixel covers has rational borders, so its overlaps
// with the mask's pixels are counted in whole numbers: a pixel beside the rectangle then contributes nothing at all,
// and not a little by rounding.

// share is how much of a mask's column or row a target pixel covers: amount units, in a scaling whose target pixel has
// span units in all.
type share struct{ at, amount int }

// coverage lists the shares of each target pixel along one axis.
type coverage struct {
	shares [][]share
	span   int // units that a target pixel covers in all
}

// cover returns the coverage of n target pixels along an axis. They divide the piece [from, from+length) of the
// picture, whose side of picture pixels is divided into mask pixels.
func cover(from, length, n, picture, mask int) coverage {
	// One mask pixel is picture·n units long, and one pixel of the picture is mask·n units long.
	unit := picture * n
	c := coverage{make([][]share, n), length * mask}
	for i := range n {
		start := (from*n + i*length) * mask
		end := start + length*mask
		for at := start / unit; at*unit < end && at < mask; at++ {
			if amount := min(end, (at+1)*unit) - max(start, at*unit); amount > 0 {
				c.shares[i] = append(c.shares[i], share{at, amount})
			}
		}
	}
	return c
}

// scaledMask is a rectangle of the picture's mask at another size.
type scaledMask struct {
	mask         *image.Gray
	across, down coverage
	same         bool // each target pixel is the pixel of the mask that lies left and top away
	left, top    int
}

// unitLevels holds v/255 for each level.
var unitLevels = func() (units [256]float64) {
	for v := range units {
		units[v] = float64(v) / 255
	}
	return units
}()

// over returns the mask of the rectangle r of the picture, scaled to size by area mean.
func (m *Mask) over(r image.Rectangle, size picture.Size) *scaledMask {
	return &scaledMask{
		mask:   m.gray,
		across: cover(r.Min.X, r.Dx(), size.Width, m.size.Width, m.gray.Rect.Dx()),
		down:   cover(r.Min.Y, r.Dy(), size.Height, m.size.Height, m.gray.Rect.Dy()),
		same:   sizeOf(m.gray.Rect) == m.size && sizeOf(r) == size,
		left:   r.Min.X, top: r.Min.Y,
	}
}

// maskReader reads rows of a scaledMask for one goroutine.
type maskReader struct {
	*scaledMask
	column []int // the sum of a column of the mask over the rows that a target row covers
}

func (s *scaledMask) reader() *maskReader {
	return &maskReader{s, make([]int, s.mask.Rect.Dx())}
}

// row writes the values of row y, from 0 to 1, from target pixel x on. A value is 0 only if all levels that it covers
// are 0, and 1 only if all of them are 255.
func (r *maskReader) row(y, x int, values []float64) {
	if len(values) == 0 {
		return
	}
	if r.same {
		for i, level := range r.mask.Pix[(r.top+y)*r.mask.Stride+r.left+x:][:len(values)] {
			values[i] = unitLevels[level]
		}
		return
	}
	shares := r.across.shares[x : x+len(values)]
	first, last := shares[0][0].at, shares[len(shares)-1]
	end := last[len(last)-1].at + 1
	column := r.column[first:end]
	clear(column)
	for _, s := range r.down.shares[y] {
		levels := r.mask.Pix[s.at*r.mask.Stride+first:][:len(column)]
		for i, level := range levels {
			column[i] += s.amount * int(level)
		}
	}
	whole := float64(r.down.span) * float64(r.across.span) * 255
	for i, list := range shares {
		sum := 0
		for _, s := range list {
			sum += s.amount * column[s.at-first]
		}
		values[i] = float64(sum) / whole
	}
}

// tokenSide is the side of the square of pixels that a token stands for.
const tokenSide = 16

// Tokens returns the mask at the resolution of the model's tokens, row by row: float32 [height/16 · width/16] for the
// work picture of the area, in [0, 1]. The mask is scaled to the work picture by area mean, without rounding; a token
// has the largest value of its 16×16 pixels.
func Tokens(m *Mask, a Area) []float32 {
	return m.tokens(a.Source, a.Scaled, a.Crop)
}

// tokens returns the tokens of the rectangle crop of the picture's rectangle source scaled to size. If a side of crop
// is no multiple of 16, the last cells are smaller.
func (m *Mask) tokens(source image.Rectangle, size picture.Size, crop image.Rectangle) []float32 {
	columns, rows := (crop.Dx()+tokenSide-1)/tokenSide, (crop.Dy()+tokenSide-1)/tokenSide
	tokens := make([]float32, columns*rows)
	reader := m.over(source, size).reader()
	values := make([]float64, crop.Dx())
	for y := range crop.Dy() {
		reader.row(crop.Min.Y+y, crop.Min.X, values)
		cells := tokens[y/tokenSide*columns:][:columns]
		for x, v := range values {
			cells[x/tokenSide] = max(cells[x/tokenSide], float32(v))
		}
	}
	return tokens
}
