package app

import (
	"fmt"
	"image"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// slot is one numbered reference: empty, being read, or holding a picture as the model will see it.
type slot struct {
	widget.BaseWidget
	panel  *slotsPanel
	number int

	taken  bool
	source studio.Slot // what it holds; it is being read as long as it has no Ref
	thumb  *image.RGBA // of the picture
	each   int         // the number of pictures that it stands for, if one instruction is for many; else 0

	hovered, focused bool
	lit              bool // a picture that is dragged inside the window is over it
	dragging         bool
}

func newSlot(p *slotsPanel, number int) *slot {
	c := &slot{panel: p, number: number}
	c.ExtendBaseWidget(c)
	return c
}

func (c *slot) empty() bool   { return !c.taken }
func (c *slot) reading() bool { return c.taken && c.source.Ref == nil }

func (c *slot) caption() string { return c.captions()[0] }

// captions return what the model will see, if that differs from the file, the longest text first. The first one that
// fits is shown.
func (c *slot) captions() []string {
	switch {
	case c.reading(), c.empty():
		return []string{""}
	}
	p := c.source.Ref.Preparation(c.panel.native())
	list := []string{times(p.Size)}
	if p.Resized() {
		list = []string{times(p.Original) + " › " + times(p.Size), "› " + times(p.Size)}
	}
	if across, down := p.Left+p.Right, p.Top+p.Bottom; across+down > 0 {
		cropped := fmt.Sprintf(" · %d × %d px cropped", across, down)
		switch {
		case down == 0:
			cropped = fmt.Sprintf(" · %d px of width cropped", across)
		case across == 0:
			cropped = fmt.Sprintf(" · %d px of height cropped", down)
		}
		list = append([]string{list[0] + cropped}, list...)
	}
	if p.Profile != "" {
		list = append([]string{list[0] + " · " + p.Profile}, list...)
	}
	return list
}

func (c *slot) Tapped(*fyne.PointEvent) {
	if c.empty() {
		c.panel.browse()
		return
	}
	ui.TakeFocus(c)
}

func (c *slot) TappedSecondary(e *fyne.PointEvent) {
	if c.source.Ref == nil {
		return
	}
	host := c.panel.host
	items := []*fyne.MenuItem{
		fyne.NewMenuItem(fmt.Sprintf("Insert “image %d” into the prompt", c.number), func() {
			host.insertImage(c.number)
		}),
		fyne.NewMenuItem("Crop and turn", func() { host.cropSlot(c.number) }),
		fyne.NewMenuItem("Place on the board", func() { host.placeOnBoard(c.source) }),
		fyne.NewMenuItem("Replace…", func() { c.panel.browseFor(c.number) }),
	}
	if b := c.source.Board; b != nil {
		items = append(items, fyne.NewMenuItem("Open the board it was made of", func() { host.openBoard(b) }))
	}
	for other := 1; other <= c.panel.count(); other++ {
		if other != c.number {
			items = append(items, fyne.NewMenuItem(fmt.Sprintf("Swap with image %d", other), func() {
				c.panel.move(c.number, other)
			}))
		}
	}
	if c.each > 0 {
		items = append(items, fyne.NewMenuItem(fmt.Sprintf("Only this one of the %d pictures", c.each), c.panel.onlyFirst))
	}
	if c.source.Path != "" {
		path := c.source.Path
		items = append(items, fyne.NewMenuItem("Show in folder", func() { host.reveal(path) }))
	}
	items = append(items, fyne.NewMenuItem("Remove", func() { c.panel.clear(c.number) }))
	ui.ShowMenu(c, fyne.NewMenu("", items...), e.AbsolutePosition)
}

func (c *slot) DoubleTapped(*fyne.PointEvent) {
	if c.source.Ref != nil {
		c.panel.host.cropSlot(c.number)
	}
}

// A drag of files from outside comes as mouse movement, too, so that the slot lights up under it.
func (c *slot) MouseIn(*desktop.MouseEvent)    { c.hovered = true; c.Refresh() }
func (c *slot) MouseMoved(*desktop.MouseEvent) {}
func (c *slot) MouseOut()                      { c.hovered = false; c.Refresh() }
func (c *slot) FocusGained()                   { c.focused = true; c.Refresh() }
func (c *slot) FocusLost()                     { c.focused = false; c.Refresh() }
func (c *slot) TypedRune(rune)                 {}
func (c *slot) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		if c.source.Ref != nil {
			c.panel.browseFor(c.number)
		} else {
			c.panel.browse()
		}
	case fyne.KeyDelete, fyne.KeyBackspace:
		c.panel.clear(c.number)
	case fyne.KeyUp:
		c.panel.move(c.number, c.number-1)
	case fyne.KeyDown:
		c.panel.move(c.number, c.number+1)
	default:
		ui.Forward(c, e)
	}
}

