package app

import (
	"context"
	"fmt"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio/paint"
)

// growSteps are the distances in pixels by which the menu grows and shrinks a mask.
var growSteps = []int{2, 8, 32}

// menu is what can be done to the whole mask.
func (m *maskMode) menu() *fyne.Menu {
	steps := func(label string, do func(*paint.Mask, context.Context, int) (*paint.Mask, error)) *fyne.MenuItem {
		item := fyne.NewMenuItem(label, nil)
		item.ChildMenu = fyne.NewMenu("")
		for _, n := range growSteps {
			item.ChildMenu.Items = append(item.ChildMenu.Items, fyne.NewMenuItem(fmt.Sprintf("%d pixels", n), func() {
				m.change(func(ctx context.Context, from *paint.Mask) (*paint.Mask, error) { return do(from, ctx, n) })
			}))
		}
		return item
	}
	automatic := fyne.NewMenuItem("Feather chosen for the mask", func() { m.setFeather("") })
	automatic.Checked = m.Desk.Desk().Edit.Feather == ""
	save := fyne.NewMenuItem("Save the mask as…", func() { m.host.saveMask(m.mask) })
	items := []*fyne.MenuItem{
		fyne.NewMenuItem("Invert", m.invert), steps("Grow", (*paint.Mask).Grow), steps("Shrink", (*paint.Mask).Shrink),
		fyne.NewMenuItem("Clear", m.clear), fyne.NewMenuItemSeparator(), automatic, m.frameItem(),
		fyne.NewMenuItemSeparator(),
		fyne.NewMenuItem("Load a mask…", func() { m.host.pickMask(m.loadMask) }), save,
	}
	if m.holder != nil { // the rest is about a mask for the model
		items = items[:4]
		save = items[3]
	}
	empty := m.mask == nil || m.mask.Empty()
	for _, item := range []*fyne.MenuItem{items[1], items[2], items[3], save} {
		item.Disabled = empty
	}
	return fyne.NewMenu("", items...)
}

func (m *maskMode) invert() {
	m.change(func(_ context.Context, from *paint.Mask) (*paint.Mask, error) { return from.Invert(), nil })
}

func (m *maskMode) clear() {
	m.change(func(_ context.Context, from *paint.Mask) (*paint.Mask, error) { return from.Clear(), nil })
}
