package app

import (
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// panels are the parts of the window.
type panels struct {
	slots      *slotsPanel
	prompt     *promptPanel
	shape      *shapePanel
	info       *infoPanel
	lora       *loraPanel
	advanced   *advancedPanel
	cost       *costPanel
	queued     *queuePanel
	start      *startPage // inside view
	view       *canvasPanel
	comparison *compareMode  // of view
	crop       *cropMode     // of view
	grid       *gridMode     // of view
	mask       *maskMode     // of view
	board      *boardMode    // of view
	gallery    *galleryPanel // in the place of view
	strip      *historyPanel
	drag       *ui.DragLayer
	tips       *ui.Tips
}

// newPanels makes the panels. A panel knows what it shows and no other panel: what it asks of one goes through the
// session. While the panels are made, none of them may ask for anything.
func newPanels(c common, s *session) (p panels) {
	p.slots = newSlotsPanel(c, s)
	p.prompt = newPromptPanel(c, s)
	p.shape = newShapePanel(c, s)
	small := history.NewThumbnails(s.cfg.ThumbnailDir, history.ThumbnailWidth, history.ThumbnailHeight)
	p.info = newInfoPanel(c, small, s)
	p.lora = newLoRAPanel(c, s)
	p.advanced = newAdvancedPanel(c, s)
	p.cost = newCostPanel(c, s)
	p.queued = newQueuePanel(c, s)
	p.start = newStartPage(c, s.cfg, s)
	p.view = newCanvasPanel(c, p.start, s)
	p.comparison = newCompareMode(c, p.view, s)
	p.crop = newCropMode(c, p.view.view, s)
	p.grid = newGridMode(c, p.view, s)
	p.mask = newMaskMode(c, p.view.view, s)
	p.board = newBoardMode(c, p.view.view, s)
	p.view.use(p.mask, newExtendMode(c, p.view.view, s), p.crop, p.board, p.grid, p.comparison)
	large := filepath.Join(s.cfg.ThumbnailDir, "gallery")
	p.gallery = newGalleryPanel(c, history.NewThumbnails(large, history.GalleryWidth, history.GalleryHeight), s)
	p.strip = newHistoryPanel(c, small, s)
	p.drag = ui.NewDragLayer(p.slots.target)
	p.tips = ui.NewTips(s.win.Canvas())
	return p
}

// frame lays the panels out: slots on the left, sizes on the right, the canvas between them, the prompt below it and
// the history at the bottom. It is made before the panels, which ask it how low the window is.
type frame struct {
	size    fyne.Size
	scale   float32 // of the screen, when the panels were laid out
	panels  panels
	notices *ui.Notices
	left    *ui.Box
	rightBg *ui.Box
	right   *container.Scroll // scrolls if Advanced is unfolded in a low window
	lines   [4]*ui.Box
	content *fyne.Container
}

// newFrame returns a frame without panels, for a window of a size, with notices over its middle.
func newFrame(size fyne.Size, notices *ui.Notices) *frame {
	f := &frame{notices: notices, left: ui.NewBox(ui.ColorPanel, 0), rightBg: ui.NewBox(ui.ColorPanel, 0), size: size}
	f.content = ui.Arranged(func() fyne.Size { return leastSize }, f.place)
	return f
}

// fill puts the panels into the frame, once all of them are there.
func (f *frame) fill(p panels) {
	f.panels = p
	column := container.New(ui.Stacked{}, p.shape.content, p.info.content, p.lora.content, p.advanced.content)
	f.right = container.NewVScroll(column)
	f.content.Objects = []fyne.CanvasObject{
		f.left, p.slots.content, p.view.content, p.gallery.content, f.notices.Content, p.queued.content, p.prompt.content,
		f.rightBg, f.right, p.cost.content, p.strip.content,
	}
	for i := range f.lines {
		f.lines[i] = ui.NewBox(ui.ColorLine, 0)
		f.content.Objects = append(f.content.Objects, f.lines[i])
	}
	f.content.Objects = append(f.content.Objects, p.prompt.mentions.content, p.drag.Content, p.tips.Content)
}

// low says whether the window is too low for the history to stay open.
func (f *frame) low() bool { return f.size.Height < 720 }

// reveal scrolls the right column, if necessary, until a panel of it is in sight, or the panel's top if it is higher.
func (f *frame) reveal(panel fyne.CanvasObject) {
	top, bottom := panel.Position().Y, panel.Position().Y+panel.Size().Height
	if hidden := bottom - f.right.Offset.Y - f.right.Size().Height; hidden > 0 {
		f.right.ScrollToOffset(fyne.NewPos(0, min(f.right.Offset.Y+hidden, top)))
	}
}

// rescaled lays everything out anew if the screen has another scale: places are whole pixels of it.
func (f *frame) rescaled(scale float32) {
	if scale != f.scale {
		f.scale = scale
		f.content.Refresh()
	}
}

// placeNotices puts the notices over the canvas or the gallery, which stay where they are: below the tools of a mode.
func (f *frame) placeNotices() {
	if f.panels.view == nil { // nothing is laid out yet
		return
	}
	view := f.panels.view.content
	width := min(view.Size().Width-2*ui.Margin, 680)
	x, y := view.Position().X+(view.Size().Width-width)/2, max(f.panels.view.barSpace()+ui.Gap, ui.Margin)
	ui.At(f.notices.Content, x, y, width, f.notices.Height(width))
}

func (f *frame) place(size fyne.Size) {
	if size.IsZero() {
		return
	}
	wasLow := f.low()
	f.size = size
	p := f.panels
	left := float32(int(ui.Between(156, size.Width*0.16, 340)))
	right := float32(int(ui.Between(228, size.Width*0.186, 340)))
	strip := p.strip.height()
	prompt := float32(132)
	if f.low() {
		prompt = 112
	}
	upper := size.Height - strip
	middle := size.Width - left - right
	queue := p.queued.height()
	ui.At(f.left, 0, 0, left, upper)
	ui.At(p.slots.content, 0, 0, left, upper)
	ui.At(p.view.content, left, 0, middle, upper-prompt-queue)
	ui.At(p.gallery.content, left, 0, middle, upper-prompt-queue)
	f.placeNotices()
	ui.At(p.queued.content, left, upper-prompt-queue, middle, queue)
	ui.At(p.prompt.content, left, upper-prompt, middle, prompt)
	cost := p.cost.height()
	ui.At(f.rightBg, left+middle, 0, right, upper)
	p.info.width, p.lora.width = right, right
	ui.At(f.right, left+middle, 0, right, upper-cost)
	ui.At(p.cost.content, left+middle, upper-cost, right, cost)
	ui.At(p.strip.content, 0, upper, size.Width, strip)
	ui.At(f.lines[0], left-1, 0, 1, upper)
	ui.At(f.lines[1], left+middle, 0, 1, upper)
	ui.At(f.lines[2], 0, upper, size.Width, 1)
	ui.At(f.lines[3], left, upper-prompt-queue, middle, 1)
	p.drag.Content.Resize(size)
	p.tips.Content.Resize(size)
	if wasLow != f.low() {
		f.right.Content.Refresh()
		p.strip.content.Refresh()
	}
}
