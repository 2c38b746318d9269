package app

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// grounds are what a board may have below its pictures.
var grounds = []struct{ name, colour string }{
	{"White", "#ffffff"}, {"Light grey", "#c0c0c0"}, {"Grey", "#808080"}, {"Black", "#000000"}, {"Empty", ""},
}

// firstGround is that of a new board.
const firstGround = "#ffffff"

// groundName names a ground for people.
func groundName(colour string) string {
	for _, g := range grounds {
		if g.colour == colour {
			return g.name
		}
	}
	return colour
}

// boardGround is the picture of a board's ground.
type boardGround struct {
	of      string
	size    picture.Size
	squares [2]color.Color
	img     *image.RGBA
}

// image returns a picture of the ground, which is drawn as large as the board: a colour, or squares if it is empty.
func (g *boardGround) image(b *studio.Board) *image.RGBA {
	squares := [2]color.Color{theme.Color(ui.ColorPanel), theme.Color(ui.ColorLine)}
	if g.img != nil && g.of == b.Ground && g.size == b.Size && g.squares == squares {
		return g.img
	}
	*g = boardGround{of: b.Ground, size: b.Size, squares: squares}
	if b.Ground != "" {
		c, _ := studio.GroundColour(b.Ground) // a board has none that cannot be read
		g.img = image.NewRGBA(image.Rect(0, 0, 1, 1))
		g.img.Set(0, 0, c)
		return g.img
	}
	const across, side = 40, 16 // squares along the longer side; pixels of one, so that scaling leaves its edges sharp
	cell := float64(max(b.Size.Width, b.Size.Height)) / across
	g.img = image.NewRGBA(image.Rect(0, 0, max(int(float64(b.Size.Width)/cell*side), 1),
		max(int(float64(b.Size.Height)/cell*side), 1)))
	for y := 0; y < g.img.Rect.Max.Y; y += side {
		for x := 0; x < g.img.Rect.Max.X; x += side {
			c := image.NewUniform(squares[(x/side+y/side)%2])
			draw.Draw(g.img, image.Rect(x, y, x+side, y+side), c, image.Point{}, draw.Src)
		}
	}
	return g.img
}

// browse asks for pictures to place on the board.
func (m *boardMode) browse() { m.host.pickPictures(func(paths []string) { m.add(paths, nil) }) }

// showBelow shows a menu below a button.
func (m *boardMode) showBelow(b *ui.Button, menu *fyne.Menu) {
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject(b)
	ui.ShowMenu(b, menu, at.AddXY(0, b.Size().Height+4))
}

// sizeMenu offers the sizes that a board may have.
func (m *boardMode) sizeMenu() *fyne.Menu {
	menu := fyne.NewMenu("")
	offer := func(text string, size picture.Size) {
		item := fyne.NewMenuItem(fmt.Sprintf("%s: %s", text, times(size)), func() {
			m.lay(func(b *studio.Board) *studio.Board { return b.Resized(size) })
		})
		item.Checked = size == m.board.Size
		menu.Items = append(menu.Items, item)
	}
	if slots := m.Desk.Desk().Slots; len(slots) > 0 && slots[0].Ref != nil {
		offer("As image 1", slots[0].Ref.Original)
	}
	if size, ok := m.outputSize(); ok {
		offer("As the next picture", size)
	}
	if l, _, ok := m.board.Layer(m.chosen); ok {
		offer("As the picture that is chosen", l.Size)
	}
	return menu
}

// groundMenu offers what may lie below the pictures.
func (m *boardMode) groundMenu() *fyne.Menu {
	menu := fyne.NewMenu("")
	for _, g := range grounds {
		item := fyne.NewMenuItem(g.name, func() {
			m.lay(func(b *studio.Board) *studio.Board { return b.Grounded(g.colour) })
		})
		item.Checked = g.colour == m.board.Ground
		menu.Items = append(menu.Items, item)
	}
	return menu
}

// showMenu shows what can be done to the picture under the pointer, and to the board.
func (m *boardMode) showMenu(e *fyne.PointEvent) {
	if m.board != nil {
		ui.ShowMenu(m.frame, m.menu(), e.AbsolutePosition)
	}
}

