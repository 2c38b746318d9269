package app

import (
	"fmt"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// queuePanel lists the batches that wait: the next one comes first. Each can be taken back to the desk, moved or
// removed, by the mouse and by the keyboard, for which the list is one stop. A long list scrolls. The panel is there
// only while something waits.
type queuePanel struct {
	common
	host    queueHost
	ground  *ui.Box
	title   *ui.Label
	resume  *ui.Button
	clear   *ui.Button
	rows    [queueShown]*queueRow
	bar     *ui.Box // shows which part of a long list is on show
	first   int     // the batch in the first row
	chosen  int     // the batch that has the keyboard when the list has it
	content *fyne.Container
}

// queueShown is the number of rows on show.
const queueShown = 4

// queueHost is what the panel asks of the window.
type queueHost interface {
	resized() // lays the window out anew: the panel has another height
	focus(o fyne.Focusable)
	upscaleAgain(b studio.Batch) // asks again how a picture is enlarged
}

func newQueuePanel(c common, host queueHost) *queuePanel {
	q := &queuePanel{
		common: c, host: host, ground: ui.NewBox(ui.ColorPanel, 0), title: ui.NewHeading(""), bar: ui.NewBox(ui.ColorLine, 2),
	}
	q.resume = ui.NewLink("go on", q.Maker.GoOn).Says("Make what waits")
	q.clear = ui.NewLink("clear", q.removeAll).Says("Take all of it out of the queue")
	objects := []fyne.CanvasObject{q.ground, q.title, q.resume, q.clear, q.bar}
	for i := range q.rows {
		q.rows[i] = newQueueRow(q, i)
		objects = append(objects, q.rows[i].objects()...)
	}
	q.content = ui.Arranged(ui.NoSize, q.place, objects...)
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

// removeEach takes all batches of one instruction for many pictures out of the queue, as a step, and returns how many
// pictures they are.
func (q *queuePanel) removeEach(each uint64) (pictures int) {
	if pictures = q.Queue.EachPictures(each); pictures == 0 {
		return 0
	}
	before := q.Queue.Batches()
	var slots []studio.Slot
	for _, b := range before {
		if b.Each == each {
			slots = append(slots, b.Desk.Slots...)
		}
	}
	q.Desk.Do(studio.Step{
		Slots: slots,
		Undo: func() {
			for i, b := range before { // each in its place, as far as the others are still there
				if b.Each == each {
					q.Queue.Insert(i, b)
				}
			}
			q.Maker.Next()
		},
		Redo: func() { q.Queue.WithdrawEach(each) },
	}, func() { q.Queue.WithdrawEach(each) })
	return pictures
}

// offersAll says whether a row offers to remove all batches of its instruction: the first row on show of those that
// wait between others. If all that waits is of one instruction, "clear" does that.
func (q *queuePanel) offersAll(row int) bool {
	batches := q.Queue.Batches()
	each := batches[q.first+row].Each
	others := slices.ContainsFunc(batches, func(b studio.Batch) bool { return b.Each != each })
	return each != 0 && others && (row == 0 || batches[q.first+row-1].Each != each)
}

// removeEachOf takes all batches that belong with batch i out of the queue.
func (q *queuePanel) removeEachOf(i int) {
	n := q.removeEach(q.Queue.Batches()[i].Each)
	q.notice.Say(pictureCount(n)+" of one instruction were removed from the queue.", q.undoAction())
}

// removeAll takes all batches out of the queue.
func (q *queuePanel) removeAll() {
	batches := q.Queue.Batches()
	var slots []studio.Slot
	for _, b := range batches {
		slots = append(slots, b.Desk.Slots...)
	}
	q.Desk.Do(studio.Step{
		Slots: slots,
		Undo:  func() { q.Queue.Insert(0, batches...); q.Maker.Next() },
		Redo: func() {
			for _, b := range batches {
				q.Queue.Withdraw(b.ID)
			}
		},
	}, q.Queue.Clear)
	q.notice.Say("The queue is empty.", q.undoAction())
}

// move takes a batch to another place, and the keyboard with it.
func (q *queuePanel) move(i, to int) {
	if i == to || min(i, to) < 0 || max(i, to) >= q.waiting() {
		return
	}
	q.chosen = to
	q.Queue.Move(i, to)
	q.reveal(to)
}

// choose gives a batch the keyboard.
func (q *queuePanel) choose(i int) {
	if i < 0 || i >= q.waiting() {
		return
	}
	q.chosen = i
	q.reveal(i)
	q.host.focus(q.rows[q.chosen-q.first])
}

// reveal scrolls until a batch is on show.
func (q *queuePanel) reveal(i int) {
	q.scrollTo(min(max(q.first, i-queueShown+1), i))
}

// scrollTo shows a batch in the first row, or as near to it as the list's ends allow.
func (q *queuePanel) scrollTo(first int) {
	q.first = max(min(first, q.waiting()-queueShown), 0)
	q.refresh()
}

// edit takes a batch back to the desk, in the place of what is on it.
func (q *queuePanel) edit(i int) {
	b := q.Queue.Batches()[i]
	if b.Upscale != nil { // nothing of it belongs on the desk
		q.Desk.Do(q.withdrawal(i), func() { q.Queue.Withdraw(b.ID) })
		q.notice.Say("Removed from the queue.", q.undoAction())
		q.host.upscaleAgain(b)
		return
	}
	q.Desk.Do(q.withdrawal(i), func() {
		q.Queue.Withdraw(b.ID)
		q.Desk.Lay(b.Edited())
	})
	q.notice.Say("Back on the desk, out of the queue.", q.undoAction())
}

const queueRowHeight float32 = 28

func (q *queuePanel) height() float32 {
	if q.Queue.Empty() {
		return 0
	}
	return 36 + float32(min(q.waiting(), queueShown))*queueRowHeight + 4
}

// waiting is the number of batches that wait.
func (q *queuePanel) waiting() int { return len(q.Queue.Batches()) }

func (q *queuePanel) refresh() {
	q.first = max(min(q.first, q.waiting()-queueShown), 0)
	q.chosen = max(min(q.chosen, q.waiting()-1), 0)
	title := fmt.Sprintf("Next · %d waiting", q.waiting())
	if q.Queue.Paused() {
		title = fmt.Sprintf("Paused · %d waiting", q.waiting())
	}
	if q.waiting() > queueShown {
		title += fmt.Sprintf(" · %d to %d below", q.first+1, q.first+queueShown)
	}
	q.title.Set(title, ui.ColorDim)
	ui.Show(q.resume, q.Queue.Paused())
	ui.Show(q.clear, q.waiting() > 1)
	ui.Show(q.bar, q.waiting() > queueShown)
	for i, row := range q.rows {
		var b *studio.Batch
		if at := q.first + i; at < q.waiting() {
			b = &q.Queue.Batches()[at]
		}
		row.show(b)
	}
	ui.Show(q.content, !q.Queue.Empty())
	q.content.Refresh()
}

// describe says a batch in a line.
func describe(b studio.Batch) string {
	if b.Upscale != nil {
		return describeUpscale(b)
	}
	prompt := shorten(b.Desk.Prompt, 120)
	if prompt == "" {
		prompt = "(no prompt)"
	}
	what := times(b.Size)
	if b.Each != 0 { // its file says more than its size, which is not known before the file is read
		what = shorten(b.Desk.Slots[0].Name(), 40)
		if b.Of > 0 {
			what = fmt.Sprintf("%d of %d · %s", b.Nth, b.Of, what)
		}
	} else if n := len(b.Desk.Slots); n == 1 {
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
	x := size.Width - ui.Margin + 6
	for _, b := range []*ui.Button{q.clear, q.resume} {
		if b.Visible() {
			w := b.MinSize().Width
			x -= w
			ui.At(b, x, 6, w, 24)
		}
	}
	ui.At(q.title, ui.Margin, 8, x-2*ui.Margin, 20)
	const top = 32
	for i, row := range q.rows {
		row.place(ui.Margin-6, top+float32(i)*queueRowHeight, size.Width-2*ui.Margin+6)
	}
	if n := float32(q.waiting()); n > queueShown {
		track := queueShown * queueRowHeight
		height := max(track*queueShown/n, 12)
		y := (track - height) * float32(q.first) / (n - queueShown)
		ui.At(q.bar, size.Width-7, top+y, 3, height)
	}
}
