package app

import (
	"fmt"
	"image"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/look"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// extendMode makes image 1 larger: its picture lies on the canvas, and a frame around it is pulled outwards. What the
// frame adds are the margins of the desk's edit, which the advanced panel shows, too.
type extendMode struct {
	common
	host  extendHost
	view  *ui.PictureView
	stage *stage
	frame *ui.Frame
	ratio *ratioButtons
	sides []*ui.Button // where the picture lies in the larger one: at its start, in its middle, at its end
	reset *ui.Button
	tools fyne.CanvasObject
	on    bool            // the canvas is in this mode
	room  image.Rectangle // that the view shows
}

// extendHost is what the mode asks of the window.
type extendHost interface {
	focus(o fyne.Focusable)
	redraw()                          // draws the canvas anew: the mode has another picture
	leaveMode()                       // leaves the mode that the canvas is in
	extendImage1(m inference.Margins) // changes by how much image 1 grows
}

// The places of the picture in the larger one, in the order of their buttons.
const (
	placeStart = iota
	placeMiddle
	placeEnd
)

func newExtendMode(c common, view *ui.PictureView, host extendHost) *extendMode {
	m := &extendMode{common: c, host: host, view: view, frame: ui.NewFrame(view)}
	m.stage = newStage(c, host.redraw)
	m.frame.Ground = true
	m.frame.OnChanged, m.frame.OnSettled, m.frame.OnReleased = m.label, m.settled, m.follow
	m.ratio = newRatioButtons(host.focus, m.fit)
	var sides []fyne.CanvasObject
	for place, icon := range []fyne.Resource{
		fyne.NewStaticResource("place-start.svg", look.PlaceStart),
		fyne.NewStaticResource("place-middle.svg", look.PlaceMiddle),
		fyne.NewStaticResource("place-end.svg", look.PlaceEnd),
	} {
		b := ui.NewIconButton(icon, func() { m.align(place) })
		m.sides, sides = append(m.sides, b), append(sides, b)
	}
	m.reset = ui.NewButton("Reset", m.startOver)
	m.tools = ui.NewBar(m.ratio.objects(), sides, []fyne.CanvasObject{m.reset})
	c.Desk.Chosen.Subscribe(m.follow)
	return m
}

func (m *extendMode) name() (text, key string)            { return "Extend", "O" }
func (m *extendMode) bar() fyne.CanvasObject              { return m.tools }
func (m *extendMode) over() fyne.CanvasObject             { return m.frame }
func (m *extendMode) picture() (*image.RGBA, image.Point) { return m.stage.picture() }

// offered says whether there is an image 1 to make larger.
func (m *extendMode) offered() bool {
	d := m.Desk.Desk()
	return len(d.Slots) > 0 && d.Slots[0].Ref != nil
}

func (m *extendMode) enter() bool {
	d := m.Desk.Desk()
	if !d.Edit.Mask.None() {
		m.notice.Say("Image 1 has a mask: a part of it is painted anew, or it is made larger.", ui.Action{
			Text: "Remove the mask", Do: func() {
				m.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask = studio.Mask{} })
			},
		})
		return false
	}
	m.on = true
	size := d.Slots[0].Ref.Original
	m.ratio.reset(size.Height > size.Width)
	m.frame.Rules.Ratio = 0
	m.view.OnPlaced = m.frame.Place
	m.lay(d)
	return true
}

func (m *extendMode) first() fyne.Focusable { return m.frame }

func (m *extendMode) leave() {
	m.on = false
	m.stage.clear()
	m.frame.Set(image.Rectangle{})
	m.view.OnPlaced = nil
	m.room = image.Rectangle{}
	m.view.SetRoom(m.room)
}

// follow shows what the desk says now, and leaves the mode if there is nothing to make larger any more.
func (m *extendMode) follow() {
	d := m.Desk.Desk()
	switch {
	case !m.on || m.frame.Held():
	case !m.offered() || !d.Edit.Mask.None():
		m.host.leaveMode()
	default:
		before := m.stage.img
		if m.lay(d); m.stage.img != before {
			m.host.redraw()
		}
	}
}