func (m *boardMode) menu() *fyne.Menu {
	item, line := fyne.NewMenuItem, fyne.NewMenuItemSeparator
	var items []*fyne.MenuItem
	if l, i, ok := m.board.Layer(m.chosen); ok {
		items = append(items, item("Cut out", m.startCut))
		if !l.Cut.None() {
			items = append(items, item("Bring all of it back", func() {
				m.change(func(l *studio.Layer) { l.Cut = studio.Mask{} })
			}))
		}
		raise := func(text string, by int, possible bool) *fyne.MenuItem {
			item := item(text, func() { m.raise(by) })
			item.Disabled = !possible
			return item
		}
		last := len(m.board.Layers) - 1
		items = append(items, item("Mirror", m.mirror), item("Turn by a quarter", m.turn),
			item("Fill the board", m.fill), item("Its own size", m.ownSize), line(),
			raise("To the top", last, i < last), raise("One up", 1, i < last),
			raise("One down", -1, i > 0), raise("To the bottom", -last, i > 0), line(),
			item("Another copy", m.duplicate), item("Take it off", m.remove), line())
	}
	size, ground := item("Size", nil), item("Ground", nil)
	size.ChildMenu, ground.ChildMenu = m.sizeMenu(), m.groundMenu()
	return fyne.NewMenu("", append(items, item("Add pictures…", m.browse), size, ground,
		item("Clear the board", m.clear))...)
}

// clear takes the board away: the next one begins with the pictures in the slots.
func (m *boardMode) clear() {
	m.Desk.Choose(func(d *studio.Desk) { d.Board = nil })
	m.notice.Say("The board was cleared.", m.undoAction())
}

// key takes the keys of the board.
func (m *boardMode) key(e *fyne.KeyEvent) bool {
	if m.board == nil {
		return false
	}
	switch e.Name {
	case fyne.KeyDelete, fyne.KeyBackspace:
		m.remove()
	case fyne.KeyPageUp:
		m.raise(1)
	case fyne.KeyPageDown:
		m.raise(-1)
	case fyne.KeyComma:
		m.chooseBeside(-1)
	case fyne.KeyPeriod:
		m.chooseBeside(1)
	case fyne.KeyD:
		m.duplicate()
	case fyne.KeyH:
		m.mirror()
	case fyne.KeyR:
		m.turn()
	case fyne.KeyX:
		m.startCut()
	case fyne.KeyA:
		m.browse()
	case fyne.KeyF:
		m.fill()
	case fyne.KeyReturn, fyne.KeyEnter:
		if m.using == nil { // a key that is held down does not give up what it began
			m.use()
		}
	default:
		return false
	}
	return true
}

// chooseBeside chooses the picture above the one that is chosen (1), or below it (-1), around the end.
func (m *boardMode) chooseBeside(by int) {
	n := len(m.board.Layers)
	if n == 0 {
		return
	}
	_, i, ok := m.board.Layer(m.chosen)
	if !ok && by > 0 {
		i = -1
	} else if !ok {
		i = 0
	}
	m.choose(m.board.Layers[(i+by+n)%n].ID)
}

// wheel makes the picture that is chosen larger or smaller, with Ctrl.
func (m *boardMode) wheel(e *fyne.ScrollEvent) bool {
	d, ok := fyne.CurrentApp().Driver().(desktop.Driver)
	if !ok || d.CurrentKeyModifiers()&fyne.KeyModifierShortcutDefault == 0 {
		return false
	}
	m.scale(float64(e.Scrolled.DY) / 10)
	return true
}

// scaleStep is by how much a step of the wheel makes a picture larger, and turnPause how long the wheel rests before
// what it did becomes a step of undo.
const (
	scaleStep = 1.05
	turnPause = 400 * time.Millisecond
)

// scale makes the picture that is chosen larger by steps, around its middle.
func (m *boardMode) scale(steps float64) {
	l, _, ok := m.board.Layer(m.chosen)
	if !ok || steps == 0 || m.frame.Held() {
		return
	}
	at := scaled(m.frame.Rect(), l.Size, steps)
	if !l.Fits(at) {
		return
	}
	m.dropTurning()
	m.turning = m.Loop.After(turnPause, m.endTurning)
	m.frame.Set(at)
	m.moving()
}

// endTurning writes to the desk what the wheel did.
func (m *boardMode) endTurning() {
	if m.turning != nil {
		m.dropTurning()
		m.settled()
	}
}

// dropTurning stops the clock of the wheel.
func (m *boardMode) dropTurning() {
	if m.turning != nil {
		m.turning()
		m.turning = nil
	}
}

// scaled returns the place of a picture of a size that is made larger by steps, by a pixel at least, in its own shape.
func scaled(at image.Rectangle, size picture.Size, steps float64) image.Rectangle {
	width := int(math.Round(float64(at.Dx()) * math.Pow(scaleStep, steps)))
	if width == at.Dx() {
		width += int(math.Copysign(1, steps))
	}
	height := int(math.Round(float64(width) * float64(size.Height) / float64(size.Width)))
	return around(at, image.Pt(width, height))
}
