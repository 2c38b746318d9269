package ui

import "fyne.io/fyne/v2"

// selection is which items of a list are chosen, and where the keyboard is. Ranges go from the anchor to the cursor, as
// in file managers.
type selection struct {
	ids            []uint64 // of the list
	chosen         map[uint64]bool
	cursor, anchor int // indices; -1 for none
}

func newSelection() selection { return selection{chosen: map[uint64]bool{}, cursor: -1, anchor: -1} }

// set replaces the list. What is not in it any more is not chosen any more; cursor and anchor stay at their items.
func (s *selection) set(ids []uint64) {
	at := func(i int) uint64 {
		if i < 0 {
			return 0
		}
		return s.ids[i]
	}
	cursor, anchor, chosen := at(s.cursor), at(s.anchor), s.chosen
	s.ids, s.chosen = ids, map[uint64]bool{}
	beside := min(s.cursor, len(ids)-1) // where the cursor goes if its item is gone
	s.cursor, s.anchor = -1, -1
	for i, id := range ids {
		if chosen[id] {
			s.chosen[id] = true
		}
		if cursor != 0 && id == cursor {
			s.cursor = i
		}
		if anchor != 0 && id == anchor {
			s.anchor = i
		}
	}
	if cursor != 0 && s.cursor < 0 {
		s.cursor = beside
		s.anchor = beside
	}
}

// only chooses one item, -1 for none.
func (s *selection) only(i int) {
	s.chosen = map[uint64]bool{}
	if i >= 0 {
		s.chosen[s.ids[i]] = true
	}
	s.cursor, s.anchor = i, i
}

// toggle chooses an item beside the others, or no longer.
func (s *selection) toggle(i int) {
	if id := s.ids[i]; s.chosen[id] {
		delete(s.chosen, id)
	} else {
		s.chosen[id] = true
	}
	s.cursor, s.anchor = i, i
}

// extend chooses the items from the anchor to i, and beside them others if keep is true.
func (s *selection) extend(i int, keep bool) {
	if s.anchor < 0 {
		s.anchor = max(s.cursor, 0)
	}
	if !keep {
		s.chosen = map[uint64]bool{}
	}
	for k := min(s.anchor, i); k <= max(s.anchor, i); k++ {
		s.chosen[s.ids[k]] = true
	}
	s.cursor = i
}

func (s *selection) all() {
	for _, id := range s.ids {
		s.chosen[id] = true
	}
}

// click is what a click with keys held down does to an item.
func (s *selection) click(i int, keys fyne.KeyModifier) {
	ctrl, shift := keys&fyne.KeyModifierShortcutDefault != 0, keys&fyne.KeyModifierShift != 0
	switch {
	case shift:
		s.extend(i, ctrl)
	case ctrl:
		s.toggle(i)
	default:
		s.only(i)
	}
}

// list returns the chosen items in the order of the list.
func (s *selection) list() (ids []uint64) {
	if len(s.chosen) == 0 {
		return nil
	}
	for _, id := range s.ids {
		if s.chosen[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
