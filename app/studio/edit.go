package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/history"
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

// Mask is the mask on the desk: a picture that is white where image 1 changes. It belongs to the picture that was image
// 1 when it was put on the desk, and leaves the desk with that one.
type Mask struct {
	Path   string `json:"path,omitempty"`   // "" for a mask that lies in no file of the user's
	Digest string `json:"sha256,omitempty"` // of the file's bytes; "" before it was read
	Alpha  bool   `json:"alpha,omitempty"`  // the transparency of image 1; it has no file
	Of     Slot   `json:"of"`               // the picture that it belongs to
	// Look is a small picture of the mask, nil before it was read. It is shared by all desks that have it, and is never
	// changed.
	Look *image.Gray `json:"-"`
}

// None says whether there is no mask.
func (m Mask) None() bool { return m.Path == "" && m.Digest == "" && !m.Alpha }

// Reading says whether the mask has not been read yet.
func (m Mask) Reading() bool { return !m.None() && !m.Alpha && m.Look == nil }

// Name returns the mask's name for people.
func (m Mask) Name() string {
	switch {
	case m.Alpha:
		return "transparency"
	case m.Path == "":
		return "its own mask"
	}
	return filepath.Base(m.Path)
}

// slot returns the file of the mask as that of a slot: it is stored and found as pasted pictures are.
func (m Mask) slot() Slot { return Slot{Path: m.Path, Digest: m.Digest} }

// same says whether two masks are the same one: their files, if not all of them have been read.
func (m Mask) same(other Mask) bool { return m.Alpha == other.Alpha && m.slot().Same(other.slot()) }

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
	return e.Mask.same(other.Mask) && e.Whole == other.Whole && e.Hidden == other.Hidden &&
		e.MatchColours == other.MatchColours && e.Keep == other.Keep
}

// Extends says whether a margin is typed.
func (e Edit) Extends() bool { return strings.TrimSpace(e.Left+e.Top+e.Right+e.Bottom) != "" }

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
	if text := number(from.Context); text != "" && !from.Whole {
		var err error
		if e.Context, err = inference.ParseContext(text); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// number returns a number as it was typed, with a point for a comma.
func number(text string) string { return strings.Replace(strings.TrimSpace(text), ",", ".", 1) }

// EditOf returns what a desk shows for an edit with the given metadata, apart from its mask.
func EditOf(m *picture.Edit) (e Edit) {
	if m == nil {
		return e
	}
	text := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	e = Edit{
		Left: text(m.Extend[0]), Top: text(m.Extend[1]), Right: text(m.Extend[2]), Bottom: text(m.Extend[3]),
		Whole: m.Whole, Hidden: m.SourceHidden, Keep: m.KeepUnchanged, MatchColours: MatchOff,
	}
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

// maskSource is the mask of a desk as a source of an Ask.
type maskSource struct {
	store *Store
	mask  Mask
}

// OpenMask reads the mask. If it has a digest, the file must still have it.
func (m *maskSource) OpenMask(ctx context.Context, original *picture.Original) (*inference.Mask, error) {
	levels, err := m.store.ReadMask(ctx, m.mask)
	if err != nil {
		return nil, err
	}
	m.mask.Digest = levels.FileSHA256
	return inference.MaskImage{Image: levels}.OpenMask(ctx, original)
}

// File names the mask's file.
func (m *maskSource) File() picture.ReferenceFile {
	return picture.ReferenceFile{Path: m.mask.Path, SHA256: m.mask.Digest}
}

// ReadMask reads the file of a mask. If the mask has a digest, the file must still have it. A nil Store reads files,
// but has no masks without one.
func (s *Store) ReadMask(ctx context.Context, m Mask) (*picture.Original, error) {
	gone := errors.New("the mask was not kept: load it again")
	path := m.Path
	if path == "" {
		if s == nil {
			return nil, gone
		}
		path = s.pasted(m.Digest)
	}
	levels, err := picture.OpenMask(ctx, path)
	switch {
	case m.Path == "" && errors.Is(err, fs.ErrNotExist):
		return nil, gone
	case err != nil:
		return nil, err
	case m.Digest != "" && levels.FileSHA256 != m.Digest:
		return nil, fmt.Errorf("%s %w: load the right one", m.Path, ErrChanged)
	}
	return levels, nil
}

// KeepMask stores a mask that lies in no file of the user's, and returns it.
func (s *Store) KeepMask(levels *image.Gray) (Mask, error) {
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&file, levels); err != nil {
		return Mask{}, fmt.Errorf("studio: mask: %w", err)
	}
	digest, err := s.Keep(file.Bytes())
	return Mask{Digest: digest}, err
}

// lookSide bounds the sides of Mask.Look in pixels: as large as the pictures in the slots.
const lookSide = 520

// look returns the small picture of a mask that was read, and an error if the mask changes nothing.
func look(ctx context.Context, levels *picture.Original) (*image.Gray, error) {
	mask, err := inference.MaskImage{Image: levels}.OpenMask(ctx, levels)
	if err != nil {
		return nil, err
	}
	small := history.Fit(mask.Gray(), lookSide, lookSide)
	gray := image.NewGray(small.Rect)
	for i := range gray.Pix {
		gray.Pix[i] = small.Pix[4*i]
	}
	return gray, nil
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
	path := f.slot.Path
	if path == "" {
		if f.store == nil {
			return ref, nil, errors.New("the pasted picture was not kept: paste it again")
		}
		path = f.store.pasted(ref.FileSHA256)
	}
	original, err := picture.OpenOriginal(ctx, path)
	if err == nil && original.FileSHA256 != ref.FileSHA256 {
		err = fmt.Errorf("%s %w: drop the right one", path, ErrChanged)
	}
	return ref, original, err
}

// leaveMask takes the mask off the desk if image 1 is no longer the picture that it belongs to. That is no step of its
// own but belongs to the step that took the picture away: one undo brings back both.
func (s *Studio) leaveMask() {
	d := s.Desk.Desk()
	if d.Edit.Mask.None() || len(d.Slots) > 0 && d.Slots[0].Same(d.Edit.Mask.Of) {
		return
	}
	s.Desk.Amend(func() { s.Desk.Choose(func(d *Desk) { d.Edit.Mask = Mask{} }) })
}
