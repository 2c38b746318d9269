package studio

import (
	"context"
	"image"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Edit is what the desk says of an edit of image 1: which part of it changes, and how. The zero value edits nothing.
// Texts are what is typed, which need not be numbers.
type Edit struct {
	Mask     Mask   `json:"mask,omitzero"`
	Strength string `json:"strength,omitempty"`
	Left     string `json:"left,omitempty"` // the margins in pixels by which image 1 grows
	Top      string `json:"top,omitempty"`
	Right    string `json:"right,omitempty"`
	Bottom   string `json:"bottom,omitempty"`
	Feather  string `json:"feather,omitempty"`
	Context  string `json:"context,omitempty"`

	Whole        bool    `json:"whole,omitempty"`         // the model works on all of image 1
	Hidden       bool    `json:"hidden,omitempty"`        // the model does not look at image 1
	MatchColours string  `json:"match_colours,omitempty"` // MatchOn, MatchOff, or "" for what is usual
	Keep         float64 `json:"keep,omitempty"`          // how much of what hardly changed is restored
}

// The values of Edit.MatchColours.
const (
	MatchOn  = "on"
	MatchOff = "off"
)

// sameTexts compares what is typed.
func (e Edit) sameTexts(other Edit) bool { return e.texts() == other.texts() }

func (e Edit) texts() [7]string {
	return [7]string{e.Strength, e.Left, e.Top, e.Right, e.Bottom, e.Feather, e.Context}
}

// withTexts returns e with the texts of other.
func (e Edit) withTexts(other Edit) Edit {
	e.Strength, e.Left, e.Top, e.Right, e.Bottom = other.Strength, other.Left, other.Top, other.Right, other.Bottom
	e.Feather, e.Context = other.Feather, other.Context
	return e
}

// sameChoices compares what is chosen.
func (e Edit) sameChoices(other Edit) bool {
	return e.Mask.same(other.Mask) && e.Mask.Area == other.Mask.Area && e.Whole == other.Whole &&
		e.Hidden == other.Hidden && e.MatchColours == other.MatchColours && e.Keep == other.Keep
}

// Extends says whether a margin is typed.
func (e Edit) Extends() bool { return strings.TrimSpace(e.Left+e.Top+e.Right+e.Bottom) != "" }

// Margins returns the margins that are typed. A text that is no number of pixels counts as 0.
func (e Edit) Margins() inference.Margins {
	pixels := func(text string) int {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 || n > inference.MaxExtension {
			return 0
		}
		return n
	}
	return inference.Margins{
		Left: pixels(e.Left), Top: pixels(e.Top), Right: pixels(e.Right), Bottom: pixels(e.Bottom),
	}
}

// SetMargins writes the margins that EditOf would write.
func (e *Edit) SetMargins(m inference.Margins) {
	e.Left, e.Top, e.Right, e.Bottom = pixelText(m.Left), pixelText(m.Top), pixelText(m.Right), pixelText(m.Bottom)
}

// pixelText returns what a person types for a number of pixels: nothing for 0.
func pixelText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Framed says whether the model works on an area that was chosen.
func (e Edit) Framed() bool { return !e.Whole && !e.Mask.Area.Empty() && !e.Mask.None() }

// Paints says whether only a part of image 1 changes.
func (e Edit) Paints() bool { return !e.Mask.None() || e.Extends() }

// Edits says whether the desk asks for an edit of image 1, rather than for a new picture.
func (d Desk) Edits() bool {
	e := d.Edit
	return len(d.Slots) > 0 && (e.Paints() || strings.TrimSpace(e.Strength) != "" || e.Keep != 0 ||
		e.MatchColours == MatchOn)
}

// Stretches says whether the mask has another shape than image 1, so that it is stretched. It is false as long as one
// of both has not been read.
func (d Desk) Stretches() bool {
	look := d.Edit.Mask.Look
	if look == nil || len(d.Slots) == 0 || d.Slots[0].Ref == nil {
		return false
	}
	return !inference.SameShape(picture.Size{Width: look.Rect.Dx(), Height: look.Rect.Dy()}, d.Slots[0].Ref.Original)
}

// SizeOfImage1 says whether the picture has the size of image 1, whatever size is chosen: it is laid into image 1, or
// begins with it.
func (d Desk) SizeOfImage1() bool {
	e := d.Edit
	return d.Edits() && (e.Paints() || e.Keep != 0 || strings.TrimSpace(e.Strength) != "")
}

// edit returns what the desk asks for, nil if it asks for no edit. What has no effect without a mask or a margin is
// left out. store reads the mask.
func (d Desk) edit(store *Store) (*inference.Edit, error) {
	if !d.Edits() {
		return nil, nil
	}
	from, e := d.Edit, &inference.Edit{}
	if text := number(from.Strength); text != "" {
		var err error
		if e.Strength, err = inference.ParseStrength(text); err != nil {
			return nil, err
		}
	}
	switch from.MatchColours {
	case MatchOn, MatchOff:
		match := from.MatchColours == MatchOn
		e.MatchColours = &match
	}
	if !from.Paints() {
		if from.Keep != 0 {
			e.KeepUnchanged = &from.Keep
		}
		e.Hidden = from.Hidden && e.Strength != nil && *e.Strength < 1
		return e, nil
	}
	e.Whole, e.Hidden = from.Whole, from.Hidden
	switch m := from.Mask; {
	case m.Alpha:
		e.Mask = inference.AlphaMask{}
	case !m.None():
		e.Mask = &maskSource{store, m}
	}
	if from.Extends() {
		var margins []string
		for _, text := range []string{from.Left, from.Top, from.Right, from.Bottom} {
			if text = strings.TrimSpace(text); text == "" {
				text = "0"
			}
			margins = append(margins, text)
		}
		var err error
		if e.Extend, err = inference.ParseExtension(strings.Join(margins, ",")); err != nil {
			return nil, err
		}
	}
	if text := number(from.Feather); text != "" {
		var err error
		if e.Feather, err = inference.ParseFeather(text); err != nil {
			return nil, err
		}
	}
	if from.Framed() {
		e.Area = &from.Mask.Area
	} else if text := number(from.Context); text != "" && !from.Whole {
		var err error
		if e.Context, err = inference.ParseContext(text); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// number returns a number as it was typed, with a point for a comma.
func number(text string) string { return strings.Replace(strings.TrimSpace(text), ",", ".", 1) }

// AreaOf returns the area that an edit with the given metadata was asked to work on, for Mask.Area.
func AreaOf(m *picture.Edit) image.Rectangle {
	if m == nil {
		return image.Rectangle{}
	}
	a := m.Area
	return image.Rectangle{Min: image.Pt(a[0], a[1]), Max: image.Pt(a[0]+a[2], a[1]+a[3])}
}

// EditOf returns what a desk shows for an edit with the given metadata, apart from its mask.
func EditOf(m *picture.Edit) (e Edit) {
	if m == nil {
		return e
	}
	e = Edit{Whole: m.Whole, Hidden: m.SourceHidden, Keep: m.KeepUnchanged, MatchColours: MatchOff}
	e.SetMargins(inference.Margins{Left: m.Extend[0], Top: m.Extend[1], Right: m.Extend[2], Bottom: m.Extend[3]})
	if m.Strength != 1 {
		e.Strength = strconv.FormatFloat(m.Strength, 'g', -1, 64)
	}
	if m.MatchColours {
		e.MatchColours = MatchOn
	}
	if m.Feather != nil {
		e.Feather = strconv.Itoa(*m.Feather)
	}
	if m.Context != nil {
		e.Context = strconv.Itoa(*m.Context)
	}
	return e
}

// fullSize is image 1 of an edit, which the engine also reads at its full resolution.
type fullSize struct {
	store *Store
	slot  Slot
}

// Open returns the picture as the model sees it.
func (f fullSize) Open(ctx context.Context) (inference.Reference, error) {
	if f.slot.Ref != nil {
		return inference.Reference{Path: f.slot.Path, Reference: f.slot.Ref}, nil
	}
	return f.store.Read(ctx, f.slot)
}

// OpenOriginal also reads the picture at its full resolution.
func (f fullSize) OpenOriginal(ctx context.Context) (inference.Reference, *picture.Original, error) {
	ref, err := f.Open(ctx)
	if err != nil {
		return ref, nil, err
	}
	slot := f.slot
	slot.Digest = ref.FileSHA256
	original, err := f.store.ReadOriginal(ctx, slot)
	return ref, original, err
}

// Settings returns what the edit says of the area that the model works on and of the feather. A text that cannot be
// read counts as none.
func (e Edit) Settings() (s inference.Edit) {
	if text := number(e.Feather); text != "" {
		s.Feather, _ = inference.ParseFeather(text)
	}
	if e.Framed() {
		s.Area = &e.Mask.Area
	} else if text := number(e.Context); text != "" && !e.Whole {
		s.Context, _ = inference.ParseContext(text)
	}
	s.Whole = e.Whole
	return s
}
