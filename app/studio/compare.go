package studio

import "image"

// Area is a place with a size, in the pixels of a frame.
type Area struct{ X, Y, Width, Height float32 }

// Frame returns the size of the frame in which two pictures are compared, and where in it each of them lies. before
// says that a is image 1 of b, or what b was enlarged from. A picture that was made larger at its sides is the frame of
// what it was: both show the same thing at the same place. One that was enlarged from the other is the frame of both.
// Otherwise the frame is b, and a has no place: all of it is to lie in the frame, as large as there is room for.
func Frame(a, b Picture, before bool) (size image.Point, atA, atB Area) {
	whole := func(p image.Point) Area { return Area{Width: float32(p.X), Height: float32(p.Y)} }
	size = b.Image.Rect.Size()
	if a.Image != nil && (before || sameShape(a, b)) && (b.Meta.Upscale != nil || a.Meta.Upscale != nil) {
		if large := a.Image.Rect.Size(); large.X > size.X {
			size = large
		}
		return size, whole(size), whole(size)
	}
	if before || madeFrom(b, a) {
		if inner, ok := b.inner(); ok {
			return size, inner, whole(size)
		}
	}
	if a.Image != nil && madeFrom(a, b) {
		if inner, ok := a.inner(); ok {
			size = a.Image.Rect.Size()
			return size, whole(size), inner
		}
	}
	return size, Area{}, whole(size)
}

// sameShape says whether two pictures have the same ratio of width to height, to the pixel of the smaller one.
func sameShape(a, b Picture) bool {
	p, q := a.Image.Rect.Size(), b.Image.Rect.Size()
	if p.X > q.X {
		p, q = q, p
	}
	height := float64(q.Y) * float64(p.X) / float64(q.X)
	return height > float64(p.Y)-1 && height < float64(p.Y)+1
}

// madeFrom says whether the file of b is image 1 of a.
func madeFrom(a, b Picture) bool {
	refs := a.Meta.References
	return len(refs) > 0 && b.Path != "" && refs[0].Path == b.Path
}

// inner returns where image 1 lies in a picture that is a larger one, in the pixels of p.Image; ok is false if the
// picture was not made larger.
func (p Picture) inner() (a Area, ok bool) {
	if p.Meta.Edit == nil || p.Meta.Edit.Extend == [4]int{} || p.Meta.Width <= 0 || p.Meta.Height <= 0 {
		return a, false
	}
	size, m := p.Image.Rect.Size(), p.Meta.Edit.Extend
	kx, ky := float32(size.X)/float32(p.Meta.Width), float32(size.Y)/float32(p.Meta.Height)
	a = Area{
		X: float32(m[0]) * kx, Y: float32(m[1]) * ky,
		Width: float32(size.X) - float32(m[0]+m[2])*kx, Height: float32(size.Y) - float32(m[1]+m[3])*ky,
	}
	return a, a.X >= 0 && a.Y >= 0 && a.Width >= 1 && a.Height >= 1 && m[2] >= 0 && m[3] >= 0
}
