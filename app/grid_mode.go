package app

import (
	"fmt"
	"image"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// gridMode shows the pictures that were asked for at once beside each other, with one zoom. One of them is chosen: it
// is the picture on show, so that all that is done with that is done with it.
type gridMode struct {
	common
	host  gridHost
	panel *canvasPanel

	group   uint64 // of the batch, 0 while the canvas is not in this mode
	chosen  int    // the place of the chosen picture
	cells   []*gridCell
	columns int
	reading bool // a picture is being read
	ground  *ui.Box
	content *fyne.Container

	fit, sides, blink, keep, rest *ui.Button
}

// gridHost is what the mode asks of the window.
type gridHost interface {
	readEntry(e history.Entry) (*image.RGBA, error) // away from Fyne's goroutine
	openEntry(e history.Entry)                      // shows it on the canvas
	compareBy(way compareWay, other history.Entry)  // compares the picture on show
	star(list []history.Entry)                      // gives pictures a star, or takes it away if all of them have one
	bin(ids ...uint64)                              // moves pictures to the bin; undo takes all of them back
	focus(o fyne.Focusable)
}

// gridMost bounds the pictures that are shown at once. One instruction can make a thousand; they come in pages.
const gridMost = 16

// cellPixels bounds what a cell keeps of a picture, in pixels: eight photos of 24 megapixels would take 800 MB. A
// picture on its own is shown whole.
const cellPixels = 4 << 20

func newGridMode(c common, panel *canvasPanel, host gridHost) *gridMode {
	m := &gridMode{common: c, host: host, panel: panel, ground: ui.NewBox(ui.ColorCanvas, 0)}
	m.fit = ui.NewButton("Fit all", func() {
		if len(m.cells) > 0 {
			m.cells[0].view.ZoomToFit() // the others follow
		}
	})
	m.sides = ui.NewButton("A | B", func() { m.compare(sideBySide) })
	m.blink = ui.NewButton("Blink", func() { m.compare(byTurns) })
	m.keep = ui.NewMarkedButton(ui.StarIcon, "Keep", m.keepChosen)
	m.keep.Key = "F"
	m.rest = ui.NewButton("Bin the rest", m.binRest)
	m.content = ui.Arranged(ui.NoSize, m.place, m.ground)
	c.Album.Changed.Subscribe(m.refresh)
	return m
}

func (m *gridMode) name() (text, key string)            { return "Grid", "T" }
func (m *gridMode) bar() fyne.CanvasObject              { return nil }
func (m *gridMode) over() fyne.CanvasObject             { return m.content }
func (m *gridMode) picture() (*image.RGBA, image.Point) { return nil, image.Point{} }
func (m *gridMode) covers() bool                        { return true }
func (m *gridMode) active() bool                        { return m.panel.mode == canvasMode(m) }

// tools are those of the grid, in the place of those of a picture. The first of those in least go first if there is no
// room for all.
func (m *gridMode) tools(own *ui.Button) (row, least []*ui.Button) {
	row = []*ui.Button{m.fit, own, m.sides, m.blink, m.keep, m.panel.edit}
	if !m.oneInstruction() {
		row = append(row, m.rest)
	}
	return row, []*ui.Button{m.fit, m.blink, m.sides}
}

// offered says whether the picture on show is one of several that were asked for at once.
func (m *gridMode) offered() bool {
	p := m.panel
	return p.shown != nil && !p.previewing && len(m.Album.Batch(p.shown.ID)) > 1
}

func (m *gridMode) enter() bool {
	e, ok := m.Album.Find(m.panel.shown.ID)
	if !ok {
		return false
	}
	m.group = e.Batch
	m.fill(pageOf(m.Album.Batch(e.ID), e.ID))
	m.choose(m.panel.shown.ID)
	return true
}

// pageOf returns the part of list that is shown with the entry that has an ID, the first part if none has it.
func pageOf(list []history.Entry, id uint64) []history.Entry {
	at := max(slices.IndexFunc(list, func(e history.Entry) bool { return e.ID == id }), 0)
	from := at / gridMost * gridMost
	return list[from:min(from+gridMost, len(list))]
}

// oneInstruction says whether the pictures were made of different pictures by one instruction. They are no tries, of
// which the best is kept.
func (m *gridMode) oneInstruction() bool {
	different := false
	for _, c := range m.cells {
		if firstDigest(c.entry) == "" {
			return false
		}
		different = different || firstDigest(c.entry) != firstDigest(m.cells[0].entry)
	}
	return different
}

// firstDigest returns the digest of the picture that an entry was made from first, "" for none.
func firstDigest(e history.Entry) string {
	if len(e.Picture.References) == 0 {
		return ""
	}
	return e.Picture.References[0].SHA256
}

func (m *gridMode) first() fyne.Focusable { return m.cells[m.chosen].view }

func (m *gridMode) leave() {
	m.group, m.chosen = 0, 0
	m.fill(nil)
}

// follow goes on with another picture of the batch on show: it is the chosen one.
func (m *gridMode) follow(shown *studio.Picture) bool {
	list := m.Album.Batch(shown.ID)
	if e, ok := m.Album.Find(shown.ID); ok && e.Batch == m.group && !m.has(shown.ID) {
		m.fill(pageOf(list, shown.ID))
	}
	return m.choose(shown.ID)
}

// has says whether the picture with an ID has a cell.
func (m *gridMode) has(id uint64) bool {
	return slices.ContainsFunc(m.cells, func(c *gridCell) bool { return c.entry.ID == id })
}

// choose chooses the picture with an ID, and says whether it is one of the grid's.
func (m *gridMode) choose(id uint64) bool {
	i := slices.IndexFunc(m.cells, func(c *gridCell) bool { return c.entry.ID == id })
	if i >= 0 {
		m.chosen = i
		m.draw()
	}
	return i >= 0
}

// fill has a cell for each of the entries; those that are there already stay as they are.
func (m *gridMode) fill(list []history.Entry) {
	old := m.cells
	m.cells = nil
	m.content.Objects = []fyne.CanvasObject{m.ground}
	var views []*ui.PictureView
	for i, e := range list {
		var c *gridCell
		if was := slices.IndexFunc(old, func(c *gridCell) bool { return c.entry.ID == e.ID }); was >= 0 {
			c = old[was] // with its zoom, and the keyboard
		} else {
			c = newGridCell(m)
		}
		c.at, c.entry = i, e
		m.cells = append(m.cells, c)
		m.content.Objects = append(m.content.Objects, c.objects()...)
		views = append(views, c.view)
	}
	ui.Link(views...)
	m.read()
}

// draw brings all cells up to date.
func (m *gridMode) draw() {
	starred, one := false, m.oneInstruction()
	for i, c := range m.cells {
		text := fmt.Sprintf("%d · seed %d", i+1, c.entry.Picture.Seed)
		if one { // for which there is a reference
			text = shorten(picture.BaseName(c.entry.Picture.References[0].Path), 24)
		}
		c.show(text, i == m.chosen, m.beside(i))
		starred = starred || i == m.chosen && c.entry.Starred
	}
	m.keep.SetChosen(starred)
	m.content.Refresh()
}

// beside returns the view of the first other cell that has a picture, nil if there is none.
func (m *gridMode) beside(i int) *ui.PictureView {
	for j, c := range m.cells {
		if j != i && c.view.Picture() != nil {
			return c.view
		}
	}
	return nil
}

// refresh follows the history: pictures come while a batch is made, and go to the bin.
func (m *gridMode) refresh() {
	if !m.active() {
		return
	}
	var list []history.Entry
	for _, e := range slices.Backward(m.Album.Entries()) {
		if e.Batch == m.group {
			list = append(list, e)
		}
	}
	if len(list) < 2 {
		m.panel.leaveMode()
		if shown := m.panel.shown; len(list) == 1 && (shown == nil || shown.ID != list[0].ID) {
			m.host.openEntry(list[0])
		}
		return
	}
	if m.chosen < len(m.cells) {
		list = pageOf(list, m.cells[m.chosen].entry.ID)
	}
	same := len(list) == len(m.cells)
	for i := 0; same && i < len(list); i++ {
		same = list[i].ID == m.cells[i].entry.ID
	}
	if same {
		for i, c := range m.cells {
			c.entry = list[i]
		}
		m.draw()
		return
	}
	id := m.cells[m.chosen].entry.ID
	m.fill(list)
	if !m.choose(id) {
		m.pick(min(m.chosen, len(list)-1))
	}
}

// read reads the pictures of the cells, one after the other.
func (m *gridMode) read() {
	i := slices.IndexFunc(m.cells, func(c *gridCell) bool { return !c.asked })
	if m.reading || i < 0 {
		return
	}
	c := m.cells[i]
	c.asked, m.reading = true, true
	e := c.entry
	m.Loop.Background(func() func() {
		img, err := m.host.readEntry(e)
		if err == nil {
			img = ui.Reduced(img, cellPixels)
		}
		return func() {
			m.reading = false
			for _, c := range m.cells { // others may have come or gone meanwhile
				if c.entry.ID == e.ID && err == nil {
					c.image, c.asked = img, true
				}
			}
			if err != nil && m.active() {
				m.notice.fail(err)
			}
			m.draw()
			m.read()
		}
	})
}

// pick chooses the picture at place i, and shows it.
func (m *gridMode) pick(i int) {
	if i >= len(m.cells) { // a cell that is gone can still have the keyboard
		return
	}
	if i == m.chosen && m.panel.shown != nil && m.panel.shown.ID == m.cells[i].entry.ID {
		return
	}
	m.chosen = i
	m.draw()
	m.host.openEntry(m.cells[i].entry)
}

// pickBeside chooses the picture that lies by places after i, and gives it the keyboard.
func (m *gridMode) pickBeside(i, by int) {
	if i < len(m.cells) && (i+by < 0 || i+by >= len(m.cells)) {
		list := m.Album.Batch(m.cells[i].entry.ID)
		at := slices.IndexFunc(list, func(e history.Entry) bool { return e.ID == m.cells[i].entry.ID }) + by
		if at < 0 || at >= len(list) {
			return
		}
		m.fill(pageOf(list, list[at].ID))
		m.choose(list[at].ID)
		m.host.openEntry(list[at])
		m.host.focus(m.cells[m.chosen].view)
		return
	}
	if i += by; i >= 0 && i < len(m.cells) {
		m.pick(i)
		m.host.focus(m.cells[i].view)
	}
}

// entry returns the chosen picture's entry; ok is false outside of the mode.
func (m *gridMode) entry() (e history.Entry, ok bool) {
	if !m.active() || len(m.cells) == 0 {
		return e, false
	}
	return m.cells[m.chosen].entry, true
}

// compare compares the chosen picture with the one after it.
func (m *gridMode) compare(way compareWay) {
	if n := len(m.cells); n > 1 {
		m.host.compareBy(way, m.cells[(m.chosen+1)%n].entry)
	}
}

// star gives the picture at place i a star, or takes it.
func (m *gridMode) star(i int) {
	m.pick(i)
	m.host.star([]history.Entry{m.cells[i].entry})
}

// keepChosen gives the chosen picture a star, or takes it.
func (m *gridMode) keepChosen() {
	if _, ok := m.entry(); ok {
		m.star(m.chosen)
	}
}

// binRest moves all pictures but those with a star to the bin. If none has one, the chosen one stays.
func (m *gridMode) binRest() {
	starred := slices.ContainsFunc(m.cells, func(c *gridCell) bool { return c.entry.Starred })
	var ids []uint64
	for i, c := range m.cells {
		if starred && !c.entry.Starred || !starred && i != m.chosen {
			ids = append(ids, c.entry.ID)
		}
	}
	if len(ids) > 0 {
		m.host.bin(ids...)
	}
}

// place lays the cells out in as many columns as make the pictures largest.
func (m *gridMode) place(size fyne.Size) {
	m.ground.Resize(size)
	const gap float32 = 12
	edge := ui.Between(ui.Margin, float32(int(size.Width/36)), 3*ui.Margin)
	room := fyne.NewSize(size.Width-2*edge, size.Height-2*edge)
	if m.columns = 1; len(m.cells) == 0 || room.Width <= 0 || room.Height <= 0 {
		return
	}
	ratio := float32(1)
	if p := m.cells[0].entry.Picture; p.Width > 0 && p.Height > 0 {
		ratio = float32(p.Width) / float32(p.Height)
	}
	n := len(m.cells)
	var cell fyne.Size
	for columns := 1; columns <= n; columns++ {
		rows := (n + columns - 1) / columns
		w := (room.Width - gap*float32(columns-1)) / float32(columns)
		h := (room.Height - gap*float32(rows-1)) / float32(rows)
		w = min(w, h*ratio)
		if w > cell.Width {
			cell, m.columns = fyne.NewSize(float32(int(w)), float32(int(w/ratio))), columns
		}
	}
	rows := (n + m.columns - 1) / m.columns
	left := (size.Width - cell.Width*float32(m.columns) - gap*float32(m.columns-1)) / 2
	top := (size.Height - cell.Height*float32(rows) - gap*float32(rows-1)) / 2
	for i, c := range m.cells {
		c.place(left+float32(i%m.columns)*(cell.Width+gap), top+float32(i/m.columns)*(cell.Height+gap), cell)
	}
}
