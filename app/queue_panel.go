package app

import (
	"fmt"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
)

// queuePanel lists the jobs that wait: what is next comes first. Each can be taken back into the window, moved
// forward or removed. It is there only while something waits.
type queuePanel struct {
	s       *session
	jobs    []job
	paused  bool // the last job could not be saved, and the others would fare the same; or they wait since last time
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

func newQueuePanel(s *session) *queuePanel {
	q := &queuePanel{s: s, ground: ui.NewBox(ui.ColorPanel, 0), title: ui.NewHeading(""), more: ui.NewLabel("", ui.ColorDim, ui.SizeCaption)}
	q.resume = ui.NewLink("go on", q.goOn)
	q.content = ui.Arranged(ui.NoSize, q.place)
	q.refresh()
	return q
}

func (q *queuePanel) empty() bool { return len(q.jobs) == 0 }

// add puts a job behind the others. Where they rest it goes first: what is asked for now is not to wait for them.
func (q *queuePanel) add(j job) {
	q.s.lastJob++
	j.id = q.s.lastJob
	if q.paused {
		q.insert(0, j)
	} else {
		q.insert(len(q.jobs), j)
	}
	q.paused = false
	q.refresh()
}

func (q *queuePanel) insert(i int, j job) {
	q.jobs = slices.Insert(q.jobs, min(i, len(q.jobs)), j)
	q.refresh()
}

// bringBack has the jobs of last time wait behind what was asked for meanwhile, until the user lets them go on.
func (q *queuePanel) bringBack(jobs []job) {
	if len(jobs) == 0 {
		return
	}
	pictures := 0
	for i := range jobs {
		q.s.lastJob++
		jobs[i].id = q.s.lastJob
		pictures += jobs[i].count
	}
	q.jobs = append(q.jobs, jobs...)
	q.paused = true
	q.refresh()
	q.s.notice.Say(waitText(pictures)+" from last time.", ui.Action{Text: "Go on", Do: q.goOn}, ui.Action{Text: "Discard", Do: func() {
		for _, j := range jobs {
			q.withdraw(j.id)
		}
	}})
}

// waitText says how many pictures wait.
func waitText(n int) string {
	if n == 1 {
		return "1 picture waits"
	}
	return fmt.Sprintf("%d pictures wait", n)
}

// take removes the next job.
func (q *queuePanel) take() (j job, ok bool) {
	if len(q.jobs) == 0 || q.paused {
		return j, false
	}
	j = q.jobs[0]
	q.withdraw(j.id)
	return j, true
}

// withdraw takes a job out; one that is no longer there is none.
func (q *queuePanel) withdraw(id uint64) {
	q.jobs = slices.DeleteFunc(q.jobs, func(j job) bool { return j.id == id })
	q.refresh()
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

// step is a step of the user's that takes job i out of the queue.
func (q *queuePanel) step(i int) studio.Step {
	j := q.jobs[i]
	return studio.Step{Slots: j.desk.Slots, Undo: func() { q.insert(i, j); q.s.next() }, Redo: func() { q.withdraw(j.id) }}
}

func (q *queuePanel) remove(i int) {
	q.s.do(q.step(i), func() { q.withdraw(q.jobs[i].id) })
	q.s.notice.Say("Removed from the queue.", q.s.undoAction())
}

func (q *queuePanel) forward(i int) {
	q.jobs[i-1], q.jobs[i] = q.jobs[i], q.jobs[i-1]
	q.refresh()
}

// edit takes a job back into the window, in the place of what is on the desk.
func (q *queuePanel) edit(i int) {
	j := q.jobs[i]
	q.s.do(q.step(i), func() {
		q.withdraw(j.id)
		q.s.restoreJob(j)
	})
	q.s.notice.Say("Back on the desk, out of the queue.", q.s.undoAction())
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
	q.title.Set(title, ui.ColorDim)
	ui.Show(q.resume, q.paused)
	q.content.Objects = []fyne.CanvasObject{q.ground, q.title, q.resume}
	for i, j := range q.jobs[:min(len(q.jobs), queueShown)] {
		row := &queueRow{
			text: ui.NewLabel(describe(j), ui.ColorText, ui.SizeText),
			edit: ui.NewLink("edit", func() { q.edit(i) }),
			up:   ui.NewIconButton(theme.MoveUpIcon(), func() { q.forward(i) }),
			del:  ui.NewIconButton(theme.CancelIcon(), func() { q.remove(i) }),
		}
		row.up.Quiet, row.del.Quiet = true, true
		row.up.SetDisabled(i == 0)
		q.rows = append(q.rows, row)
		q.content.Objects = append(q.content.Objects, row.text, row.edit, row.up, row.del)
	}
	q.more.Set("", ui.ColorDim)
	if n := len(q.jobs) - len(q.rows); n > 0 {
		q.more.Set(fmt.Sprintf("and %d more", n), ui.ColorDim)
	}
	q.content.Objects = append(q.content.Objects, q.more)
	ui.Show(q.content, !q.empty())
	q.content.Refresh()
	q.s.keepSoon()
	if q.s.frame != nil {
		q.s.frame.content.Refresh()
	}
}

// describe says a job in a line.
func describe(j job) string {
	prompt := shorten(j.ask.Prompt(), 120)
	if prompt == "" {
		prompt = "(no prompt)"
	}
	what := times(j.size)
	if n := len(j.ask.References()); n == 1 {
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
