package picture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The limits of an output's sides, in pixels. A latent covers 16 × 16 pixels, so sides are multiples of 16.
const (
	sideMultiple  = 16
	minOutputSide = 64
	maxOutputSide = 2048
)

// OutputSides describes the valid sides of an output, for error messages.
func OutputSides() string {
	return fmt.Sprintf("a multiple of %d from %d to %d", sideMultiple, minOutputSide, maxOutputSide)
}

// NativeSide is the side, in pixels, of the square for whose area the published models are trained.
const NativeSide = 1024

// Size is a picture's width and height in pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// String returns the size in the form that ParseSize reads.
func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }

// Check returns an error if s cannot be the size of an output. Both sides must be multiples of 16 from 64 to 2048
// pixels.
func (s Size) Check() error {
	for _, side := range []struct {
		name   string
		pixels int
	}{{"width", s.Width}, {"height", s.Height}} {
		if side.pixels < minOutputSide || side.pixels > maxOutputSide || side.pixels%sideMultiple != 0 {
			return fmt.Errorf("picture: size %v: %s %d, want %s; the nearest size is %v",
				s, side.name, side.pixels, OutputSides(), s.Nearest())
		}
	}
	return nil
}

// Nearest returns the size nearest to s that Check accepts. Each side is rounded independently.
func (s Size) Nearest() Size {
	side := func(pixels int) int {
		pixels = min(max(pixels, minOutputSide), maxOutputSide)
		return (pixels + sideMultiple/2) / sideMultiple * sideMultiple
	}
	return Size{side(s.Width), side(s.Height)}
}

// ParseSize parses an output size written as WIDTHxHEIGHT in pixels, such as 1344x768, and checks it.
func ParseSize(text string) (Size, error) {
	width, height, found := strings.Cut(strings.ToLower(text), "x")
	w, errW := strconv.ParseUint(width, 10, 31)
	h, errH := strconv.ParseUint(height, 10, 31)
	if !found || errW != nil || errH != nil {
		return Size{}, fmt.Errorf("picture: size %q: want WIDTHxHEIGHT in pixels, such as 1344x768", text)
	}
	size := Size{int(w), int(h)}
	return size, size.Check()
}

// AspectRatio is the name of an output shape.
type AspectRatio string

// The shapes. Match stands for the size of the first reference, as the model sees it.
const (
	Square    AspectRatio = "square"
	Landscape AspectRatio = "landscape"
	Portrait  AspectRatio = "portrait"
	Photo     AspectRatio = "photo"
	PhotoV    AspectRatio = "photo_v"
	Standard  AspectRatio = "standard"
	StandardV AspectRatio = "standard_v"
	Wide      AspectRatio = "wide"
	Match     AspectRatio = "match"

	DefaultAspectRatio = Landscape
)

var aspectRatios = []struct {
	name AspectRatio
	size Size
}{
	{Square, Size{1024, 1024}},
	{Landscape, Size{1344, 768}},
	{Portrait, Size{768, 1344}},
	{Photo, Size{1248, 832}},
	{PhotoV, Size{832, 1248}},
	{Standard, Size{1184, 896}},
	{StandardV, Size{896, 1184}},
	{Wide, Size{1568, 672}},
}

// AspectRatios lists the names in the order in which menus show them. Match is last.
func AspectRatios() []AspectRatio {
	names := make([]AspectRatio, 0, len(aspectRatios)+1)
	for _, row := range aspectRatios {
		names = append(names, row.name)
	}
	return append(names, Match)
}

// maxAspectError is how far a given ratio may differ from that of a shape to stand for it. For example, 16:10 differs
// by 7 % from photo, and 2:1 by 14 % from both landscape and wide.
const maxAspectError = 0.1

// ParseAspectRatio returns the shape that text names. Case and separators do not matter ("Square", "photo v",
// "photo-v"). For a ratio such as 16:9 it returns the nearest shape. Its error lists the valid names.
func ParseAspectRatio(text string) (AspectRatio, error) {
	if width, height, isRatio := cutRatio(text); isRatio {
		return nearestShape(text, width/height)
	}
	plain := strings.NewReplacer(" ", "", "_", "", "-", "").Replace
	for _, a := range AspectRatios() {
		if plain(string(a)) == plain(strings.ToLower(text)) {
			return a, nil
		}
	}
	return "", unknownAspectRatio(text)
}

// cutRatio parses WIDTH:HEIGHT or WIDTH/HEIGHT; ok is false if text is neither.
func cutRatio(text string) (width, height float64, ok bool) {
	before, after, found := strings.Cut(strings.ReplaceAll(text, "/", ":"), ":")
	width, errW := strconv.ParseFloat(strings.TrimSpace(before), 64)
	height, errH := strconv.ParseFloat(strings.TrimSpace(after), 64)
	ok = found && errW == nil && errH == nil && width > 0 && height > 0 && !math.IsInf(width, 0) && !math.IsInf(height, 0)
	return width, height, ok
}

func nearestShape(text string, ratio float64) (AspectRatio, error) {
	var nearest AspectRatio
	least := math.Inf(1)
	for _, row := range aspectRatios {
		if away := math.Abs(math.Log(ratio * float64(row.size.Height) / float64(row.size.Width))); away < least {
			nearest, least = row.name, away
		}
	}
	if least > math.Log1p(maxAspectError) {
		return "", unknownAspectRatio(text)
	}
	return nearest, nil
}

func unknownAspectRatio(text string) error {
	var names []string
	for _, a := range AspectRatios() {
		names = append(names, string(a))
	}
	return fmt.Errorf("picture: aspect ratio %q: want one of %s, or a ratio near one of theirs, such as 16:9",
		text, strings.Join(names, ", "))
}

// SizeFor returns the size of the shape for a model whose native picture is native × native pixels (the VAE's
// sample_size), or 0 if that is unknown. If native is 0 or at least 1024, the size is that of the table. Otherwise the
// table's sides are scaled and rounded down to multiples of 16, so that the area does not exceed the native one; no
// side is shorter than 64. references holds the prepared sizes of the references. Match returns the size at which the
// model sees the first of them, and an error if there is none.
func (a AspectRatio) SizeFor(native int, references ...Size) (Size, error) {
	if a == Match {
		if len(references) == 0 {
			return Size{}, fmt.Errorf("picture: aspect ratio match: no reference picture, want at least one")
		}
		return references[0].forNative(native), nil
	}
	for _, row := range aspectRatios {
		if row.name != a {
			continue
		}
		if native <= 0 || native >= NativeSide {
			return row.size, nil
		}
		scale := func(side int) int {
			return max(side*native/NativeSide/sideMultiple*sideMultiple, minOutputSide)
		}
		return Size{scale(row.size.Width), scale(row.size.Height)}, nil
	}
	return Size{}, unknownAspectRatio(string(a))
}
