package ui

import (
	"maps"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// gridDrag is what a drag on the grid does.
type gridDrag int

const (
	gridDragNothing  gridDrag = iota
	gridDragPictures          // takes the chosen pictures elsewhere
	gridDragBand              // draws a rectangle that chooses what it touches
)

// heldKeys returns the modifiers that are held down.
func heldKeys() fyne.KeyModifier {
	if d, ok := fyne.CurrentApp().Driver().(desktop.Driver); ok {
		return d.CurrentKeyModifiers()
	}
	return 0
}

func (g *ThumbGrid) MouseIn(e *desktop.MouseEvent) { g.MouseMoved(e) }

func (g *ThumbGrid) MouseMoved(e *desktop.MouseEvent) { g.hover(g.itemAt(e.Position)) }

func (g *ThumbGrid) MouseOut() { g.hover(-1) }

func (g *ThumbGrid) hover(item int) {
	if g.hovered != item {
		g.hovered = item
		g.Refresh()
	}
}

// MouseDown chooses. An item of several that are chosen is chosen alone only when the button is let go, so that all of
// them can be dragged.
func (g *ThumbGrid) MouseDown(e *desktop.MouseEvent) {
	TakeFocus(g)
	i := g.itemAt(e.Position)
	g.pressed = -1
	several := i >= 0 && g.chosen[g.ids[i]] && len(g.chosen) > 1
	switch {
	case i < 0:
		if e.Modifier == 0 && len(g.chosen) > 0 {
			g.chosen = map[uint64]bool{}
			g.chosenChanged()
		}
		return
	case e.Button == desktop.MouseButtonSecondary && g.chosen[g.ids[i]]: // the menu is for all of them
		g.cursor = i
		g.Refresh()
		return
	case e.Button == desktop.MouseButtonPrimary && e.Modifier == 0 && onStar(e.Position.Subtract(g.cellAt(i)), g.cell):
		if !several {
			g.only(i)
			g.chosenChanged()
		}
		g.OnStar()
		return
	case several && e.Modifier == 0:
		g.pressed = i
		return
	}
	g.click(i, e.Modifier)
	g.chosenChanged()
}

func (g *ThumbGrid) MouseUp(*desktop.MouseEvent) {
	if g.pressed >= 0 && g.dragging == gridDragNothing && g.pressed < len(g.ids) {
		g.only(g.pressed)
		g.chosenChanged()
	}
	g.pressed = -1
}

func (g *ThumbGrid) DoubleTapped(e *fyne.PointEvent) {
	if i := g.itemAt(e.Position); i >= 0 && !onStar(e.Position.Subtract(g.cellAt(i)), g.cell) {
		g.OnOpen(g.ids[i])
	}
}

func (g *ThumbGrid) TappedSecondary(e *fyne.PointEvent) {
	if g.itemAt(e.Position) < 0 {
		return
	}
	if menu := g.Menu(); menu != nil {
		ShowMenu(g, menu, e.AbsolutePosition)
	}
}

// Dragged takes pictures along, or draws a rectangle if it began beside them.
func (g *ThumbGrid) Dragged(e *fyne.DragEvent) {
	if g.dragging == gridDragNothing {
		g.from = e.Position.SubtractXY(e.Dragged.DX, e.Dragged.DY)
		g.dragging = gridDragBand
		if g.before = maps.Clone(g.chosen); g.itemAt(g.from) >= 0 {
			g.dragging = gridDragPictures
		}
	}
	if g.dragging == gridDragPictures {
		if g.cursor >= 0 && g.cursor < len(g.items) {
			g.OnDrag(g.known[g.items[g.cursor].Path], e.AbsolutePosition)
		}
		return
	}
	g.chooseBand(e.Position)
}

// chooseBand draws the rectangle from where the drag began to pos, and chooses what it touches beside what was chosen.
func (g *ThumbGrid) chooseBand(pos fyne.Position) {
	x0, x1 := min(g.from.X, pos.X), max(g.from.X, pos.X)
	y0, y1 := max(min(g.from.Y, pos.Y), 0), max(g.from.Y, pos.Y)
	At(g.band, x0, y0, x1-x0, y1-y0)
	Show(g.band, true)
	g.chosen = maps.Clone(g.before)
	for i := g.rowAt(y0); i < len(g.rows) && g.rows[i].top < y1; i++ {
		for k := range g.rows[i].n {
			item := g.rows[i].first + k
			at := g.cellAt(item)
			if at.X < x1 && at.X+g.cell.Width > x0 && at.Y+g.cell.Height > y0 {
				g.chosen[g.ids[item]] = true
			}
		}
	}
	g.chosenChanged()
}

func (g *ThumbGrid) DragEnd() {
	if g.dragging == gridDragPictures {
		g.OnDrop()
	}
	g.dragging, g.pressed = gridDragNothing, -1
	Show(g.band, false)
}

func (g *ThumbGrid) FocusGained()   { g.focused = true; g.Refresh() }
func (g *ThumbGrid) FocusLost()     { g.focused = false; g.Refresh() }
func (g *ThumbGrid) TypedRune(rune) {}

func (g *ThumbGrid) TypedKey(e *fyne.KeyEvent) {
	if len(g.items) == 0 {
		Forward(g, e)
		return
	}
	page := max(int(g.Scroll.Size().Height/(g.cell.Height+gridGap)), 1)
	switch e.Name {
	case fyne.KeyLeft:
		g.moveTo(g.cursor - 1)
	case fyne.KeyRight:
		g.moveTo(g.cursor + 1)
	case fyne.KeyUp:
		g.moveTo(g.beside(-1))
	case fyne.KeyDown:
		g.moveTo(g.beside(1))
	case fyne.KeyPageUp:
		g.moveTo(g.beside(-page))
	case fyne.KeyPageDown:
		g.moveTo(g.beside(page))
	case fyne.KeyHome:
		g.moveTo(0)
	case fyne.KeyEnd:
		g.moveTo(len(g.items) - 1)
	case fyne.KeySpace:
		g.toggle(max(g.cursor, 0))
		g.chosenChanged()
	case fyne.KeyReturn, fyne.KeyEnter:
		if g.cursor >= 0 {
			g.OnOpen(g.ids[g.cursor])
		}
	case fyne.KeyDelete:
		g.OnBin()
	default:
		Forward(g, e)
	}
}

// moveTo moves the cursor to an item and chooses it; with Shift, all from the anchor to it.
func (g *ThumbGrid) moveTo(i int) {
	i = min(max(i, 0), len(g.items)-1)
	if g.Held()&fyne.KeyModifierShift != 0 {
		g.extend(i, false)
	} else {
		g.only(i)
	}
	g.show(i)
	g.chosenChanged()
}

// beside returns the item that lies rows below the cursor, or above it if rows is negative, in the same column if the
// row is as long as that.
func (g *ThumbGrid) beside(rows int) int {
	if g.cursor < 0 {
		return 0
	}
	at := g.rowOf(g.cursor)
	column, step, found := g.cursor-g.rows[at].first, 1, g.cursor
	if rows < 0 {
		step, rows = -1, -rows
	}
	for i := at + step; rows > 0 && i >= 0 && i < len(g.rows); i += step {
		if r := g.rows[i]; r.n > 0 {
			found = r.first + min(column, r.n-1)
			rows--
		}
	}
	return found
}
