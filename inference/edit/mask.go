package edit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// ErrNothingToChange is wrapped by the error for a mask that is black everywhere.
var ErrNothingToChange = errors.New("nothing to change")

// Mask says where a picture changes: 255 everywhere, 0 nowhere, and levels between them partly. It keeps the size of
// its file. Where it is used, it is scaled to the picture by area mean: a pixel's mask is the mean over the rectangle
// that the pixel covers in the mask. A Mask does not change after it was made.
type Mask struct {
	gray   *image.Gray     // origin (0, 0)
	size   picture.Size    // of the picture that the mask is for
	bounds image.Rectangle // of the picture's pixels whose mask is not 0
	// transparency is set if the mask is the picture's own transparency, see MaskFromAlpha.
	transparency bool
	extended     bool // it is the new area around a picture, see Extend
	exact        bool // a pixel takes exactly as much of the result as its mask says
}

// NewMask returns the mask in img for a picture of the given size; both may have any size. The level of a pixel is that
// of a grey picture, or the luma (19595·R + 38470·G + 7471·B + 32768) >> 16 of 8-bit levels. Transparent pixels of img
// count as black in proportion to their transparency, because masks are often painted in white on a transparent layer.
// The error wraps ErrNothingToChange if all levels are 0.
func NewMask(img image.Image, size picture.Size) (*Mask, error) {
	b := img.Bounds()
	if b.Empty() || size.Width <= 0 || size.Height <= 0 {
		return nil, emptyMask(b, size)
	}
	m := &Mask{gray: grayOf(img), size: size}
	return m, m.findBounds("it is black everywhere")
}

func emptyMask(b image.Rectangle, size picture.Size) error {
	return fmt.Errorf("edit: mask of %d×%d pixels for a picture of %v, want at least one pixel", b.Dx(), b.Dy(), size)
}

// MaskFromAlpha returns the mask that changes what is transparent in the original: 255 minus the upper 8 bits of alpha.
// With this mask Stitch puts the result behind the original's pixels, and the changed pixels become opaque. The error
// wraps ErrNothingToChange if the original is opaque.
func MaskFromAlpha(o *picture.Original) (*Mask, error) {
	m := &Mask{
		gray: image.NewGray(image.Rect(0, 0, o.Size.Width, o.Size.Height)), size: o.Size, transparency: true,
	}
	if !o.Opaque() {
		for y := range o.Size.Height {
			o.AlphaRow(y, m.gray.Pix[y*m.gray.Stride:])
		}
		for i, alpha := range m.gray.Pix {
			m.gray.Pix[i] = 255 - alpha
		}
	}
	return m, m.findBounds("the picture is opaque everywhere")
}

// MaskFromAlphaOf is NewMask for a mask that marks what changes by transparency, as OpenAI's API does: the level is 255
// minus alpha. The original keeps its own alpha.
func MaskFromAlphaOf(img image.Image, size picture.Size) (*Mask, error) {
	b := img.Bounds()
	if b.Empty() || size.Width <= 0 || size.Height <= 0 {
		return nil, emptyMask(b, size)
	}
	m := &Mask{gray: image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy())), size: size}
	original, ok := img.(*picture.Original)
	for y := range b.Dy() {
		if row := m.gray.Pix[y*m.gray.Stride:][:b.Dx()]; ok {
			original.AlphaRow(y, row)
			for x, alpha := range row {
				row[x] = 255 - alpha
			}
			continue
		}
		for x := range b.Dx() {
			_, _, _, alpha := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			m.gray.Pix[y*m.gray.Stride+x] = 255 - uint8(alpha>>8)
		}
	}
	return m, m.findBounds("it is opaque everywhere")
}

// FullMask returns the mask that changes a whole picture, as Strength without a mask does.
func FullMask(size picture.Size) *Mask {
	return &Mask{
		gray: &image.Gray{Pix: []uint8{255}, Stride: 1, Rect: image.Rect(0, 0, 1, 1)}, size: size,
		bounds: image.Rect(0, 0, size.Width, size.Height),
	}
}

// Size returns the size of the picture that the mask is for.
func (m *Mask) Size() picture.Size { return m.size }

// Bounds returns the smallest rectangle of the picture's pixels outside of which the mask is 0.
func (m *Mask) Bounds() image.Rectangle { return m.bounds }

