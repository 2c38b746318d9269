package studio

import (
	"slices"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// The slots of a desk are numbered from 1 without gaps, as the model counts them, so that "image 2" in the prompt is
// slot 2. Desks share their slices of slots: whoever changes one makes a copy.

// FreeSlot returns the number of the next free slot, 0 if all are taken.
func (d Desk) FreeSlot() int {
	if len(d.Slots) >= inference.MaxReferences {
		return 0
	}
	return len(d.Slots) + 1
}

// Fill puts files into slots. The first one replaces the picture of the slot with the given number, if there is one;
// the others fill the next free slots. With 0 all fill free slots. It returns the number of the slot whose picture was
// replaced, 0 for none, and how many files found no slot.
func (d *Desk) Fill(number int, paths []string) (replaced, left int) {
	defer d.leaveMargins(d.image1())
	d.Slots = slices.Clone(d.Slots)
	if len(d.Slots) == 0 && len(paths) > 0 {
		d.PickAspect(picture.Match)
	}
	for i, path := range paths {
		switch {
		case i == 0 && number > 0 && number <= len(d.Slots):
			d.Slots[number-1], replaced = Slot{Path: path}, number
		case d.FreeSlot() == 0:
			return replaced, len(paths) - i
		default:
			d.Slots = append(d.Slots, Slot{Path: path})
		}
	}
	return replaced, 0
}

// EditPicture puts the picture of a file into slot 1, in the place of what was there, as the picture to be edited: the
// size follows it. The margins by which the picture before was to grow do not apply to it.
func (d *Desk) EditPicture(path string) {
	image1 := Slot{Path: path}
	if len(d.Slots) == 0 {
		d.Slots = []Slot{image1}
	} else if !d.Slots[0].Same(image1) {
		d.Slots = slices.Clone(d.Slots)
		d.Slots[0] = image1
	}
	d.PickAspect(picture.Match)
	d.Edit.SetMargins(inference.Margins{})
}

// image1 returns the picture in slot 1; the zero value if there is none.
func (d Desk) image1() (s Slot) {
	if len(d.Slots) > 0 {
		s = d.Slots[0]
	}
	return s
}

// leaveMargins takes the margins off the desk if image 1 is another picture than before: they were for that one.
func (d *Desk) leaveMargins(before Slot) {
	if now := d.image1(); before.Path+before.Digest != "" && !now.SameFile(before) {
		d.Edit.SetMargins(inference.Margins{})
	}
}

// Arrange changes how the picture of a slot is arranged, if there is one. It has to be read again.
func (d *Desk) Arrange(number int, a picture.Arrangement) {
	if number > len(d.Slots) {
		return
	}
	if slot := d.Slots[number-1]; slot.Arrangement != a {
		d.Slots = slices.Clone(d.Slots)
		d.Slots[number-1] = Slot{Path: slot.Path, Digest: slot.Digest, Arrangement: a, Board: slot.Board}
	}
}

// Empty takes the picture out of a slot; those after it move up.
func (d *Desk) Empty(number int) {
	defer d.leaveMargins(d.image1())
	d.Slots = slices.Delete(slices.Clone(d.Slots), number-1, number)
}

// EmptyAll takes the pictures out of all slots.
func (d *Desk) EmptyAll() {
	defer d.leaveMargins(d.image1())
	d.Slots = nil
}

// Swap exchanges the pictures of two slots.
func (d *Desk) Swap(a, b int) {
	defer d.leaveMargins(d.image1())
	d.Slots = slices.Clone(d.Slots)
	d.Slots[a-1], d.Slots[b-1] = d.Slots[b-1], d.Slots[a-1]
}

// withMask returns e with the mask of d if it is the same one, which need not be read again then.
func (d Desk) withMask(e Edit) Edit {
	if e.Mask.Look == nil && !e.Mask.None() && d.Edit.Mask.same(e.Mask) {
		of, area := e.Mask.Of, e.Mask.Area
		e.Mask = d.Edit.Mask
		e.Mask.Of, e.Mask.Area = of, area
	}
	return e
}

// withRead returns slots in which a picture that was in its place on d already need not be read again.
func (d Desk) withRead(slots []Slot) []Slot {
	slots = slices.Clone(slots[:min(len(slots), inference.MaxReferences)])
	for i, s := range slots {
		if i < len(d.Slots) && d.Slots[i].Same(s) {
			slots[i] = d.Slots[i]
		}
	}
	return slots
}
