package app

import (
	"fmt"
	"image"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// canvasPanel is the middle of the window: the picture on a neutral ground, with its tools. If there is no picture, it
// says what to do first.
type canvasPanel struct {
	common
	host       canvasHost
	start      *startPage
	shown      *studio.Picture // nil if nothing, or a preview alone, is on show
	ground     *ui.Box
	view       *ui.PictureView
	percent    *ui.Button
	fit        *ui.Button
	edit       *ui.Button
	upscale    *ui.Button
	info       *ui.Button
	copy       *ui.Button
	save       *ui.Button
	newer      *ui.Button // a picture is finished and waits to be looked at
	tools      []*ui.Button
	modes      []offeredMode
	mode       canvasMode   // nil while a picture is just looked at
	offered    []*ui.Button // the tools that make sense now; place hides those that find no room
	emptyTitle *widget.Label
	emptyHint  *widget.Label
	emptyStart *ui.Button
	previewing bool
	away       bool              // the user opened an older picture while others are being made
	unseen     []*studio.Picture // finished while the canvas was occupied, the newest last
	content    *fyne.Container
}

// canvasHost is what the panel asks of the window.
type canvasHost interface {
	focusWithin(o fyne.CanvasObject) bool // says whether something in its area has the keyboard
	unfocus()
	pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu
	copyPicture()
	showSavePanel()         // chooses how the picture is saved
	showUpscalePanel()      // chooses how the picture is enlarged
	canUpscale() bool       // says whether pictures can be enlarged
	toggleInfo()            // opens or closes what is said of the picture on show
	infoOpen() bool         // says whether it is open
	saveFirst()             // says that the picture on show lies in no file yet
	editShown()             // takes the picture on show on as image 1
	step(by int)            // opens an entry of the history: the next older one with 1, the next newer one with -1
	pictureShown(id uint64) // another picture is on show, with its ID in the history; 0 for one that is not there
	canvasChanged()         // what is on show is another picture, or a preview
	example(prompt string)  // puts a prompt into the box, ready to be changed
	overSlots(pos fyne.Position) bool
	dragPicture(img *image.RGBA, pos fyne.Position)
	droppedOn() *slot // ends a drag and returns the slot that it ended on, nil for none
	useAsReference(number int, path string)
	leaveGallery() // shows the canvas, if the gallery is in its place
	focus(o fyne.Focusable)
}

// newCanvasPanel returns the panel with the page of models, which takes its place while there is none.
func newCanvasPanel(c common, start *startPage, host canvasHost) *canvasPanel {
	p := &canvasPanel{common: c, start: start, host: host, ground: ui.NewBox(ui.ColorCanvas, 0), view: ui.NewPictureView()}
	p.view.Background = c.Loop.Background
	p.view.OnChanged = p.refreshTools
	p.view.OnMenu = p.showMenu
	p.view.OnCarry, p.view.OnDrop = p.carry, p.dropCarried
	p.view.OnStep = host.step
	p.percent = ui.NewButton("", func() { p.view.OneToOne(p.view.Middle()) })
	p.percent.Says("Show each pixel as one of the screen (1)")
	p.fit = ui.NewButton("Fit", p.view.ZoomToFit).Says("Show all of the picture (0)")
	p.edit = ui.NewButton("Edit this", host.editShown).Says("Go on with this picture as image 1 (E)")
	p.edit.Key = "E"
	p.upscale = ui.NewButton("Upscale…", host.showUpscalePanel).Says("Make this picture larger, with finer detail (U)")
	p.upscale.Key = "U"
	p.info = ui.NewButton("Info", host.toggleInfo).Says("How this picture was made (I)")
	p.info.Key = "I"
	p.copy = ui.NewButton("Copy", host.copyPicture).Says("Put the picture on the clipboard (Ctrl + C)")
	p.save = ui.NewButton("Save as…", host.showSavePanel).Says("Save a copy: format and quality (Ctrl + Shift + S)")
	p.newer = ui.NewButton("", p.showNewest).Says("Show the newest picture")
	p.newer.Quiet, p.newer.Chosen = true, true
	p.tools = []*ui.Button{p.newer, p.percent, p.fit, p.edit, p.upscale, p.info, p.copy, p.save}
	p.emptyTitle, p.emptyHint = widget.NewLabel(""), widget.NewLabel("")
	p.emptyTitle.Alignment, p.emptyHint.Alignment = fyne.TextAlignCenter, fyne.TextAlignCenter
	p.emptyTitle.Wrapping, p.emptyHint.Wrapping = fyne.TextWrapWord, fyne.TextWrapWord
	p.emptyTitle.SizeName = "headingText"
	p.emptyHint.Importance = widget.LowImportance
	p.emptyStart = ui.NewButton("Try an example", p.example)
	p.emptyStart.Accent = true
	objects := []fyne.CanvasObject{p.ground, p.view, p.emptyTitle, p.emptyHint, p.emptyStart}
	for _, b := range p.tools {
		objects = append(objects, b)
	}
	p.content = ui.Arranged(ui.NoSize, p.place, append(objects, start.content)...)
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(p.refresh)
	return p
}

const toolsHeight float32 = 44

func (p *canvasPanel) place(size fyne.Size) {
	p.ground.Resize(size)
	top := p.placeModes(size)
	left, width := p.placeSecond(size, top), size.Width
	if left > 0 {
		width = left // both have the same size
	}
	ui.At(p.view, left, top, width, size.Height-toolsHeight-top)
	p.start.content.Resize(size)
	p.placeTools(size)
	textWidth := min(size.Width-2*ui.Margin, 520)
	left, middle := (size.Width-textWidth)/2, size.Height/2
	p.emptyTitle.Resize(fyne.NewSize(textWidth, 0))
	title := p.emptyTitle.MinSize().Height
	p.emptyHint.Resize(fyne.NewSize(textWidth, 0))
	hint := p.emptyHint.MinSize().Height
	y := middle - (title+hint+44)/2
	ui.At(p.emptyTitle, left, y, textWidth, title)
	ui.At(p.emptyHint, left, y+title-8, textWidth, hint)
	w := p.emptyStart.MinSize().Width + 24
	ui.At(p.emptyStart, (size.Width-w)/2, y+title+hint+4, w, 36)
}

// placeTools puts the tools below the picture. If there is no room for all of them, those that the menu, the keys and
// the wheel replace go first.
func (p *canvasPanel) placeTools(size fyne.Size) {
	shown := slices.Clone(p.offered)
	width := func() float32 { return ui.RowSize(shown).Width }
	_, least := p.toolsOfMode()
	for _, least := range append(least, p.copy, p.fit, p.percent, p.upscale, p.save, p.buttonOf("P"), p.info) {
		if i := slices.Index(shown, least); i >= 0 && width() > size.Width-2*ui.Margin {
			shown = slices.Delete(shown, i, i+1)
		}
	}
	for _, b := range p.tools {
		ui.Show(b, slices.Contains(shown, b))
	}
	ui.PlaceRow(shown, (size.Width-width())/2, size.Height-toolsHeight+4)
}

func (p *canvasPanel) layout() { p.content.Refresh() }

// refresh shows the picture, the page of models or the invitation to begin.
func (p *canvasPanel) refresh() {
	// The page that offers models shows if there is none, or if the user wants to change it.
	start := p.start.asked || p.Model.Engine() == nil && !p.Model.Opening() && p.Model.Err() != nil
	if !start && p.shown == nil && len(p.unseen) > 0 {
		p.showNewest() // it came while the page was open
		return
	}
	if start && !p.start.content.Visible() {
		p.start.look()
	}
	ui.Show(p.start.content, start)
	if start && p.leaveMode() {
		return // that has refreshed
	}
	picture := p.view.Picture() != nil && !start
	ui.Show(p.view, picture && !p.covered())
	empty := p.view.Picture() == nil && !start
	p.emptyTitle.SetText("Describe a picture below, or drop one here to change it.")
	hint := "Ctrl + Enter makes it. " +
		"Up to four pictures on the left can be called “image 1” to “image 4” in the prompt."
	if small := p.smallModel(); small > 0 {
		hint = fmt.Sprintf("This is a small model to try things with: its pictures have the area of %d × %d pixels. "+
			"A full one is chosen under Advanced.", small, small)
	}
	p.emptyHint.SetText(hint)
	ui.Show(p.emptyTitle, empty)
	ui.Show(p.emptyHint, empty)
	ui.Show(p.emptyStart, empty && p.Desk.Desk().Prompt == "" && len(p.Desk.Desk().Slots) == 0)
	p.refreshTools()
}

func (p *canvasPanel) refreshTools() {
	start := p.start.content.Visible()
	picture := p.view.Picture() != nil && !start
	finished := picture && p.shown != nil && !p.previewing && !p.staged()
	p.percent.SetText(fmt.Sprintf("%.0f %%", p.view.Pixels()*100), "")
	p.fit.SetChosen(false)
	switch n := len(p.unseen); {
	case p.content != nil && p.content.Size().Width < 640:
		p.newer.SetText(fmt.Sprintf("%d new: show", n), "")
	case n == 1:
		p.newer.SetText("New picture: show", "")
	default:
		p.newer.SetText(fmt.Sprintf("%d new pictures: show", n), "")
	}
	p.offered = nil
	for _, tool := range []struct {
		button *ui.Button
		now    bool
	}{
		{p.newer, picture && len(p.unseen) > 0}, {p.percent, picture}, {p.fit, picture && !p.view.Fitted()},
		{p.edit, finished}, {p.upscale, finished && p.host.canUpscale()}, {p.info, finished}, {p.copy, finished},
		{p.save, finished},
	} {
		if tool.now {
			p.offered = append(p.offered, tool.button)
		}
	}
	for _, m := range p.modes {
		m.button.SetChosen(m.canvasMode == p.mode)
		if p.offers(m.canvasMode) {
			p.offered = append(p.offered, m.button)
		}
	}
	if row, _ := p.toolsOfMode(); row != nil {
		p.offered = row
	}
	p.info.SetChosen(p.host.infoOpen())
	p.host.canvasChanged()
	p.layout()
}

// smallModel returns the side of the pictures of a model that is only for trying things, 0 for a full model.
func (p *canvasPanel) smallModel() int {
	const full = 512
	if n := p.native(); n > 0 && n < full {
		return n
	}
	return 0
}

// example puts a first prompt into the box.
func (p *canvasPanel) example() {
	p.host.example("A small red house on a green hill, morning light")
	p.refresh()
}

// occupied says whether the user does something that a new picture must not interrupt: looks at an older picture while
// others are made, looks closer, compares, drags, or reads the page of models.
func (p *canvasPanel) occupied() bool {
	if p.start.content.Visible() || p.mode != nil {
		return true
	}
	return p.shown != nil && !p.previewing && (p.away || p.view.Attended())
}

// offer shows a picture that was just made. If the canvas is occupied, it shows a sign of it instead.
func (p *canvasPanel) offer(pic *studio.Picture) {
	// A picture that lies on no disk would be lost if it were not on the canvas.
	if pic.Path == "" || !p.occupied() {
		p.show(pic)
		return
	}
	if n := len(p.unseen); n > 0 {
		// The newest alone can be opened. The others only count, so their pixels are dropped.
		p.unseen[n-1] = &studio.Picture{ID: p.unseen[n-1].ID}
	}
	p.unseen = append(p.unseen, pic)
	p.refresh()
}

// showNewest shows the last picture that was made, and from then on again what is being made.
func (p *canvasPanel) showNewest() {
	if n := len(p.unseen); n > 0 {
		p.away = false
		p.show(p.unseen[n-1])
	}
}

// seen takes a picture off the list of those that wait to be looked at. The newest one takes all others along.
func (p *canvasPanel) seen(pic *studio.Picture) {
	i := slices.IndexFunc(p.unseen, func(u *studio.Picture) bool { return u == pic || u.ID != 0 && u.ID == pic.ID })
	switch {
	case i == len(p.unseen)-1:
		p.unseen = nil
	case i >= 0:
		p.unseen = slices.Delete(p.unseen, i, i+1)
	}
}

// show puts a finished picture on the canvas.
func (p *canvasPanel) show(pic *studio.Picture) {
	if !p.follows(pic) {
		p.leaveMode()
	}
	p.seen(pic)
	p.shown = pic
	p.previewing = false
	p.start.asked = false
	p.draw()
	p.host.pictureShown(pic.ID)
}

// staged says whether the mode shows a picture of its own.
func (p *canvasPanel) staged() bool {
	if p.mode == nil {
		return false
	}
	img, _ := p.mode.picture()
	return img != nil
}

func (p *canvasPanel) draw() {
	pic := p.shown
	if m, ok := p.mode.(drawer); ok && pic != nil {
		m.draw()
	} else if p.staged() {
		img, size := p.mode.picture()
		p.view.Set(img, size, nil)
	} else if pic == nil {
		p.view.Set(nil, image.Point{}, nil)
	} else {
		p.view.Set(pic.Image, pic.Image.Rect.Size(), nil)
	}
	p.refresh()
}

// showPreview shows what the picture that is being made will look like.
func (p *canvasPanel) showPreview(img *image.RGBA, size picture.Size) {
	if p.mode != nil {
		return // the user is busy with it
	}
	p.previewing = true
	p.view.Set(img, image.Pt(size.Width, size.Height), nil)
	p.refresh()
}

// dropPreview goes back to the last finished picture, if a run ended while a preview was on show.
func (p *canvasPanel) dropPreview() {
	if p.previewing {
		p.previewing = false
		p.draw()
	}
}

// carry takes the picture along while a drag is over the slots.
func (p *canvasPanel) carry(pos fyne.Position) bool {
	if p.shown == nil || p.previewing || !p.host.overSlots(pos) {
		p.host.droppedOn()
		return false
	}
	p.host.dragPicture(p.view.Picture(), pos)
	return true
}

// dropCarried puts the picture into the slot that it was dropped on.
func (p *canvasPanel) dropCarried() {
	target := p.host.droppedOn()
	switch {
	case target == nil || p.shown == nil:
	case p.shown.Path == "":
		p.host.saveFirst()
	default:
		p.host.useAsReference(target.number, p.shown.Path)
	}
}

// showMenuOf shows the menu of an entry, for an object that shows it.
func (p *canvasPanel) showMenuOf(o fyne.CanvasObject, e history.Entry, pos fyne.Position) {
	ui.ShowMenu(o, p.host.pictureMenu(studio.Picture{Meta: e.Picture, Path: e.Path, ID: e.ID}, false), pos)
}

func (p *canvasPanel) showMenu(pos fyne.Position) {
	if p.shown == nil || p.previewing {
		return
	}
	ui.ShowMenu(p.view, p.host.pictureMenu(*p.shown, true), pos)
}
