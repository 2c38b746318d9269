// Package paint has masks that are painted over a photo at its full resolution: how a mask is kept, and what brush,
// eraser, lasso, rectangle and fill do to it. It knows neither widgets nor models.
//
// A Mask never changes. It is made of tiles, and a mask that was made from another one shares all tiles with it that
// are the same. So an undo keeps masks, which take little memory, and what changed between two of them is found by
// comparing pointers.
package paint

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"image"
	"math"

	"golang.org/x/image/draw"
)

// TileSide is the side of a tile in pixels.
const TileSide = 256

// tile has the levels of TileSide × TileSide pixels. Those beyond the mask's edges mean nothing.
type tile [TileSide * TileSide]uint8

// Tiles that are all of one level are these two, which all masks share.
var black, white = &tile{}, fullTile()

func fullTile() *tile {
	t := &tile{}
	for i := range t {
		t[i] = 255
	}
	return t
}

// Mask says for each pixel of a picture how much of it changes: 255 all of it, 0 nothing. A Mask is not changed after
// it was made, so several goroutines may use it.
type Mask struct {
	size   image.Point
	across int     // tiles in a row
	tiles  []*tile // from left to right, then down; none is nil
}

// New returns a mask of the given size in pixels that is 0 everywhere.
func New(size image.Point) *Mask {
	across, down := (size.X+TileSide-1)/TileSide, (size.Y+TileSide-1)/TileSide
	m := &Mask{size: size, across: across, tiles: make([]*tile, across*down)}
	for i := range m.tiles {
		m.tiles[i] = black
	}
	return m
}

// FromGray returns the mask in a picture of levels, scaled to the given size in pixels.
func FromGray(gray *image.Gray, size image.Point) *Mask {
	if gray.Rect.Size() != size {
		scaled := image.NewGray(image.Rectangle{Max: size})
		draw.BiLinear.Scale(scaled, scaled.Rect, gray, gray.Rect, draw.Src, nil)
		gray = scaled
	}
	w := New(size).Edit()
	for i := range w.tiles {
		r := w.rect(i)
		t := w.own(i)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			from := gray.PixOffset(gray.Rect.Min.X+r.Min.X, gray.Rect.Min.Y+y)
			copy(t[(y-r.Min.Y)*TileSide:][:r.Dx()], gray.Pix[from:])
		}
	}
	return w.Done()
}

// Size returns the mask's size in pixels.
func (m *Mask) Size() image.Point { return m.size }

// At returns the level of a pixel, 0 outside of the mask.
func (m *Mask) At(x, y int) uint8 {
	if !(image.Pt(x, y).In(image.Rectangle{Max: m.size})) {
		return 0
	}
	return m.tiles[y/TileSide*m.across+x/TileSide][y%TileSide*TileSide+x%TileSide]
}

// Gray returns the levels as a picture.
func (m *Mask) Gray() *image.Gray {
	gray := image.NewGray(image.Rectangle{Max: m.size})
	for i, t := range m.tiles {
		if t == black {
			continue
		}
		r := m.rect(i)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			copy(gray.Pix[gray.PixOffset(r.Min.X, y):][:r.Dx()], t[(y-r.Min.Y)*TileSide:])
		}
	}
	return gray
}

// Empty says whether all levels are 0.
func (m *Mask) Empty() bool {
	for _, t := range m.tiles {
		if t != black {
			return false
		}
	}
	return true
}

// Bounds returns the smallest rectangle outside of which all levels are 0.
func (m *Mask) Bounds() (box image.Rectangle) {
	for i, t := range m.tiles {
		r := m.rect(i)
		switch {
		case t == black || r.In(box):
			continue
		case t == white:
			box = box.Union(r)
			continue
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			row := t[(y-r.Min.Y)*TileSide:][:r.Dx()]
			left := len(row) - len(bytes.TrimLeft(row, "\x00"))
			if right := len(bytes.TrimRight(row, "\x00")); left < right {
				box = box.Union(image.Rect(r.Min.X+left, y, r.Min.X+right, y+1))
			}
		}
	}
	return box
}