// Dragged moves the picture to another slot, or its number into the prompt.
func (c *slot) Dragged(e *fyne.DragEvent) {
	if c.source.Ref == nil {
		return
	}
	c.dragging = true
	c.panel.host.dragPicture(c.thumb, e.AbsolutePosition)
}

func (c *slot) DragEnd() {
	if !c.dragging {
		return
	}
	c.dragging = false
	switch target := c.panel.host.droppedOn(); {
	case target == nil:
		c.panel.host.dropInPrompt(c.number)
	case target != c:
		c.panel.move(c.number, target.number)
	}
}

// setLit lights the slot up while a picture is dragged over it.
func (c *slot) SetLit(lit bool) { c.lit = lit; c.Refresh() }

func (c *slot) CreateRenderer() fyne.WidgetRenderer {
	r := &slotRenderer{
		slot: c, ground: ui.NewBox(ui.ColorNone, ui.Radius), edge: ui.NewBox(ui.ColorNone, ui.Radius), dashes: ui.NewDashes(),
		badge: canvas.NewCircle(nil), number: ui.NewLabel(strconv.Itoa(c.number), ui.ColorText, ui.SizeCaption),
		picture: canvas.NewImageFromImage(nil), caption: ui.NewCaption(""),
		name:   ui.NewLabel("", ui.ColorText, ui.SizeCaption),
		invite: ui.NewLabel("Drop a picture", ui.ColorDim, ui.SizeText),
		browse: ui.NewCaption("or click to browse"),
	}
	r.each, r.eachGround = ui.NewLabel("", ui.ColorOnAccent, ui.SizeCaption), ui.NewBox(ui.ColorAccent, badgeSide/2)
	r.each.Align = fyne.TextAlignCenter
	r.number.Style.Bold = true
	r.number.Align, r.invite.Align, r.browse.Align = fyne.TextAlignCenter, fyne.TextAlignCenter, fyne.TextAlignCenter
	r.picture.FillMode = canvas.ImageFillContain
	r.picture.ScaleMode = canvas.ImageScaleFastest
	r.picture.CornerRadius = ui.Radius
	r.clear = ui.NewIconButton(theme.CancelIcon(), func() { c.panel.clear(c.number) }).Says("Remove this picture (Delete)")
	r.clear.OverPicture = true
	r.Refresh()
	return r
}

type slotRenderer struct {
	slot           *slot
	ground, edge   *ui.Box
	dashes         *ui.Dashes
	badge          *canvas.Circle
	number         *ui.Label
	picture        *canvas.Image
	name           *ui.Label // of the file
	caption        *ui.Label // what the model sees of it
	invite, browse *ui.Label
	clear          *ui.Button
	each           *ui.Label // the number of pictures that it stands for, on a ground beside the badge
	eachGround     *ui.Box
}

const (
	captionHeight float32 = 42 // of two lines
	badgeSide     float32 = 22
)

func (r *slotRenderer) MinSize() fyne.Size { return fyne.NewSize(96, 80) }
func (r *slotRenderer) Destroy()           {}
func (r *slotRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{
		r.ground, r.picture, r.dashes, r.edge, r.badge, r.number, r.eachGround, r.each, r.name, r.caption, r.invite,
		r.browse, r.clear,
	}
}

