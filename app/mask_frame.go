package app

import (
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// showArea frames the part of image 1 that the model works on. It can be moved and resized around the mask, whose
// bounding box is bounds, unless the model works on all of image 1.
func (m *maskMode) showArea(area image.Rectangle, work picture.Size, bounds image.Rectangle) {
	fixed := area.Empty() || m.Desk.Desk().Edit.Whole
	if fixed {
		m.frame.Disable()
	} else {
		m.frame.Enable()
	}
	m.frame.Rules = ui.FrameRules{
		Within: image.Rectangle{Max: m.size}, Around: bounds, Least: image.Pt(leastArea, leastArea),
	}
	m.frame.Set(area)
	m.nameFrame(work)
}

// leastArea is the least side of a work area that the frame can be given, in pixels of image 1. The model works on a
// smaller one only enlarged more than helps it.
const leastArea = 32

// labelFrame says how large the area in the frame is, and at what size the model works on it.
func (m *maskMode) labelFrame() {
	settings := m.Desk.Desk().Edit.Settings()
	settings.Area, settings.Context = new(m.frame.Rect()), nil
	_, work := settings.WorkArea(
		picture.Size{Width: m.size.X, Height: m.size.Y}, m.frame.Rules.Around, m.native())
	m.nameFrame(work)
}

func (m *maskMode) nameFrame(work picture.Size) {
	size := m.frame.Rect().Size()
	text := "work area " + times(picture.Size{Width: size.X, Height: size.Y}) + " › " + times(work)
	if m.Desk.Desk().Edit.Framed() || m.frame.Held() {
		text += " · double-click: automatic"
	}
	m.frame.SetLabel(text)
}

// frameSettled has the model work on the area in the frame, which is a step.
func (m *maskMode) frameSettled() {
	if m.mask == nil || m.mask.Empty() {
		return
	}
	m.Desk.Choose(func(d *studio.Desk) {
		if len(d.Slots) == 0 {
			return
		}
		if d.Edit.Mask.Painted == nil { // so that the area contains the mask to the pixel
			d.Edit.Mask = d.Edit.Mask.WithPainted(m.mask, d.Slots[0])
		}
		d.Edit.Mask.Area = m.frame.Rect()
	})
}

// resetFrame has the area follow from the mask again.
func (m *maskMode) resetFrame() {
	m.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask.Area = image.Rectangle{} })
}

// toggleFrame hides the frame of the work area, or shows it again.
func (m *maskMode) toggleFrame() {
	ui.Show(m.frame, !m.frame.Visible())
	m.tools.refresh()
}

// frameItem is the menu's line about the area.
func (m *maskMode) frameItem() *fyne.MenuItem {
	item := fyne.NewMenuItem("Work area chosen for the mask", m.resetFrame)
	item.Checked = m.Desk.Desk().Edit.Mask.Area.Empty()
	return item
}
