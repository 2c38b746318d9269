package app

import (
	"path/filepath"
	"slices"
	"testing"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
)

func dragged(pos fyne.Position, dx, dy float32) *fyne.DragEvent {
	return &fyne.DragEvent{PointEvent: fyne.PointEvent{Position: pos.AddXY(dx, dy)}, Dragged: fyne.Delta{DX: dx, DY: dy}}
}

// TestDragToSlot drops the picture on the canvas into a slot, and leaves it where it was.
func TestDragToSlot(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("dragged")
	v := b.view.view
	v.Zoom(v.CurrentScale()*1.5, v.Middle())
	offset, size := v.Placed()
	origin := fyne.CurrentApp().Driver().AbsolutePositionForObject(v)
	pos := v.Middle()
	to := func(target fyne.Position) { // a place in the window
		target = target.Subtract(origin)
		v.Dragged(dragged(pos, target.X-pos.X, target.Y-pos.Y))
		pos = target
	}
	to(origin.AddXY(20, 300))
	if now, _ := v.Placed(); now == offset {
		t.Error("the drag does not pan")
	}
	to(middle(b.slots.slots[2]))
	if !b.slots.slots[2].lit || !b.drag.Ghost.Visible() {
		t.Error("the slot under the drag is not lit")
	}
	to(origin.Add(v.Middle()).AddXY(10, 0))
	if now, _ := v.Placed(); b.drag.Ghost.Visible() || b.slots.slots[2].lit || now != offset.AddXY(10, 0) {
		t.Errorf("back over the canvas it is at %v, want 10 right of %v", now, offset)
	}
	to(middle(b.slots.slots[0]))
	v.DragEnd()
	b.settle()
	b.wantNames(filepath.Base(b.view.shown.Path))
	if now, as := v.Placed(); now != offset || as != size || b.drag.Ghost.Visible() {
		t.Errorf("the picture is at %v as %v, want %v as %v", now, as, offset, size)
	}
}

func TestPictureMenu(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("for the menu")
	e := b.Album.Entries()[0]
	menu := func() *fyne.Menu { return b.pictureMenu(studio.Picture{Meta: e.Picture, Path: e.Path, ID: e.ID}, true) }
	do := func(name ...string) { b.pick(menu(), name...) }
	do("Use as reference", "Image 1")
	if len(b.names()) != 1 {
		t.Error("not used as a reference")
	}
	do("Use as reference", "Image 1 instead of "+shorten(b.names()[0], 30))
	do("Use as reference", "Image 2")
	if len(b.names()) != 2 {
		t.Errorf("references: %v", b.names())
	}
	b.prompt.setText("a draft")
	do("Copy prompt")
	if got := b.app.Clipboard().Content(); got != "for the menu" {
		t.Errorf("copied %q", got)
	}
	do("Use seed")
	if seed := b.Desk.Desk().Seed; seed != firstSeed || !b.Desk.Desk().Locked {
		t.Errorf("seed %s, locked %v", seed, b.Desk.Desk().Locked)
	}
	do("Star")
	if !b.Album.Entries()[0].Starred {
		t.Error("it has no star")
	}
	b.prompt.setText("")
	do("Restore its settings")
	if b.prompt.entry.Text != "for the menu" {
		t.Error("settings not restored")
	}
	// No message bus: the window's own dialog opens.
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+b.dir+"/none")
	do("Save as…")
	if b.win.Canvas().Overlays().Top() == nil {
		t.Error("no dialog")
	}
}

// pick chooses an item of a menu, or of a menu in it.
func (b *bench) pick(menu *fyne.Menu, names ...string) {
	b.t.Helper()
	i := slices.IndexFunc(menu.Items, func(m *fyne.MenuItem) bool { return m.Label == names[0] })
	switch {
	case i < 0:
		var all []string
		for _, m := range menu.Items {
			all = append(all, m.Label)
		}
		b.t.Fatalf("the menu has no %q among %q", names[0], all)
	case len(names) > 1:
		b.pick(menu.Items[i].ChildMenu, names[1:]...)
	default:
		menu.Items[i].Action()
		b.settle()
	}
}
