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

// steps returns how an upright picture is read from a stored one of width × height pixels of px bytes without padding:
// upright pixel (x, y) is stored at origin + x·right + y·down, in bytes.
func (o orientation) steps(width, height, px int) (origin, right, down int) {
	row := width * px
	lastX, lastY := (width-1)*px, (height-1)*row
	switch o {
	case 2: // mirrored left to right
		return lastX, -px, row
	case 3: // upside down
		return lastX + lastY, -px, -row
	case 4: // mirrored top to bottom
		return lastY, px, -row
	case 5: // mirrored at the main diagonal
		return 0, row, px
	case 6: // to be rotated clockwise
		return lastY, -row, px
	case 7: // mirrored at the other diagonal
		return lastX + lastY, -row, -px
	case 8: // to be rotated anticlockwise
		return lastX, row, -px
	}
	return 0, px, row
}

// apply returns the upright picture. img must have its origin at (0, 0) and no padding between rows.
func (o orientation) apply(img *image.RGBA) *image.RGBA {
	if o == upright {
		return img
	}
	const px = 4
	width, height := img.Rect.Dx(), img.Rect.Dy()
	origin, right, down := o.steps(width, height, px)
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
