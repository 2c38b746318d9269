package app

import (
	"context"
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// boardMode is the mode of the canvas in which pictures are placed roughly on a board, to become image 1. The board on
// the desk is the one that counts: each change goes there as a step, and what changes there, such as by undo, is shown
// here. A picture is cut out in the same mode, by the tools of the mask.
type boardMode struct {
	common
	host  boardHost
	view  *ui.PictureView
	pile  *ui.Pile
	frame *ui.Frame // around the picture that is chosen
	tools *boardBar
	looks *boardLooks
	cut   *maskMode
	above *fyne.Container // what lies over the view: pile and frame, or what cuts out
	bars  *fyne.Container

	on       bool
	board    *studio.Board // that is shown
	chosen   int           // the ID of a layer, 0 for none
	moved    int           // that of the layer whose move or scaling is not on the desk yet, 0 for none
	cutting  bool          // the picture that is chosen is cut out
	turns    []boardTurn   // that were asked for and are not done yet
	turnsNow bool          // the first of them is being done
	ground   boardGround
	using    context.CancelFunc // ends the composition that is under way; nil if none is
	waiting  bool               // the composition begins when what was asked of the cut-out is done
	turning  func() bool        // stops the clock after which what the wheel did becomes a step; nil if it did nothing
}

// boardHost is what the mode asks of the window.
type boardHost interface {
	maskHost
	pickPictures(chosen func(paths []string))
	shownFile() (file studio.Slot, size picture.Size) // of the finished picture on show; without a path if it has none
	addLoRAs(paths []string)
	toPrompt()         // goes to the prompt
	boardUsed(ok bool) // the board became image 1, or did not
	boardChanged()     // the mode has other tools now
}

func newBoardMode(c common, view *ui.PictureView, host boardHost) *boardMode {
	m := &boardMode{common: c, host: host, view: view, pile: ui.NewPile(view), frame: ui.NewFrame(view)}
	m.looks = newBoardLooks(c, m.arrange)
	m.frame.OnChanged, m.frame.OnReleased = m.dragging, m.released
	m.frame.OnPress, m.frame.OnKey, m.frame.OnWheel, m.frame.OnMenu = m.press, m.key, m.wheel, m.showMenu
	m.frame.Rules.Least = image.Pt(16, 16)
	m.cut = newMaskMode(c, view, cutHost{host, m.endCut, m.goOn})
	m.tools = newBoardBar(m)
	m.above = container.NewStack(m.pile.Content, m.frame, m.cut.layer.content)
	m.bars = ui.Arranged(m.barSize, m.placeBar, m.tools.content, m.cut.tools.content)
	m.face()
	c.Desk.Chosen.Subscribe(m.follow)
	c.Desk.Settling.Subscribe(m.flush)
	return m
}

// face shows the board with its tools, or the picture that is cut out with those of a mask.
func (m *boardMode) face() {
	for _, o := range []fyne.CanvasObject{m.pile.Content, m.frame, m.tools.content} {
		ui.Show(o, !m.cutting)
	}
	for _, o := range []fyne.CanvasObject{m.cut.layer.content, m.cut.tools.content} {
		ui.Show(o, m.cutting)
	}
}

// cutHost is the window for what cuts a picture out: it goes back to the board instead of leaving the mode, and tells
// the board when all that was asked of the cut-out is done.
type cutHost struct {
	maskHost
	end, done func()
}

func (h cutHost) leaveMode() { h.end() }

func (h cutHost) maskDone() {
	h.done()
	h.maskHost.maskDone()
}

func (m *boardMode) name() (text, key string) { return "Board", "P" }
func (m *boardMode) bar() fyne.CanvasObject   { return m.bars }
func (m *boardMode) over() fyne.CanvasObject  { return m.above }

// offered says whether there is a board, or something to begin one with.
func (m *boardMode) offered() bool {
	d := m.Desk.Desk()
	return d.Board != nil || len(d.Slots) > 0 || m.host.finishedShown()
}

func (m *boardMode) first() fyne.Focusable {
	if m.cutting {
		return m.cut.layer
	}
	return m.frame
}

// picture is the ground of the board, or the picture that is cut out.
func (m *boardMode) picture() (*image.RGBA, image.Point) {
	if m.board == nil {
		return nil, image.Point{}
	}
	if l, _, ok := m.board.Layer(m.chosen); ok && m.cutting {
		if m.cut.photo != nil {
			return m.cut.photo, m.cut.size
		}
		return m.looks.whole(l), image.Pt(l.Size.Width, l.Size.Height) // small, until it was read large
	}
	size := m.board.Size
	return m.ground.image(m.board), image.Pt(size.Width, size.Height)
}

func (m *boardMode) barSize() fyne.Size {
	if m.cutting {
		return m.cut.tools.content.MinSize()
	}
	return m.tools.content.MinSize()
}

func (m *boardMode) placeBar(size fyne.Size) {
	m.tools.content.Resize(size)
	m.cut.tools.content.Resize(size)
}

// enter shows the board of the desk. If there is none, it begins one with the pictures in the slots, or with the one on
// show.
func (m *boardMode) enter() bool {
	if m.Desk.Desk().Board == nil {
		b := m.begun()
		if b == nil {
			return false
		}
		m.Desk.Choose(func(d *studio.Desk) { d.Board = b })
	}
	m.on, m.cutting = true, false
	m.face()
	m.view.OnPlaced = m.placed
	m.board = nil
	m.show(m.Desk.Desk().Board)
	return true
}

// share is how much of the board's sides a picture takes that comes to it, at most.
const share = 0.5

// begun returns a board with the pictures in the slots: image 1 as large as there is room for, the others over it. If
// all slots are empty, it has the picture on show. It returns nil if nothing of that has been read yet, which it says.
func (m *boardMode) begun() *studio.Board {
	slots := m.Desk.Desk().Slots
	if len(slots) == 0 {
		file, size := m.host.shownFile()
		if file.Path == "" {
			return nil
		}
		b := &studio.Board{Size: size, Ground: firstGround}
		b, _ = b.Adds(studio.Layer{Picture: file, Size: size, At: b.Placed(size, 1)}, studio.MaxLayers)
		return b
	}
	if slots[0].Ref == nil {
		m.notice.Say("Image 1 is still being read: a moment.")
		return nil
	}
	b := &studio.Board{Size: m.size(slots[0]), Ground: firstGround}
	for i, s := range slots {
		if s.Ref == nil {
			continue
		}
		l := studio.Layer{Picture: s, Size: s.Ref.Original}
		if l.At = b.Placed(l.Size, share); i == 0 {
			l.At = b.Filling(l.Size)
		}
		b, _ = b.Adds(l, studio.MaxLayers)
	}
	return b
}

// size is that of a new board: image 1's own if the next picture is to match it, or else that of the next picture.
func (m *boardMode) size(image1 studio.Slot) picture.Size {
	if size, ok := m.outputSize(); ok && m.Desk.Desk().Aspect != picture.Match {
		return size
	}
	return image1.Ref.Original
}

// outputSize is the size of the next picture, if it is known.
func (m *boardMode) outputSize() (picture.Size, bool) {
	req, err := m.Request()
	if err != nil {
		return picture.Size{}, false
	}
	return req.Size(), true
}

func (m *boardMode) leave() {
	m.flush()
	if m.cutting {
		m.cut.leave()
	}
	m.on, m.cutting, m.board = false, false, nil
	m.frame.Set(image.Rectangle{})
	m.pile.Set(nil)
	m.looks.clear()
	m.view.OnPlaced = nil
	m.view.SetRoom(image.Rectangle{})
}

// back takes back one thing inside of the mode, and says whether there was one: the composition that is under way, or
// the cutting out.
func (m *boardMode) back() bool {
	switch {
	case !m.on:
		return false
	case m.using != nil:
		m.stopUse()
		m.host.boardUsed(false)
	case m.cutting:
		m.endCut()
	default:
		return false
	}
	return true
}

// follow shows the board that is on the desk now.
func (m *boardMode) follow() {
	if !m.on {
		return
	}
	switch b := m.Desk.Desk().Board; {
	case b == nil:
		m.host.leaveMode()
	case b != m.board && !m.frame.Held():
		m.show(b)
	default:
		m.tools.refresh() // image 1 may be another one
	}
}

// show shows a board.
func (m *boardMode) show(b *studio.Board) {
	m.dropTurning()
	m.moved = 0
	before := m.board
	m.board = b
	if _, _, ok := b.Layer(m.chosen); !ok {
		m.chosen = 0
		if m.cutting {
			m.endCut()
		}
	}
	m.looks.want(b)
	m.rules()
	m.arrange()
	m.tools.refresh()
	if m.cutting {
		return
	}
	all := image.Rect(0, 0, b.Size.Width, b.Size.Height)
	m.view.SetRoom(all.Inset(-max(all.Dx(), all.Dy()) / 24)) // to take hold of what reaches beyond
	if before != nil && (before.Size != b.Size || before.Ground != b.Ground) {
		m.host.redraw()
	}
}

// rules tell the frame how the picture that is chosen may be moved.
func (m *boardMode) rules() {
	l, _, ok := m.board.Layer(m.chosen)
	rules := &m.frame.Rules
	rules.Pull = image.Rect(0, 0, m.board.Size.Width, m.board.Size.Height)
	rules.Allows = l.Fits
	if rules.Ratio = 0; ok {
		rules.Ratio = float64(l.Size.Width) / float64(l.Size.Height)
	}
}

// arrange draws the pictures where they lie, and the frame around the one that is chosen.
func (m *boardMode) arrange() {
	if !m.on || m.board == nil {
		return
	}
	l, _, ok := m.board.Layer(m.chosen)
	switch {
	case !ok || m.cutting:
		m.frame.Set(image.Rectangle{})
	case !m.frame.Held() && m.turning == nil:
		m.frame.Set(l.At)
	}
	m.label()
	m.pileUp()
}

// pileUp draws the pictures. The one that is being moved lies where its frame is.
func (m *boardMode) pileUp() {
	var list []ui.Piled
	if !m.cutting {
		for _, l := range m.board.Layers {
			at := l.At
			if l.ID == m.chosen && !m.frame.Rect().Empty() {
				at = m.frame.Rect()
			}
			list = append(list, ui.Piled{Key: l.ID, Image: m.looks.of(l), At: ui.Area{
				X: float32(at.Min.X), Y: float32(at.Min.Y), Width: float32(at.Dx()), Height: float32(at.Dy()),
			}})
		}
	}
	m.pile.Set(list)
}

// pullReach is how near an edge of a picture comes to one of the board, in points, before it is drawn there.
const pullReach = 7

// placed draws everything where the view has its picture now.
func (m *boardMode) placed() {
	if s := m.view.CurrentScale(); s > 0 {
		m.frame.Rules.Near = int(pullReach / s)
	}
	m.pile.Place()
	m.frame.Place()
}

// dragging follows the frame that the pointer or a key moves. What the wheel did before becomes one step with that.
func (m *boardMode) dragging() {
	m.dropTurning()
	m.moving()
}

// moving follows the frame.
func (m *boardMode) moving() {
	m.moved = m.chosen
	m.label()
	m.pileUp()
}

// released writes what the pointer or the keys did to the desk, and shows what came to the board meanwhile.
func (m *boardMode) released() {
	if m.turning == nil {
		m.settled()
	}
	m.follow()
}

// settled writes the place of the frame to the desk, for the picture that was moved. If that is another picture by now,
// or turned, the place is not for it.
func (m *boardMode) settled() {
	id, at := m.moved, m.frame.Rect()
	m.moved = 0
	was, _, shown := m.board.Layer(id)
	now, _, there := m.Desk.Desk().Board.Layer(id)
	if shown && there && now.Picture.Same(was.Picture) {
		m.changeLayer(id, func(l *studio.Layer) { l.At = at })
	}
}

// flush makes a step of what the wheel, the pointer or the keys are doing to a picture, if anything is under way.
func (m *boardMode) flush() {
	m.endTurning()
	m.frame.Settle()
}

// change changes the picture that is chosen, as a step.
func (m *boardMode) change(do func(*studio.Layer)) {
	m.flush()
	m.changeLayer(m.chosen, do)
}

// changeLayer changes a picture, as a step.
func (m *boardMode) changeLayer(id int, do func(*studio.Layer)) {
	m.Desk.Choose(func(d *studio.Desk) {
		if d.Board != nil {
			d.Board = d.Board.Changes(id, do)
		}
	})
}

// choose chooses a picture, 0 for none.
func (m *boardMode) choose(id int) {
	m.flush()
	if m.chosen == id {
		return
	}
	m.chosen = id
	m.rules()
	m.arrange()
	m.tools.refresh()
}

// press chooses what lies at a place in the view.
func (m *boardMode) press(pos fyne.Position) {
	if m.flush(); m.board != nil {
		m.choose(m.at(pos))
	}
}

// at returns the highest picture at a place in the view that is not transparent there, 0 for none.
func (m *boardMode) at(pos fyne.Position) int {
	x, y := m.view.ToPicture(pos)
	for i := len(m.board.Layers) - 1; i >= 0; i-- {
		l := m.board.Layers[i]
		if image.Pt(int(x), int(y)).In(l.At) && m.looks.seen(l, x, y) {
			return l.ID
		}
	}
	return 0
}
