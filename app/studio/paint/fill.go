package paint

import (
	"context"
	"image"
)

// Fill returns the mask of all pixels that hang together with a place and have a colour like the one there: each
// channel differs by at most tolerance levels. photo is the picture; if it is smaller than the mask, a pixel of it
// stands for several of the mask. It takes some tenths of a second for 24 megapixels. The error is the context's.
func Fill(ctx context.Context, photo *image.RGBA, size, at image.Point, tolerance int) (*Mask, error) {
	from := photo.Rect.Size()
	f := flood{
		photo: photo, width: from.X, height: from.Y, tolerance: int32(tolerance),
		inside: make([]bool, from.X*from.Y),
	}
	if err := f.spread(ctx, at.X*from.X/size.X, at.Y*from.Y/size.Y); err != nil {
		return nil, err
	}
	w := New(size).Edit()
	for i := range w.tiles {
		r := w.rect(i)
		var t *tile
		for y := r.Min.Y; y < r.Max.Y; y++ {
			row := f.inside[y*from.Y/size.Y*from.X:][:from.X]
			for x := r.Min.X; x < r.Max.X; x++ {
				if !row[x*from.X/size.X] {
					continue
				}
				if t == nil {
					t = w.own(i)
				}
				t[(y-r.Min.Y)*TileSide+x-r.Min.X] = 255
			}
		}
	}
	return w.Done(), ctx.Err()
}

// flood spreads over pixels of like colour, in runs of rows.
type flood struct {
	photo         *image.RGBA
	width, height int
	tolerance     int32
	colour        [3]int32
	inside        []bool
}

func (f *flood) like(x, y int) bool {
	p := f.photo.Pix[y*f.photo.Stride+4*x:][:3:3]
	for c, v := range f.colour {
		if d := int32(p[c]) - v; d > f.tolerance || -d > f.tolerance {
			return false
		}
	}
	return true
}

func (f *flood) spread(ctx context.Context, x, y int) error {
	if x < 0 || y < 0 || x >= f.width || y >= f.height {
		return nil
	}
	for c := range f.colour {
		f.colour[c] = int32(f.photo.Pix[y*f.photo.Stride+4*x+c])
	}
	type seed struct{ x, y int32 }
	todo := []seed{{int32(x), int32(y)}}
	for count := 0; len(todo) > 0; count++ {
		if count%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		y := int(s.y)
		row := f.inside[y*f.width:][:f.width]
		first := int(s.x)
		if row[first] {
			continue
		}
		for first > 0 && !row[first-1] && f.like(first-1, y) {
			first--
		}
		end := int(s.x)
		for end < f.width && !row[end] && (end == int(s.x) || f.like(end, y)) {
			end++
		}
		for x := first; x < end; x++ {
			row[x] = true
		}
		for _, beside := range [2]int{y - 1, y + 1} {
			if beside < 0 || beside >= f.height {
				continue
			}
			other, before := f.inside[beside*f.width:], false // the pixel before is one of a run
			for x := first; x < end; x++ {
				now := !other[x] && f.like(x, beside)
				if now && !before {
					todo = append(todo, seed{int32(x), int32(beside)})
				}
				before = now
			}
		}
	}
	return nil
}
