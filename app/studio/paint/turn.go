package paint

import "image"

// Mirrored returns the mask mirrored left to right, for a picture that is.
func (m *Mask) Mirrored() *Mask {
	from := m.Gray()
	to := image.NewGray(from.Rect)
	for y := range m.size.Y {
		source, row := from.Pix[y*from.Stride:][:m.size.X], to.Pix[y*to.Stride:][:m.size.X]
		for x, v := range source {
			row[len(row)-1-x] = v
		}
	}
	return FromGray(to, m.size)
}

// Turned returns the mask turned clockwise by a quarter, for a picture that is.
func (m *Mask) Turned() *Mask {
	from := m.Gray()
	to := image.NewGray(image.Rect(0, 0, m.size.Y, m.size.X))
	for y := range m.size.Y {
		column := m.size.Y - 1 - y
		for x, v := range from.Pix[y*from.Stride:][:m.size.X] {
			to.Pix[x*to.Stride+column] = v
		}
	}
	return FromGray(to, to.Rect.Size())
}
