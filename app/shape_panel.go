package app

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/look"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// shapePanel chooses the size, the seed and the number of pictures.
type shapePanel struct {
	common
	host shapeHost

	title     *ui.Label
	tiles     []*ui.Tile // one for each of picture.AspectRatios
	own       *ownSize
	seedTitle *ui.Label
	onShow    *ui.Button // the seed of the picture on the canvas
	seedEntry *ui.Field
	dice      *ui.Button
	lock      *ui.Button
	setting   bool // the window is setting the seed; it is not typed
	asked     bool // the user asked for the seed in the entry, so Lock locks it and not that of the picture on show
	number    *ui.Label
	counts    []*ui.Button
	content   *fyne.Container
}

// tileNames are the names of sizes for people, if they differ from those of the engine.
var tileNames = map[picture.AspectRatio]string{
	picture.PhotoV: "photo v", picture.StandardV: "standard v", picture.Match: "match 1",
}

// shapeHost is what the panel asks of the window.
type shapeHost interface {
	shownSeed() (seed uint64, ok bool) // of the picture or the preview on the canvas
	low() bool                         // says whether the window is low
	focus(o fyne.Focusable)
}

func newShapePanel(c common, host shapeHost) *shapePanel {
	p := &shapePanel{
		common: c, host: host,
		title: ui.NewHeading("Size"), seedTitle: ui.NewHeading("Seed"), number: ui.NewHeading("Pictures"),
	}
	objects := []fyne.CanvasObject{p.title}
	for _, a := range picture.AspectRatios() {
		name := tileNames[a]
		if name == "" {
			name = string(a)
		}
		t := ui.NewTile(name, "no image 1")
		t.Tip.Tip = "Make pictures of this shape and size"
		t.OnTapped = func() { p.choose(a) }
		t.OnArrow = func(by int) { p.chooseBeside(t, by) }
		t.IsTabStop = func() bool { return p.tabStop() == t }
		p.tiles = append(p.tiles, t)
		objects = append(objects, t)
	}
	p.own = newOwnSize(c)
	objects = append(objects, p.own.field, p.own.note)
	p.seedEntry = ui.NewField(c.keys)
	p.seedEntry.Tip.Tip = "The same seed, prompt and size give the same picture again"
	p.seedEntry.OnChanged = func(text string) {
		p.Desk.Type(func(d *studio.Desk) { d.Seed = text })
		if !p.setting {
			p.asked = true
			p.setLocked(true) // a number that was typed is meant
		}
	}
	p.dice = ui.NewIconButton(fyne.NewStaticResource("dice.svg", look.Dice), p.rollDice).Says("Draw another seed")
	p.lock = ui.NewButton("Lock", p.toggleLock).Says("Keep the seed for the next pictures")
	p.onShow = ui.NewLink("", p.takeShown).Says("Use the seed of the picture on show")
	p.onShow.Hide()
	objects = append(objects, p.seedTitle, p.onShow, p.seedEntry, p.dice, p.lock, p.number)
	for n := 1; n <= studio.MaxCount; n++ {
		b := ui.NewButton(strconv.Itoa(n), func() { p.setCount(n) }).
			Says(pictureCount(n) + " at a time, each of another seed")
		b.Passed = func() bool { return p.count() != n }
		b.OnArrow = func(by int) {
			p.setCount(min(max(n+by, 1), studio.MaxCount))
			p.host.focus(p.counts[p.count()-1])
		}
		p.counts = append(p.counts, b)
		objects = append(objects, b)
	}
	p.content = ui.Arranged(func() fyne.Size { return fyne.NewSize(0, p.height()) }, p.place, objects...)
	d := p.Desk.Desk()
	p.setSeed(d.Seed)
	p.showLocked(d.Locked)
	p.showCount(d.Count)
	p.Desk.Laid.Subscribe(p.lay)
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(p.refresh)
	return p
}