// Changed returns a rectangle that contains all pixels at which two masks of one size differ. Its edges are those of
// tiles.
func Changed(a, b *Mask) (box image.Rectangle) {
	if a == b {
		return box
	}
	for i := range a.tiles {
		if a.tiles[i] != b.tiles[i] {
			box = box.Union(a.rect(i))
		}
	}
	return box
}

// Bytes returns the memory of the tiles that are not in seen, and adds them to it. Tiles that all masks share take
// none.
func (m *Mask) Bytes(seen map[any]bool) (n int) {
	for _, t := range m.tiles {
		if t != black && t != white && !seen[t] {
			seen[t] = true
			n += len(t)
		}
	}
	return n
}

// rect returns the pixels of a tile that lie in the mask.
func (m *Mask) rect(i int) image.Rectangle {
	x, y := i%m.across*TileSide, i/m.across*TileSide
	return image.Rect(x, y, x+TileSide, y+TileSide).Intersect(image.Rectangle{Max: m.size})
}

// Invert returns the mask with 255 minus each level.
func (m *Mask) Invert() *Mask {
	return m.each(func(t *tile) *tile {
		switch t {
		case black:
			return white
		case white:
			return black
		}
		inverted := &tile{}
		subtle.XORBytes(inverted[:], t[:], white[:])
		return inverted
	})
}

// Clear returns a mask of the same size that is 0 everywhere.
func (m *Mask) Clear() *Mask { return New(m.size) }

// each returns the mask of what do makes of each tile.
func (m *Mask) each(do func(*tile) *tile) *Mask {
	out := &Mask{m.size, m.across, make([]*tile, len(m.tiles))}
	for i, t := range m.tiles {
		out.tiles[i] = out.plain(i, do(t))
	}
	return out
}

// plain returns the shared tile if all levels of tile i that lie in the mask are 0, or all of them 255; else t itself.
func (m *Mask) plain(i int, t *tile) *tile {
	if t == black || t == white {
		return t
	}
	r := m.rect(i)
	like := black
	if t[0] == 255 {
		like = white
	} else if t[0] != 0 {
		return t
	}
	for y := range r.Dy() {
		if !bytes.Equal(t[y*TileSide:][:r.Dx()], like[:r.Dx()]) {
			return t
		}
	}
	return like
}

// Add returns the mask with the greater of both levels, Remove the one with at most 255 minus those of other. Both
// masks have one size.
func (m *Mask) Add(other *Mask) *Mask    { return m.join(other, false) }
func (m *Mask) Remove(other *Mask) *Mask { return m.join(other, true) }

func (m *Mask) join(other *Mask, remove bool) *Mask {
	if other.size != m.size {
		panic(fmt.Sprintf("paint: masks of %v and %v pixels, want one size", m.size, other.size))
	}
	out := &Mask{m.size, m.across, make([]*tile, len(m.tiles))}
	for i, t := range m.tiles {
		o := other.tiles[i]
		switch {
		case o == black, t == white && !remove, t == black && remove:
			out.tiles[i] = t
		case o == white && remove:
			out.tiles[i] = black
		case o == white, t == black:
			out.tiles[i] = o
		case remove:
			joined := &tile{}
			for k, v := range t {
				joined[k] = min(v, 255-o[k])
			}
			out.tiles[i] = out.plain(i, joined)
		default:
			joined := &tile{}
			for k, v := range t {
				joined[k] = max(v, o[k])
			}
			out.tiles[i] = out.plain(i, joined)
		}
		if out.tiles[i] != t && *out.tiles[i] == *t {
			out.tiles[i] = t // nothing has changed
		}
	}
	return out
}

