package studio

import "github.com/kleinbild/kleinbild/inference/picture"

// Limits of an UndoHistory. A prepared reference takes at most 4 MB, a painted mask what differs from the one before.
const (
	MaxSteps        = 100
	MaxPictureBytes = 256 << 20
)

// Step is one thing that the user did: a desk, and what it changed beside the desk.
type Step struct {
	Desk  Desk   // on the stack of undo, the desk before the step; on that of redo, the one after it
	Slots []Slot // pictures that Undo and Redo keep in memory, beside those of Desk: they count, too
	// If a step changed no text, its undo leaves the texts as they are: something may have been typed since. If it changed
	// no choice, its undo leaves the choices as they are: a slot may have been filled since.
	TextsStay, ChoicesStay bool
	// Undo and Redo change back and forth what is not on the desk, such as the queue; both may be nil.
	Undo, Redo func()
}

// Show returns the desk to show when the step is undone or redone on the present one.
func (s Step) Show(present Desk) Desk {
	d := s.Desk
	if s.TextsStay {
		d = d.WithTexts(present)
	}
	if s.ChoicesStay {
		d = present.WithTexts(d)
	}
	return d
}

// UndoHistory holds the steps that can be undone and redone. The number of steps and the memory of their pictures
// and painted masks are bounded; the oldest steps are dropped first.
type UndoHistory struct{ undo, redo []Step }

// Do records a step that is about to be done, or just was: its Desk is the one before. What was undone can't be redone
// after it.
func (h *UndoHistory) Do(s Step) {
	h.undo = append(h.undo, s)
	h.redo = nil
	h.trim()
}

// Undo takes the last step back. present is the desk as it is; the caller shows what the step says of it and then calls
// the step's Undo, if there is one.
func (h *UndoHistory) Undo(present Desk) (Step, bool) { return turn(&h.undo, &h.redo, present) }

// Redo does the step that was undone last once more; the caller shows what the step says and calls its Redo.
func (h *UndoHistory) Redo(present Desk) (Step, bool) { return turn(&h.redo, &h.undo, present) }

func turn(from, to *[]Step, present Desk) (Step, bool) {
	if len(*from) == 0 {
		return Step{}, false
	}
	s := (*from)[len(*from)-1]
	*from = (*from)[:len(*from)-1]
	other := s
	other.Desk = present
	*to = append(*to, other)
	return s, true
}

// trim drops the oldest steps that are beyond the limits.
func (h *UndoHistory) trim() {
	seen, painted := map[*picture.Reference]bool{}, map[any]bool{}
	bytes, keep := 0, 0
	for keep < len(h.undo) && keep < MaxSteps {
		s := h.undo[len(h.undo)-1-keep]
		for _, slots := range [][]Slot{s.Desk.Slots, s.Slots} {
			for _, slot := range slots {
				if slot.Ref != nil && slot.Ref.Image != nil && !seen[slot.Ref] {
					seen[slot.Ref] = true
					bytes += len(slot.Ref.Image.Pix)
				}
			}
		}
		if m := s.Desk.Edit.Mask.Painted; m != nil {
			bytes += m.Bytes(painted)
		}
		for _, b := range s.Desk.boards() {
			for _, l := range b.Layers {
				if cut := l.Cut.Painted; cut != nil && !painted[cut] {
					painted[cut] = true
					bytes += cut.Bytes(painted)
				}
			}
		}
		if bytes > MaxPictureBytes && keep > 0 {
			break
		}
		keep++
	}
	kept := make([]Step, keep) // so that what is dropped is freed
	copy(kept, h.undo[len(h.undo)-keep:])
	h.undo = kept
}
