package app

import (
	"fmt"
	"image"
	"path/filepath"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// slot is one numbered reference: empty, being read, or holding a picture as the model will see it.
type slot struct {
	widget.BaseWidget
	panel  *slotsPanel
	number int

	reading string               // the file being read
	source  studio.Slot          // of what is being read
	ref     *inference.Reference // the prepared picture
	thumb   *image.RGBA          // of ref

	hovered, focused bool
	lit              bool // a drag of the window's own is over it
	dragging         bool
}

func newSlot(p *slotsPanel, number int) *slot {
	c := &slot{panel: p, number: number}
	c.ExtendBaseWidget(c)
	return c
}

func (c *slot) empty() bool { return c.ref == nil && c.reading == "" }

func (c *slot) caption() string { return c.captions()[0] }

// captions say what the model will see where that differs from the file, the longest first: the first that fits is shown.
func (c *slot) captions() []string {
	switch {
	case c.reading != "":
		return []string{filepath.Base(c.reading)}
	case c.ref == nil:
		return []string{""}
	}
	p := c.ref.Preparation(c.panel.s.shape.native())
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

func times(s picture.Size) string { return fmt.Sprintf("%d × %d", s.Width, s.Height) }

func (c *slot) Tapped(*fyne.PointEvent) {
	if c.empty() {
		c.panel.browse()
		return
	}
	takeFocus(c)
}

func (c *slot) TappedSecondary(e *fyne.PointEvent) {
	if c.ref == nil {
		return
	}
	s := c.panel.s
	items := []*fyne.MenuItem{
		fyne.NewMenuItem(fmt.Sprintf("Insert “image %d” into the prompt", c.number), func() { s.prompt.insertImage(c.number) }),
		fyne.NewMenuItem("Replace…", func() { c.panel.browseFor(c.number) }),
	}
	if c.ref.Path != "" {
		path := c.ref.Path
		items = append(items, fyne.NewMenuItem("Show in folder", func() { s.reveal(path) }))
	}
	items = append(items, fyne.NewMenuItem("Remove", func() { c.panel.clear(c.number) }))
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), s.win.Canvas(), e.AbsolutePosition)
}

func (c *slot) DoubleTapped(*fyne.PointEvent) {
	if c.ref != nil {
		c.panel.browseFor(c.number)
	}
}

// The pointer of a file drag from outside comes as mouse movement, too: the slot lights up under it.
func (c *slot) MouseIn(*desktop.MouseEvent)    { c.hovered = true; c.Refresh() }
func (c *slot) MouseMoved(*desktop.MouseEvent) {}
func (c *slot) MouseOut()                      { c.hovered = false; c.Refresh() }
func (c *slot) FocusGained()                   { c.focused = true; c.Refresh() }
func (c *slot) FocusLost()                     { c.focused = false; c.Refresh() }
func (c *slot) TypedRune(rune)                 {}
func (c *slot) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeyReturn, fyne.KeyEnter, fyne.KeySpace:
		if c.ref != nil {
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
		forward(c, e)
	}
}

// Dragged moves the picture to another slot.
func (c *slot) Dragged(e *fyne.DragEvent) {
	if c.ref == nil {
		return
	}
	c.dragging = true
	c.panel.s.drag.follow(c.thumb, e.AbsolutePosition)
}

func (c *slot) DragEnd() {
	if !c.dragging {
		return
	}
	c.dragging = false
	if target := c.panel.s.slotDropped(); target != nil && target != c {
		c.panel.move(c.number, target.number)
	}
}

// setLit lights the slot up while a picture is dragged over it.
func (c *slot) setLit(lit bool) { c.lit = lit; c.Refresh() }

