package app

import (
	"image"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// boardTurn is a turn of a picture on the board that was asked for.
type boardTurn struct {
	id   int
	of   studio.Slot                   // the picture, which may be arranged in another way by then
	cut  func(*paint.Mask) *paint.Mask // does the same to what is cut out of it
	turn func(*studio.Layer)           // all but that
}

// mirror mirrors the picture that is chosen from left to right.
func (m *boardMode) mirror() {
	m.turnCut((*paint.Mask).Mirrored, func(l *studio.Layer) {
		l.Picture.Arrangement = l.Picture.Arrangement.MirrorAcross()
	})
}

// turn turns the picture that is chosen clockwise by a quarter.
func (m *boardMode) turn() {
	m.turnCut((*paint.Mask).Turned, func(l *studio.Layer) {
		l.Picture.Arrangement = l.Picture.Arrangement.Turn(1)
		l.Size = picture.Size{Width: l.Size.Height, Height: l.Size.Width}
		l.At = around(l.At, image.Pt(l.At.Dy(), l.At.Dx()))
	})
}

// turnCut changes the picture that is chosen, and what is cut out of it in the same way, after all turns that were
// asked for before.
func (m *boardMode) turnCut(cut func(*paint.Mask) *paint.Mask, turn func(*studio.Layer)) {
	m.flush()
	l, _, ok := m.board.Layer(m.chosen)
	if !ok {
		return
	}
	m.turns = append(m.turns, boardTurn{l.ID, l.Picture, cut, turn})
	m.nextTurn()
}

// nextTurn does the first of the turns, away from Fyne's goroutine if something is cut out of the picture: that takes
// some tenths of a second for a large one. If the picture changes meanwhile, such as by undo, it is done again. Nothing
// comes of it if the picture has gone.
func (m *boardMode) nextTurn() {
	if m.turnsNow || len(m.turns) == 0 {
		m.goOn()
		return
	}
	t := m.turns[0]
	l, _, there := m.Desk.Desk().Board.Layer(t.id)
	if !there || !l.Picture.SameFile(t.of) {
		m.endTurn(nil)
		return
	}
	if l.Cut.None() {
		m.endTurn(func() { m.changeLayer(t.id, t.turn) })
		return
	}
	m.turnsNow = true
	ctx, store := m.Loop.Closing, m.Keeper.Store()
	m.Loop.Background(func() func() {
		mask, err := store.CutOf(ctx, l)
		if err == nil {
			mask = t.cut(mask)
		}
		return func() {
			m.turnsNow = false
			if m.endTurning(); m.moved == t.id {
				m.frame.Settle()
			}
			now, _, there := m.Desk.Desk().Board.Layer(t.id)
			switch {
			case err != nil:
				m.endTurn(func() { m.notice.fail(err) })
			case !there || !now.Cut.Is(l.Cut) || !now.Picture.Same(l.Picture):
				m.nextTurn()
			default:
				m.endTurn(func() {
					m.changeLayer(t.id, func(l *studio.Layer) {
						t.turn(l)
						l.Cut = l.Cut.WithPainted(mask, studio.Slot{})
					})
				})
			}
		}
	})
}

// endTurn takes the first of the turns off the list, does what comes of it, and goes on with the next one.
func (m *boardMode) endTurn(do func()) {
	m.turns = m.turns[1:]
	if do != nil {
		do()
	}
	m.nextTurn()
}
