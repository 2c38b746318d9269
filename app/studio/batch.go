package studio

import (
	"context"
	"fmt"
	"strconv"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// MaxCount is the largest number of pictures in one batch.
const MaxCount = 8

// Batch is what Generate was pressed for once: Count pictures with the seeds from Seed on. Desk is the desk that it was
// pressed with, and what comes back if the batch is edited.
type Batch struct {
	ID       uint64       `json:"-"` // given by the queue
	Desk     Desk         `json:"desk"`
	Size     picture.Size `json:"size"` // that the desk showed; the model decides, unless the desk names no aspect ratio
	Seed     uint64       `json:"seed"`
	Count    int          `json:"count"`
	Steps    int          `json:"steps,omitempty"`    // 0 for the model's own
	Guidance float64      `json:"guidance,omitempty"` // 0 for the model's own
}

// Ask returns what the batch asks for, with the seed of its first picture. Pictures of its desk that have not been read
// are read by store.
func (b Batch) Ask(store *Store) inference.Ask {
	ask := inference.Ask{Prompt: b.Desk.Prompt, Seed: &b.Seed, Preview: true}
	if ask.Aspect = b.Desk.Aspect; ask.Aspect == "" {
		ask.Size = &b.Size
	}
	if b.Steps != 0 {
		ask.Steps = &b.Steps
	}
	if b.Guidance != 0 {
		ask.Guidance = &b.Guidance
	}
	for _, s := range b.Desk.Slots {
		if s.Ref != nil {
			ask.References = append(ask.References, inference.Reference{Path: s.Path, Reference: s.Ref})
		} else {
			ask.References = append(ask.References, unread{store, s})
		}
	}
	return ask
}

// After returns what is left of the batch when its first n pictures are made.
func (b Batch) After(n int) Batch {
	b.Seed += uint64(n)
	b.Count -= n
	return b
}

// Edited returns the desk of a batch that is to be edited: with its number of pictures and its first seed.
func (b Batch) Edited() Desk {
	d := b.Desk
	d.Seed, d.Count = strconv.FormatUint(b.Seed, 10), b.Count
	return d
}

// Read returns a stored batch with its pictures, ready to be made. The file that it was stored in may hold anything:
// values beyond the limits, and pictures that are gone or have changed, are errors.
func (b Batch) Read(ctx context.Context, store *Store) (Batch, error) {
	if b.Count < 1 || b.Count > MaxCount {
		return b, fmt.Errorf("the number of pictures is %d, want 1 to %d", b.Count, MaxCount)
	}
	ask, err := b.Ask(store).Check()
	if err == nil {
		ask, err = ask.Read(ctx, 1)
	}
	if err != nil {
		return b, err
	}
	b.Desk.Prompt = ask.Prompt()
	slots := make([]Slot, len(b.Desk.Slots))
	for i, source := range ask.References() {
		ref, err := source.Open(ctx) // which is read
		if err != nil {
			return b, err
		}
		slots[i] = SlotOf(ref)
	}
	b.Desk.Slots = slots
	return b, nil
}

// unread is the picture of a slot that has not been read.
type unread struct {
	store *Store
	slot  Slot
}

// Open reads the picture.
func (u unread) Open(ctx context.Context) (inference.Reference, error) {
	return u.store.Read(ctx, u.slot)
}
