// Package studio holds what an artist works with, apart from any window: the desk (what the next picture is made from)
// with its undo and redo, the reader of its pictures, the queue of batches, the maker that works through it, the
// history, the settings, and the model that is open. It keeps desk and queue on the disk from one start to the next.
// All of it runs on one goroutine, that of Loop, and says what has changed by events. It knows nothing of widgets, and
// leaves computing to an Engine.
package studio

import (
	"path/filepath"
	"slices"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Desk is what the next picture is made from, as the window shows it. Seed, Steps and Guidance are what is typed there,
// which need not be numbers. Undo compares and brings back every field: a new field belongs to SameTexts and WithTexts
// if it is typed, and to SameChoices if it is chosen.
type Desk struct {
	Prompt   string              `json:"prompt"`
	Slots    []Slot              `json:"slots,omitempty"`
	Aspect   picture.AspectRatio `json:"aspect,omitempty"` // "" if Size is none of the table of aspect ratios
	Size     picture.Size        `json:"size"`             // used if Aspect is "", or to be used again after Match
	Seed     string              `json:"seed"`
	Locked   bool                `json:"locked,omitempty"` // the next batch leaves the seed, instead of drawing a new one
	Count    int                 `json:"count"`
	Steps    string              `json:"steps,omitempty"`
	Guidance string              `json:"guidance,omitempty"`
	LoRAs    []LoRA              `json:"loras,omitempty"`
	Edit     Edit                `json:"edit,omitzero"`   // of image 1; it has no effect on a desk without pictures
	Board    *Board              `json:"board,omitempty"` // it has no effect on what is made before it is used as image 1
	// Each has the files that one instruction is for, that of image 1 first; see EachOf.
	Each []string `json:"each,omitempty"`
}

// Slot is a reference picture on the desk. Its pixels are shared by all desks that have it, and are never changed.
type Slot struct {
	Path   string `json:"path,omitempty"`   // "" for a picture that was pasted
	Digest string `json:"sha256,omitempty"` // SHA-256 of the file's bytes, hexadecimal; "" before it was read
	// Arrangement is what is done to the file's picture before it is used. Whoever changes it takes Ref away.
	Arrangement picture.Arrangement `json:"arrangement,omitzero"`
	Ref         *picture.Reference  `json:"-"` // nil before it was read
	// Board is what the picture was composed of, nil for a picture that was not: it can be opened again.
	Board *Board `json:"board,omitempty"`
}

// SlotOf returns the slot that holds a prepared reference.
func SlotOf(r inference.Reference) Slot {
	return Slot{Path: r.Path, Digest: r.FileSHA256, Arrangement: r.Arrangement, Ref: r.Reference}
}

// Name returns the picture's name for people.
func (s Slot) Name() string {
	switch {
	case s.Path == "" && s.Board != nil:
		return "the board"
	case s.Path == "":
		return "pasted picture"
	}
	return filepath.Base(s.Path)
}

// Same says whether two slots show the same picture, arranged alike: the same path, and the same digest if both digests
// are known. Pasted pictures have no path, so their digests decide.
func (s Slot) Same(other Slot) bool {
	return s.Arrangement == other.Arrangement && s.SameFile(other)
}

// SameFile is Same without regard to how the picture is arranged.
func (s Slot) SameFile(other Slot) bool {
	known := s.Digest != "" && other.Digest != ""
	if s.Path == "" || other.Path == "" || known {
		return s.Path == other.Path && s.Digest == other.Digest
	}
	return s.Path == other.Path
}

// Reading says whether there is a picture on the desk, or a mask, that has not been read yet.
func (d Desk) Reading() bool {
	return d.Edit.Mask.Reading() || slices.ContainsFunc(d.Slots, func(s Slot) bool { return s.Ref == nil })
}

// References returns the pictures of the desk that have been read, in order.
func (d Desk) References() (refs []inference.Reference) {
	for _, s := range d.Slots {
		if s.Ref != nil {
			refs = append(refs, inference.Reference{Path: s.Path, Reference: s.Ref})
		}
	}
	return refs
}

// Sizes returns the prepared sizes of References.
func (d Desk) Sizes() (sizes []picture.Size) {
	for _, r := range d.References() {
		sizes = append(sizes, r.Size)
	}
	return sizes
}

// Sized says whether a desk has an aspect ratio of the table, or else a size within the limits. One that was read from
// a file may have neither.
func (d Desk) Sized() bool {
	if d.Aspect != "" {
		_, err := picture.ParseAspectRatio(string(d.Aspect))
		return err == nil
	}
	return d.Size.Check() == nil
}

// Same says whether two desks make the same picture with the same settings.
func (d Desk) Same(other Desk) bool { return d.SameTexts(other) && d.SameChoices(other) }

// SameTexts compares what is typed. Text boxes have an undo of their own for it.
func (d Desk) SameTexts(other Desk) bool {
	return d.Prompt == other.Prompt && d.Seed == other.Seed && d.Locked == other.Locked &&
		d.Steps == other.Steps && d.Guidance == other.Guidance && d.Edit.sameTexts(other.Edit)
}

// WithTexts returns the desk with the texts of another one.
func (d Desk) WithTexts(other Desk) Desk {
	d.Prompt, d.Seed, d.Locked, d.Steps, d.Guidance = other.Prompt, other.Seed, other.Locked, other.Steps, other.Guidance
	d.Edit = d.Edit.withTexts(other.Edit)
	return d
}

// SameChoices compares what is chosen: references, the files of one instruction, size, number of pictures, adapters,
// the mask with its options, and the board.
func (d Desk) SameChoices(other Desk) bool {
	if d.Aspect != other.Aspect || d.Aspect == "" && d.Size != other.Size {
		return false
	}
	if !slices.EqualFunc(d.LoRAs, other.LoRAs, LoRA.Same) {
		return false
	}
	if !d.Board.Same(other.Board) || !slices.Equal(d.Each, other.Each) {
		return false
	}
	if d.Count != other.Count || !d.Edit.sameChoices(other.Edit) || len(d.Slots) != len(other.Slots) {
		return false
	}
	for i, s := range d.Slots {
		if !s.Same(other.Slots[i]) {
			return false
		}
	}
	return true
}
