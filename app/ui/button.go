package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// Button is the one button of the window: a word or an icon on a raised ground, reached by keyboard like everything
// that can be clicked. Whoever changes a field of a button that is on show calls Refresh.
type Button struct {
	widget.BaseWidget
	Tip
	Text        string
	Quiet       bool   // no ground of its own, dim text
	Small       bool   // caption size
	Accent      bool   // the next thing to do
	Chosen      bool   // is what applies now
	OverPicture bool   // on a dark disc, to be seen on any picture
	Key         string // the key that does the same, named beside the text; "" for none
	Drops       bool   // opens a menu: an arrow beside the text says so
	// The Tab key stops once in a group of buttons. Passed says whether it passes over this button of the group. OnArrow
	// moves the choice to the next button of the group (1) or to the one before (-1). Both are nil for a single button.
	Passed  func() bool
	OnArrow func(by int)
	Focused bool // has the keyboard; the button sets it, others only read it

	sub      string        // a second, smaller line
	icon     fyne.Resource // beside the text, if there is one
	tapped   func()
	disabled bool
	hovered  bool
}

// NewButton returns a button with a word.
func NewButton(text string, tapped func()) *Button {
	b := &Button{Text: text, tapped: tapped}
	b.ExtendBaseWidget(b)
	return b
}

// NewIconButton returns a button with an icon.
func NewIconButton(icon fyne.Resource, tapped func()) *Button {
	b := &Button{icon: icon, tapped: tapped}
	b.ExtendBaseWidget(b)
	return b
}

// NewLink returns a quiet button in small type.
func NewLink(text string, tapped func()) *Button {
	b := &Button{Text: text, tapped: tapped, Quiet: true, Small: true}
	b.ExtendBaseWidget(b)
	return b
}

// NewMarkedButton returns a button with an icon before its word.
func NewMarkedButton(icon fyne.Resource, text string, tapped func()) *Button {
	b := NewButton(text, tapped)
	b.icon = icon
	return b
}

// marked says whether an icon stands before the word.
func (b *Button) marked() bool { return b.icon != nil && b.Text != "" && !b.Drops }

// SetIcon changes the icon.
func (b *Button) SetIcon(icon fyne.Resource) {
	if b.icon != icon {
		b.icon = icon
		b.Refresh()
	}
}

// SetText changes the text and the smaller line below it, "" for none.
func (b *Button) SetText(text, sub string) {
	if b.Text != text || b.sub != sub {
		b.Text, b.sub = text, sub
		b.Refresh()
	}
}

// SetChosen says whether the button is what applies now.
func (b *Button) SetChosen(chosen bool) {
	if b.Chosen != chosen {
		b.Chosen = chosen
		b.Refresh()
	}
}

// Says sets the button's tip and returns the button.
func (b *Button) Says(tip string) *Button {
	b.Tip.Tip = tip
	return b
}

// SetDisabled says whether the button cannot be pressed.
func (b *Button) SetDisabled(disabled bool) {
	if b.disabled != disabled {
		b.disabled = disabled
		b.Refresh()
	}
}

func (b *Button) activate() {
	if !b.disabled && b.tapped != nil {
		b.tapped()
	}
}

func (b *Button) Tapped(*fyne.PointEvent)        { b.leave(b); b.activate() }
func (b *Button) MouseIn(*desktop.MouseEvent)    { b.hovered = true; b.enter(b); b.Refresh() }
func (b *Button) MouseMoved(*desktop.MouseEvent) {}
func (b *Button) MouseOut()                      { b.hovered = false; b.leave(b); b.Refresh() }
func (b *Button) FocusGained()                   { b.Focused = true; b.Refresh() }
func (b *Button) FocusLost()                     { b.Focused = false; b.Refresh() }
func (b *Button) TypedRune(rune)                 {}

func (b *Button) TypedKey(e *fyne.KeyEvent) {
	switch {
	case e.Name == fyne.KeyReturn, e.Name == fyne.KeyEnter, e.Name == fyne.KeySpace:
		b.activate()
	case b.OnArrow != nil && (e.Name == fyne.KeyLeft || e.Name == fyne.KeyUp):
		b.OnArrow(-1)
	case b.OnArrow != nil && (e.Name == fyne.KeyRight || e.Name == fyne.KeyDown):
		b.OnArrow(1)
	default:
		Forward(b, e)
	}
}

func (b *Button) textSize() fyne.ThemeSizeName {
	if b.Small {
		return SizeCaption
	}
	return SizeText
}

// Disabled says whether Tab passes over the button, because it cannot be pressed or is not its group's stop.
func (b *Button) Disabled() bool { return b.disabled || b.Passed != nil && b.Passed() }
func (b *Button) Enable()        { b.SetDisabled(false) }
func (b *Button) Disable()       { b.SetDisabled(true) }

// keyWidth is the room for the key beside the text, markWidth for an icon before it.
const keyWidth, markWidth float32 = 14, 18

