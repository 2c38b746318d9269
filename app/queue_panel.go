package app

import (
	"fmt"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// queuePanel lists the batches that wait: the next one comes first. Each can be taken back to the desk, moved forward
// or removed. The panel is there only while something waits.
type queuePanel struct {
	common
	ground  *ui.Box
	title   *ui.Label
	resume  *ui.Button
	rows    []*queueRow
	more    *ui.Label // how many are not on show
	content *fyne.Container
}

type queueRow struct {
	text          *ui.Label
	edit, up, del *ui.Button
}

// queueShown is the number of rows on show; the title counts the others.
const queueShown = 4

// queueHost is what the panel asks of the window.
type queueHost interface {
	resized() // lays the window out anew: the panel has another height
}

func newQueuePanel(c common, host queueHost) *queuePanel {
	q := &queuePanel{
		common: c, ground: ui.NewBox(ui.ColorPanel, 0), title: ui.NewHeading(""),
		more: ui.NewCaption(""),
	}
	q.resume = ui.NewLink("go on", q.Maker.GoOn).Says("Make what waits")
	q.content = ui.Arranged(ui.NoSize, q.place)
	q.refresh()
	q.Queue.Changed.Subscribe(func() {
		q.refresh()
		host.resized()
	})
	return q
}

// offer says how many pictures of the last time wait, and offers to make them.
func (q *queuePanel) offer(batches []studio.Batch) {
	pictures := 0
	for _, b := range batches {
		pictures += b.Count
	}
	if pictures == 0 {
		return
	}
	goOn := ui.Action{Text: "Go on", Do: q.Maker.GoOn}
	discard := ui.Action{Text: "Discard", Do: func() {
		for _, b := range batches {
			q.Queue.Withdraw(b.ID)
		}
	}}
	q.notice.Say(waitText(pictures)+" from last time.", goOn, discard)
}

// withdrawal returns the step that takes batch i out of the queue.
func (q *queuePanel) withdrawal(i int) studio.Step {
	b := q.Queue.Batches()[i]
	return studio.Step{
		Slots: b.Desk.Slots,
		Undo:  func() { q.Queue.Insert(i, b); q.Maker.Next() },
		Redo:  func() { q.Queue.Withdraw(b.ID) },
	}
}

func (q *queuePanel) remove(i int) {
	id := q.Queue.Batches()[i].ID
	q.Desk.Do(q.withdrawal(i), func() { q.Queue.Withdraw(id) })
	q.notice.Say("Removed from the queue.", q.undoAction())
}

// edit takes a batch back to the desk, in the place of what is on it.
func (q *queuePanel) edit(i int) {
	b := q.Queue.Batches()[i]
	q.Desk.Do(q.withdrawal(i), func() {
		q.Queue.Withdraw(b.ID)
		q.Desk.Lay(b.Edited())
	})
	q.notice.Say("Back on the desk, out of the queue.", q.undoAction())
}

func (q *queuePanel) height() float32 {
	if q.Queue.Empty() {
		return 0
	}
	height := 36 + float32(len(q.rows))*28 + 4
	if q.waiting() > len(q.rows) {
		height += 20
	}
	return height
}

// waiting is the number of batches that wait.
func (q *queuePanel) waiting() int { return len(q.Queue.Batches()) }

func (q *queuePanel) refresh() {
	q.rows = nil
	title := fmt.Sprintf("Next · %d waiting", q.waiting())
	if q.Queue.Paused() {
		title = fmt.Sprintf("Paused · %d waiting", q.waiting())
	}
	q.title.Set(title, ui.ColorDim)
	ui.Show(q.resume, q.Queue.Paused())
	q.content.Objects = []fyne.CanvasObject{q.ground, q.title, q.resume}
	for i, b := range q.Queue.Batches()[:min(q.waiting(), queueShown)] {
		row := &queueRow{
			text: ui.NewLabel(describe(b), ui.ColorText, ui.SizeText),
			edit: ui.NewLink("edit", func() { q.edit(i) }),
			up:   ui.NewIconButton(theme.MoveUpIcon(), func() { q.Queue.Forward(i) }),
			del:  ui.NewIconButton(theme.CancelIcon(), func() { q.remove(i) }),
		}
		row.up.Quiet, row.del.Quiet = true, true
		row.up.SetDisabled(i == 0)
		q.rows = append(q.rows, row)
		q.content.Objects = append(q.content.Objects, row.text, row.edit, row.up, row.del)
	}
	q.more.Set("", ui.ColorDim)
	if n := q.waiting() - len(q.rows); n > 0 {
		q.more.Set(fmt.Sprintf("and %d more", n), ui.ColorDim)
	}
	q.content.Objects = append(q.content.Objects, q.more)
	ui.Show(q.content, !q.Queue.Empty())
	q.content.Refresh()
}

// describe says a batch in a line.
func describe(b studio.Batch) string {
	prompt := shorten(b.Desk.Prompt, 120)
	if prompt == "" {
		prompt = "(no prompt)"
	}
	what := times(b.Size)
	if n := len(b.Desk.Slots); n == 1 {
		what += " · 1 reference"
	} else if n > 1 {
		what += fmt.Sprintf(" · %d references", n)
	}
	if b.Count > 1 {
		what += fmt.Sprintf(" · %d pictures", b.Count)
	}
	return what + " · " + prompt
}

func (q *queuePanel) place(size fyne.Size) {
	q.ground.Resize(size)
	ui.At(q.title, ui.Margin, 8, size.Width-120, 20)
	ui.At(q.resume, size.Width-ui.Margin-q.resume.MinSize().Width, 6, q.resume.MinSize().Width, 24)
	ui.At(q.more, ui.Margin, 32+float32(len(q.rows))*28, size.Width-2*ui.Margin, 18)
	for i, row := range q.rows {
		y := 32 + float32(i)*28
		x := size.Width - ui.Margin
		for _, b := range []*ui.Button{row.del, row.up, row.edit} {
			w := max(b.MinSize().Width, 26)
			x -= w
			ui.At(b, x, y+1, w, 26)
		}
		ui.At(row.text, ui.Margin, y, x-2*ui.Margin, 28)
	}
}
