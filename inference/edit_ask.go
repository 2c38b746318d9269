package inference

import (
	"context"
	"fmt"
	"image"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Edit says which part of image 1 changes, and how. Image 1 is the first reference of the Ask, which must have one. A
// field that is left out is nil or empty.
//
// An edit with a mask or an extension works on an area of image 1 and lays the result into image 1: a pixel where the
// mask is 0 stays as it is. An edit without both makes a new picture of the size of image 1 as the model sees it.
type Edit struct {
	// Mask says which pixels change; nil if there is no mask.
	Mask MaskSource
	// Extend makes image 1 larger. What is new is painted. It excludes Mask.
	Extend Extension
	// Strength is the part of the schedule that is run, more than 0 and at most 1; 1 if it is left out. The run starts
	// from image 1 with as much noise as the schedule has then, and with 1 from noise alone.
	Strength *float64
	// Feather is the width of the soft edge inside of the mask, in pixels of image 1. If it is left out, it follows
	// from the size of the area.
	Feather *int
	// Context is how many pixels of image 1 around the mask the model works on as well. If it is left out, it follows
	// from the size of the mask. Whole works on all of image 1; it excludes Context.
	Context *int
	Whole   bool
	// Area is the part of image 1 that the model works on, in pixels of image 1: it lies in image 1 and contains all that
	// the mask changes. It is grown by what the model needs. If it is left out, it follows from the mask and Context. It
	// needs a mask, and excludes Context and Whole.
	Area *image.Rectangle
	// MatchColours matches the colours of the result: with a mask or an extension to what surrounds it, else to
	// image 1. If it is left out, it is on with a mask or an extension, else off.
	MatchColours *bool
	// Hidden says that the model does not look at image 1. The other references are then "image 1" and so on for it.
	Hidden bool
	// KeepUnchanged restores what the model left nearly as it was in image 1, from image 1 at its full resolution: 0 for
	// off, 1 for the most. It excludes Mask and Extend, which keep what lies outside.
	KeepUnchanged *float64
}

// MaskSource is a mask that may not have been read yet.
type MaskSource interface {
	// OpenMask reads the mask for a picture and scales it to the picture's size.
	OpenMask(ctx context.Context, original *picture.Original) (*Mask, error)
}

// OriginalSource is a Source that can also be read at its full resolution. Image 1 must be one in an edit for which
// Edit.NeedsOriginal is true.
type OriginalSource interface {
	Source
	// OpenOriginal reads the picture as Open does, and also at its full resolution.
	OpenOriginal(ctx context.Context) (Reference, *picture.Original, error)
}

// NeedsOriginal says whether image 1 is read at its full resolution, because it is a part of the result.
func (e Edit) NeedsOriginal() bool {
	return e.paints() || e.KeepUnchanged != nil && *e.KeepUnchanged != 0
}

// paints says whether only a part of the picture changes.
func (e Edit) paints() bool { return e.Mask != nil || e.Extend != (Extension{}) }

// fixesSize says whether the picture has the size of image 1, so that nobody may ask for another one.
func (e Edit) fixesSize() bool { return e.NeedsOriginal() || e.Strength != nil }

// Extension is what is added around a picture. Either Margins or Ratio is set, or none if nothing is added.
type Extension struct {
	Margins Margins
	// Ratio is the ratio of width to height that the result should have. Equal margins on two sides make it so.
	Ratio float64
}

// named returns the extension as a person would write it: a ratio that has been divided out reads badly.
func (x Extension) named() string {
	if x.Ratio == 0 {
		return x.String()
	}
	return strconv.FormatFloat(x.Ratio, 'g', 4, 64) + ":1"
}

// Mask says where a picture changes: 255 where it changes, 0 where it stays, values between where it changes partly.
type Mask = edit.Mask

// Margins are widths in pixels.
type Margins = edit.Margins

// checkedEdit is an Edit whose fields are within their limits.
type checkedEdit struct {
	mask             MaskSource
	extend           Extension
	strength         float64
	feather, context int             // edit.Chosen if they were left out
	area             image.Rectangle // empty if it was left out
	whole, match     bool
	hidden           bool
	keep             float64
	needsOriginal    bool
}

// checkEdit checks the fields of an edit and compares them with each other.
func checkEdit(a Ask, c *Checked) error {
	if a.Edit == nil {
		return nil
	}
	e := *a.Edit
	checked := &checkedEdit{
		mask: e.Mask, extend: e.Extend, strength: 1, feather: edit.Chosen, context: edit.Chosen, whole: e.Whole,
		match: e.paints(), hidden: e.Hidden, needsOriginal: e.NeedsOriginal(),
	}
	if e.Strength != nil {
		checked.strength = *e.Strength
	}
	if e.Feather != nil {
		checked.feather = *e.Feather
	}
	if e.Context != nil {
		checked.context = *e.Context
	}
	if e.MatchColours != nil {
		checked.match = *e.MatchColours
	}
	if e.KeepUnchanged != nil {
		checked.keep = *e.KeepUnchanged
	}
	if e.Area != nil {
		checked.area = *e.Area
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	// Conditions on numbers are written so that NaN is refused too.
	for _, row := range []struct {
		bad   bool
		field Field
		got   string
		want  string // "" for the field's own
	}{
		{!(checked.strength > 0 && checked.strength <= 1), FieldStrength, number(checked.strength), ""},
		{!(checked.keep >= 0 && checked.keep <= 1), FieldKeepUnchanged, number(checked.keep), ""},
		{outside(e.Feather, MaxFeather), FieldFeather, pixels(e.Feather), ""},
		{outside(e.Context, MaxContext), FieldContext, pixels(e.Context), ""},
		{!e.Extend.valid(), FieldExtend, e.Extend.String(), ""},
		{e.Area != nil && !validArea(checked.area), FieldArea, AreaText(checked.area), ""},
		{len(a.References) == 0, FieldReferences, "none", "at least one to edit"},
		{e.Mask != nil && e.Extend != (Extension{}), FieldExtend, "a mask as well", "one of both"},
		{e.Whole && e.Context != nil, FieldContext, "the whole picture as well", "one of both"},
		{e.Area != nil && e.Mask == nil, FieldArea, AreaText(checked.area) + " without a mask", "a mask"},
		{e.Area != nil && e.Context != nil, FieldArea, "a context as well", "one of both"},
		{e.Area != nil && e.Whole, FieldArea, "the whole picture as well", "one of both"},
		{!e.paints() && e.Feather != nil, FieldFeather, pixels(e.Feather) + " without a mask", "a mask, or an extension"},
		{!e.paints() && e.Context != nil, FieldContext, pixels(e.Context) + " without a mask", "a mask, or an extension"},
		{e.paints() && checked.keep != 0, FieldKeepUnchanged, number(checked.keep) + " with a mask, or an extension",
			"none of both: they keep all that lies outside"},
		{e.Hidden && !e.paints() && checked.strength == 1, FieldHidden, "a strength of 1 and no mask",
			"a mask or less strength, without which image 1 has no effect"},
	} {
		if !row.bad {
			continue
		}
		if row.want == "" {
			row.want = row.field.Want()
		}
		return FieldError{row.field, row.got, row.want}
	}
	c.edit = checked
	return nil
}

// outside says whether v is set and not from 0 to most.
func outside(v *int, most int) bool { return v != nil && (*v < 0 || *v > most) }

func pixels(v *int) string {
	if v == nil {
		return ""
	}
	return strconv.Itoa(*v)
}

// valid says whether the extension is within its limits. Whether image 1 can be extended so is known once that has been
// read.
func (x Extension) valid() bool {
	if x == (Extension{}) {
		return true
	}
	for _, margin := range []int{x.Margins.Left, x.Margins.Top, x.Margins.Right, x.Margins.Bottom} {
		if margin < 0 || margin > MaxExtension {
			return false
		}
	}
	if x.Margins != (Margins{}) {
		return x.Ratio == 0
	}
	return x.Ratio >= 1.0/picture.MaxRatio && x.Ratio <= picture.MaxRatio
}

// String returns the extension in a form that ParseExtension reads.
func (x Extension) String() string {
	if m := x.Margins; m != (Margins{}) || x.Ratio == 0 {
		return fmt.Sprintf("%d,%d,%d,%d", m.Left, m.Top, m.Right, m.Bottom)
	}
	return strconv.FormatFloat(x.Ratio, 'g', -1, 64) + ":1"
}

// ParseExtension reads four margins, LEFT,TOP,RIGHT,BOTTOM in pixels, of which one is not 0, or the shape that the
// result should have: a ratio such as 16:9, or the name of an aspect ratio other than match. It does not compare the
// numbers with their limits; Ask.Check does.
func ParseExtension(text string) (Extension, error) {
	unreadable := Unreadable(FieldExtend, text)
	if parts := strings.Split(text, ","); len(parts) == 4 {
		var x Extension
		for i, margin := range []*int{&x.Margins.Left, &x.Margins.Top, &x.Margins.Right, &x.Margins.Bottom} {
			var err error
			if *margin, err = strconv.Atoi(strings.TrimSpace(parts[i])); err != nil {
				return Extension{}, unreadable
			}
		}
		if x == (Extension{}) { // it would be none at all
			return x, unreadable
		}
		return x, nil
	}
	if width, height, found := strings.Cut(text, ":"); found {
		w, errW := strconv.ParseFloat(strings.TrimSpace(width), 64)
		h, errH := strconv.ParseFloat(strings.TrimSpace(height), 64)
		if errW != nil || errH != nil || !(w > 0) || !(h > 0) {
			return Extension{}, unreadable
		}
		return Extension{Ratio: w / h}, nil
	}
	aspect, err := picture.ParseAspectRatio(text)
	if err != nil || aspect == picture.Match {
		return Extension{}, unreadable
	}
	size, err := aspect.SizeFor(0)
	if err != nil {
		return Extension{}, unreadable
	}
	return Extension{Ratio: float64(size.Width) / float64(size.Height)}, nil
}

// validArea says whether r can be an area. Whether it lies in image 1 and contains the mask is known once both have
// been read.
func validArea(r image.Rectangle) bool { return r.Min.X >= 0 && r.Min.Y >= 0 && !r.Empty() }

// AreaText returns an area in the form that ParseArea reads.
func AreaText(r image.Rectangle) string {
	return fmt.Sprintf("%d,%d,%d,%d", r.Min.X, r.Min.Y, r.Dx(), r.Dy())
}

// ParseArea reads X,Y,WIDTH,HEIGHT in pixels of image 1. It does not compare the numbers with their limits; Ask.Check
// does.
func ParseArea(text string) (*image.Rectangle, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		return nil, Unreadable(FieldArea, text)
	}
	var numbers [4]int
	for i, part := range parts {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return nil, Unreadable(FieldArea, text)
		}
		numbers[i] = int(n)
	}
	at := image.Pt(numbers[0], numbers[1])
	return &image.Rectangle{Min: at, Max: at.Add(image.Pt(numbers[2], numbers[3]))}, nil
}

