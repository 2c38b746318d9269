package paint

import (
	"context"
	"image"
	"math"
)

// Grow returns the mask with each pixel at the greatest level within a distance in pixels, so that it reaches so much
// further. Soft edges stay soft. The error is the context's.
func (m *Mask) Grow(ctx context.Context, distance int) (*Mask, error) {
	box := m.Bounds()
	if box.Empty() || distance <= 0 {
		return m, ctx.Err()
	}
	box = box.Inset(-distance).Intersect(image.Rectangle{Max: m.size})
	reach := make([]int, distance+1) // how far to the sides, by the distance in rows
	for d := range reach {
		reach[d] = int(math.Sqrt(float64(distance*distance-d*d)) + 0.5)
	}
	w := m.Edit()
	rows := newRowTables(m, box, reach[0])
	out := make([]uint8, box.Dx())
	for y := box.Min.Y; y < box.Max.Y; y++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		clear(out)
		for at := max(y-distance, 0); at <= min(y+distance, m.size.Y-1); at++ {
			rows.widen(at, reach[max(at-y, y-at)], out)
		}
		w.raise(y, box.Min.X, out)
	}
	return w.Done(), nil
}

// Shrink returns the mask with each pixel at the least level within a distance in pixels. Beyond the picture's edge
// there is nothing that it would shrink from.
func (m *Mask) Shrink(ctx context.Context, distance int) (*Mask, error) {
	grown, err := m.Invert().Grow(ctx, distance)
	if err != nil {
		return nil, err
	}
	return grown.Invert(), nil
}

// raise sets levels of a row, from a column on, to those of row where they are greater.
func (w *Work) raise(y, x int, row []uint8) {
	w.within(image.Rect(x, y, x+len(row), y+1), func(i int, part image.Rectangle) {
		part2 := row[part.Min.X-x : part.Max.X-x]
		var now []uint8
		for k, v := range part2 {
			if now == nil {
				if v == 0 {
					continue
				}
				now = w.own(i)[y%TileSide*TileSide+part.Min.X%TileSide:]
			}
			now[k] = max(now[k], v)
		}
	})
}

// rowTables have the greatest levels of 1, 2, 4 … pixels from each one on, for the rows that are in use.
type rowTables struct {
	m      *Mask
	from   int // the first column
	width  int
	levels int
	rows   map[int][][]uint8 // by y; nil for a row of zeros
	spare  [][][]uint8
	oldest int
}

func newRowTables(m *Mask, box image.Rectangle, reach int) *rowTables {
	r := &rowTables{m: m, from: box.Min.X - reach, width: box.Dx() + 2*reach, rows: map[int][][]uint8{}}
	for 1<<r.levels <= 2*reach+1 {
		r.levels++
	}
	return r
}

// widen raises out, which begins at from + the greatest reach, to the greatest levels of row y up to reach pixels to
// either side.
func (r *rowTables) widen(y, reach int, out []uint8) {
	table, ok := r.rows[y]
	if !ok {
		table = r.read(y)
		r.rows[y] = table
		if far := y - 2*((r.width-len(out))/2) - 1; far >= r.oldest { // no row needs it any more
			for ; r.oldest <= far; r.oldest++ {
				if old := r.rows[r.oldest]; old != nil {
					r.spare = append(r.spare, old)
				}
				delete(r.rows, r.oldest)
			}
		}
	}
	if table == nil {
		return
	}
	length, level := 2*reach+1, 0
	for 2<<level <= length {
		level++
	}
	most := (r.width - len(out)) / 2
	left := table[level][most-reach:][:len(out)]
	right := table[level][most+reach+1-1<<level:][:len(out)]
	for x := range out {
		out[x] = max(out[x], left[x], right[x])
	}
}

// read returns the tables of row y, nil if it is 0 everywhere.
func (r *rowTables) read(y int) [][]uint8 {
	blank := true
	for tx := range r.m.across {
		blank = blank && r.m.tiles[y/TileSide*r.m.across+tx] == black
	}
	if blank {
		return nil
	}
	var table [][]uint8
	if n := len(r.spare); n > 0 {
		table, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		for range r.levels {
			table = append(table, make([]uint8, r.width))
		}
	}
	row := table[0]
	clear(row)
	for x := max(r.from, 0); x < min(r.from+r.width, r.m.size.X); {
		t := r.m.tiles[y/TileSide*r.m.across+x/TileSide]
		end := min((x/TileSide+1)*TileSide, r.m.size.X, r.from+r.width)
		copy(row[x-r.from:end-r.from], t[y%TileSide*TileSide+x%TileSide:])
		x = end
	}
	for level := 1; level < r.levels; level++ {
		half, longer := table[level-1], table[level]
		step := 1 << (level - 1)
		n := r.width - step
		for x := range n {
			longer[x] = max(half[x], half[x+step])
		}
		copy(longer[n:], half[n:])
	}
	return table
}
