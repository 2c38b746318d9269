package app

import (
	"slices"
	"time"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// noticeBar is a column of sentences, each with what can be done about it. It takes the place of dialogs: nothing opens by
// itself. A notice that asks stays until it is answered; one that only tells goes by itself.
type noticeBar struct {
	// after runs a function on Fyne's goroutine after a time, unless it is stopped before.
	after func(d time.Duration, do func()) (stop func() bool)
	away  func() bool // says whether nobody reads, because another window is in front
	moved func()      // is called when the notices need another height

	notes   []*note // those that ask come first, each kind in the order in which it came
	actions []*button
	content *fyne.Container
}

// note is one sentence.
type note struct {
	bar     *noticeBar
	asks    bool
	ground  *box
	text    *sentenceLabel
	close   *button
	actions []*button
	names   []string    // of the actions
	stop    func() bool // stops the clock of a note that goes by itself; nil where none runs
	content *fyne.Container
}

// action is a button of a notice.
type action struct {
	text string
	do   func()
}

// The most notices that are on show: of those that ask, the others wait; of those that tell, the oldest goes.
const maxAsking, maxTelling = 2, 2

// newNoticeBar returns an empty bar; its owner sets what it does.
func newNoticeBar() *noticeBar {
	n := &noticeBar{}
	n.content = arranged(noSize, n.place)
	n.content.Hide()
	return n
}

// say shows a sentence. A choice between two or more actions asks. With one action or none the sentence tells: it goes by
// itself after some seconds, and when the next picture begins.
func (n *noticeBar) say(text string, actions ...action) {
	n.add(text, len(actions) > 1, readingTime(text, len(actions) > 0), actions)
}

// ask shows a sentence that stays until an action is taken or it is closed.
func (n *noticeBar) ask(text string, actions ...action) { n.add(text, true, 0, actions) }

// warn tells what failed; there is twice the time to read it.
func (n *noticeBar) warn(text string) { n.add(text, false, 2*readingTime(text, false), nil) }

// readingTime is how long a sentence stays: longer where it has more words, or something to click.
func readingTime(text string, offers bool) time.Duration {
	d := 4*time.Second + time.Duration(utf8.RuneCountInString(text))*60*time.Millisecond
	if offers {
		d += 4 * time.Second
	}
	return d
}

func (n *noticeBar) add(text string, asks bool, stay time.Duration, actions []action) {
	t := n.newNote(text, asks, actions)
	// The same again, or the same question about something newer, takes the place of the earlier one.
	for _, old := range slices.Clone(n.notes) {
		same := old.asks == asks && slices.Equal(old.names, t.names)
		if same && (len(t.names) > 0 || old.text.Text == t.text.Text) {
			n.drop(old)
		}
	}
	n.notes = append(n.notes, t)
	slices.SortStableFunc(n.notes, func(a, b *note) int {
		switch {
		case a.asks == b.asks:
			return 0
		case a.asks:
			return -1
		}
		return 1
	})
	if telling := n.telling(); len(telling) > maxTelling {
		n.drop(telling[0])
	}
	if !asks {
		n.time(t, stay)
	}
	n.show()
}

// time lets a note go after a while. If nobody reads then, the time begins anew.
func (n *noticeBar) time(t *note, stay time.Duration) {
	t.stop = n.after(stay, func() {
		if n.away() && slices.Contains(n.notes, t) {
			n.time(t, stay)
			return
		}
		n.remove(t)
	})
}

func (n *noticeBar) telling() (list []*note) {
	for _, t := range n.notes {
		if !t.asks {
			list = append(list, t)
		}
	}
	return list
}

// hide takes away what only tells.
func (n *noticeBar) hide() {
	for _, t := range n.telling() {
		n.drop(t)
	}
	n.show()
}

// dismiss closes all notices that tell. If there are none, it closes the first question. It says whether there was a notice.
func (n *noticeBar) dismiss() bool {
	switch {
	case len(n.notes) == 0:
		return false
	case len(n.telling()) > 0:
		n.hide()
	default:
		n.remove(n.notes[0])
	}
	return true
}

func (n *noticeBar) remove(t *note) {
	n.drop(t)
	n.show()
}

func (n *noticeBar) drop(t *note) {
	if t.stop != nil {
		t.stop()
	}
	n.notes = slices.DeleteFunc(n.notes, func(other *note) bool { return other == t })
}

// shown are the notes on show.
func (n *noticeBar) shown() (list []*note) {
	asking := 0
	for _, t := range n.notes {
		if t.asks {
			if asking++; asking > maxAsking {
				continue
			}
		}
		list = append(list, t)
	}
	return list
}

func (n *noticeBar) show() {
	n.content.Objects, n.actions = nil, nil
	for _, t := range n.shown() {
		n.content.Objects = append(n.content.Objects, t.content)
		n.actions = append(n.actions, t.actions...)
	}
	show(n.content, len(n.notes) > 0)
	n.moved()
}

func (n *noticeBar) visible() bool { return n.content.Visible() }

// height is what the notices need at a width.
func (n *noticeBar) height(width float32) float32 {
	var sum float32
	for _, t := range n.shown() {
		sum += t.height(width) + gap
	}
	return max(sum-gap, 0)
}

func (n *noticeBar) place(size fyne.Size) {
	var y float32
	for _, t := range n.shown() {
		height := t.height(size.Width)
		at(t.content, 0, y, size.Width, height)
		y += height + gap
	}
}

func (n *noticeBar) newNote(text string, asks bool, actions []action) *note {
	t := &note{bar: n, asks: asks, ground: newBox(colorPanel, radius), text: newSentenceLabel(text)}
	t.ground.stroke = colorLine
	t.close = newIconButton(theme.CancelIcon(), func() { n.remove(t) })
	t.close.quiet = true
	objects := []fyne.CanvasObject{t.ground, t.text, t.close}
	for _, a := range actions {
		b := newButton(a.text, func() {
			n.remove(t)
			if a.do != nil {
				a.do()
			}
		})
		t.actions, t.names = append(t.actions, b), append(t.names, a.text)
		objects = append(objects, b)
	}
	t.content = arranged(noSize, t.place, objects...)
	return t
}

func (t *note) height(width float32) float32 {
	t.text.Resize(fyne.NewSize(t.textWidth(width), 0))
	height := t.text.MinSize().Height + 2
	if len(t.actions) > 0 && !t.actionsBeside(width) {
		height += 36
	}
	return ceil(max(height, 38))
}

func (t *note) actionsWidth() float32 {
	var sum float32
	for _, b := range t.actions {
		sum += b.MinSize().Width + gap
	}
	return sum
}

// actionsBeside says whether text and buttons share a line.
func (t *note) actionsBeside(width float32) bool { return width-t.actionsWidth()-40 > 280 }

func (t *note) textWidth(width float32) float32 {
	if t.actionsBeside(width) {
		width -= t.actionsWidth()
	}
	return width - 40
}

func (t *note) place(size fyne.Size) {
	t.ground.Resize(size)
	text := t.textWidth(size.Width)
	at(t.text, 4, 1, text, size.Height-2)
	at(t.close, size.Width-34, 5, 28, 28)
	x, y := text+4, float32(5)
	if !t.actionsBeside(size.Width) {
		x, y = margin, size.Height-34
	}
	for _, b := range t.actions {
		w := b.MinSize().Width
		at(b, x, y, w, 28)
		x += w + gap
	}
}
