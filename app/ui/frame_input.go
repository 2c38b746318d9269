package ui

import (
	"image"
	"math"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// reach is how far from a handle or an edge the pointer takes hold of it.
const reach float32 = 10

// part returns what of the frame is at a place in the view; ok is false where a drag pans.
func (f *Frame) part(pos fyne.Position) (part framePart, ok bool) {
	if f.rect.Empty() || f.space || f.Disabled() || !f.Visible() {
		return part, false
	}
	least, most := f.corners()
	if f.Grips {
		return f.grip(pos, least, most)
	}
	if pos.X < least.X-reach || pos.Y < least.Y-reach || pos.X > most.X+reach || pos.Y > most.Y+reach {
		return part, false
	}
	part = framePart{edgeAt(pos.X, least.X, most.X), edgeAt(pos.Y, least.Y, most.Y)}
	return part, part != framePart{} || f.Rules.movable(f.rect)
}

// grip returns the part whose handle is at a place in the view, or all of the frame at its label.
func (f *Frame) grip(pos, least, most fyne.Position) (part framePart, ok bool) {
	const near = handleSide/2 + 4
	for _, h := range slices.Backward(handles[:]) { // the corners lie on top
		x, y := middleOf(h.x, least.X, most.X)-pos.X, middleOf(h.y, least.Y, most.Y)-pos.Y
		if h.shown(most.X-least.X, most.Y-least.Y) && max(x, -x, y, -y) <= near {
			return h, true
		}
	}
	at := pos.Subtract(f.tab)
	return framePart{}, at.X >= 0 && at.Y >= 0 && at.X < f.tabSize.Width && at.Y < f.tabSize.Height
}

// Holds says whether a drag that begins at a place in the view moves or resizes the frame.
func (f *Frame) Holds(pos fyne.Position) bool {
	_, ok := f.part(pos)
	return ok
}

// edgeAt says whether a place is at the lower edge (-1), at the higher one (1), or between them (0). Between edges that
// lie close together there is always something to take the frame by.
func edgeAt(at, lo, hi float32) int {
	inside := min(reach, (hi-lo)/4)
	switch {
	case at < lo+inside:
		return -1
	case at > hi-inside:
		return 1
	}
	return 0
}

func (f *Frame) Dragged(e *fyne.DragEvent) {
	if !f.dragged {
		f.settle()
		start := e.Position.Subtract(e.Dragged)
		f.press(start)
		part, ok := f.part(start)
		f.dragged, f.drag, f.panning, f.from = true, part, !ok, f.rect
		f.startX, f.startY = f.view.ToPicture(start)
		TakeFocus(f)
	}
	if f.panning {
		f.view.Dragged(e)
		return
	}
	if f.ended {
		return
	}
	x, y := f.view.ToPicture(e.Position)
	by := image.Pt(rounded(x-f.startX), rounded(y-f.startY))
	if f.drag == (framePart{}) {
		by = by.Add(f.Rules.pull(f.from.Add(by)))
	}
	f.move(f.from, f.drag, by)
}

// press tells the owner that the pointer takes hold of what lies at a place in the view.
func (f *Frame) press(pos fyne.Position) {
	if f.OnPress == nil || f.space {
		return
	}
	if part, ok := f.part(pos); !ok || part == (framePart{}) {
		f.OnPress(pos)
	}
}

func rounded(v float32) int { return int(math.Round(float64(v))) }

func (f *Frame) DragEnd() {
	panned, ended := f.panning, f.ended
	f.dragged, f.panning, f.ended = false, false, false
	switch {
	case ended:
		return
	case panned:
		f.view.DragEnd()
	case f.rect != f.from && f.OnSettled != nil:
		f.OnSettled()
	}
	f.released()
}

// Settle ends what the pointer or a key is doing to the frame, as if it were let go. Nothing comes of the rest of a
// drag then. A pan goes on.
func (f *Frame) Settle() {
	f.settle()
	if !f.dragged || f.panning || f.ended {
		return
	}
	f.ended = true
	if f.rect != f.from && f.OnSettled != nil {
		f.OnSettled()
	}
	f.released()
}

// released tells the owner that nothing holds the frame any more.
func (f *Frame) released() {
	if f.OnReleased != nil && !f.Held() {
		f.OnReleased()
	}
}

// move moves a part of the frame, which was from then, as far as the rules allow it. It says whether that changed the
// frame.
func (f *Frame) move(from image.Rectangle, part framePart, by image.Point) bool {
	to := f.Rules.moved(from, part, by)
	if to == f.rect {
		return false
	}
	f.rect = to
	f.Place()
	if f.OnChanged != nil {
		f.OnChanged()
	}
	return true
}

func (f *Frame) Tapped(e *fyne.PointEvent)          { TakeFocus(f); f.click(e) }
func (f *Frame) TappedSecondary(e *fyne.PointEvent) { f.showMenu(e) }
func (f *Frame) Scrolled(e *fyne.ScrollEvent)       { f.wheel(e) }
func (f *Frame) MouseIn(e *desktop.MouseEvent)      { f.Hover(e.Position) }
func (f *Frame) MouseMoved(e *desktop.MouseEvent)   { f.Hover(e.Position) }
func (f *Frame) MouseOut()                          {}
func (f *Frame) FocusGained()                       { f.focused = true; f.Place() }
func (f *Frame) TypedRune(rune)                     {}
func (f *Frame) KeyDown(e *fyne.KeyEvent)           { f.held(e.Name, true) }
func (f *Frame) KeyUp(e *fyne.KeyEvent)             { f.held(e.Name, false); f.settle() }

func (f *Frame) click(e *fyne.PointEvent) {
	if f.OnPress != nil {
		f.press(e.Position)
	}
}

func (f *Frame) showMenu(e *fyne.PointEvent) {
	if f.OnMenu == nil {
		f.view.TappedSecondary(e)
		return
	}
	f.press(e.Position)
	f.OnMenu(e)
}

func (f *Frame) wheel(e *fyne.ScrollEvent) {
	if f.OnWheel == nil || !f.OnWheel(e) {
		f.view.Scrolled(e)
	}
}

func (f *Frame) FocusLost() {
	f.focused, f.shift, f.space = false, false, false
	f.Place()
	f.settle()
}

// Hover says where the pointer is.
func (f *Frame) Hover(pos fyne.Position) { f.pointer = pos }

// Cursor says what a drag at the pointer's place does.
func (f *Frame) Cursor() desktop.Cursor {
	part, ok := f.part(f.pointer)
	switch {
	case !ok:
		return f.view.Cursor()
	case part.x != 0 && part.y != 0:
		return desktop.CrosshairCursor // there is none for corners
	case part.x != 0:
		return desktop.HResizeCursor
	case part.y != 0:
		return desktop.VResizeCursor
	}
	return desktop.PointerCursor
}

func (f *Frame) held(key fyne.KeyName, down bool) {
	switch key {
	case desktop.KeyShiftLeft, desktop.KeyShiftRight:
		f.shift = down
	case fyne.KeySpace:
		f.space = down
	}
}

// arrows are the arrow keys: the direction of each.
var arrows = map[fyne.KeyName]image.Point{
	fyne.KeyLeft: {-1, 0}, fyne.KeyRight: {1, 0}, fyne.KeyUp: {0, -1}, fyne.KeyDown: {0, 1},
}

// TypedKey moves the frame by a step with the arrow keys, and by ten with Shift.
func (f *Frame) TypedKey(e *fyne.KeyEvent) {
	if f.OnKey != nil && f.OnKey(e) {
		return
	}
	way, ok := arrows[e.Name]
	switch {
	case ok:
		f.step(framePart{}, way, f.shift)
	case e.Name == fyne.KeyPlus, e.Name == fyne.KeyEqual, e.Name == fyne.KeyMinus, e.Name == fyne.Key0,
		e.Name == fyne.Key1:
		f.view.TypedKey(e)
	case e.Name == fyne.KeySpace:
	case f.OnReset != nil && (e.Name == fyne.KeyDelete || e.Name == fyne.KeyBackspace):
		f.settle()
		f.OnReset()
	default:
		f.settle()
		Forward(f, e)
	}
}

// TypedShortcut makes the frame larger at the side of an arrow key with Ctrl, and smaller there with Alt. All other
// shortcuts are the window's.
func (f *Frame) TypedShortcut(shortcut fyne.Shortcut) {
	if c, ok := shortcut.(*desktop.CustomShortcut); ok {
		way, arrow := arrows[c.KeyName]
		part := framePart{way.X, way.Y}
		shift := c.Modifier&fyne.KeyModifierShift != 0
		switch modifier := c.Modifier &^ fyne.KeyModifierShift; {
		case arrow && modifier == fyne.KeyModifierShortcutDefault:
			f.step(part, way, shift)
			return
		case arrow && modifier == fyne.KeyModifierAlt:
			f.step(part, way.Mul(-1), shift)
			return
		}
	}
	f.settle()
	ForwardShortcut(f, shortcut)
}

// step moves a part of the frame by a step, or by ten. A key that is held down repeats it: it settles once the key is
// let go.
func (f *Frame) step(part framePart, way image.Point, ten bool) {
	steps := max(f.Rules.Step, 1)
	if ten {
		steps *= 10
	}
	if f.move(f.rect, part, way.Mul(steps)) {
		f.stepped = true
	}
}

// settle ends what the arrow keys have begun.
func (f *Frame) settle() {
	if !f.stepped {
		return
	}
	f.stepped = false
	if f.OnSettled != nil {
		f.OnSettled()
	}
	f.released()
}
