package edit

import (
	"context"
	"fmt"
	"image"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Tiles divides a picture into tiles of one size that overlap. Where they do, what becomes of the tiles is mixed, with
// weights that change smoothly and whose sum is 1: no border shows.
type Tiles struct {
	columns, rows axis
}

// axis is the division of one side: where tiles begin, and how long they are. All are multiples of tokenSide.
type axis struct {
	starts []int
	length int
}

// NewTiles divides a picture of a size whose sides are multiples of 16 into the fewest tiles with sides of at most
// `most` pixels that overlap by at least `overlap`. Both are multiples of 16, and overlap is at most a quarter of most.
func NewTiles(size picture.Size, most, overlap int) (Tiles, error) {
	bad := func(n int) bool { return n <= 0 || n%tokenSide != 0 }
	if bad(size.Width) || bad(size.Height) || bad(most) || bad(overlap) || 4*overlap > most {
		return Tiles{}, fmt.Errorf("edit: tiles of %d pixels that overlap by %d in %v, want multiples of %d and an "+
			"overlap of at most a quarter", most, overlap, size, tokenSide)
	}
	return Tiles{divided(size.Width, most, overlap), divided(size.Height, most, overlap)}, nil
}

func divided(side, most, overlap int) axis {
	if side <= most {
		return axis{[]int{0}, side}
	}
	n := (side - overlap + most - overlap - 1) / (most - overlap)
	// The tiles are as small as their number allows, so that they overlap by what is wanted and not by more.
	a := axis{length: ((side+(n-1)*overlap+n-1)/n + tokenSide - 1) / tokenSide * tokenSide}
	free := (side - a.length) / tokenSide // what the starts have to share out
	for i := range n {
		a.starts = append(a.starts, free*i/(n-1)*tokenSide)
	}
	return a
}

// weights returns the weight of each pixel of tile i along an axis, from the middle of a pixel to the next.
func (a axis) weights(i int) []float32 {
	w := make([]float32, a.length)
	for p := range w {
		w[p] = 1
	}
	if i > 0 {
		over := a.starts[i-1] + a.length - a.starts[i]
		for p := range over {
			w[p] = ramp(p, over)
		}
	}
	if i+1 < len(a.starts) {
		over := a.starts[i] + a.length - a.starts[i+1]
		for p := range over {
			w[a.length-over+p] = 1 - ramp(p, over)
		}
	}
	return w
}

// ramp rises from 0 to 1 over a number of pixels, and is level at both ends.
func ramp(p, pixels int) float32 {
	t := (float32(p) + 0.5) / float32(pixels)
	return t * t * (3 - 2*t)
}

// Len returns the number of tiles.
func (t Tiles) Len() int { return len(t.columns.starts) * len(t.rows.starts) }

// Size returns the size of each tile.
func (t Tiles) Size() picture.Size {
	return picture.Size{Width: t.columns.length, Height: t.rows.length}
}

// At returns where tile i lies: row by row, from the left.
func (t Tiles) At(i int) image.Rectangle {
	x, y := t.columns.starts[i%len(t.columns.starts)], t.rows.starts[i/len(t.columns.starts)]
	return image.Rect(x, y, x+t.columns.length, y+t.rows.length)
}

// Mix makes a picture of what `change` returns for the tiles, in their order: an opaque picture of the tile's size. It
// holds one row of tiles in float32. An error of change ends it.
func (t Tiles) Mix(ctx context.Context, change func(i int) (*image.RGBA, error)) (*image.RGBA, error) {
	across, down := len(t.columns.starts), len(t.rows.starts)
	width, height := t.columns.starts[across-1]+t.columns.length, t.rows.starts[down-1]+t.rows.length
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	sums := make([]float32, 3*width*t.rows.length) // of the rows from the present row of tiles on
	for row, top := range t.rows.starts {
		vertical := t.rows.weights(row)
		for column, left := range t.columns.starts {
			tile, err := change(row*across + column)
			if err != nil {
				return nil, err
			}
			if tile.Rect.Size() != image.Pt(t.columns.length, t.rows.length) {
				return nil, fmt.Errorf("edit: tile %d has %v pixels, want %v", row*across+column, tile.Rect.Size(), t.Size())
			}
			horizontal := t.columns.weights(column)
			err = picture.InBands(ctx, t.rows.length, func() func(first, count int) {
				return func(first, count int) {
					for y := first; y < first+count; y++ {
						from, to := tile.Pix[y*tile.Stride:], sums[3*(y*width+left):]
						for x, w := range horizontal {
							w *= vertical[y]
							p, q := from[4*x:4*x+3:4*x+3], to[3*x:3*x+3:3*x+3]
							for c := range q {
								q[c] += w * float32(p[c])
							}
						}
					}
				}
			})
			if err != nil {
				return nil, err
			}
		}
		done := t.rows.length // of the rows in sums: the next row of tiles adds nothing to them
		if row+1 < down {
			done = t.rows.starts[row+1] - top
		}
		err := picture.InBands(ctx, done, func() func(first, count int) {
			return func(first, count int) {
				for y := first; y < first+count; y++ {
					from, to := sums[3*y*width:3*(y+1)*width], dst.Pix[(top+y)*dst.Stride:][:4*width]
					for x := range width {
						for c := range 3 {
							to[4*x+c] = uint8(min(from[3*x+c], 255) + 0.5)
						}
						to[4*x+3] = 255
					}
				}
			}
		})
		if err != nil {
			return nil, err
		}
		copy(sums, sums[3*done*width:])
		clear(sums[len(sums)-3*done*width:])
	}
	return dst, nil
}
