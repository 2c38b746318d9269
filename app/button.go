package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// button is the one button of the window: a word or an icon on a raised ground, reached by keyboard like everything
// that can be clicked.
type button struct {
	widget.BaseWidget
	text     string
	sub      string // a second, smaller line
	icon     fyne.Resource
	tapped   func()
	quiet    bool // no ground of its own, dim text
	accent   bool // the next thing to do
	chosen   bool // is what applies now
	disabled bool
	small    bool // caption size
	// overPicture is a dark disc, to be seen on any picture.
	overPicture bool
	// A button of a group, which is one stop of Tab: passed says that Tab goes past it, arrows goes on to another one.
	passed func() bool
	arrows func(by int)

	focused, hovered bool
}

func newButton(text string, tapped func()) *button {
	b := &button{text: text, tapped: tapped}
	b.ExtendBaseWidget(b)
	return b
}

func newIconButton(icon fyne.Resource, tapped func()) *button {
	b := &button{icon: icon, tapped: tapped}
	b.ExtendBaseWidget(b)
	return b
}

// newLink is a quiet button in small type.
func newLink(text string, tapped func()) *button {
	b := &button{text: text, tapped: tapped, quiet: true, small: true}
	b.ExtendBaseWidget(b)
	return b
}

func (b *button) setText(text, sub string) {
	if b.text != text || b.sub != sub {
		b.text, b.sub = text, sub
		b.Refresh()
	}
}

func (b *button) setChosen(chosen bool) {
	if b.chosen != chosen {
		b.chosen = chosen
		b.Refresh()
	}
}

func (b *button) setDisabled(disabled bool) {
	if b.disabled != disabled {
		b.disabled = disabled
		b.Refresh()
	}
}

func (b *button) activate() {
	if !b.disabled && b.tapped != nil {
		b.tapped()
	}
}

func (b *button) Tapped(*fyne.PointEvent)        { b.activate() }
func (b *button) MouseIn(*desktop.MouseEvent)    { b.hovered = true; b.Refresh() }
func (b *button) MouseMoved(*desktop.MouseEvent) {}
func (b *button) MouseOut()                      { b.hovered = false; b.Refresh() }
func (b *button) FocusGained()                   { b.focused = true; b.Refresh() }
func (b *button) FocusLost()                     { b.focused = false; b.Refresh() }
func (b *button) TypedRune(rune)                 {}
func (b *button) TypedKey(e *fyne.KeyEvent) {
	switch {
	case e.Name == fyne.KeyReturn, e.Name == fyne.KeyEnter, e.Name == fyne.KeySpace:
		b.activate()
	case b.arrows != nil && (e.Name == fyne.KeyLeft || e.Name == fyne.KeyUp):
		b.arrows(-1)
	case b.arrows != nil && (e.Name == fyne.KeyRight || e.Name == fyne.KeyDown):
		b.arrows(1)
	default:
		forward(b, e)
	}
}

func (b *button) textSize() fyne.ThemeSizeName {
	if b.small {
		return sizeCaption
	}
	return sizeText
}

// Disabled says that the keyboard has no business here.
func (b *button) Disabled() bool { return b.disabled || b.passed != nil && b.passed() }
func (b *button) Enable()        { b.setDisabled(false) }
func (b *button) Disable()       { b.setDisabled(true) }

// MinSize leaves room for the text, so that a row of buttons can ask for it.
func (b *button) MinSize() fyne.Size {
	height := float32(28)
	if b.small {
		height = 24
	}
	width := height
	if b.text != "" {
		side := float32(10)
		if b.quiet {
			side = 6
		}
		width = ceil(fyne.MeasureText(b.text, theme.Size(b.textSize()), fyne.TextStyle{}).Width) + 2*side
	}
	return fyne.NewSize(max(width, height), height)
}

func (b *button) CreateRenderer() fyne.WidgetRenderer {
	r := &buttonRenderer{
		button: b, ground: newBox(colorNone, radius), veil: newBox(colorNone, radius),
		text: newLabel("", colorText, sizeText), sub: newLabel("", colorText, sizeCaption), icon: widget.NewIcon(nil),
	}
	r.text.align, r.sub.align = fyne.TextAlignCenter, fyne.TextAlignCenter
	r.Refresh()
	return r
}

type buttonRenderer struct {
	button       *button
	ground, veil *box
	text, sub    *label
	icon         *widget.Icon
}

func (r *buttonRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	side := min(size.Height-8, 18)
	if r.button.overPicture {
		r.ground.radius, r.veil.radius = size.Height/2, size.Height/2
		r.ground.Refresh()
		r.veil.Refresh()
	}
	at(r.icon, (size.Width-side)/2, (size.Height-side)/2, side, side)
	if r.button.sub == "" {
		at(r.text, 2, 0, size.Width-4, size.Height)
		return
	}
	middle := size.Height / 2
	at(r.text, 4, middle-20, size.Width-8, 20)
	at(r.sub, 4, middle+1, size.Width-8, 16)
}

func (r *buttonRenderer) MinSize() fyne.Size { return r.button.MinSize() }
func (r *buttonRenderer) Destroy()           {}
func (r *buttonRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.veil, r.icon, r.text, r.sub}
}

func (r *buttonRenderer) Refresh() {
	b := r.button
	fill, ink := colorRaised, colorText
	switch {
	case b.accent, b.chosen && !b.quiet:
		fill, ink = colorAccent, colorOnAccent
	case b.quiet && b.chosen:
		fill, ink = colorNone, colorAccent
	case b.quiet:
		fill, ink = colorNone, colorDim
	}
	if b.overPicture {
		fill, ink = colorScrim, colorOnScrim
		r.ground.radius, r.veil.radius = b.Size().Height/2, b.Size().Height/2
	}
	if b.disabled {
		ink = colorDim
		if b.accent {
			fill = colorRaised
		}
	}
	stroke := colorNone
	if b.focused {
		stroke = colorAccent
		if fill == colorAccent {
			stroke = colorText
		}
	}
	r.ground.set(fill, stroke)
	veil := colorNone
	if b.hovered && !b.disabled {
		veil = theme.ColorNameHover
	}
	r.veil.set(veil, colorNone)
	r.text.size, r.text.style.Bold = b.textSize(), b.accent
	r.text.set(b.text, ink)
	r.sub.set(b.sub, ink)
	if b.icon != nil {
		r.icon.SetResource(themed(b.icon, ink))
	}
	r.text.Refresh()
	r.sub.Refresh()
	r.Layout(b.Size())
	canvas.Refresh(b)
}

// themed colours an icon.
func themed(icon fyne.Resource, color fyne.ThemeColorName) fyne.Resource {
	return theme.NewColoredResource(icon, color)
}