// FileSize returns the size of the mask itself, before it is scaled.
func (m *Mask) FileSize() picture.Size { return sizeOf(m.gray.Rect) }

// Gray returns the mask in its own size. Callers must not change it.
func (m *Mask) Gray() *image.Gray { return m.gray }

// Stretched reports whether the mask's file has another shape than its picture, so that it is scaled by one factor
// across and by another one down.
func (m *Mask) Stretched() bool { return !SameShape(m.FileSize(), m.size) }

// SameShape reports whether a picture of size a has the shape of one of size b, to the pixel of a by which a program
// that scales pictures may round.
func SameShape(a, b picture.Size) bool {
	away := a.Width*b.Height - a.Height*b.Width // its width is as many pixels of 1/b.Height away from what it would be
	return max(away, -away) <= max(b.Width, b.Height)
}

// Transparency reports whether the mask came from MaskFromAlpha.
func (m *Mask) Transparency() bool { return m.transparency }

// SHA256 returns a digest of the mask's size and levels in hexadecimal.
func (m *Mask) SHA256() string {
	digest := sha256.New()
	digest.Write(binary.LittleEndian.AppendUint64(nil, uint64(m.gray.Rect.Dx())))
	digest.Write(m.gray.Pix)
	return hex.EncodeToString(digest.Sum(nil))
}

// Share returns the share of the picture's pixels that lie in within and whose mask is not 0, from 0 to 1. The error is
// the context's.
func (m *Mask) Share(ctx context.Context, within image.Rectangle) (float64, error) {
	scaled := m.over(image.Rect(0, 0, m.size.Width, m.size.Height), m.size)
	rect := m.bounds.Intersect(within)
	counts := make([]int, rect.Dy())
	err := picture.InBands(ctx, len(counts), func() func(first, count int) {
		row := make([]float64, rect.Dx())
		reader := scaled.reader()
		return func(first, count int) {
			for i := first; i < first+count; i++ {
				reader.row(rect.Min.Y+i, rect.Min.X, row)
				for _, v := range row {
					if v > 0 {
						counts[i]++
					}
				}
			}
		}
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / float64(m.size.Width*m.size.Height), err
}

// grayOf returns the levels of a mask's picture.
func grayOf(img image.Image) *image.Gray {
	if o, ok := img.(*picture.Original); ok {
		img = o.Pixels // whose rows are read without a color.Color for each pixel
	}
	b := img.Bounds()
	gray := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		row := gray.Pix[y*gray.Stride:][:b.Dx()]
		switch img := img.(type) {
		case *image.Gray:
			copy(row, img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.NRGBA:
			pix := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range row {
				p := pix[4*x : 4*x+4 : 4*x+4]
				row[x] = luma(p[0], p[1], p[2], p[3])
			}
		case *image.Gray16:
			pix := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range row {
				row[x] = pix[2*x]
			}
		default:
			for x := range row {
				c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
				row[x] = luma(c.R, c.G, c.B, c.A)
			}
		}
	}
	return gray
}

func luma(r, g, b, alpha uint8) uint8 {
	v := (19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 32768) >> 16
	if alpha != 255 {
		v = (v*uint32(alpha) + 127) / 255
	}
	return uint8(v)
}

// findBounds sets m.bounds. Its error wraps ErrNothingToChange and has why as its reason.
func (m *Mask) findBounds(why string) error {
	box := image.Rectangle{}
	width, height := m.gray.Rect.Dx(), m.gray.Rect.Dy()
	for y := range height {
		row := m.gray.Pix[y*m.gray.Stride:][:width]
		first := 0
		for first < width && row[first] == 0 {
			first++
		}
		if first == width {
			continue
		}
		last := width - 1
		for row[last] == 0 {
			last--
		}
		box = box.Union(image.Rect(first, y, last+1, y+1))
	}
	if box.Empty() {
		return fmt.Errorf("edit: mask: %w: %s", ErrNothingToChange, why)
	}
	// A pixel of the picture is in the mask if the rectangle that it covers overlaps box.
	m.bounds = image.Rect(
		box.Min.X*m.size.Width/width, box.Min.Y*m.size.Height/height,
		(box.Max.X*m.size.Width+width-1)/width, (box.Max.Y*m.size.Height+height-1)/height,
	)
	return nil
}
