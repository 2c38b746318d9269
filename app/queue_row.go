package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// queueRow is a row of the queue: what a batch asks for, with buttons. It listens to the keys and to drags, which move
// the batch. Tab stops once in the list, at no button of it.
type queueRow struct {
	widget.BaseWidget
	panel               *queuePanel
	index               int // from the top of the rows on show
	ground              *ui.Box
	text                *ui.Label
	edit, up, down, del *ui.Button
	all                 *ui.Button // of one instruction for many pictures: takes all of them out of the queue

	focused  bool
	dragging bool
	dragged  int // the batch that is dragged
}

func newQueueRow(q *queuePanel, index int) *queueRow {
	r := &queueRow{
		panel: q, index: index, ground: ui.NewBox(ui.ColorNone, 4), text: ui.NewLabel("", ui.ColorText, ui.SizeText),
	}
	r.ExtendBaseWidget(r)
	r.edit = ui.NewLink("edit", func() { q.edit(r.batch()) }).Says("Take it back to the desk (Enter)")
	r.up = ui.NewIconButton(theme.MoveUpIcon(), func() { q.move(r.batch(), r.batch()-1) }).
		Says("Make it earlier (Ctrl + Up)")
	r.down = ui.NewIconButton(theme.MoveDownIcon(), func() { q.move(r.batch(), r.batch()+1) }).
		Says("Make it later (Ctrl + Down)")
	r.all = ui.NewLink("remove all", func() { q.removeEachOf(r.batch()) }).
		Says("Take all pictures of this instruction out of the queue")
	r.del = ui.NewIconButton(theme.CancelIcon(), func() { q.remove(r.batch()) }).Says("Take it out of the queue (Delete)")
	for _, b := range r.buttons() {
		b.Quiet = true
		b.Passed = func() bool { return true }
	}
	return r
}

func (r *queueRow) buttons() []*ui.Button { return []*ui.Button{r.all, r.edit, r.up, r.down, r.del} }

// objects are all parts of the row: the row itself, and its buttons over it.
func (r *queueRow) objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r, r.all, r.edit, r.up, r.down, r.del}
}

// batch is the place in the queue of the batch on show.
func (r *queueRow) batch() int { return r.panel.first + r.index }

// show shows a batch, or nothing for nil.
func (r *queueRow) show(b *studio.Batch) {
	for _, o := range r.objects() {
		ui.Show(o, b != nil)
	}
	if b == nil {
		return
	}
	r.text.Set(describe(*b), ui.ColorText)
	ui.Show(r.all, r.panel.offersAll(r.index))
	r.up.SetDisabled(r.batch() == 0)
	r.down.SetDisabled(r.batch() == r.panel.waiting()-1)
}

func (r *queueRow) place(x, y, width float32) {
	ui.At(r, x-3, y, width+6, queueRowHeight)
	right := x + width
	for _, b := range []*ui.Button{r.del, r.down, r.up, r.edit, r.all} {
		if !b.Visible() {
			continue
		}
		w := max(b.MinSize().Width, 26)
		right -= w
		ui.At(b, right, y+1, w, 26)
	}
	ui.At(r.text, 9, 0, right-x-6-ui.Gap, queueRowHeight)
}

func (r *queueRow) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(ui.Arranged(ui.NoSize, func(size fyne.Size) {
		const inset = 3 // Fyne clips what scrolls to its size, and the edge with it
		ui.At(r.ground, inset, inset, size.Width-2*inset, size.Height-2*inset)
	}, r.ground, r.text))
}

func (r *queueRow) FocusGained() { r.focused = true; r.panel.chosen = r.batch(); r.ring() }
func (r *queueRow) FocusLost()   { r.focused = false; r.ring() }

func (r *queueRow) ring() {
	if r.focused {
		r.ground.Set(ui.ColorRaised, ui.ColorAccent)
	} else {
		r.ground.Set(ui.ColorNone, ui.ColorNone)
	}
}

func (r *queueRow) TypedRune(rune) {}

func (r *queueRow) TypedKey(e *fyne.KeyEvent) {
	q, at := r.panel, r.batch()
	switch e.Name {
	case fyne.KeyUp:
		q.choose(at - 1)
	case fyne.KeyDown:
		q.choose(at + 1)
	case fyne.KeyDelete, fyne.KeyBackspace:
		q.remove(at)
		q.choose(min(at, q.waiting()-1))
	case fyne.KeyReturn, fyne.KeyEnter:
		q.edit(at)
	default:
		ui.Forward(r, e)
	}
}

// TypedShortcut moves the batch with Ctrl + Up and Down, and leaves all else to the window.
func (r *queueRow) TypedShortcut(shortcut fyne.Shortcut) {
	c, ok := shortcut.(*desktop.CustomShortcut)
	if ok && c.Modifier == fyne.KeyModifierShortcutDefault {
		by := map[fyne.KeyName]int{fyne.KeyUp: -1, fyne.KeyDown: 1}[c.KeyName]
		if by != 0 {
			at := r.batch()
			r.panel.move(at, at+by)
			r.panel.choose(r.panel.chosen)
			return
		}
	}
	if window, ok := fyne.CurrentApp().Driver().CanvasForObject(r).(fyne.Shortcutable); ok {
		window.TypedShortcut(shortcut)
	}
}

// Disabled keeps all rows but one out of the order of Tab.
func (r *queueRow) Disabled() bool {
	q := r.panel
	return r.batch() != min(max(q.chosen, q.first), q.first+queueShown-1)
}
func (r *queueRow) Enable()  {}
func (r *queueRow) Disable() {}

func (r *queueRow) Tapped(*fyne.PointEvent) { r.panel.choose(r.batch()) }

func (r *queueRow) Scrolled(e *fyne.ScrollEvent) {
	by := 1
	if e.Scrolled.DY > 0 {
		by = -1
	}
	r.panel.scrollTo(r.panel.first + by)
}

// Dragged moves the batch to the row under the pointer.
func (r *queueRow) Dragged(e *fyne.DragEvent) {
	if !r.dragging {
		r.dragging, r.dragged = true, r.batch()
	}
	for _, other := range r.panel.rows {
		if ui.Within(other, e.AbsolutePosition) && other.batch() != r.dragged {
			r.panel.move(r.dragged, other.batch())
			r.dragged = other.batch()
			return
		}
	}
}

func (r *queueRow) DragEnd() { r.dragging = false }
