package picture

import "image"

// orientation is the value of the Exif tag 0x0112: how the stored picture has to be transformed, from 1 (not at all) to
// 8.
type orientation uint16

const upright orientation = 1

// exifOrientation reads the orientation from an Exif block. If the tag is missing or damaged it returns upright,
// because a wrong tag is no reason to refuse a picture.
func exifOrientation(block []byte) orientation {
	const tagOrientation = 0x0112
	e, ok := newExif(block)
	if !ok {
		return upright
	}
	if value := e.integer(e.entry(e.first(), tagOrientation)); value >= 1 && value <= 8 {
		return orientation(value)
	}
	return upright
}

// turn returns the size of the upright picture, given the stored size.
func (o orientation) turn(stored Size) Size {
	if o >= 5 {
		return Size{stored.Height, stored.Width}
	}
	return stored
}

// apply returns the upright picture. img must have its origin at (0, 0).
func (o orientation) apply(img *image.RGBA) *image.RGBA {
	if o == upright {
		return img
	}
	width, height := img.Rect.Dx(), img.Rect.Dy()
	// Upright pixel (x, y) is stored at origin + x·right + y·down. Steps are in bytes of img.Pix.
	const px = 4
	row := img.Stride
	lastX, lastY := (width-1)*px, (height-1)*row
	var origin, right, down int
	switch o {
	case 2: // mirrored left to right
		origin, right, down = lastX, -px, row
	case 3: // upside down
		origin, right, down = lastX+lastY, -px, -row
	case 4: // mirrored top to bottom
		origin, right, down = lastY, px, -row
	case 5: // mirrored at the main diagonal
		origin, right, down = 0, row, px
	case 6: // to be rotated clockwise
		origin, right, down = lastY, -row, px
	case 7: // mirrored at the other diagonal
		origin, right, down = lastX+lastY, -row, -px
	case 8: // to be rotated anticlockwise
		origin, right, down = lastX, row, -px
	}
	size := o.turn(Size{width, height})
	dst := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	at := 0
	for y := range size.Height {
		from := origin + y*down
		for range size.Width {
			copy(dst.Pix[at:at+px], img.Pix[from:from+px])
			at += px
			from += right
		}
	}
	return dst
}
