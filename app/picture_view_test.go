package app

import (
	"path/filepath"
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
	do := func(name string) {
		for _, item := range b.pictureMenu(studio.Picture{Meta: e.Picture, Path: e.Path, ID: e.ID}, true).Items {
			if item.Label == name {
				item.Action()
				b.settle()
				return
			}
		}
		t.Errorf("the menu has no %q", name)
	}
	do("Use as reference")
	if len(b.names()) != 1 {
		t.Error("not used as a reference")
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