func (c *slot) CreateRenderer() fyne.WidgetRenderer {
	r := &slotRenderer{
		slot: c, ground: newBox(colorNone, radius), edge: newBox(colorNone, radius), dashes: newDashes(),
		badge: canvas.NewCircle(nil), number: newLabel(strconv.Itoa(c.number), colorText, sizeCaption),
		picture: canvas.NewImageFromImage(nil), caption: newLabel("", colorDim, sizeCaption),
		invite: newLabel("Drop a picture", colorDim, sizeText), browse: newLabel("or click to browse", colorDim, sizeCaption),
	}
	r.number.style.Bold = true
	r.number.align, r.invite.align, r.browse.align = fyne.TextAlignCenter, fyne.TextAlignCenter, fyne.TextAlignCenter
	r.picture.FillMode = canvas.ImageFillContain
	r.picture.ScaleMode = canvas.ImageScaleFastest
	r.picture.CornerRadius = radius
	r.clear = newIconButton(theme.CancelIcon(), func() { c.panel.clear(c.number) })
	r.clear.overPicture = true
	r.Refresh()
	return r
}

type slotRenderer struct {
	slot           *slot
	ground, edge   *box
	dashes         *dashes
	badge          *canvas.Circle
	number         *label
	picture        *canvas.Image
	caption        *label
	invite, browse *label
	clear          *button
}

const (
	captionHeight float32 = 24
	badgeSide     float32 = 22
)

func (r *slotRenderer) MinSize() fyne.Size { return fyne.NewSize(96, 80) }
func (r *slotRenderer) Destroy()           {}
func (r *slotRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.picture, r.dashes, r.edge, r.badge, r.number, r.caption, r.invite, r.browse, r.clear}
}

func (r *slotRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.edge.Resize(size)
	r.dashes.Resize(size)
	at(r.badge, 8, 8, badgeSide, badgeSide)
	at(r.number, 8, 8, badgeSide, badgeSide)
	at(r.clear, size.Width-30, 8, badgeSide, badgeSide)
	at(r.picture, 0, 0, size.Width, size.Height-captionHeight)
	at(r.caption, 10, size.Height-captionHeight, size.Width-20, captionHeight)
	r.setCaption()
	middle := size.Height / 2
	at(r.invite, 4, middle-18, size.Width-8, 18)
	at(r.browse, 4, middle+2, size.Width-8, 16)
}

func (r *slotRenderer) setCaption() {
	for _, text := range r.slot.captions() {
		r.caption.set(text, colorDim)
		if r.caption.natural().Width <= r.slot.Size().Width-20 {
			return
		}
	}
}

func (r *slotRenderer) Refresh() {
	c := r.slot
	next := c.panel.free() == c.number
	filled, highlight := c.ref != nil, (c.lit || c.hovered && next) && c.ref == nil || c.lit
	ground, edge := colorNone, colorNone
	if filled || c.reading != "" {
		ground = colorRaised
	}
	if highlight || c.focused {
		edge = colorAccent
	}
	r.ground.set(ground, colorNone)
	r.edge.strokeWidth = 1
	if highlight {
		r.edge.strokeWidth = 2
	}
	r.edge.stroke = edge
	r.edge.Refresh()

	r.dashes.color = colorLine
	ink := colorDim
	if next {
		r.dashes.color, ink = colorAccent, colorAccent
	}
	show(r.dashes, c.empty() && edge == colorNone)
	r.dashes.Refresh()
	if filled {
		r.badge.FillColor = theme.Color(colorAccent)
		r.number.set(strconv.Itoa(c.number), colorOnAccent)
	} else {
		r.badge.FillColor = theme.Color(colorLine)
		r.number.set(strconv.Itoa(c.number), colorText)
	}
	r.badge.Refresh()
	r.invite.set("Drop a picture", ink)
	r.browse.set("or click to browse", ink)
	if c.reading != "" {
		r.invite.set("Reading…", colorText)
	}
	show(r.invite, !filled)
	show(r.browse, c.empty())
	show(r.clear, filled || c.reading != "")
	show(r.picture, filled)
	if img := image.Image(c.thumb); c.thumb != nil && r.picture.Image != img {
		r.picture.Image = img
		r.picture.Refresh()
	}
	r.Layout(c.Size()) // at the screen's present scale
	show(r.caption, !c.empty())
	r.caption.Refresh()
	r.number.Refresh()
	r.invite.Refresh()
	r.browse.Refresh()
	r.clear.Refresh()
	canvas.Refresh(c)
}