// MinSize leaves room for the text, so that a row of buttons can ask for it.
func (b *Button) MinSize() fyne.Size {
	height := float32(28)
	if b.Small {
		height = 24
	}
	width := height
	if b.Text != "" {
		side := float32(10)
		if b.Quiet {
			side = 6
		}
		width = ceil(fyne.MeasureText(b.Text, theme.Size(b.textSize()), fyne.TextStyle{}).Width) + 2*side
		if b.Key != "" || b.Drops {
			width += keyWidth
		}
		if b.marked() {
			width += markWidth
		}
	}
	return fyne.NewSize(max(width, height), height)
}

func (b *Button) CreateRenderer() fyne.WidgetRenderer {
	r := &buttonRenderer{
		button: b, ground: NewBox(ColorNone, Radius), veil: NewBox(ColorNone, Radius),
		text: NewLabel("", ColorText, SizeText), sub: NewLabel("", ColorText, SizeCaption),
		key: NewLabel(b.Key, ColorDim, SizeCaption), icon: widget.NewIcon(nil),
	}
	r.text.Align, r.sub.Align = fyne.TextAlignCenter, fyne.TextAlignCenter
	r.Refresh()
	return r
}

type buttonRenderer struct {
	button       *Button
	ground, veil *Box
	text, sub    *Label
	key          *Label
	icon         *widget.Icon
	drawn        drawnIcon // what icon shows
}

func (r *buttonRenderer) Layout(size fyne.Size) {
	r.ground.Resize(size)
	r.veil.Resize(size)
	side := min(size.Height-8, 18)
	if r.button.OverPicture {
		r.ground.radius, r.veil.radius = size.Height/2, size.Height/2
		r.ground.Refresh()
		r.veil.Refresh()
	}
	if !r.button.marked() {
		At(r.icon, (size.Width-side)/2, (size.Height-side)/2, side, side)
	} else {
		At(r.icon, 9, (size.Height-markWidth+2)/2, markWidth-2, markWidth-2)
	}
	if r.button.sub == "" {
		left, width := float32(0), size.Width
		if r.button.marked() {
			left, width = markWidth, width-markWidth
		}
		if r.button.Key != "" {
			width -= keyWidth
			At(r.key, left+width-4, 0, keyWidth, size.Height)
		}
		if r.button.Drops {
			width -= keyWidth
			At(r.icon, width-5, (size.Height-keyWidth)/2, keyWidth, keyWidth)
		}
		At(r.text, left+2, 0, width-4, size.Height)
		return
	}
	middle := size.Height / 2
	At(r.text, 4, middle-20, size.Width-8, 20)
	At(r.sub, 4, middle+1, size.Width-8, 16)
}

func (r *buttonRenderer) MinSize() fyne.Size { return r.button.MinSize() }
func (r *buttonRenderer) Destroy()           {}

func (r *buttonRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.ground, r.veil, r.icon, r.text, r.sub, r.key}
}

func (r *buttonRenderer) Refresh() {
	b := r.button
	fill, ink := ColorRaised, ColorText
	switch {
	case b.Accent, b.Chosen && !b.Quiet:
		fill, ink = ColorAccent, ColorOnAccent
	case b.Quiet && b.Chosen:
		fill, ink = ColorNone, ColorAccent
	case b.Quiet:
		fill, ink = ColorNone, ColorDim
	}
	if b.OverPicture {
		fill, ink = colorScrim, colorOnScrim
		if b.Chosen {
			ink = colorMarked
		}
		r.ground.radius, r.veil.radius = b.Size().Height/2, b.Size().Height/2
	}
	if b.disabled {
		ink = ColorDim
		if b.Accent {
			fill = ColorRaised
		}
	}
	stroke := ColorNone
	if b.Focused {
		stroke = ColorAccent
		if fill == ColorAccent {
			stroke = ColorText
		}
	}
	r.ground.Set(fill, stroke)
	veil := ColorNone
	if b.hovered && !b.disabled {
		veil = theme.ColorNameHover
	}
	r.veil.Set(veil, ColorNone)
	r.text.size, r.text.Style.Bold = b.textSize(), b.Accent
	r.text.Set(b.Text, ink)
	r.sub.Set(b.sub, ink)
	keyInk := ColorDim
	if fill == ColorAccent {
		keyInk = ink
	}
	r.key.Set(b.Key, keyInk)
	if b.Drops {
		b.icon = theme.MenuDropDownIcon()
	}
	// Drawing an icon takes a millisecond, and buttons are refreshed with every change of the desk.
	if drawn := (drawnIcon{b.icon, theme.Color(ink)}); b.icon != nil && drawn != r.drawn {
		r.drawn = drawn
		r.icon.SetResource(Themed(b.icon, ink))
	}
	r.text.Refresh()
	r.sub.Refresh()
	r.key.Refresh()
	r.Layout(b.Size())
	canvas.Refresh(b)
}

// drawnIcon is an icon in a colour.
type drawnIcon struct {
	icon fyne.Resource
	ink  color.Color
}

// Themed returns an icon in a colour of the theme.
func Themed(icon fyne.Resource, color fyne.ThemeColorName) fyne.Resource {
	return theme.NewColoredResource(icon, color)
}
