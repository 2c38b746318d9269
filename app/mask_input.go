package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"

	"github.com/kleinbild/kleinbild/app/ui"
)

func (l *maskLayer) MouseIn(e *desktop.MouseEvent)    { l.hover(e.Position, true) }
func (l *maskLayer) MouseMoved(e *desktop.MouseEvent) { l.hover(e.Position, true) }
func (l *maskLayer) MouseOut()                        { l.hover(l.pointer, false) }

func (l *maskLayer) hover(pos fyne.Position, inside bool) {
	l.pointer, l.inside = pos, inside
	l.mode.frame.Hover(pos)
	l.drawPointer()
}

// MouseDown begins to paint with the left button, or takes hold of the frame. It pans with the middle button or the
// space bar.
func (l *maskLayer) MouseDown(e *desktop.MouseEvent) {
	l.hover(e.Position, true)
	if e.Button == desktop.MouseButtonPrimary && l.overFrame() {
		ui.TakeFocus(l.mode.frame)
		l.framing = true
		return
	}
	ui.TakeFocus(l)
	switch {
	case e.Button == desktop.MouseButtonTertiary, e.Button == desktop.MouseButtonPrimary && l.space:
		l.panning = true
	case e.Button == desktop.MouseButtonPrimary:
		l.press(e.Position, e.Modifier&fyne.KeyModifierShift != 0,
			e.Modifier&(fyne.KeyModifierAlt|fyne.KeyModifierControl) != 0)
	}
}

func (l *maskLayer) Dragged(e *fyne.DragEvent) {
	l.hover(e.Position, true)
	if l.framing {
		l.mode.frame.Dragged(e)
		return
	}
	if l.panning {
		l.mode.view.Dragged(e)
		return
	}
	l.move(e.Position)
}

func (l *maskLayer) MouseUp(*desktop.MouseEvent) { l.lift() }
func (l *maskLayer) DragEnd()                    { l.lift() }

func (l *maskLayer) lift() {
	if l.framing {
		l.framing = false
		if l.mode.frame.Held() {
			l.mode.frame.DragEnd()
		}
		l.drawPointer()
		return
	}
	if l.panning {
		l.panning = false
		l.mode.view.DragEnd()
		l.drawPointer()
		return
	}
	l.release()
}

// DoubleTapped has the frame follow from the mask again, if it is taken by its label or a handle.
func (l *maskLayer) DoubleTapped(e *fyne.PointEvent) {
	if l.mode.frame.Holds(e.Position) {
		l.mode.resetFrame()
	}
}

// Scrolled zooms, or changes the size of the brush with Ctrl.
func (l *maskLayer) Scrolled(e *fyne.ScrollEvent) {
	d, ok := fyne.CurrentApp().Driver().(desktop.Driver)
	if ok && d.CurrentKeyModifiers()&fyne.KeyModifierShortcutDefault != 0 {
		l.resize(float64(e.Scrolled.DY) / 10)
		return
	}
	l.mode.view.Scrolled(e)
	l.drawPointer()
}

func (l *maskLayer) TappedSecondary(e *fyne.PointEvent) {
	ui.ShowMenu(l, l.mode.menu(), e.AbsolutePosition)
}

func (l *maskLayer) FocusGained() {}

// FocusLost also ends what the keys paint: nobody could go on with it.
func (l *maskLayer) FocusLost() {
	l.space = false
	l.release()
}

func (l *maskLayer) KeyDown(e *fyne.KeyEvent) { l.hold(e.Name, true) }
func (l *maskLayer) KeyUp(e *fyne.KeyEvent)   { l.hold(e.Name, false) }

func (l *maskLayer) hold(key fyne.KeyName, down bool) {
	if key == fyne.KeySpace {
		l.space = down
		l.drawPointer()
	}
}

// maskKeys are the keys of the tools.
var maskKeys = map[fyne.KeyName]maskTool{
	fyne.KeyB: brushTool, fyne.KeyE: eraserTool, fyne.KeyL: lassoTool, fyne.KeyR: rectangleTool, fyne.KeyF: fillTool,
}

// TypedRune changes the brush. The keys of brackets and braces lie elsewhere on each keyboard.
func (l *maskLayer) TypedRune(r rune) {
	switch r {
	case '[':
		l.resize(-1)
	case ']':
		l.resize(1)
	case '{':
		l.setHardness(l.brush.Hardness - 0.1)
	case '}':
		l.setHardness(l.brush.Hardness + 0.1)
	}
}

func (l *maskLayer) TypedKey(e *fyne.KeyEvent) {
	tool, isTool := maskKeys[e.Name]
	switch {
	case isTool:
		l.setTool(tool)
	case e.Name == fyne.KeyX:
		l.swap()
	case e.Name == fyne.KeyDelete, e.Name == fyne.KeyBackspace:
		l.mode.clear()
	case e.Name == fyne.KeyReturn, e.Name == fyne.KeyEnter:
		l.click()
	case e.Name == fyne.KeyPlus, e.Name == fyne.KeyEqual, e.Name == fyne.KeyMinus, e.Name == fyne.Key0,
		e.Name == fyne.Key1:
		l.mode.view.TypedKey(e)
	case l.walk(e.Name), e.Name == fyne.KeySpace, e.Name == fyne.KeyLeftBracket, e.Name == fyne.KeyRightBracket:
	default:
		ui.Forward(l, e)
	}
}

// walk moves the pointer with an arrow key. What is being painted follows it.
func (l *maskLayer) walk(key fyne.KeyName) bool {
	const step = 8
	way, ok := map[fyne.KeyName]fyne.Delta{
		fyne.KeyLeft: {DX: -step}, fyne.KeyRight: {DX: step}, fyne.KeyUp: {DY: -step}, fyne.KeyDown: {DY: step},
	}[key]
	if !ok {
		return false
	}
	if !l.inside {
		l.pointer = l.mode.view.Middle()
	}
	size := l.Size()
	x, y := ui.Between(0, l.pointer.X+way.DX, size.Width), ui.Between(0, l.pointer.Y+way.DY, size.Height)
	l.hover(fyne.NewPos(x, y), true)
	l.move(l.pointer)
	return true
}

// click begins to paint at the pointer, or ends it: between the two, the arrow keys paint.
func (l *maskLayer) click() {
	if l.gesture != nil {
		l.release()
		return
	}
	if !l.inside {
		l.hover(l.mode.view.Middle(), true)
	}
	l.press(l.pointer, false, false)
}

var _ interface {
	fyne.Widget
	fyne.Focusable
	fyne.Draggable
	fyne.Scrollable
	fyne.SecondaryTappable
	fyne.DoubleTappable
	desktop.Mouseable
	desktop.Hoverable
	desktop.Keyable
	desktop.Cursorable
} = (*maskLayer)(nil)