// ParseStrength reads a number. It does not compare it with its limits; Ask.Check does.
func ParseStrength(text string) (*float64, error) { return parseNumber(FieldStrength, text) }

// ParseKeepUnchanged reads a number. It does not compare it with its limits; Ask.Check does.
func ParseKeepUnchanged(text string) (*float64, error) { return parseNumber(FieldKeepUnchanged, text) }

// ParseFeather reads a number of pixels. It does not compare it with its limits; Ask.Check does.
func ParseFeather(text string) (*int, error) { return parseWhole(FieldFeather, text) }

// ParseContext reads a number of pixels. It does not compare it with its limits; Ask.Check does.
func ParseContext(text string) (*int, error) { return parseWhole(FieldContext, text) }

// MaskFile is the path of a picture that is a mask: white changes, black stays. A picture of another size than image 1
// is scaled by area.
type MaskFile string

// OpenMask reads the mask.
func (f MaskFile) OpenMask(ctx context.Context, original *picture.Original) (*Mask, error) {
	m, err := picture.OpenMask(ctx, string(f))
	if err != nil {
		return nil, err
	}
	return edit.NewMask(m, original.Size)
}

// MaskBytes is the encoded file of a picture that is a mask. If Alpha is set, the transparency of the picture is the
// mask: what is transparent changes. Else white changes and black stays.
type MaskBytes struct {
	File  []byte
	Alpha bool
}

