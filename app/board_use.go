package app

import (
	"context"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// inUse says whether image 1 is what is on the board.
func (m *boardMode) inUse() bool {
	slots := m.Desk.Desk().Slots
	return m.board != nil && len(slots) > 0 && slots[0].Board != nil && slots[0].Board.Same(m.board)
}

// use makes the picture of the board at its full resolution and puts it into slot 1, as soon as what was asked of a
// cut-out is done. While that is under way, it gives it up.
func (m *boardMode) use() {
	if m.using != nil {
		m.stopUse()
		m.host.boardUsed(false)
		return
	}
	m.flush()
	if m.empty() {
		m.notice.Say("There is nothing on the board yet: drop a picture on it.")
		return
	}
	ctx, stop := context.WithCancel(m.Loop.Closing)
	m.using = stop
	m.tools.refresh()
	if m.waiting = m.working(); !m.waiting {
		m.compose(ctx)
	}
}

// working says whether something that was asked of a cut-out is not on the desk yet.
func (m *boardMode) working() bool { return m.cut.working() || len(m.turns) > 0 }

// goOn begins the composition that waits for a cut-out, if nothing is left to do.
func (m *boardMode) goOn() {
	if !m.waiting || m.working() {
		return
	}
	if m.stopUse(); m.empty() {
		m.host.boardUsed(false)
		return
	}
	m.use()
}

// empty says whether nothing lies on the board, or there is none.
func (m *boardMode) empty() bool {
	b := m.Desk.Desk().Board
	return b == nil || len(b.Layers) == 0
}

// compose makes the picture of the board away from Fyne's goroutine.
func (m *boardMode) compose(ctx context.Context) {
	b, store := m.Desk.Desk().Board, m.Keeper.Store()
	m.Loop.Background(func() func() {
		file, err := store.Compose(ctx, b)
		return func() {
			if ctx.Err() != nil {
				return // it was given up
			}
			m.stopUse()
			if err != nil {
				m.notice.fail(err)
			} else {
				m.used(file, b)
			}
			m.host.boardUsed(err == nil)
		}
	})
}

// stopUse ends the composition.
func (m *boardMode) stopUse() {
	m.using()
	m.using, m.waiting = nil, false
	m.tools.refresh()
}

// used puts the picture that was made of a board into slot 1.
func (m *boardMode) used(file []byte, b *studio.Board) {
	m.Desk.Change(func() {
		m.Reader.Compose(file, b)
		m.host.layEdit()
	})
	actions := []ui.Action{m.undoAction()}
	text := "Image 1 is what is on the board."
	if b.Ground == "" {
		text += " What is empty can be painted."
		actions = append([]ui.Action{{Text: "Paint what is empty", Do: func() { m.paintEmpty(b) }}}, actions...)
	}
	m.notice.Say(text, actions...)
	m.tools.refresh()
	if m.on { // or else something else is being done by now
		m.host.toPrompt()
	}
}

// paintEmpty has the next picture paint what a board has left empty that image 1 was made of: the mask is the
// transparency of image 1.
func (m *boardMode) paintEmpty(b *studio.Board) {
	if slots := m.Desk.Desk().Slots; len(slots) == 0 || slots[0].Board == nil || !slots[0].Board.Same(b) {
		m.notice.Say("Image 1 is another picture by now.")
		return
	}
	if m.hasMargins() {
		return
	}
	m.Desk.Choose(func(d *studio.Desk) {
		of := d.Slots[0]
		of.Ref = nil
		d.Edit.Mask = studio.Mask{Alpha: true, Of: of}
	})
	m.host.layEdit()
}

// openBoard opens the board that a picture was made of.
func (s *session) openBoard(b *studio.Board) {
	s.leaveGallery()
	s.Desk.Choose(func(d *studio.Desk) { d.Board = b })
	if s.view.mode != canvasMode(s.board) {
		s.view.enterMode(s.board)
	}
}

// placeOnBoard places a picture on the board. If there is none, one is begun with what is on the desk.
func (s *session) placeOnBoard(slot studio.Slot) {
	s.leaveGallery()
	fresh := s.Desk.Desk().Board == nil
	if s.view.mode != canvasMode(s.board) {
		if s.view.enterMode(s.board); s.view.mode != canvasMode(s.board) {
			return
		}
	}
	for _, l := range s.Desk.Desk().Board.Layers {
		if fresh && l.Picture.SameFile(slot) {
			s.board.choose(l.ID) // the board was begun with it
			return
		}
	}
	s.board.addSlots([]studio.Slot{slot}, nil)
}