// lay shows image 1 of a desk with its margins.
func (m *extendMode) lay(d studio.Desk) {
	m.stage.show(d.Slots[0])
	photo, size := m.photo(), m.stage.size()
	rules := &m.frame.Rules
	rules.Around, rules.Grid, rules.Within = photo, photo, photo.Inset(-inference.MaxExtension)
	rules.Allows = func(r image.Rectangle) bool { return r == photo || marginsOf(r, size).Check(size) == nil }
	g := d.Edit.Margins()
	m.frame.Set(image.Rect(-g.Left, -g.Top, photo.Max.X+g.Right, photo.Max.Y+g.Bottom))
	m.label()
	m.makeRoom()
}

// photo is where image 1 lies.
func (m *extendMode) photo() image.Rectangle {
	_, size := m.stage.picture()
	return image.Rectangle{Max: size}
}

// marginsOf returns the margins of a frame around a picture.
func marginsOf(frame image.Rectangle, size picture.Size) inference.Margins {
	return inference.Margins{
		Left: -frame.Min.X, Top: -frame.Min.Y, Right: frame.Max.X - size.Width, Bottom: frame.Max.Y - size.Height,
	}
}

// makeRoom has the view show some ground around the frame, to pull it to. It does so only if the frame comes near to
// what the view shows, or has become much smaller: the picture is to lie still under small changes.
func (m *extendMode) makeRoom() {
	r := m.frame.Rect()
	long := max(r.Dx(), r.Dy())
	if want := r.Inset(-long / 6); !r.Inset(-long/16).In(m.room) || m.room.Dx() > 2*want.Dx() {
		m.room = want
		m.view.SetRoom(want)
	}
}

// settled writes the frame to the desk.
func (m *extendMode) settled() {
	m.host.extendImage1(marginsOf(m.frame.Rect(), m.stage.size()))
	m.makeRoom()
}

// to puts the frame somewhere, as the user has asked for it.
func (m *extendMode) to(r image.Rectangle) {
	m.frame.Set(r)
	m.label()
	m.settled()
}

// fit gives the frame the ratio that was chosen: the smallest one around image 1.
func (m *extendMode) fit() {
	m.frame.Rules.Ratio = m.ratio.ratio()
	if m.frame.Rules.Ratio > 0 {
		m.to(m.frame.Rules.Fit(m.photo()))
	}
}

// align moves the picture inside of the frame, on both axes.
func (m *extendMode) align(place int) {
	r, photo := m.frame.Rect(), m.photo()
	at := func(spare int) int { // how much of what is spare lies before the picture
		switch place {
		case placeStart:
			return 0
		case placeMiddle:
			return spare / 2
		}
		return spare
	}
	before := image.Pt(at(r.Dx()-photo.Dx()), at(r.Dy()-photo.Dy()))
	m.to(image.Rectangle{Max: r.Size()}.Sub(before))
}

// startOver takes all margins away.
func (m *extendMode) startOver() {
	m.ratio.reset(m.ratio.upright)
	m.frame.Rules.Ratio = 0
	m.to(m.photo())
}

// label says how large the picture becomes, and what is added.
func (m *extendMode) label() {
	size := m.stage.size()
	g := marginsOf(m.frame.Rect(), size)
	if g == (inference.Margins{}) {
		m.frame.SetLabel(times(size) + " · pull a handle outwards")
		return
	}
	larger := g.Canvas(size)
	var sides []string
	for _, side := range []struct {
		name   string
		pixels int
	}{{"left", g.Left}, {"right", g.Right}, {"above", g.Top}, {"below", g.Bottom}} {
		if side.pixels > 0 {
			sides = append(sides, fmt.Sprintf("%d %s", side.pixels, side.name))
		}
	}
	m.frame.SetLabel(times(larger) + " · " + studio.Ratio(larger) + " · " + strings.Join(sides, ", "))
}
