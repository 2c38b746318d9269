package picture

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"strings"
)

// Arrangement says how a picture is arranged before it is used: a part of it is cut out, mirrored, and turned, in this
// order. The zero value leaves it as it is. The picture's file does not change.
type Arrangement struct {
	Crop     image.Rectangle // in pixels of the upright picture of the file; empty for all of it
	Mirrored bool            // left to right
	Turns    int             // clockwise quarter turns, 0 to 3
}

// arrangementJSON is an Arrangement as it is written.
type arrangementJSON struct {
	Crop     []int `json:"crop,omitempty"` // left, top, right, bottom; right and bottom are outside
	Mirrored bool  `json:"mirrored,omitempty"`
	Turns    int   `json:"turns,omitempty"`
}

// MarshalJSON writes {"crop": [left, top, right, bottom], "mirrored": true, "turns": 1}, without what is usual.
func (a Arrangement) MarshalJSON() ([]byte, error) {
	out := arrangementJSON{Mirrored: a.Mirrored, Turns: a.Turns}
	if !a.Crop.Empty() {
		out.Crop = []int{a.Crop.Min.X, a.Crop.Min.Y, a.Crop.Max.X, a.Crop.Max.Y}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote. Whether it fits a picture is known when that is read.
func (a *Arrangement) UnmarshalJSON(text []byte) error {
	var in arrangementJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	*a = Arrangement{Mirrored: in.Mirrored, Turns: in.Turns}
	if in.Crop == nil {
		return nil
	}
	if len(in.Crop) != 4 {
		return fmt.Errorf("picture: a crop of %d numbers, want 4", len(in.Crop))
	}
	// Not image.Rect, which would put the corners of a damaged crop in order.
	a.Crop = image.Rectangle{image.Pt(in.Crop[0], in.Crop[1]), image.Pt(in.Crop[2], in.Crop[3])}
	if a.Crop.Empty() {
		return fmt.Errorf("picture: a crop of %v, want one with pixels", in.Crop)
	}
	return nil
}

// String describes the arrangement for people, for example "cropped to 300×200 at (10, 20), mirrored, turned by 90°".
// It returns "" for the zero value.
func (a Arrangement) String() string {
	var parts []string
	if !a.Crop.Empty() {
		c := a.Crop
		parts = append(parts, fmt.Sprintf("cropped to %d×%d at (%d, %d)", c.Dx(), c.Dy(), c.Min.X, c.Min.Y))
	}
	if a.Mirrored {
		parts = append(parts, "mirrored")
	}
	if a.Turns != 0 {
		parts = append(parts, fmt.Sprintf("turned by %d°", 90*a.Turns))
	}
	return strings.Join(parts, ", ")
}

// Check returns an error if a picture of that size, upright, cannot be arranged so: the crop has to lie inside of it.
func (a Arrangement) Check(size Size) error {
	switch {
	case !a.Crop.In(image.Rect(0, 0, size.Width, size.Height)):
		return fmt.Errorf("picture: crop %v, want it inside of %v pixels", a.Crop, size)
	case a.Turns < 0 || a.Turns > 3:
		return fmt.Errorf("picture: %d quarter turns, want 0 to 3", a.Turns)
	}
	return nil
}

// orientation returns the mirroring and the turn as one step.
func (a Arrangement) orientation() orientation {
	if a.Mirrored {
		return [4]orientation{2, 7, 4, 5}[a.Turns&3]
	}
	return [4]orientation{upright, 6, 3, 8}[a.Turns&3]
}

// Turn returns a with the picture, as it is shown, turned clockwise by some quarters.
func (a Arrangement) Turn(quarters int) Arrangement {
	a.Turns = (a.Turns + quarters) & 3
	return a
}

// MirrorAcross returns a with the picture, as it is shown, mirrored left to right; MirrorDown from top to bottom.
func (a Arrangement) MirrorAcross() Arrangement {
	a.Mirrored, a.Turns = !a.Mirrored, -a.Turns&3
	return a
}

// MirrorDown mirrors the picture, as it is shown, from top to bottom.
func (a Arrangement) MirrorDown() Arrangement { return a.MirrorAcross().Turn(2) }

// Uncropped returns a without its crop: the whole picture, mirrored and turned.
func (a Arrangement) Uncropped() Arrangement {
	a.Crop = image.Rectangle{}
	return a
}

// Size returns the size of a picture that has the given size upright and is mirrored and turned, but not cropped.
func (a Arrangement) Size(size Size) Size { return a.orientation().turn(size) }

// Shown returns where a rectangle of the upright picture, which has that size, lies when the picture is mirrored and
// turned. Stored is the way back.
func (a Arrangement) Shown(r image.Rectangle, size Size) image.Rectangle {
	if a.Mirrored {
		r.Min.X, r.Max.X = size.Width-r.Max.X, size.Width-r.Min.X
	}
	for range a.Turns & 3 {
		r = image.Rect(size.Height-r.Max.Y, r.Min.X, size.Height-r.Min.Y, r.Max.X)
		size = Size{size.Height, size.Width}
	}
	return r
}

// Stored returns where a rectangle of the mirrored and turned picture lies in the upright one, which has that size.
func (a Arrangement) Stored(r image.Rectangle, size Size) image.Rectangle {
	back := Arrangement{Turns: -a.Turns & 3}
	r = back.Shown(r, a.Size(size))
	if a.Mirrored {
		r.Min.X, r.Max.X = size.Width-r.Max.X, size.Width-r.Min.X
	}
	return r
}

// Turned returns a picture mirrored and turned, but not cropped. img must have its origin at (0, 0) and no padding
// between rows.
func (a Arrangement) Turned(img *image.RGBA) *image.RGBA { return a.orientation().apply(img) }

// Arranged returns the picture arranged. The error is the context's, or that of Arrangement.Check.
func (o *Original) Arranged(ctx context.Context, a Arrangement) (*Original, error) {
	if err := a.Check(o.Size); err != nil {
		return nil, err
	}
	if a == (Arrangement{}) {
		return o, nil
	}
	pixels := o.Pixels
	if !a.Crop.Empty() {
		pixels = cut(pixels, a.Crop)
	}
	pixels, err := turned(ctx, pixels, a.orientation())
	if err != nil {
		return nil, err
	}
	arranged := o.With(pixels)
	if err := checkReference(arranged.Size, MaxPixels); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return arranged, nil
}

// cut returns a copy of the rectangle r of a picture of a straight type.
func cut(img image.Image, r image.Rectangle) image.Image {
	dst := newLike(img, Size{r.Dx(), r.Dy()})
	px := pixelBytesOf(img)
	from, to := pixOf(img), pixOf(dst)
	width := img.Bounds().Dx()
	for y := range r.Dy() {
		copy(to[y*r.Dx()*px:][:r.Dx()*px], from[((r.Min.Y+y)*width+r.Min.X)*px:])
	}
	return dst
}

// Reference prepares the picture as Open prepares a file of it.
func (o *Original) Reference(ctx context.Context) (*Reference, error) {
	if err := checkReference(o.Size, MaxPixels); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	img, err := o.SRGB(ctx, o.Bounds(), o.Size.fit(MaxArea))
	if err != nil {
		return nil, err
	}
	img = crop(img)
	return &Reference{
		Image: img, Size: Size{img.Rect.Dx(), img.Rect.Dy()}, Original: o.Size, Format: o.Format,
		Profile: o.Profile, ProfileNote: o.ProfileNote,
		FileSHA256: o.FileSHA256, PixelsSHA256: pixelsDigest(img),
	}, nil
}

// OpenArranged is Open for a picture that is arranged before it is prepared: the result is that of a file with the
// arranged picture. Its FileSHA256 is that of the file as it is.
func OpenArranged(ctx context.Context, path string, a Arrangement) (*Reference, error) {
	if a == (Arrangement{}) {
		return Open(ctx, path)
	}
	o, err := OpenArrangedOriginal(ctx, path, a)
	if err != nil {
		return nil, err
	}
	ref, err := o.Reference(ctx)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	ref.Arrangement = a
	return ref, nil
}

// OpenArrangedOriginal is OpenOriginal for a picture that is arranged.
func OpenArrangedOriginal(ctx context.Context, path string, a Arrangement) (*Original, error) {
	o, err := OpenOriginal(ctx, path)
	if err != nil {
		return nil, err
	}
	arranged, err := o.Arranged(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return arranged, nil
}
