// Package studio holds what an artist works with, apart from any window: the desk (what the next picture is made from),
// its undo and redo, and the jobs that wait; Store keeps them on the disk from one start to the next. It knows nothing of
// widgets, and computes no pictures.
package studio

import (
	"context"
	"path/filepath"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// Desk is what the next picture is made from, as the window shows it. Seed, Steps and Guidance are what is typed there,
// which need not be numbers.
type Desk struct {
	Prompt   string              `json:"prompt"`
	Slots    []Slot              `json:"slots,omitempty"`
	Aspect   picture.AspectRatio `json:"aspect,omitempty"` // "" for a size of no aspect in the table
	Size     picture.Size        `json:"size"`             // where Aspect is ""
	Seed     string              `json:"seed"`
	Locked   bool                `json:"locked,omitempty"` // the seed stays for the pictures after the next one
	Count    int                 `json:"count"`
	Steps    string              `json:"steps,omitempty"`
	Guidance string              `json:"guidance,omitempty"`
}

// Slot is a reference picture on the desk. Its pixels are shared by all desks that have it, and are never changed.
type Slot struct {
	Path   string             `json:"path,omitempty"`   // "" for a picture that was pasted
	Digest string             `json:"sha256,omitempty"` // of the file's bytes, hexadecimal; "" before it was read
	Ref    *picture.Reference `json:"-"`                // nil before it was read
}

// SlotOf returns the slot that holds a prepared reference.
func SlotOf(r inference.Reference) Slot {
	return Slot{Path: r.Path, Digest: r.FileSHA256, Ref: r.Reference}
}

// Name is the picture's name for people.
func (s Slot) Name() string {
	if s.Path == "" {
		return "pasted picture"
	}
	return filepath.Base(s.Path)
}

// Same says whether two slots show the same picture: the same file, of the same content as far as both are known.
func (s Slot) Same(other Slot) bool {
	known := s.Digest != "" && other.Digest != ""
	if s.Path == "" || other.Path == "" || known {
		return s.Path == other.Path && s.Digest == other.Digest
	}
	return s.Path == other.Path
}

// Same says whether two desks make the same picture with the same settings.
func (d Desk) Same(other Desk) bool { return d.SameTexts(other) && d.SameChoices(other) }

// SameTexts compares what is typed, which has an undo of its own.
func (d Desk) SameTexts(other Desk) bool {
	return d.Prompt == other.Prompt && d.Seed == other.Seed && d.Locked == other.Locked && d.Steps == other.Steps && d.Guidance == other.Guidance
}

// WithTexts returns the desk with what is typed on another.
func (d Desk) WithTexts(other Desk) Desk {
	d.Prompt, d.Seed, d.Locked, d.Steps, d.Guidance = other.Prompt, other.Seed, other.Locked, other.Steps, other.Guidance
	return d
}

// SameChoices compares what is chosen: references, size and number of pictures.
func (d Desk) SameChoices(other Desk) bool {
	if d.Aspect != other.Aspect || d.Aspect == "" && d.Size != other.Size || d.Count != other.Count || len(d.Slots) != len(other.Slots) {
		return false
	}
	for i, s := range d.Slots {
		if !s.Same(other.Slots[i]) {
			return false
		}
	}
	return true
}

// Job is what waits to be made: Count pictures with the seeds from Seed on. Desk is what Generate was pressed with, and
// what comes back where the job is edited.
type Job struct {
	Desk     Desk         `json:"desk"`
	Size     picture.Size `json:"size"`
	Seed     uint64       `json:"seed"`
	Count    int          `json:"count"`
	Steps    int          `json:"steps,omitempty"`    // 0 for the model's own
	Guidance float64      `json:"guidance,omitempty"` // 0 for the model's own
}

// Ask returns what the job asks for. Pictures of its desk that have not been read are read by store. A size that matches
// image 1 is asked for as such, since it may be one that nobody could ask for.
func (j Job) Ask(store *Store) inference.Ask {
	ask := inference.Ask{Prompt: j.Desk.Prompt, Seed: &j.Seed, Preview: true}
	if j.Desk.Aspect == picture.Match {
		ask.Aspect = picture.Match
	} else {
		ask.Size = &j.Size
	}
	if j.Steps != 0 {
		ask.Steps = &j.Steps
	}
	if j.Guidance != 0 {
		ask.Guidance = &j.Guidance
	}
	for _, s := range j.Desk.Slots {
		ask.References = append(ask.References, slotSource{store, s})
	}
	return ask
}

// slotSource reads the picture of a slot.
type slotSource struct {
	store *Store
	slot  Slot
}

// Open returns the slot's picture, which is read unless it has been.
func (s slotSource) Open(ctx context.Context) (inference.Reference, error) {
	if s.slot.Ref != nil {
		return inference.Reference{Path: s.slot.Path, Reference: s.slot.Ref}, nil
	}
	return s.store.Read(ctx, s.slot)
}
