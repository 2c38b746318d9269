package app

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// restorePicture brings back the settings of a picture that was made.
func (s *session) restorePicture(p studio.Picture) {
	if p.Meta.Edit == nil || p.Meta.Edit.Mask == nil {
		s.restore(p.Meta, studio.Mask{})
		return
	}
	store := s.Album.Store()
	s.Loop.Background(func() func() {
		mask := s.findMask(store, p.Meta, p.Path)
		return func() { s.restore(p.Meta, mask) }
	})
}

// usePrompt puts the prompt of a picture on the desk, and nothing else of it.
func (s *session) usePrompt(text string) {
	s.overwrite("The picture's prompt is back.", func() { s.prompt.setText(text) })
}

// useSeed takes the seed of a picture for the next one, and locks it.
func (s *session) useSeed(seed uint64) {
	s.Desk.Change(func() {
		s.shape.setSeed(strconv.FormatUint(seed, 10))
		s.shape.setLocked(true)
	})
}

// findMask returns the mask of a picture's edit, away from Fyne's goroutine: its file, if the history knows it or it
// lies beside the picture, or else what the picture's own file holds of it. It returns the zero value if there is none.
func (s *session) findMask(store *history.Store, meta picture.Metadata, path string) studio.Mask {
	if meta.Edit == nil || meta.Edit.Mask == nil {
		return studio.Mask{}
	}
	m := *meta.Edit.Mask
	if m.Alpha {
		return studio.Mask{Alpha: true}
	}
	if file, err := store.FindReference(s.Loop.Closing, m.File, filepath.Dir(path)); err == nil {
		return studio.Mask{Path: file, Digest: m.File.SHA256}
	}
	levels := m.Levels
	if levels == nil && path != "" {
		levels, _ = m.ReadMaskFile(path) // without it the user is told that the mask is missing
	}
	if levels == nil || s.Keeper.Store() == nil {
		return studio.Mask{}
	}
	mask, err := s.Keeper.Store().KeepMask(levels)
	if err != nil {
		return studio.Mask{}
	}
	return mask
}

// restore brings back the settings of a picture: prompt, seed, size, numbers, references, adapters, and its edit with
// its mask. The seed is that of the next picture only: it is not locked.
func (s *session) restore(meta picture.Metadata, mask studio.Mask) {
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
		hasFirst := false
		for i, r := range meta.References[:min(len(meta.References), inference.MaxReferences)] {
			slot, ok := s.whereIs(r)
			if !ok {
				missing = append(missing, fmt.Sprintf("image %d (%s)", i+1, studio.Slot{Path: r.Path}.Name()))
				continue
			}
			hasFirst = hasFirst || i == 0
			slots = append(slots, slot)
		}
		edit := studio.EditOf(meta.Edit)
		if meta.Edit != nil && meta.Edit.Mask != nil && mask.None() {
			missing = append(missing, "the mask")
		}
		if edit.Mask = mask; hasFirst && !mask.None() {
			edit.Mask.Of, edit.Mask.Area = slots[0], studio.AreaOf(meta.Edit)
		}
		// The pictures are read again: the files may have changed.
		s.Desk.Choose(func(d *studio.Desk) {
			d.Slots, d.Edit = slots, edit
			d.RestoreLoRAs(meta.LoRAs, s.LoRAs.Names())
		})
		s.advanced.edit.lay(s.Desk.Desk())
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
		return studio.Slot{Path: r.Path, Digest: r.SHA256, Arrangement: r.Arrangement}, true
	}
	slot = studio.Slot{Digest: r.SHA256, Arrangement: r.Arrangement}
	return slot, s.Keeper.Store() != nil && s.Keeper.Store().Has(slot)
}