// lay shows the size, the seed and the number of pictures of a desk.
func (p *shapePanel) lay(d studio.Desk) {
	p.setSeed(d.Seed)
	p.setLocked(d.Locked)
	p.setCount(min(max(d.Count, 1), studio.MaxCount))
	if d.Aspect != "" {
		p.choose(d.Aspect)
	} else {
		p.setSize(d.Size)
	}
}

// aspect is the aspect ratio that is chosen, "" for a size of none in the table.
func (p *shapePanel) aspect() picture.AspectRatio { return p.Desk.Desk().Aspect }

func (p *shapePanel) count() int   { return p.Desk.Desk().Count }
func (p *shapePanel) locked() bool { return p.Desk.Desk().Locked }

// tileHeight returns the height of a tile, which is less in a low window.
func (p *shapePanel) tileHeight() float32 {
	if p.host.low() {
		return 74
	}
	return 92
}

func (p *shapePanel) height() float32 {
	return 36 + 3*(p.tileHeight()+6) + ui.FieldHeight + 12 + 2*26 + ui.FieldHeight + ui.Gap + 38
}

// tabStop is the tile that Tab goes to.
func (p *shapePanel) tabStop() *ui.Tile {
	for _, t := range p.tiles {
		if t.Chosen {
			return t
		}
	}
	return p.tiles[0]
}

// chooseBeside chooses the tile that lies by places after t; if it cannot be chosen, it goes as far again.
func (p *shapePanel) chooseBeside(t *ui.Tile, by int) {
	for i := slices.Index(p.tiles, t) + by; i >= 0 && i < len(p.tiles); i += by {
		if p.tiles[i].Enabled() {
			p.tiles[i].Choose()
			p.host.focus(p.tiles[i])
			return
		}
	}
}

func (p *shapePanel) place(size fyne.Size) {
	width := size.Width - 2*ui.Margin
	ui.At(p.title, ui.Margin, 10, width, 20)
	const columns, between = ui.TileColumns, 6
	w := (width - (columns-1)*between) / columns
	h := p.tileHeight()
	for i, t := range p.tiles {
		ui.At(t, ui.Margin+float32(i%columns)*(w+between), 36+float32(i/columns)*(h+between), w, h)
	}
	y := 36 + 3*(h+between)
	note := float32(int(width * 0.44))
	ui.At(p.own.field, ui.Margin, y, width-note-ui.Gap, ui.FieldHeight)
	ui.At(p.own.note, size.Width-ui.Margin-note, y, note, ui.FieldHeight)
	y += ui.FieldHeight + 12
	ui.At(p.seedTitle, ui.Margin, y, width, 20)
	p.placeShown(size.Width, y)
	y += 26
	lock := p.lock.MinSize().Width + 4
	ui.At(p.seedEntry, ui.Margin, y, width-lock-ui.FieldHeight-2*between, ui.FieldHeight)
	ui.At(p.dice, size.Width-ui.Margin-lock-between-ui.FieldHeight, y, ui.FieldHeight, ui.FieldHeight)
	ui.At(p.lock, size.Width-ui.Margin-lock, y, lock, ui.FieldHeight)
	y += ui.FieldHeight + ui.Gap
	ui.At(p.number, ui.Margin, y, width, 20)
	y += 26
	const apart = 2
	w = (width - apart*float32(len(p.counts)-1)) / float32(len(p.counts))
	for i, b := range p.counts {
		ui.At(b, ui.Margin+float32(i)*(w+apart), y, w, 30)
	}
}

func (p *shapePanel) choose(a picture.AspectRatio) {
	if a != picture.Match {
		p.set.SetAspect(a)
	}
	p.Desk.Choose(func(d *studio.Desk) { d.PickAspect(a) })
}

// setSize chooses a size in pixels: the tile that has it, or none. It never chooses Match, which becomes another size
// with another image 1.
func (p *shapePanel) setSize(size picture.Size) {
	for i, a := range picture.AspectRatios() {
		if a != picture.Match && p.tiles[i].Pixels == image.Pt(size.Width, size.Height) {
			p.Desk.Choose(func(d *studio.Desk) { d.PickAspect(a) })
			return
		}
	}
	p.Desk.Choose(func(d *studio.Desk) { d.PickSize(size) })
}

