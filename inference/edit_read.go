package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// openOriginal reads image 1 at its full resolution.
func openOriginal(ctx context.Context, source Source) (Reference, *picture.Original, error) {
	s, ok := source.(OriginalSource)
	if !ok {
		return Reference{}, nil, errors.New(
			"inference: image 1 has only been read small, want a source of its full resolution")
	}
	return s.OpenOriginal(ctx)
}

// OpenOriginal reads the picture in a file as OpenReference does, and also at its full resolution.
func OpenOriginal(ctx context.Context, path string) (Reference, *picture.Original, error) {
	ref, err := OpenReference(ctx, path)
	if err != nil {
		return ref, nil, err
	}
	original, err := picture.OpenOriginal(ctx, path)
	if err == nil && original.FileSHA256 != ref.FileSHA256 {
		err = fmt.Errorf("inference: %s changed while it was read", path)
	}
	return ref, original, err
}

// OpenOriginal reads the file of r again, at its full resolution. It is an error if the file has changed since.
func (r Reference) OpenOriginal(ctx context.Context) (Reference, *picture.Original, error) {
	if r.Path == "" {
		return r, nil, errors.New("inference: image 1 has no file, want one of its full resolution")
	}
	original, err := picture.OpenArrangedOriginal(ctx, r.Path, r.Arrangement)
	if err == nil && original.FileSHA256 != r.FileSHA256 {
		err = fmt.Errorf("inference: %s has changed since it was read, want it as it was", r.Path)
	}
	return r, original, err
}

// readMask reads the mask of the edit, or extends image 1, which gives a mask too. It sets c.mask, and c.original if
// that grows.
func (c Checked) readMask(ctx context.Context) (Checked, error) {
	var err error
	switch {
	case c.edit.mask != nil:
		c.mask, err = c.edit.mask.OpenMask(ctx, c.original)
		if errors.Is(err, edit.ErrNothingToChange) {
			return c, FieldError{FieldMask, strings.TrimPrefix(err.Error(), "edit: mask: "), FieldMask.Want()}
		}
		if named, ok := c.edit.mask.(NamedMask); ok && err == nil {
			c.maskFile = named.File()
		}
		if err == nil && (c.mask == nil || c.mask.Size() != c.original.Size) {
			err = fmt.Errorf("inference: the mask is for another picture, want one for %v", c.original.Size)
		}
		if err == nil {
			err = c.checkArea()
		}
	case c.edit.extend != (Extension{}):
		margins, err := c.edit.extend.marginsFor(c.original.Size)
		if err != nil {
			return c, err
		}
		c.margins = margins
		c.original, c.mask, err = edit.Extend(ctx, c.original, margins)
		return c, err
	}
	return c, err
}

// checkArea checks that the area that is asked for, if there is one, lies in image 1 and contains what the mask
// changes. The error is a FieldError.
func (c Checked) checkArea() error {
	area, mask := c.edit.area, c.mask.Bounds()
	switch size := c.original.Size; {
	case area.Empty():
	case !area.In(image.Rect(0, 0, size.Width, size.Height)):
		return FieldError{FieldArea, fmt.Sprintf("%s for %v", AreaText(area), size), "one inside of image 1"}
	case !mask.In(area):
		return FieldError{FieldArea, AreaText(area) + " for a mask at " + AreaText(mask), "one around the mask"}
	}
	return nil
}

// marginsFor returns the margins that the extension adds to a picture of the given size. The error is a FieldError.
func (x Extension) marginsFor(size picture.Size) (Margins, error) {
	margins := x.Margins
	if x.Ratio != 0 {
		margins = edit.MarginsFor(size, x.Ratio, 1)
	}
	if err := margins.Check(size); err != nil {
		return Margins{}, unfitExtension(x, size, err)
	}
	return margins, nil
}

// SizeFor returns the size of the picture that an edit with a mask, an extension or kept pixels makes of image 1 with
// the given size. The error is a FieldError for an extension that does not fit.
func (e Edit) SizeFor(image1 picture.Size) (picture.Size, error) {
	if e.Extend == (Extension{}) {
		return image1, nil
	}
	margins, err := e.Extend.marginsFor(image1)
	return margins.Canvas(image1), err
}

// unfitExtension returns the FieldError for an extension that a picture of the given size cannot have. err is that of
// Margins.Check: what it gives, and what is wanted.
func unfitExtension(x Extension, size picture.Size, err error) error {
	got := fmt.Sprintf("%s for %v", x.named(), size)
	if errors.Is(err, edit.ErrNothingToChange) {
		return FieldError{FieldExtend, got + ", which has that shape", "a wider or a taller one"}
	}
	gives, want, _ := strings.Cut(strings.TrimPrefix(err.Error(), "edit: extend: "), ", want ")
	return FieldError{FieldExtend, got + ", which gives " + gives, want}
}

// area returns the part of image 1 that the model works on, which has been read. A whole picture with a mask is cropped
// as references are, so that latents equal the reference implementation's. Without one, and if the picture grows, a
// crop would leave a border as it was around a picture that has changed, or one that nobody has painted.
func (c Checked) area(info Info) edit.Area {
	switch {
	case c.mask == nil, c.edit.whole && c.margins != Margins{}:
		return edit.StretchedArea(c.original.Size, info.NativeSize)
	case c.edit.whole:
		return edit.WholeArea(c.original.Size, info.NativeSize)
	case !c.edit.area.Empty():
		return edit.GivenArea(c.original.Size, c.edit.area, c.mask.Bounds(), info.NativeSize)
	}
	return edit.NewArea(c.original.Size, c.mask.Bounds(), c.edit.context, info.NativeSize)
}

// HeldBytes returns the memory of the pictures that c has read, in bytes: its references, image 1 at its full
// resolution, and the mask. Editing image 1 takes as much again while its result is made.
func (c Checked) HeldBytes() (bytes int64) {
	for _, source := range c.references {
		if ref, read := asRead(source); read {
			bytes += int64(len(ref.Image.Pix))
		}
	}
	if c.original != nil {
		bytes += c.original.Bytes()
	}
	if c.mask != nil {
		bytes += int64(len(c.mask.Gray().Pix))
	}
	return bytes
}

// editing returns what the edit of c does with a model. steps is the length of the schedule.
func (c Checked) editing(info Info, steps int) (*Editing, error) {
	e := &Editing{
		Margins: c.margins, Strength: c.edit.strength, Start: startIndex(steps, c.edit.strength),
		Context: c.edit.context, Whole: c.edit.whole, MatchColours: c.edit.match, Hidden: c.edit.hidden,
		KeepUnchanged: c.edit.keep, AskedArea: c.edit.area,
	}
	if e.Start == steps {
		got := fmt.Sprintf("%v of %d steps", c.edit.strength, steps)
		return nil, FieldError{FieldStrength, got, "enough for one step"}
	}
	if c.original != nil {
		e.Picture, e.Area = c.original.Size, c.area(info).Rect()
	}
	if c.mask != nil {
		if e.Feather = c.edit.feather; e.Feather == edit.Chosen {
			e.Feather = edit.DefaultFeather(c.mask)
		}
	}
	return e, nil
}
