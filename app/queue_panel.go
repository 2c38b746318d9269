package app

import (
	"fmt"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// queuePanel lists the jobs that wait: what is next comes first. Each can be taken back into the window, moved
// forward or removed. It is there only while something waits.
type queuePanel struct {
	s       *session
	jobs    []job
	paused  bool // the last job could not be saved: the others would fare the same
	ground  *box
	title   *label
	resume  *button
	rows    []*queueRow
	more    *label // how many are not on show
	content *fyne.Container
}

type queueRow struct {
	text          *label
	edit, up, del *button
}

// queueShown is the number of rows on show; the title counts the others.
const queueShown = 4

func newQueuePanel(s *session) *queuePanel {
	q := &queuePanel{s: s, ground: newBox(colorPanel, 0), title: newHeading(""), more: newLabel("", colorDim, sizeCaption)}
	q.resume = newLink("go on", q.goOn)
	q.content = arranged(noSize, q.place)
	q.refresh()
	return q
}

func (q *queuePanel) empty() bool { return len(q.jobs) == 0 }

func (q *queuePanel) add(j job) {
	q.jobs = append(q.jobs, j)
	q.paused = false
	q.refresh()
}

// take removes the next job.
func (q *queuePanel) take() (j job, ok bool) {
	if len(q.jobs) == 0 || q.paused {
		return j, false
	}
	j = q.jobs[0]
	q.remove(0)
	return j, true
}

// pause keeps what waits until the user goes on.
func (q *queuePanel) pause() {
	q.paused = len(q.jobs) > 0
	q.refresh()
}

func (q *queuePanel) goOn() {
	q.paused = false
	q.refresh()
	q.s.next()
}

func (q *queuePanel) remove(i int) {
	q.jobs = slices.Delete(q.jobs, i, i+1)
	q.refresh()
}

func (q *queuePanel) forward(i int) {
	q.jobs[i-1], q.jobs[i] = q.jobs[i], q.jobs[i-1]
	q.refresh()
}

// edit takes a job back into the window.
func (q *queuePanel) edit(i int) {
	j := q.jobs[i]
	q.remove(i)
	q.s.restoreJob(j)
}

func (q *queuePanel) height() float32 {
	if q.empty() {
		return 0
	}
	height := 36 + float32(len(q.rows))*28 + 4
	if len(q.jobs) > len(q.rows) {
		height += 20
	}
	return height
}

func (q *queuePanel) refresh() {
	q.rows = nil
	title := fmt.Sprintf("Next · %d waiting", len(q.jobs))
	if q.paused {
		title = fmt.Sprintf("Paused · %d waiting", len(q.jobs))
	}
	q.title.set(title, colorDim)
	show(q.resume, q.paused)
	q.content.Objects = []fyne.CanvasObject{q.ground, q.title, q.resume}
	for i, j := range q.jobs[:min(len(q.jobs), queueShown)] {
		row := &queueRow{
			text: newLabel(describe(j), colorText, sizeText),
			edit: newLink("edit", func() { q.edit(i) }),
			up:   newIconButton(theme.MoveUpIcon(), func() { q.forward(i) }),
			del:  newIconButton(theme.CancelIcon(), func() { q.remove(i) }),
		}
		row.up.quiet, row.del.quiet, row.up.disabled = true, true, i == 0
		q.rows = append(q.rows, row)
		q.content.Objects = append(q.content.Objects, row.text, row.edit, row.up, row.del)
	}
	q.more.set("", colorDim)
	if n := len(q.jobs) - len(q.rows); n > 0 {
		q.more.set(fmt.Sprintf("and %d more", n), colorDim)
	}
	q.content.Objects = append(q.content.Objects, q.more)
	show(q.content, !q.empty())
	q.content.Refresh()
	if q.s.frame != nil {
		q.s.frame.content.Refresh()
	}
}

// describe says a job in a line.
func describe(j job) string {
	prompt := shorten(j.request.Prompt, 120)
	if prompt == "" {
		prompt = "(no prompt)"
	}
	what := times(j.request.Size)
	if n := len(j.request.References); n == 1 {
		what += " · 1 reference"
	} else if n > 1 {
		what += fmt.Sprintf(" · %d references", n)
	}
	if j.count > 1 {
		what += fmt.Sprintf(" · %d pictures", j.count)
	}
	return what + " · " + prompt
}

func (q *queuePanel) place(size fyne.Size) {
	q.ground.Resize(size)
	at(q.title, margin, 8, size.Width-120, 20)
	at(q.resume, size.Width-margin-q.resume.MinSize().Width, 6, q.resume.MinSize().Width, 24)
	at(q.more, margin, 32+float32(len(q.rows))*28, size.Width-2*margin, 18)
	for i, row := range q.rows {
		y := 32 + float32(i)*28
		x := size.Width - margin
		for _, b := range []*button{row.del, row.up, row.edit} {
			w := max(b.MinSize().Width, 26)
			x -= w
			at(b, x, y+1, w, 26)
		}
		at(row.text, margin, y, x-2*margin, 28)
	}
}