func (r *slotRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.edge.Resize(size)
	r.dashes.Resize(size)
	ui.At(r.badge, 8, 8, badgeSide, badgeSide)
	ui.At(r.number, 8, 8, badgeSide, badgeSide)
	each := min(r.each.Natural().Width+16, size.Width-76)
	ui.At(r.eachGround, 36, 8, each, badgeSide)
	ui.At(r.each, 36, 8, each, badgeSide)
	ui.At(r.clear, size.Width-30, 8, badgeSide, badgeSide)
	ui.At(r.picture, 0, 0, size.Width, size.Height-captionHeight)
	ui.At(r.name, 10, size.Height-captionHeight+4, size.Width-20, 17)
	ui.At(r.caption, 10, size.Height-captionHeight+21, size.Width-20, 17)
	r.setCaption()
	middle := size.Height / 2
	ui.At(r.invite, 4, middle-18, size.Width-8, 18)
	ui.At(r.browse, 4, middle+2, size.Width-8, 16)
}

func (r *slotRenderer) setCaption() {
	for _, text := range r.slot.captions() {
		r.caption.Set(text, ui.ColorDim)
		if r.caption.Natural().Width <= r.slot.Size().Width-20 {
			return
		}
	}
}

func (r *slotRenderer) Refresh() {
	c := r.slot
	next := c.panel.free() == c.number
	filled, highlight := c.source.Ref != nil, (c.lit || c.hovered && next) && c.source.Ref == nil || c.lit
	ground, edge := ui.ColorNone, ui.ColorNone
	if filled || c.reading() {
		ground = ui.ColorRaised
	}
	if highlight || c.focused {
		edge = ui.ColorAccent
	}
	r.ground.Set(ground, ui.ColorNone)
	r.edge.StrokeWidth = 1
	if highlight {
		r.edge.StrokeWidth = 2
	}
	r.edge.Stroke = edge
	r.edge.Refresh()

	r.dashes.Color = ui.ColorLine
	ink := ui.ColorDim
	if next {
		r.dashes.Color, ink = ui.ColorAccent, ui.ColorAccent
	}
	ui.Show(r.dashes, c.empty() && edge == ui.ColorNone)
	r.dashes.Refresh()
	if filled {
		r.badge.FillColor = theme.Color(ui.ColorAccent)
		r.number.Set(strconv.Itoa(c.number), ui.ColorOnAccent)
	} else {
		r.badge.FillColor = theme.Color(ui.ColorLine)
		r.number.Set(strconv.Itoa(c.number), ui.ColorText)
	}
	r.badge.Refresh()
	r.invite.Set("Drop a picture", ink)
	r.browse.Set("or click to browse", ink)
	if c.reading() {
		r.invite.Set("Reading…", ui.ColorText)
	}
	text := ""
	if c.each > 0 {
		text = fmt.Sprintf("first of %d", c.each)
	}
	r.each.Set(text, ui.ColorOnAccent)
	ui.Show(r.each, text != "")
	ui.Show(r.eachGround, text != "")
	r.eachGround.Set(ui.ColorAccent, ui.ColorNone)
	ui.Show(r.invite, !filled)
	ui.Show(r.browse, c.empty())
	ui.Show(r.clear, filled || c.reading())
	ui.Show(r.picture, c.thumb != nil)
	if img := image.Image(c.thumb); c.thumb != nil && r.picture.Image != img {
		r.picture.Image = img
		r.picture.Refresh()
	}
	r.Layout(c.Size()) // at the screen's present scale
	r.name.Set("", ui.ColorText)
	if !c.empty() {
		r.name.Set(c.source.Name(), ui.ColorText)
	}
	r.name.Refresh()
	ui.Show(r.name, !c.empty())
	ui.Show(r.caption, filled)
	r.caption.Refresh()
	r.number.Refresh()
	r.invite.Refresh()
	r.browse.Refresh()
	r.clear.Refresh()
	canvas.Refresh(c)
}