// Shrunk returns the levels at a smaller size in pixels: each the mean of the pixels that it covers, so that a level of
// 0 says that nothing there changes.
func (m *Mask) Shrunk(size image.Point) *image.Gray {
	small := image.NewGray(image.Rectangle{Max: size})
	sums := make([]uint32, size.X)
	for y := range size.Y {
		clear(sums)
		y0, y1 := y*m.size.Y/size.Y, max((y+1)*m.size.Y/size.Y, y*m.size.Y/size.Y+1)
		blank := true
		for at := y0; at < y1; at++ {
			for tx := range m.across {
				t := m.tiles[at/TileSide*m.across+tx]
				if t == black {
					continue
				}
				blank = false
				row := t[at%TileSide*TileSide:][:min(TileSide, m.size.X-tx*TileSide)]
				for x, v := range row {
					sums[(tx*TileSide+x)*size.X/m.size.X] += uint32(v)
				}
			}
		}
		if blank {
			continue
		}
		for x, sum := range sums {
			if sum > 0 {
				// How many columns fall to x: those from ⌈x·W/w⌉ up to ⌈(x+1)·W/w⌉.
				columns := ((x+1)*m.size.X+size.X-1)/size.X - (x*m.size.X+size.X-1)/size.X
				n := uint32(columns * (y1 - y0))
				small.Pix[y*small.Stride+x] = uint8(max((sum+n/2)/n, 1))
			}
		}
	}
	return small
}

// Sample writes the levels of a part of the mask at another scale, row after row: step pixels of the mask, in either
// direction, fall to a pixel of part. A level is the mean of up to 4 × 4 pixels. Outside of the mask it is 0.
func (m *Mask) Sample(levels []uint8, part image.Rectangle, step float64) {
	width, height := part.Dx(), part.Dy()
	n := min(max(int(math.Ceil(step)), 1), 4)
	columns, rows := m.places(part.Min.X, width, n, step, m.size.X), m.places(part.Min.Y, height, n, step, m.size.Y)
	if like := m.uniform(columns, rows); like != nil {
		for y := range height {
			copyLevel(levels[y*width:][:width], like[0])
		}
		return
	}
	sums := make([]uint16, width)
	half, whole := uint16(n*n/2), uint16(n*n)
	for y := range height {
		clear(sums)
		for _, at := range rows[y*n:][:n] {
			if at < 0 {
				continue
			}
			tiles, row := m.tiles[at/TileSide*m.across:], at%TileSide*TileSide
			for x := range sums {
				for _, column := range columns[x*n:][:n] {
					if column >= 0 {
						sums[x] += uint16(tiles[column/TileSide][row+column%TileSide])
					}
				}
			}
		}
		for x, sum := range sums {
			levels[y*width+x] = uint8((sum + half) / whole)
		}
	}
}

// places returns n places in the mask for each of count pixels from first on; -1 stands for one outside of it.
func (m *Mask) places(first, count, n int, step float64, side int) []int {
	list := make([]int, count*n)
	for i := range list {
		at := int(math.Floor((float64(first) + (float64(i)+0.5)/float64(n)) * step))
		if at < 0 || at >= side {
			at = -1
		}
		list[i] = at
	}
	return list
}

// uniform returns the tile of one level that all places lie in, nil if there is none.
func (m *Mask) uniform(columns, rows []int) *tile {
	if len(columns) == 0 || len(rows) == 0 || min(columns[0], rows[0]) < 0 ||
		min(columns[len(columns)-1], rows[len(rows)-1]) < 0 {
		return nil
	}
	like := m.tiles[rows[0]/TileSide*m.across+columns[0]/TileSide]
	if like != black && like != white {
		return nil
	}
	for ty := rows[0] / TileSide; ty <= rows[len(rows)-1]/TileSide; ty++ {
		for tx := columns[0] / TileSide; tx <= columns[len(columns)-1]/TileSide; tx++ {
			if m.tiles[ty*m.across+tx] != like {
				return nil
			}
		}
	}
	return like
}

func copyLevel(row []uint8, level uint8) {
	for x := range row {
		row[x] = level
	}
}

// Mixed counts the tiles that joining other with the mask takes time for: those that are of one level in neither.
func (m *Mask) Mixed(other *Mask) (n int) {
	for i, t := range m.tiles {
		if o := other.tiles[i]; t != black && t != white && o != black && o != white {
			n++
		}
	}
	return n
}
