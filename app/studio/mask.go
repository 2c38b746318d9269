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

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Mask is the mask on the desk: a picture that is white where image 1 changes. It belongs to the picture that was image
// 1 when it was put on the desk, and leaves the desk with that one.
type Mask struct {
	Path   string `json:"path,omitempty"`   // "" for a mask that lies in no file of the user's
	Digest string `json:"sha256,omitempty"` // of the file's bytes; "" before it was read
	Alpha  bool   `json:"alpha,omitempty"`  // the transparency of image 1; it has no file
	Of     Slot   `json:"of"`               // the picture that it belongs to
	// Area is the part of image 1 that the model works on, in its pixels. It contains what the mask changes. It is empty
	// if it follows from the mask.
	Area image.Rectangle `json:"area,omitzero"`
	// Painted is the mask itself if it was painted on the canvas, as large as image 1, else nil. Path and Digest are then
	// those of the file that was last kept of it: of this very mask if Kept is set, else of what it was before.
	Painted *paint.Mask `json:"-"`
	Kept    bool        `json:"-"`
	// Look is a small picture of the mask, nil before it was read. It is shared by all desks that have it, and is never
	// changed.
	Look *image.Gray `json:"-"`
}

// None says whether there is no mask.
func (m Mask) None() bool { return m.Path == "" && m.Digest == "" && !m.Alpha && m.Painted == nil }

// Reading says whether the mask has not been read yet, or what was painted has not been kept yet.
func (m Mask) Reading() bool {
	return !m.None() && !m.Alpha && (m.Look == nil || m.Painted != nil && !m.Kept)
}

// Name returns the mask's name for people.
func (m Mask) Name() string {
	switch {
	case m.Alpha:
		return "transparency"
	case m.Painted != nil:
		return "painted"
	case m.Path == "":
		return "its own mask"
	}
	return filepath.Base(m.Path)
}

// slot returns the file of the mask as that of a slot: it is stored and found as pasted pictures are.
func (m Mask) slot() Slot { return Slot{Path: m.Path, Digest: m.Digest} }

// same says whether two masks change the same pixels: their files do, if not all of them have been read.
func (m Mask) same(other Mask) bool {
	switch {
	case m.Painted != nil && other.Painted != nil:
		return m.Painted == other.Painted
	case m.Painted != nil && !m.Kept, other.Painted != nil && !other.Kept:
		return false // no file has it yet
	}
	return m.Alpha == other.Alpha && m.slot().Same(other.slot())
}

// maskSource is the mask of a desk as a source of an Ask.
type maskSource struct {
	store *Store
	mask  Mask
}

// OpenMask reads the mask. If it has a digest, the file must still have it.
func (m *maskSource) OpenMask(ctx context.Context, original *picture.Original) (*inference.Mask, error) {
	if m.mask.Painted != nil {
		return inference.MaskImage{Image: m.mask.Painted.Gray()}.OpenMask(ctx, original)
	}
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

// keepPainted stores what was painted and returns the mask with Look. If it cannot be stored, the mask is there for
// this start only, and the error says why. A nil Store keeps nothing.
func (s *Store) keepPainted(m Mask) (Mask, error) {
	size := m.Painted.Size()
	small := size
	if side := max(size.X, size.Y); side > lookSide {
		small = image.Pt(max(size.X*lookSide/side, 1), max(size.Y*lookSide/side, 1))
	}
	m.Look = m.Painted.Shrunk(small)
	m.Path, m.Digest, m.Kept = "", "", true
	if s == nil {
		return m, nil
	}
	kept, err := s.KeepMask(m.Painted.Gray())
	if err == nil {
		m.Digest = kept.Digest
	}
	return m, err
}

// lookSide bounds the sides of Mask.Look in pixels: as large as the pictures in the slots.
const lookSide = 520

// readMask reads the file of a mask and returns the mask with Digest and Look.
func (s *Store) readMask(ctx context.Context, m Mask) (Mask, error) {
	levels, err := s.ReadMask(ctx, m)
	if err == nil {
		m.Digest = levels.FileSHA256
		m.Look, err = look(ctx, levels)
	}
	return m, err
}

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

// leaveMask takes the mask off the desk if image 1 is no longer the picture that it belongs to. That is no step of its
// own but belongs to the step that took the picture away: one undo brings back both.
func (s *Studio) leaveMask() {
	d := s.Desk.Desk()
	if d.Edit.Mask.None() || len(d.Slots) > 0 && d.Slots[0].Same(d.Edit.Mask.Of) {
		return
	}
	s.Desk.Amend(func() { s.Desk.Choose(func(d *Desk) { d.Edit.Mask = Mask{} }) })
}

// Is says whether two masks are the same one, also if only one of them has been read.
func (m Mask) Is(other Mask) bool { return m.None() == other.None() && m.same(other) }

// WithPainted returns the mask with what was painted in its place, for image 1. A mask of nothing is none. An area that
// was chosen grows with it.
func (m Mask) WithPainted(mask *paint.Mask, of Slot) Mask {
	if mask.Empty() {
		return Mask{}
	}
	of.Ref = nil
	if !m.Area.Empty() {
		m.Area = m.Area.Union(mask.Bounds())
	}
	m.Painted, m.Kept, m.Alpha, m.Of = mask, false, false, of
	return m
}

// LevelsOf reads a mask that was not painted: its file, or the transparency of image 1.
func (s *Store) LevelsOf(ctx context.Context, m Mask, image1 Slot) (*image.Gray, error) {
	original, err := s.ReadOriginal(ctx, image1)
	if err != nil {
		return nil, err
	}
	var source inference.MaskSource = inference.AlphaMask{}
	if !m.Alpha {
		source = &maskSource{s, m}
	}
	mask, err := source.OpenMask(ctx, original)
	if err != nil {
		return nil, err
	}
	return mask.Gray(), nil
}

// LoadMask puts the file of a mask on the desk, if there still is an image 1 for it.
func (d *Desk) LoadMask(path string) {
	if len(d.Slots) > 0 {
		of := d.Slots[0]
		of.Ref = nil
		d.Edit.Mask = Mask{Path: path, Of: of}
	}
}
