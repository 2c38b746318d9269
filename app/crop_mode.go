package app

import (
	"context"
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/look"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// cropMode arranges the picture of a slot: the whole picture of its file lies on the canvas, turned and mirrored, with
// a frame around the part that is used. The file stays as it is; each change is a step on the desk.
type cropMode struct {
	common
	host  cropHost
	view  *ui.PictureView
	frame *ui.Frame
	ratio *ratioButtons
	turns []*ui.Button // left, right, mirrored across and down
	reset *ui.Button
	done  *ui.Button
	tools fyne.CanvasObject

	on     bool // the canvas is in this mode
	number int  // of the slot
	slot   studio.Slot
	base   *image.RGBA         // the picture of the file, upright; nil until it is read
	size   picture.Size        // of that in the file
	shown  *image.RGBA         // base, turned and mirrored
	how    picture.Arrangement // of shown
	stop   context.CancelFunc  // of the work in the background
}

// cropHost is what the mode asks of the window.
type cropHost interface {
	focus(o fyne.Focusable)
	redraw()    // draws the canvas anew: the mode has another picture
	leaveMode() // leaves the mode that the canvas is in
}

func newCropMode(c common, view *ui.PictureView, host cropHost) *cropMode {
	m := &cropMode{common: c, host: host, view: view, frame: ui.NewFrame(view), number: 1, stop: func() {}}
	m.frame.Dims = true
	m.frame.OnChanged, m.frame.OnSettled, m.frame.OnReleased = m.label, m.settled, m.follow
	m.ratio = newRatioButtons(host.focus, m.fit)
	var turns []fyne.CanvasObject
	for _, t := range []struct {
		name string
		icon []byte
		to   func(picture.Arrangement) picture.Arrangement
	}{
		{"turn-left.svg", look.TurnLeft, func(a picture.Arrangement) picture.Arrangement { return a.Turn(-1) }},
		{"turn-right.svg", look.TurnRight, func(a picture.Arrangement) picture.Arrangement { return a.Turn(1) }},
		{"flip-across.svg", look.FlipAcross, picture.Arrangement.MirrorAcross},
		{"flip-down.svg", look.FlipDown, picture.Arrangement.MirrorDown},
	} {
		b := ui.NewIconButton(fyne.NewStaticResource(t.name, t.icon), func() { m.arrange(t.to(m.slot.Arrangement)) })
		m.turns, turns = append(m.turns, b), append(turns, b)
	}
	m.reset = ui.NewButton("Reset", func() { m.arrange(picture.Arrangement{}) })
	m.done = ui.NewButton("Done", host.leaveMode)
	// Undo resets, and Esc or C is done, so that these two make room.
	m.tools = ui.NewSparingBar([]int{2}, turns, m.ratio.objects(), []fyne.CanvasObject{m.reset, m.done})
	c.Desk.Chosen.Subscribe(m.follow)
	return m
}

func (m *cropMode) name() (text, key string) { return "Crop", "C" }
func (m *cropMode) bar() fyne.CanvasObject   { return m.tools }
func (m *cropMode) over() fyne.CanvasObject  { return m.frame }

// picture is the whole picture of the file, as it is turned.
func (m *cropMode) picture() (*image.RGBA, image.Point) {
	if m.shown == nil {
		return nil, image.Point{}
	}
	size := m.how.Size(m.size)
	return m.shown, image.Pt(size.Width, size.Height)
}

// offered says whether there is a picture to crop.
func (m *cropMode) offered() bool { return len(m.Desk.Desk().Slots) > 0 }

func (m *cropMode) enter() bool {
	slots := m.Desk.Desk().Slots
	if len(slots) == 0 {
		return false
	}
	m.number = min(max(m.number, 1), len(slots))
	m.on, m.slot = true, slots[m.number-1]
	m.frame.Rules.Ratio = 0
	m.view.OnPlaced = m.frame.Place
	m.read()
	return true
}

func (m *cropMode) first() fyne.Focusable { return m.frame }

func (m *cropMode) leave() {
	m.stop()
	m.on, m.number = false, 1
	m.base, m.shown = nil, nil
	m.frame.Set(image.Rectangle{})
	m.view.OnPlaced = nil
}

// background does work away from Fyne's goroutine, in the place of what was under way, and then what it returns on it.
func (m *cropMode) background(work func(ctx context.Context) (done func())) {
	m.stop()
	ctx, stop := context.WithCancel(m.Loop.Closing)
	m.stop = stop
	m.Loop.Background(func() func() {
		done := work(ctx)
		return func() {
			if ctx.Err() == nil {
				done()
			}
		}
	})
}

// read reads the picture of the file.
func (m *cropMode) read() {
	store, file, how := m.Keeper.Store(), m.slot, m.slot.Arrangement.Uncropped()
	file.Arrangement, file.Ref = picture.Arrangement{}, nil
	m.background(func(ctx context.Context) func() {
		original, err := store.ReadOriginal(ctx, file)
		var base *image.RGBA
		if err == nil {
			base, err = studio.View(ctx, original)
		}
		return func() {
			if err != nil {
				m.notice.fail(err)
				m.host.leaveMode()
				return
			}
			m.base, m.size = base, original.Size
			m.turn(how)
		}
	})
}

// turn has the picture turned and mirrored, and then shown with its frame.
func (m *cropMode) turn(how picture.Arrangement) {
	base := m.base
	m.background(func(context.Context) func() {
		img := how.Turned(base)
		return func() {
			first := m.shown == nil
			m.shown, m.how = img, how
			if size := how.Size(m.size); first {
				m.ratio.reset(size.Height > size.Width)
			}
			m.lay()
			m.host.redraw()
		}
	})
}

// follow shows what the desk says now, and leaves the mode if its picture has gone.
func (m *cropMode) follow() {
	if !m.on || m.frame.Held() {
		return
	}
	if !m.there() {
		m.host.leaveMode()
		return
	}
	m.slot = m.Desk.Desk().Slots[m.number-1]
	switch how := m.slot.Arrangement.Uncropped(); {
	case m.shown == nil: // it is still being read, or turned
		m.read()
	case how != m.how:
		m.turn(how)
	default:
		m.lay()
	}
}

// there says whether the slot still has the picture that the mode shows.
func (m *cropMode) there() bool {
	slots := m.Desk.Desk().Slots
	return m.number <= len(slots) && slots[m.number-1].SameFile(m.slot)
}

// all is the whole picture as it is shown.
func (m *cropMode) all() image.Rectangle {
	_, size := m.picture()
	return image.Rectangle{Max: size}
}

// lay puts the frame around the part that is used.
func (m *cropMode) lay() {
	all := m.all()
	rules := &m.frame.Rules
	rules.Within, rules.Grid, rules.Least = all, all, image.Pt(picture.MinSide, picture.MinSide)
	rules.Allows = func(r image.Rectangle) bool {
		return max(r.Dx(), r.Dy()) <= picture.MaxRatio*min(r.Dx(), r.Dy())
	}
	crop := all
	if stored := m.slot.Arrangement.Crop; !stored.Empty() {
		crop = m.how.Shown(stored, m.size)
	}
	m.frame.Set(crop)
	m.label()
}

// arrange changes the arrangement on the desk, as a step.
func (m *cropMode) arrange(a picture.Arrangement) {
	if m.shown == nil {
		return
	}
	if !m.there() { // the picture has gone while the frame was held, such as by undo
		m.host.leaveMode()
		return
	}
	if a.Turns%2 != m.slot.Arrangement.Turns%2 { // the ratio lies on its side, too
		m.ratio.turn()
		m.frame.Rules.Ratio = m.ratio.ratio()
	}
	masked := !m.Desk.Desk().Edit.Mask.None()
	m.Desk.Choose(func(d *studio.Desk) { d.Arrange(m.number, a) })
	if masked && m.Desk.Desk().Edit.Mask.None() {
		m.notice.Say("The mask was removed: it does not fit image 1 any more.", m.undoAction())
	}
}

// settled writes the frame to the desk.
func (m *cropMode) settled() {
	a := m.how
	if r := m.frame.Rect(); r != m.all() {
		a.Crop = m.how.Stored(r, m.size)
	}
	m.arrange(a)
}

// fit gives the frame the ratio that was chosen.
func (m *cropMode) fit() {
	m.frame.Rules.Ratio = m.ratio.ratio()
	if r := m.frame.Rules.Fit(m.frame.Rect()); m.shown != nil && r != m.frame.Rect() {
		m.frame.Set(r)
		m.label()
		m.settled()
	}
}

// label says how large the part is, and what the model sees of it; what it does not see is dimmed.
func (m *cropMode) label() {
	r := m.frame.Rect()
	size := picture.Size{Width: r.Dx(), Height: r.Dy()}
	p := picture.PreparationOf(size, m.native())
	text := times(size)
	if p.Resized() {
		text += " › " + times(p.Size)
	}
	m.frame.SetLabel(text + " · " + studio.Ratio(size))
	across := func(n int) int { return n * r.Dx() / (p.Left + p.Size.Width + p.Right) }
	down := func(n int) int { return n * r.Dy() / (p.Top + p.Size.Height + p.Bottom) }
	m.frame.SetSeen(image.Rect(
		r.Min.X+across(p.Left), r.Min.Y+down(p.Top), r.Max.X-across(p.Right), r.Max.Y-down(p.Bottom)))
}
