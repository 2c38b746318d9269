package app

import (
	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/look"
)

// boardBar is the bar of tools over the board: what is done to the picture that is chosen, what comes to the board, and
// how the board becomes image 1. In a narrow window the middle group goes: the menu and keys do the same.
type boardBar struct {
	mode    *boardMode
	layer   []*ui.Button // what is done to the picture that is chosen
	add     *ui.Button
	size    *ui.Button
	ground  *ui.Button
	use     *ui.Button
	content *fyne.Container
}

func newBoardBar(m *boardMode) *boardBar {
	b := &boardBar{mode: m}
	mirror := ui.NewIconButton(fyne.NewStaticResource("flip-across.svg", look.FlipAcross), m.mirror)
	turn := ui.NewIconButton(fyne.NewStaticResource("turn-right.svg", look.TurnRight), m.turn)
	b.layer = []*ui.Button{
		toolButton("cut", m.startCut).Says("Cut it out with the brush (X)"),
		mirror.Says("Mirror it (H)"), turn.Says("Turn it by a quarter (R)"),
		toolButton("raise", func() { m.raise(1) }).Says("One up (Page Up)"),
		toolButton("lower", func() { m.raise(-1) }).Says("One down (Page Down)"),
		toolButton("duplicate", m.duplicate).Says("Another copy of it (D)"),
		toolButton("bin", m.remove).Says("Take it off the board (Delete)"),
	}
	oneStop(b.layer, m.host.focus)
	b.add = toolButton("add", m.browse).Says("Place pictures on the board (A)")
	b.size = ui.NewButton("", func() { m.showBelow(b.size, m.sizeMenu()) }).Says("How large the board is")
	b.ground = ui.NewButton("", func() { m.showBelow(b.ground, m.groundMenu()) }).Says("What lies below the pictures")
	b.size.Drops, b.ground.Drops = true, true
	oneStop([]*ui.Button{b.add, b.size, b.ground}, m.host.focus)
	b.use = ui.NewButton("Use as image 1", m.use).Says("Make the picture of the board at full size (Enter)")
	var layer []fyne.CanvasObject
	for _, o := range b.layer {
		layer = append(layer, o)
	}
	b.content = ui.NewBar(layer, []fyne.CanvasObject{b.add, b.size, b.ground}, []fyne.CanvasObject{b.use})
	return b
}

// oneStop has the Tab key stop once in a group of buttons, at the one that was reached last by the arrow keys.
func oneStop(buttons []*ui.Button, focus func(fyne.Focusable)) {
	at := 0
	for i, b := range buttons {
		b.Passed = func() bool { return at != i }
		b.OnArrow = func(by int) {
			at = (i + by + len(buttons)) % len(buttons)
			focus(buttons[at])
		}
	}
}

// refresh shows what can be done now.
func (b *boardBar) refresh() {
	m := b.mode
	if m.board == nil {
		return
	}
	_, _, chosen := m.board.Layer(m.chosen)
	for _, o := range b.layer {
		o.SetDisabled(!chosen)
	}
	b.size.SetText(times(m.board.Size), "")
	b.ground.SetText(groundName(m.board.Ground), "")
	text, tip := "Use as image 1", "Make the picture of the board at full size (Enter)"
	switch {
	case m.using != nil:
		text, tip = "Cancel", "Give the picture of the board up (Esc)"
	case m.inUse():
		text, tip = "Is image 1", "Image 1 is what is on the board"
	}
	b.use.Says(tip)
	b.use.Accent = m.using == nil && !m.inUse()
	b.use.SetText(text, "")
	b.use.Refresh()
	b.content.Refresh()
	m.host.boardChanged()
}
