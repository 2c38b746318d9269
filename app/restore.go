package app

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// restore brings back the settings of a picture: prompt, seed, size, numbers and references. The seed is that of the
// next picture only: it is not locked.
func (s *session) restore(meta picture.Metadata) {
	var missing []string
	s.overwrite("The picture's settings are back.", func() {
		s.prompt.setText(meta.Prompt)
		s.shape.setSeed(strconv.FormatUint(meta.Seed, 10))
		s.shape.setLocked(false)
		s.shape.asked = true
		s.advanced.setNumbers(meta.Steps, meta.Guidance)
		if size := (picture.Size{Width: meta.Width, Height: meta.Height}); size.Check() == nil {
			s.shape.setSize(size)
		}
		var slots []studio.Slot
		for i, r := range meta.References[:min(len(meta.References), inference.MaxReferences)] {
			slot, ok := s.whereIs(r)
			if !ok {
				missing = append(missing, fmt.Sprintf("image %d (%s)", i+1, studio.Slot{Path: r.Path}.Name()))
				continue
			}
			slots = append(slots, slot)
		}
		s.Desk.Choose(func(d *studio.Desk) { d.Slots = slots }) // which are read again: the files may have changed
	})
	if len(missing) > 0 {
		s.notice.Say("Where "+strings.Join(missing, " and ")+" lies is not known: add it again.", s.undoAction())
	}
	s.view.refresh()
}

// whereIs finds the file of a reference: at the path that the history or locate gives, or among the pictures that were
// pasted.
func (s *session) whereIs(r picture.ReferenceFile) (slot studio.Slot, ok bool) {
	if filepath.IsAbs(r.Path) {
		return studio.Slot{Path: r.Path, Digest: r.SHA256}, true
	}
	slot = studio.Slot{Digest: r.SHA256}
	return slot, s.Keeper.Store() != nil && s.Keeper.Store().Has(slot)
}