// refresh gives the tiles the sizes that apply now.
func (p *shapePanel) refresh() {
	sizes := p.Desk.Desk().Sizes()
	for i, a := range picture.AspectRatios() {
		size, _ := a.SizeFor(p.native(), sizes...) // no size for Match without references
		t := p.tiles[i]
		t.Pixels, t.Chosen, t.Ratio = image.Pt(size.Width, size.Height), a == p.aspect(), studio.Ratio(size)
		if t.Missing = "no image 1"; len(p.Desk.Desk().Slots) > 0 {
			t.Missing = "reading…"
		}
		t.Refresh()
	}
	title := "Size"
	if p.Desk.Desk().SizeOfImage1() {
		title = "Size · that of image 1"
	}
	p.title.Set(title, ui.ColorDim)
	p.own.refresh()
}

// showShown brings onShow, the seed of the picture on the canvas, up to date.
func (p *shapePanel) showShown() {
	seed, ok := p.host.shownSeed()
	text := fmt.Sprintf("on show: %d", seed)
	if seed > math.MaxUint32 {
		text = strconv.FormatUint(seed, 10) // too long to say more
	}
	if ui.Show(p.onShow, ok); ok && p.onShow.Text != text {
		p.onShow.Text = text
		p.content.Refresh()
	}
}

// placeShown puts the seed on show beside the heading, at the right.
func (p *shapePanel) placeShown(width, y float32) {
	w := p.onShow.MinSize().Width
	most := width - 2*ui.Margin - p.seedTitle.Natural().Width
	p.onShow.Refresh()
	ui.At(p.onShow, width-ui.Margin+6-min(w, most), y-2, min(w, most), 24)
}

// takeShown takes the seed of the picture on the canvas.
func (p *shapePanel) takeShown() {
	if seed, ok := p.host.shownSeed(); ok {
		p.setSeed(strconv.FormatUint(seed, 10))
		p.setLocked(true)
	}
}

// toggleLock locks the seed of the picture on show. If there is none, or the user has just asked for the seed in the
// entry, it locks the one in the entry. A seed that is locked is unlocked.
func (p *shapePanel) toggleLock() {
	if _, ok := p.host.shownSeed(); ok && !p.locked() && !p.asked {
		p.takeShown()
		return
	}
	p.setLocked(!p.locked())
}

func (p *shapePanel) setSeed(text string) {
	p.setting = true
	p.seedEntry.SetText(text)
	p.setting = false
}

// rollDice is the button of the dice.
func (p *shapePanel) rollDice() {
	p.roll()
	p.asked = true
}

// roll takes a new seed.
func (p *shapePanel) roll() {
	p.setSeed(studio.RollSeed())
	if p.locked() {
		p.set.SetLockedSeed(p.seedEntry.Text)
	}
}

// nextSeed is called when a batch has taken the seed: it draws a new one, unless the seed is locked.
func (p *shapePanel) nextSeed() {
	p.asked = false
	if !p.locked() {
		p.roll()
	}
}

func (p *shapePanel) setLocked(locked bool) {
	p.Desk.Type(func(d *studio.Desk) { d.Locked = locked })
	p.set.SetLockedSeed("")
	if locked {
		p.set.SetLockedSeed(p.seedEntry.Text)
	}
	p.showLocked(locked)
}

func (p *shapePanel) showLocked(locked bool) {
	p.lock.SetChosen(locked)
	if locked {
		p.lock.SetText("Locked", "")
	} else {
		p.lock.SetText("Lock", "")
	}
	p.content.Refresh()
}

func (p *shapePanel) setCount(n int) {
	p.set.SetCount(n)
	p.showCount(n)
	p.Desk.Choose(func(d *studio.Desk) { d.Count = n })
}

func (p *shapePanel) showCount(n int) {
	for i, b := range p.counts {
		b.SetChosen(i+1 == n)
	}
}
