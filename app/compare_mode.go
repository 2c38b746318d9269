package app

import (
	"fmt"
	"image"
	"slices"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// compareMode compares the picture on show, B, with another one, A: image 1, of which it was made, or any picture of
// the history. Both lie in one frame with one zoom: side by side, at a divider, or taking turns.
type compareMode struct {
	common
	host  compareHost
	panel *canvasPanel

	way     compareWay
	before  bool          // A is image 1 of the picture on show, whichever that is
	entry   history.Entry // A otherwise
	image   *image.RGBA   // of entry, nil before it was read
	reading uint64        // the ID of the entry that is to be A once it is read

	playing bool        // the pictures take turns by themselves
	cancel  func() bool // ends the wait for the next turn; nil if nothing waits

	left   *ui.PictureView // A, side by side with the panel's own view
	ways   []*ui.Button
	newer  *ui.Button
	older  *ui.Button
	image1 *ui.Button
	tools  *fyne.Container
	names  [2]*ui.Chip // of A and B
	chips  *fyne.Container
}

// compareWay is how two pictures are compared.
type compareWay int

const (
	sideBySide compareWay = iota
	atDivider
	byTurns
)

// turn is how long a picture stays if the two take turns by themselves.
const turn = 700 * time.Millisecond

// compareHost is what the mode asks of the window.
type compareHost interface {
	readEntry(e history.Entry) (*image.RGBA, error) // away from Fyne's goroutine
	pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu
	seen() bool // says whether anybody can see the canvas
	focus(o fyne.Focusable)
}

func newCompareMode(c common, panel *canvasPanel, host compareHost) *compareMode {
	m := &compareMode{common: c, host: host, panel: panel, way: atDivider, left: ui.NewPictureView()}
	m.left.Background = c.Loop.Background
	m.left.OnStep = m.step
	m.left.OnMenu = m.showMenu
	m.left.Hide()
	ui.Link(m.left, panel.view)
	for i, text := range []string{"Side by side", "Divider", "Blink"} {
		b := ui.NewButton(text, func() { m.look(compareWay(i)) })
		b.Passed = func() bool { return m.way != compareWay(i) }
		b.OnArrow = func(by int) {
			if next := i + by; next >= 0 && next < len(m.ways) {
				m.look(compareWay(next))
				host.focus(m.ways[next])
			}
		}
		m.ways = append(m.ways, b)
	}
	m.newer = ui.NewButton("‹ A", func() { m.step(-1) })
	m.older = ui.NewButton("A ›", func() { m.step(1) })
	m.image1 = ui.NewButton("Image 1", m.compareBefore)
	row := append(slices.Clone(m.ways), m.newer, m.older, m.image1)
	m.tools = ui.Arranged(func() fyne.Size { return ui.RowSize(row) }, func(fyne.Size) { ui.PlaceRow(row, 0, 0) })
	for _, b := range row {
		m.tools.Add(b)
	}
	m.names = [2]*ui.Chip{ui.NewChip(""), ui.NewChip("")}
	m.chips = ui.Arranged(ui.NoSize, m.placeChips, m.names[0], m.names[1])
	c.Album.Removed.Subscribe(m.removed)
	return m
}

func (m *compareMode) name() (text, key string)            { return "Compare", "B" }
func (m *compareMode) bar() fyne.CanvasObject              { return m.tools }
func (m *compareMode) over() fyne.CanvasObject             { return m.chips }
func (m *compareMode) picture() (*image.RGBA, image.Point) { return nil, image.Point{} }

// active says whether the canvas is in this mode.
func (m *compareMode) active() bool { return m.panel.mode == canvasMode(m) }

// offered says whether there are two pictures.
func (m *compareMode) offered() bool {
	p := m.panel
	return p.shown != nil && !p.previewing && (p.shown.Before != nil || m.neighbour(p.shown.ID, 1) >= 0)
}

func (m *compareMode) enter() bool {
	if m.reading == 0 && m.image == nil {
		m.choose(m.panel.shown)
	}
	m.playing = true
	return true
}

// choose takes as A what the artist most likely means beside a picture: what it was made of, or else the picture made
// before it.
func (m *compareMode) choose(shown *studio.Picture) {
	if shown.Before != nil {
		m.before, m.reading, m.image, m.entry = true, 0, nil, history.Entry{}
	} else if i := m.neighbour(shown.ID, 1); i >= 0 {
		m.compareWith(m.Album.Entries()[i])
	}
}

func (m *compareMode) leave() {
	m.rest()
	m.before, m.reading, m.image, m.entry = false, 0, nil, history.Entry{}
	m.panel.view.TakeTurns(false)
	m.panel.view.OnHold = nil
	m.left.SetFramed(image.Point{}, ui.Framed{}, ui.Framed{})
}

func (m *compareMode) first() fyne.Focusable { return m.panel.view }

func (m *compareMode) views() []*ui.PictureView { return []*ui.PictureView{m.left} }

// second is A's view, if A has one of its own.
func (m *compareMode) second() *ui.PictureView {
	if m.way != sideBySide {
		return nil
	}
	return m.left
}

// follow goes on with another picture on show. A stays, unless it is that picture, or image 1 and there is none.
func (m *compareMode) follow(shown *studio.Picture) bool {
	a := m.entry.ID
	if m.reading != 0 {
		a = m.reading
	}
	if m.before && shown.Before == nil || !m.before && a == shown.ID {
		if shown.Before == nil && m.neighbour(shown.ID, 1) < 0 {
			return false
		}
		m.before = false
		m.choose(shown)
	}
	return true
}

// look compares in another way.
func (m *compareMode) look(way compareWay) {
	m.way, m.playing = way, true
	m.panel.draw()
}

// compareBefore takes image 1 of the picture on show as A.
func (m *compareMode) compareBefore() {
	m.choose(m.panel.shown)
	m.panel.draw()
}

// compareWith takes a picture of the history as A, once it is read.
func (m *compareMode) compareWith(e history.Entry) {
	m.reading = e.ID
	m.Loop.Background(func() func() {
		img, err := m.host.readEntry(e)
		return func() {
			switch {
			case m.reading != e.ID: // another one was chosen since, or the mode was left
			case err != nil:
				m.reading = 0
				m.notice.fail(err)
				m.without()
			default:
				m.before, m.reading, m.entry, m.image = false, 0, e, img
				if m.active() {
					m.panel.draw()
				}
			}
		}
	})
}

// without goes on after A could not be read: with the A before, with image 1, or not at all.
func (m *compareMode) without() {
	switch {
	case !m.active() || m.a() != nil:
	case m.panel.shown.Before != nil:
		m.compareBefore()
	default:
		m.panel.leaveMode()
	}
}

// step takes the picture of the history as A that lies by places after A, or after B if A is image 1.
func (m *compareMode) step(by int) {
	if !m.active() || m.panel.shown == nil {
		return
	}
	from := m.panel.shown.ID
	switch {
	case m.reading != 0:
		from = m.reading
	case !m.before:
		from = m.entry.ID
	}
	if i := m.neighbour(from, by); i >= 0 {
		m.compareWith(m.Album.Entries()[i])
	}
}

// neighbour returns the place in the history of the entry after the one with the given ID, or before it if by is
// negative, that is not on show. If there is none on that side, it is the nearest on the other side; -1 if there is no
// other entry.
func (m *compareMode) neighbour(id uint64, by int) int {
	list := m.Album.Entries()
	at := 0
	for at < len(list) && list[at].ID != id { // an entry is large: none is copied
		at++
	}
	if at == len(list) {
		at = -1
	}
	for _, by := range []int{by, -by} {
		for i := at + by; i >= 0 && i < len(list); i += by {
			if list[i].ID != m.panel.shown.ID && list[i].ID != id {
				return i
			}
		}
	}
	return -1
}

// removed takes another A if its entry is gone.
func (m *compareMode) removed(id uint64) {
	if !m.active() || m.before || m.entry.ID != id {
		return
	}
	if shown := m.panel.shown; shown != nil && (shown.Before != nil || m.neighbour(shown.ID, 1) >= 0) {
		m.choose(shown)
		m.panel.draw()
	} else {
		m.panel.leaveMode()
	}
}

// a returns A as it is now, nil while it is read.
func (m *compareMode) a() *studio.Picture {
	switch shown := m.panel.shown; {
	case m.before && shown != nil && shown.Before != nil:
		return &studio.Picture{Image: shown.Before}
	case m.image != nil:
		return &studio.Picture{Image: m.image, Meta: m.entry.Picture, Path: m.entry.Path, ID: m.entry.ID}
	}
	return nil
}

// draw shows both pictures.
func (m *compareMode) draw() {
	shown, v := m.panel.shown, m.panel.view
	a := m.a()
	if a == nil {
		a = &studio.Picture{}
	}
	frame, atA, atB := studio.Frame(*a, *shown, m.before)
	framed := func(img *image.RGBA, at studio.Area) ui.Framed {
		return ui.Framed{Image: img, At: ui.Area{X: at.X, Y: at.Y, Width: at.Width, Height: at.Height}}
	}
	left, right := framed(a.Image, atA), framed(shown.Image, atB)
	v.TakeTurns(m.way == byTurns)
	if m.way == sideBySide {
		v.SetFramed(frame, right, ui.Framed{})
		m.left.SetFramed(frame, left, ui.Framed{})
		m.left.Follow(v)
	} else {
		v.SetFramed(frame, right, left)
		m.left.SetFramed(image.Point{}, ui.Framed{}, ui.Framed{})
	}
	v.OnHold = nil
	if m.way == byTurns {
		v.OnHold = m.flip
	}
	for i, b := range m.ways {
		b.SetChosen(m.way == compareWay(i))
	}
	m.image1.SetText("Image 1", "")
	if shown.Meta.Upscale != nil {
		m.image1.SetText("Source", "")
	}
	m.image1.SetDisabled(shown.Before == nil)
	m.image1.SetChosen(m.before)
	m.names[0].SetText(m.label("A", a))
	m.names[1].SetText(m.label("B", shown))
	m.takeTurn()
	m.chips.Refresh()
}

// label is what stands over a picture.
func (m *compareMode) label(letter string, p *studio.Picture) string {
	switch {
	case p.Image == nil:
		return letter + " · reading…"
	case letter == "A" && m.before && m.panel.shown.Meta.Upscale != nil:
		return letter + " · before it was enlarged"
	case letter == "A" && m.before:
		return letter + " · image 1"
	case m.panel.shown.Meta.Seed == m.entry.Picture.Seed && p.Meta.Prompt != "" && !m.before:
		return letter + " · " + shorten(p.Meta.Prompt, 40)
	}
	return fmt.Sprintf("%s · seed %d", letter, p.Meta.Seed)
}

// placeChips puts the names into the corners of their pictures: both if both are in sight.
func (m *compareMode) placeChips(size fyne.Size) {
	turnsToA := m.panel.view.ShowsBefore()
	ui.Show(m.names[0], m.way != byTurns || turnsToA)
	ui.Show(m.names[1], m.way != byTurns || !turnsToA)
	v := m.panel.view
	pos, drawn := v.Placed()
	room := v.Size()
	left, top := max(pos.X, 0)+ui.Gap, max(pos.Y, 0)+ui.Gap
	right := min(pos.X+drawn.Width, room.Width) - ui.Gap
	for i, c := range m.names {
		x, most := left, right-left
		switch {
		case m.way == sideBySide && i == 1:
			x += v.Position().X
		case m.way == atDivider:
			if most = (most - ui.Gap) / 2; i == 1 {
				x = right - min(c.MinSize().Width, most)
			}
		}
		ui.At(c, x, top, min(c.MinSize().Width, max(most, 0)), c.MinSize().Height)
	}
}

// flip shows A, of two that take turns, while the user holds the space bar or the pointer's button, and then B.
func (m *compareMode) flip(toA bool) {
	m.playing = false
	m.rest()
	m.panel.view.ShowBefore(toA)
	m.chips.Refresh()
}

// takeTurn has the pictures take turns, as long as anybody looks: a timer costs nothing else.
func (m *compareMode) takeTurn() {
	m.rest()
	if !m.active() || m.way != byTurns || !m.playing || !m.panel.view.Comparing() || !m.host.seen() {
		return
	}
	m.cancel = m.Loop.After(turn, func() {
		m.cancel = nil
		m.panel.view.ShowBefore(!m.panel.view.ShowsBefore())
		m.chips.Refresh()
		m.takeTurn()
	})
}

// rest ends the wait for the next turn.
func (m *compareMode) rest() {
	if m.cancel != nil {
		m.cancel()
		m.cancel = nil
	}
}

func (m *compareMode) showMenu(pos fyne.Position) {
	if a := m.a(); a != nil && a.ID != 0 {
		ui.ShowMenu(m.left, m.host.pictureMenu(*a, false), pos)
	}
}
