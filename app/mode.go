package app

import (
	"image"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// canvasMode is what the canvas can be used for beside looking at a picture, such as painting a mask. One mode at a
// time is entered, by its button below the picture or its key. Its tools and what it lays over the picture come and go
// with it. Escape, the button, Generate and another picture leave it.
type canvasMode interface {
	name() (text, key string) // of its button among the tools below the picture
	offered() bool            // says whether the mode makes sense now
	enter() bool              // prepares the mode and says whether that was possible; if not, it has told why
	leave()                   // ends what enter began
	bar() fyne.CanvasObject   // the tools above the picture, nil for none
	over() fyne.CanvasObject  // lies over the whole view and gets what the pointer does there; nil for nothing
	// picture is what is on the canvas in this mode, and its size in pixels; nil for the picture on show.
	picture() (*image.RGBA, image.Point)
}

// What a mode may do beside that.
type (
	// follower says whether the mode goes on with another picture on show.
	follower interface {
		follow(pic *studio.Picture) bool
	}
	// drawer draws the picture on show, and whatever belongs to it in the mode.
	drawer interface{ draw() }
	// cover takes the place of the view with what it lays over it.
	cover interface{ covers() bool }
	// keyboard has a stop of Tab that the mode begins at, once it is on show.
	keyboard interface{ first() fyne.Focusable }
	// toolbox has tools in the place of those below the picture; own is the mode's button. If there is no room for all,
	// the first of least goes first.
	toolbox interface {
		tools(own *ui.Button) (row, least []*ui.Button)
	}
	// doubled has a second view, on the left of the first; nil for none at present. All of them are among views.
	doubled interface {
		second() *ui.PictureView
		views() []*ui.PictureView
	}
)

// follows says whether the mode goes on with another picture on show.
func (p *canvasPanel) follows(pic *studio.Picture) bool {
	m, ok := p.mode.(follower)
	return ok && m.follow(pic)
}

// covered says whether the mode has something in the view's place.
func (p *canvasPanel) covered() bool {
	m, ok := p.mode.(cover)
	return ok && m.covers()
}

// offeredMode is a mode with its button.
type offeredMode struct {
	canvasMode
	button *ui.Button
}

// barHeight is what the tools of a mode take from the view's height.
const barHeight float32 = 52

// barSpace returns the height that the tools of the mode that the canvas is in take at its top, 0 if none are in sight.
func (p *canvasPanel) barSpace() float32 {
	if p.mode == nil || p.mode.bar() == nil || !p.content.Visible() {
		return 0
	}
	return barHeight
}

// use gives the canvas its modes, in the order of their buttons.
func (p *canvasPanel) use(modes ...canvasMode) {
	for _, m := range modes {
		text, key := m.name()
		button := ui.NewButton(text, func() { p.toggleMode(m) })
		button.Key = key
		button.Says(keyTip(fyne.KeyName(key)))
		button.Hide()
		p.modes = append(p.modes, offeredMode{m, button})
		p.tools = append(p.tools, button)
		above := []fyne.CanvasObject{button}
		if t, ok := m.(toolbox); ok {
			row, _ := t.tools(button)
			for _, b := range row {
				if !slices.Contains(p.tools, b) {
					p.tools = append(p.tools, b)
					b.Hide()
					above = append(above, b)
				}
			}
		}
		if d, ok := m.(doubled); ok {
			for _, v := range d.views() {
				above = append(above, v)
			}
		}
		for _, o := range []fyne.CanvasObject{m.over(), m.bar()} {
			if o != nil {
				o.Hide()
				above = append(above, o)
			}
		}
		i := slices.Index(p.content.Objects, fyne.CanvasObject(p.view)) + 1
		p.content.Objects = slices.Insert(p.content.Objects, i, above...)
	}
}

// buttonOf returns the button of the mode with a key, nil if it is the one that the canvas is in.
func (p *canvasPanel) buttonOf(key string) *ui.Button {
	for _, m := range p.modes {
		if m.button.Key == key && m.canvasMode != p.mode {
			return m.button
		}
	}
	return nil
}

// modeKey enters or leaves the mode with a key, if there is one that makes sense now. The mode that the gallery hides
// comes back.
func (p *canvasPanel) modeKey(key fyne.KeyName) {
	for _, m := range p.modes {
		if fyne.KeyName(m.button.Key) == key && p.offers(m.canvasMode) {
			hidden := !p.content.Visible()
			p.host.leaveGallery()
			if !hidden || m.canvasMode != p.mode {
				p.toggleMode(m.canvasMode)
			}
			return
		}
	}
}

// toolsOfMode returns the tools that the mode that the canvas is in has in the place of the usual ones, and which of
// them go first if there is no room; none if it has no such tools.
func (p *canvasPanel) toolsOfMode() (row, least []*ui.Button) {
	for _, m := range p.modes {
		if t, ok := m.canvasMode.(toolbox); ok && m.canvasMode == p.mode {
			return t.tools(m.button)
		}
	}
	return nil, nil
}

// offers says whether a mode can be entered now, or left.
func (p *canvasPanel) offers(m canvasMode) bool {
	return m == p.mode || !p.start.content.Visible() && m.offered()
}

func (p *canvasPanel) toggleMode(m canvasMode) {
	if p.mode == m {
		p.leaveMode()
		return
	}
	p.enterMode(m)
}

// enterMode leaves the mode that the canvas is in and enters another one.
func (p *canvasPanel) enterMode(m canvasMode) {
	p.leaveMode()
	if !m.enter() {
		return
	}
	p.mode, p.previewing = m, false
	p.draw()
	if k, ok := m.(keyboard); ok {
		p.host.focus(k.first())
	}
}

// leaveMode goes back to looking at the picture on show. It says whether the canvas was in a mode.
func (p *canvasPanel) leaveMode() bool {
	m := p.mode
	if m == nil {
		return false
	}
	keyboard := p.host.focusWithin(p.content)
	p.mode = nil
	m.leave()
	p.draw()
	if keyboard { // what had it is gone
		p.host.unfocus()
		p.host.focus(p.view)
	}
	return true
}

// placeSecond puts the second view of the mode that the canvas is in into the left half of the room, and hides all
// others. It returns where the first view begins.
func (p *canvasPanel) placeSecond(size fyne.Size, top float32) (left float32) {
	for _, m := range p.modes {
		d, ok := m.canvasMode.(doubled)
		if !ok {
			continue
		}
		for _, v := range d.views() {
			now := m.canvasMode == p.mode && d.second() == v
			if ui.Show(v, now); now {
				left = float32(int(size.Width / 2))
				ui.At(v, 0, top, left, size.Height-toolsHeight-top)
			}
		}
	}
	return left
}

// placeModes shows the tools of the mode that the canvas is in, and what it has over the picture, and returns how much
// of the height the tools take.
func (p *canvasPanel) placeModes(size fyne.Size) (top float32) {
	for _, m := range p.modes {
		now := m.canvasMode == p.mode
		bar, over := m.bar(), m.over()
		if bar != nil {
			ui.Show(bar, now)
		}
		if over != nil {
			ui.Show(over, now)
		}
		if !now {
			continue
		}
		if bar != nil {
			top = barHeight
			least := bar.MinSize()
			width := min(least.Width, size.Width-2*ui.Margin)
			ui.At(bar, (size.Width-width)/2, (barHeight-least.Height)/2, width, least.Height)
		}
		if over != nil {
			ui.At(over, 0, top, size.Width, size.Height-toolsHeight-top)
		}
	}
	return top
}