// OpenMask reads the mask.
func (f MaskBytes) OpenMask(ctx context.Context, original *picture.Original) (*Mask, error) {
	m, err := picture.DecodeMask(ctx, f.File)
	if err != nil {
		return nil, err
	}
	if f.Alpha {
		return edit.MaskFromAlphaOf(m, original.Size)
	}
	return edit.NewMask(m, original.Size)
}

// MaskImage is a mask in memory, of any size: white changes, black stays.
type MaskImage struct{ Image image.Image }

// OpenMask returns the mask.
func (m MaskImage) OpenMask(_ context.Context, original *picture.Original) (*Mask, error) {
	size := m.Image.Bounds().Size()
	if size.Y > 0 && size.X > picture.MaxPixels/size.Y {
		return nil, fmt.Errorf("inference: a mask of %d×%d pixels, want at most %d megapixels", size.X, size.Y,
			picture.MaxPixels/1_000_000)
	}
	return edit.NewMask(m.Image, original.Size)
}

// AlphaMask is the transparency of image 1 as a mask: what is transparent changes, and becomes opaque.
type AlphaMask struct{}

// OpenMask returns the mask.
func (AlphaMask) OpenMask(_ context.Context, original *picture.Original) (*Mask, error) {
	return edit.MaskFromAlpha(original)
}
