package studio

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// MaxCount is the largest number of pictures in one batch.
const MaxCount = 8

// Batch is what one press of Generate asks for: Count pictures, with the seeds Seed, Seed + 1 and so on. Desk is the
// desk as it was then; if the user edits the batch, it is laid out again.
type Batch struct {
	ID       uint64       `json:"-"` // given by the queue
	Desk     Desk         `json:"desk"`
	Size     picture.Size `json:"size"` // as the desk showed it; only binding if Desk.Aspect is ""
	Seed     uint64       `json:"seed"`
	Count    int          `json:"count"`
	Steps    int          `json:"steps,omitempty"`    // 0 for the model's own
	Guidance float64      `json:"guidance,omitempty"` // 0 for the model's own
	// Group is what the entries of the batch's pictures have in common in the history; 0 if the batch is one picture. The
	// batches of one instruction have the same.
	Group uint64 `json:"group,omitempty"`
	// Each is what the batches have in common that NextEach made together; 0 for a batch that was asked for by itself.
	// Such a batch is number Nth, from 1, of Of.
	Each uint64 `json:"each,omitempty"`
	Nth  int    `json:"nth,omitempty"`
	Of   int    `json:"of,omitempty"`
	// Tags are the adapters that the prompt named, as they were found then, with the digests of their files.
	Tags inference.LoRANames `json:"tags,omitempty"`
	// Upscale is how the picture on the desk is enlarged, nil for a batch that makes pictures.
	Upscale *Upscale `json:"upscale,omitempty"`
}

// Ask returns what the batch asks for, with the seed of its first picture. store reads the pictures of its desk that
// have not been read yet, and for an edit image 1 at its full resolution and the mask. It may be nil if they all lie in
// files of the user's. The error is an inference.FieldError about a text of the edit that cannot be read.
func (b Batch) Ask(store *Store) (ask inference.Ask, err error) {
	ask = inference.Ask{Prompt: b.Desk.Prompt, Seed: &b.Seed, Preview: true, LoRAs: b.Desk.askedLoRAs()}
	takeTags(&ask, b.Tags)
	if ask.Edit, err = b.Desk.edit(store); err != nil {
		return ask, err
	}
	b.Desk.size(&ask, b.Size)
	if b.Steps != 0 {
		ask.Steps = &b.Steps
	}
	if b.Guidance != 0 {
		ask.Guidance = &b.Guidance
	}
	for i, s := range b.Desk.Slots {
		if i == 0 && ask.Edit != nil {
			ask.References = append(ask.References, fullSize{store, s})
		} else if s.Ref != nil {
			ask.References = append(ask.References, inference.Reference{Path: s.Path, Reference: s.Ref})
		} else {
			ask.References = append(ask.References, unread{store, s})
		}
	}
	return ask, nil
}

// After returns the batch without its first n pictures.
func (b Batch) After(n int) Batch {
	b.Seed += uint64(n)
	b.Count -= n
	return b
}

// Edited returns the desk on which the user can edit the batch: its own, with the batch's first seed and its number of
// pictures, which may be what is left of the batch.
func (b Batch) Edited() Desk {
	d := b.Desk
	d.Seed, d.Count = strconv.FormatUint(b.Seed, 10), b.Count
	return d
}

// Read checks a batch that comes from a file, and returns it with its pictures read, ready to be made. The file may
// hold anything: values beyond the limits, and pictures or a mask that are gone or have changed, are errors.
// The pictures of a batch that waits for a file stay unread, as they were.
func (b Batch) Read(ctx context.Context, store *Store) (Batch, error) {
	if b.Count < 1 || b.Count > MaxCount {
		return b, fmt.Errorf("the number of pictures is %d, want 1 to %d", b.Count, MaxCount)
	}
	if b.Upscale != nil {
		return b, b.readUpscale(store)
	}
	ask, err := b.Ask(store)
	if err != nil {
		return b, err
	}
	checked, err := ask.Check()
	if err == nil && b.unread() {
		for _, slot := range b.Desk.Slots {
			if path := store.File(slot); !store.Has(slot) {
				return b, fmt.Errorf("studio: %s: %w", path, fs.ErrNotExist)
			}
		}
		return b, nil
	}
	if err == nil {
		checked, err = checked.Read(ctx, 1)
	}
	if err != nil {
		return b, err
	}
	if len(b.Tags) == 0 {
		b.Desk.Prompt = checked.Prompt()
	}
	slots := make([]Slot, len(b.Desk.Slots))
	for i, source := range checked.References() {
		ref, err := source.Open(ctx) // returns what ask.Read has read
		if err != nil {
			return b, err
		}
		slots[i] = SlotOf(ref)
		slots[i].Board = b.Desk.Slots[i].Board
	}
	b.Desk.Slots = slots
	return b, nil
}

// unread is the picture of a slot that has not been read, as a source of an Ask.
type unread struct {
	store *Store
	slot  Slot
}

// Open reads the picture.
func (u unread) Open(ctx context.Context) (inference.Reference, error) {
	return u.store.Read(ctx, u.slot)
}
