package ui

import (
	"slices"
	"time"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// Notices is a column of sentences, each with buttons for what can be done about it. It takes the place of dialogs,
// because nothing opens by itself. A notice that asks stays until it is answered; one that only tells disappears after
// a time.
type Notices struct {
	// After runs a function on Fyne's goroutine after a time, unless it is stopped before.
	After     func(d time.Duration, do func()) (stop func() bool)
	Away      func() bool // says whether nobody reads, because another window is in front
	OnResized func()      // is called when the notices need another height

	notes   []*notice // those that ask come first, each kind in the order in which it came
	Actions []*Button
	Content *fyne.Container
}

// notice is one sentence.
type notice struct {
	bar     *Notices
	asks    bool
	ground  *Box
	text    *SentenceLabel
	close   *Button
	actions []*Button
	names   []string    // of the actions
	stop    func() bool // stops the clock after which the notice disappears; nil if none runs
	content *fyne.Container
}

// Action is a button of a notice or a modal.
type Action struct {
	Text string
	Do   func()
	Stay bool // the button leaves a modal open
}

// The most notices that are on show. More questions wait; of more notices that tell, the oldest disappears.
const maxAsking, maxTelling = 2, 2

// NewNotices returns an empty bar; its owner sets what it does.
func NewNotices() *Notices {
	n := &Notices{}
	n.Content = Arranged(NoSize, n.place)
	n.Content.Hide()
	return n
}

// Say shows a sentence. A choice between two or more actions asks. With one action or none the sentence tells: it goes
// by itself after some seconds, and when the next picture begins.
func (n *Notices) Say(text string, actions ...Action) {
	n.add(text, len(actions) > 1, readingTime(text, len(actions) > 0), actions)
}

// Ask shows a sentence that stays until an action is taken or it is closed.
func (n *Notices) Ask(text string, actions ...Action) { n.add(text, true, 0, actions) }

// Warn tells what failed. It stays twice as long as what Say tells.
func (n *Notices) Warn(text string) { n.add(text, false, 2*readingTime(text, false), nil) }

// readingTime returns how long a sentence stays: longer if it has more words, or something to click.
func readingTime(text string, offers bool) time.Duration {
	d := 4*time.Second + time.Duration(utf8.RuneCountInString(text))*60*time.Millisecond
	if offers {
		d += 4 * time.Second
	}
	return d
}

func (n *Notices) add(text string, asks bool, stay time.Duration, actions []Action) {
	t := n.newNote(text, asks, actions)
	// The same again, or the same question about something newer, takes the place of the earlier one.
	for _, old := range slices.Clone(n.notes) {
		same := old.asks == asks && slices.Equal(old.names, t.names)
		if same && (len(t.names) > 0 || old.text.Text == t.text.Text) {
			n.drop(old)
		}
	}
	n.notes = append(n.notes, t)
	slices.SortStableFunc(n.notes, func(a, b *notice) int {
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

// time removes a notice after a while. If nobody can have read it, because another window is in front, the time begins
// anew.
func (n *Notices) time(t *notice, stay time.Duration) {
	t.stop = n.After(stay, func() {
		if n.Away() && slices.Contains(n.notes, t) {
			n.time(t, stay)
			return
		}
		n.remove(t)
	})
}

func (n *Notices) telling() (list []*notice) {
	for _, t := range n.notes {
		if !t.asks {
			list = append(list, t)
		}
	}
	return list
}

// Hide takes away the notices that only tell.
func (n *Notices) Hide() {
	for _, t := range n.telling() {
		n.drop(t)
	}
	n.show()
}

// Dismiss closes all notices that tell. If there are none, it closes the first question. It says whether there was a
// notice.
func (n *Notices) Dismiss() bool {
	switch {
	case len(n.notes) == 0:
		return false
	case len(n.telling()) > 0:
		n.Hide()
	default:
		n.remove(n.notes[0])
	}
	return true
}

func (n *Notices) remove(t *notice) {
	n.drop(t)
	n.show()
}

func (n *Notices) drop(t *notice) {
	if t.stop != nil {
		t.stop()
	}
	n.notes = slices.DeleteFunc(n.notes, func(other *notice) bool { return other == t })
}

// shown returns the notices on show.
func (n *Notices) shown() (list []*notice) {
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

func (n *Notices) show() {
	n.Content.Objects, n.Actions = nil, nil
	for _, t := range n.shown() {
		n.Content.Objects = append(n.Content.Objects, t.content)
		n.Actions = append(n.Actions, t.actions...)
	}
	Show(n.Content, len(n.notes) > 0)
	n.OnResized()
}

// Sentences returns the sentences on show.
func (n *Notices) Sentences() (list []string) {
	for _, t := range n.shown() {
		list = append(list, t.text.Text)
	}
	return list
}

// Visible says whether there is any notice.
func (n *Notices) Visible() bool { return n.Content.Visible() }

// Height returns the height that the notices need at a width.
func (n *Notices) Height(width float32) float32 {
	var sum float32
	for _, t := range n.shown() {
		sum += t.height(width) + Gap
	}
	return max(sum-Gap, 0)
}

func (n *Notices) place(size fyne.Size) {
	var y float32
	for _, t := range n.shown() {
		height := t.height(size.Width)
		At(t.content, 0, y, size.Width, height)
		y += height + Gap
	}
}

func (n *Notices) newNote(text string, asks bool, actions []Action) *notice {
	t := &notice{bar: n, asks: asks, ground: NewBox(ColorPanel, Radius), text: NewSentenceLabel(text)}
	t.ground.Stroke = ColorLine
	t.close = NewIconButton(theme.CancelIcon(), func() { n.remove(t) })
	t.close.Quiet = true
	objects := []fyne.CanvasObject{t.ground, t.text, t.close}
	for _, a := range actions {
		b := NewButton(a.Text, func() {
			n.remove(t)
			if a.Do != nil {
				a.Do()
			}
		})
		t.actions, t.names = append(t.actions, b), append(t.names, a.Text)
		objects = append(objects, b)
	}
	t.content = Arranged(NoSize, t.place, objects...)
	return t
}

func (t *notice) height(width float32) float32 {
	t.text.Resize(fyne.NewSize(t.textWidth(width), 0))
	height := t.text.MinSize().Height + 2
	if len(t.actions) > 0 && !t.actionsBeside(width) {
		height += 36
	}
	return ceil(max(height, 38))
}

func (t *notice) actionsWidth() float32 {
	var sum float32
	for _, b := range t.actions {
		sum += b.MinSize().Width + Gap
	}
	return sum
}

// actionsBeside says whether text and buttons share a line.
func (t *notice) actionsBeside(width float32) bool { return width-t.actionsWidth()-40 > 280 }

func (t *notice) textWidth(width float32) float32 {
	if t.actionsBeside(width) {
		width -= t.actionsWidth()
	}
	return width - 40
}

func (t *notice) place(size fyne.Size) {
	t.ground.Resize(size)
	text := t.textWidth(size.Width)
	At(t.text, 4, 1, text, size.Height-2)
	At(t.close, size.Width-34, 5, 28, 28)
	x, y := text+4, float32(5)
	if !t.actionsBeside(size.Width) {
		x, y = Margin, size.Height-34
	}
	for _, b := range t.actions {
		w := b.MinSize().Width
		At(b, x, y, w, 28)
		x += w + Gap
	}
}
