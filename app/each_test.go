package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// photos makes a folder with n pictures of different sizes.
func (b *bench) photos(n int) (dir string, paths []string) {
	b.t.Helper()
	dir = filepath.Join(b.dir, "photos")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for i := range n {
		paths = append(paths, b.file(fmt.Sprintf("photos/photo-%d.png", i+1), 96+16*i, 64, uint64(i)))
	}
	return dir, paths
}

// TestEach drops more files than the slots take: each is edited by the prompt at its own size, with the same seed; a
// file that is no picture stops none of the others, and is named at the end.
func TestEach(t *testing.T) {
	b := newBench(t, usual)
	dir, paths := b.photos(5)
	if err := os.WriteFile(paths[2], []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no picture either"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.dropAt(b.view.view, paths...)
	b.wantSaid("5 pictures. The prompt can change each of them")
	b.wantNames()
	b.take(b.session, "One instruction for all 5")
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) || !b.Queue.Empty() || b.Maker.Run() != nil {
		t.Error("the prompt has not the keyboard, or something is made already")
	}
	b.wantNames("photo-1.png")
	for _, row := range []struct{ what, got, want string }{
		{"Generate", b.prompt.generate.Text, "Edit all 5"},
		{"the line", b.prompt.workflow.Text, "One instruction · 5 pictures"},
		{"slot 1", fmt.Sprint(b.slots.slots[0].each), "5"}, {"slot 2", fmt.Sprint(b.slots.slots[1].each), "0"},
	} {
		if row.got != row.want {
			t.Errorf("%s says %q, want %q", row.what, row.got, row.want)
		}
	}
	b.generate()
	b.wantSaid("Describe first")
	if !b.Queue.Empty() {
		t.Error("something waits without a prompt")
	}
	b.prompt.setText("make it winter")
	b.generate()
	b.until("the end", func() bool { return b.Maker.Run() == nil && b.Queue.Empty() })
	b.settle()
	made := b.engine.made()
	if len(made) != 4 || len(b.Album.Entries()) != 4 {
		t.Fatalf("%d made, %d in the history, want the 4 pictures", len(made), len(b.Album.Entries()))
	}
	for i, want := range []int{96, 112, 144, 160} {
		if made[i].Size() != (picture.Size{Width: want, Height: 64}) || made[i].Prompt() != "make it winter" ||
			made[i].Seed() != made[0].Seed() || len(made[i].References()) != 1 {
			t.Errorf("picture %d: %v of %d references, seed %d", i, made[i].Size(), len(made[i].References()), made[i].Seed())
		}
	}
	b.wantSaid("1 of 5 files failed: photo-3.png.")
	b.wantNames("photo-1.png") // the desk is as it was
	entries := b.Album.Entries()
	for _, e := range entries {
		if e.Batch == 0 || e.Batch != entries[0].Batch {
			t.Errorf("%s has the batch %d, want the one of all", e.Path, e.Batch)
		}
	}
}

// TestEachWaitsForLoRAs: one instruction over several files waits for an adapter that is being read, until Escape.
func TestEachWaitsForLoRAs(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	_, paths := b.photos(3)
	b.prompt.setText("make it winter")
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release() // the window's goroutines end before the test does
	b.loras().hold = hold
	b.Desk.Choose(func(d *studio.Desk) {
		d.AddLoRA(studio.LoRA{Name: "ink", Path: "/home/ada/loras/ink.safetensors", Strength: 1})
	})
	b.layEach(paths)
	b.generate()
	if !b.waits() || !b.Queue.Empty() || b.Maker.Run() != nil {
		t.Fatal("it does not wait")
	}
	if b.escape(); b.waits() {
		t.Fatal("Escape does not give it up")
	}
	b.generate()
	release()
	b.until("the end", func() bool { return len(b.engine.made()) == 3 && b.Maker.Run() == nil && b.Queue.Empty() })
	for i, made := range b.engine.made() {
		if len(made.LoRAs()) != 1 || len(made.References()) != 1 {
			t.Errorf("picture %d: made with %v, %d references", i, made.LoRAs(), len(made.References()))
		}
	}
	if b.waits() {
		t.Error("something still waits")
	}
}

// TestEachOfFolder drops a folder while references lie on the desk: those after image 1 stay.
func TestEachOfFolder(t *testing.T) {
	b := newBench(t, usual)
	b.twoReferences()
	b.prompt.setText("image 1 in the colours of image 2")
	dir, _ := b.photos(3)
	b.dropAt(b.view.view, dir)
	b.wantSaid("3 pictures")
	b.take(b.session, "One instruction for all 3")
	b.generate()
	b.until("the end", func() bool { return b.Maker.Run() == nil && b.Queue.Empty() })
	made := b.engine.made()
	if len(made) != 3 {
		t.Fatalf("%d made; the window says %q", len(made), b.said())
	}
	for i, req := range made {
		refs := req.References()
		if len(refs) != 2 || filepath.Base(refs[0].Path) != fmt.Sprintf("photo-%d.png", i+1) ||
			filepath.Base(refs[1].Path) != "big.png" {
			t.Errorf("picture %d has the references %+v", i, refs)
		}
	}
	empty := filepath.Join(b.dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	b.dropAt(b.view.view, empty)
	b.wantSaid("empty is a folder without pictures")
}

// TestEachAsReferences takes the first of many files as references instead, in the free slots or from the slot on that
// they were dropped on. Files that find slots become references, with the offer of one instruction for all of them.
func TestEachAsReferences(t *testing.T) {
	b := newBench(t, usual)
	_, paths := b.photos(6)
	b.dropAt(b.view.view, paths...)
	b.take(b.session, "Use the first 4 as references")
	b.wantNames("photo-1.png", "photo-2.png", "photo-3.png", "photo-4.png")
	b.slots.clearAll()
	b.dropAt(b.slots.slots[0], paths...)
	b.wantNames()
	b.take(b.session, "Use the first 4 as references")
	b.wantNames("photo-1.png", "photo-2.png", "photo-3.png", "photo-4.png")
	b.dropAt(b.slots.slots[1], paths[4], paths[5])
	b.take(b.session, "Use the first as a reference")
	b.wantNames("photo-1.png", "photo-5.png", "photo-3.png", "photo-4.png")
	b.slots.clear(4)
	b.slots.clear(3)
	b.dropAt(b.slots.slots[1], paths[2], paths[3])
	b.wantNames("photo-1.png", "photo-3.png", "photo-4.png")
	b.take(b.session, "One instruction for all 2")
	b.wantNames("photo-3.png") // photo-4.png is one of them, and no further reference
	if each := b.Desk.Desk().EachOf(); len(each) != 2 {
		t.Errorf("one instruction for %q", each)
	}
	b.Desk.Undo()
	b.settle()
	b.wantNames("photo-1.png", "photo-3.png", "photo-4.png")
}

// TestEachOnTheDesk: what one instruction is for is undone and redone, is there at the next start, ends with image 1,
// and goes on with the next file if image 1 cannot be read.
func TestEachOnTheDesk(t *testing.T) {
	b := newBench(t, usual)
	_, paths := b.photos(4)
	b.layEach(paths)
	b.settle()
	b.Desk.Undo()
	b.settle()
	b.wantNames()
	b.Desk.Redo()
	b.settle()
	b.wantNames("photo-1.png")
	b.slots.onlyFirst()
	if b.prompt.generate.Text != "Generate" || b.slots.slots[0].each != 0 {
		t.Errorf("Generate says %q after it was for image 1 alone", b.prompt.generate.Text)
	}
	b.tapUndo()
	if b.prompt.generate.Text != "Edit all 4" {
		t.Errorf("Generate says %q after undo", b.prompt.generate.Text)
	}
	b.prompt.setText("make it winter")
	b.quit()
	if err := os.WriteFile(paths[0], []byte("damaged since"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	again := b.open(b.app, b.cfg, usual)
	b.session = again
	b.settle()
	b.wantNames("photo-3.png")
	if again.prompt.generate.Text != "Edit all 2" || again.Desk.Desk().Prompt != "make it winter" {
		t.Errorf("at the next start Generate says %q", again.prompt.generate.Text)
	}
	again.slots.clear(1)
	b.settle()
	b.wantSaid("Image 1 was removed, and with it the other pictures")
	if again.prompt.generate.Text != "Generate" {
		t.Errorf("without image 1 Generate says %q", again.prompt.generate.Text)
	}
}

// TestEachIsCancelled: Cancel gives up the picture under way and the others of its instruction, and nothing else; undo
// puts them back where they were.
func TestEachIsCancelled(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	_, paths := b.photos(5)
	b.prompt.setText("make it winter")
	b.layEach(paths)
	b.settle()
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	b.Desk.EmptySlots()
	b.prompt.setText("another picture")
	b.generate()
	if n := len(b.Queue.Batches()); n != 5 || b.prompt.cancel.Text != "Cancel all" {
		t.Fatalf("%d wait, the button says %q", n, b.prompt.cancel.Text)
	}
	if sub := eachStatus(b.Maker.Run(), 4); !strings.HasPrefix(sub, "1 of 5") {
		t.Errorf("the status is %q", sub)
	}
	if text := describe(b.Queue.Batches()[1]); text != "3 of 5 · photo-3.png · make it winter" {
		t.Errorf("the row says %q", text)
	}
	b.queued.move(4, 1) // the other picture goes between them
	for i, want := range []bool{true, false, true, false} {
		if got := b.queued.rows[i].all.Visible(); got != want {
			t.Errorf("row %d offers to remove all of its instruction: %t, want %t", i, got, want)
		}
	}
	test.Tap(b.queued.rows[0].all)
	if got := b.Queue.Batches(); len(got) != 1 || got[0].Each != 0 || b.Maker.Run() == nil {
		t.Fatalf("%d wait after the others were removed from the queue", len(got))
	}
	b.tapUndo()
	order := func() (list []int) {
		for _, batch := range b.Queue.Batches() {
			list = append(list, batch.Nth)
		}
		return list
	}
	if got := fmt.Sprint(order()); got != "[2 0 3 4 5]" {
		t.Errorf("the order after undo is %s", got)
	}
	test.Tap(b.prompt.cancel)
	b.until("the other picture", func() bool { r := b.Maker.Run(); return r != nil && r.Batch.Each == 0 })
	if b.queued.rows[0].all.Visible() || !b.Queue.Empty() || b.prompt.cancel.Text != "Cancel" {
		t.Errorf("%v wait, the button says %q", order(), b.prompt.cancel.Text)
	}
	b.Maker.Cancel()
	b.until("the end", func() bool { return b.Maker.Run() == nil })
}

// TestEachInGrid shows what one instruction has made, page by page, each picture by the name of the one it was made of.
func TestEachInGrid(t *testing.T) {
	b := newBench(t, usual)
	_, paths := b.photos(18)
	b.prompt.setText("make it winter")
	b.layEach(paths)
	b.settle()
	b.generate()
	b.until("the end", func() bool { return len(b.Album.Entries()) == 18 && b.Maker.Run() == nil })
	b.settle()
	b.strip.open(b.Album.Entries()[17].ID) // the first one
	b.settle()
	b.view.enterMode(b.grid)
	b.settle()
	m := b.grid
	if len(m.cells) != gridMost || m.chosen != 0 || m.rest.Visible() || m.cells[2].chip.Text() != "photo-3.png" {
		t.Fatalf("%d cells, %d chosen, the third is %q", len(m.cells), m.chosen, m.cells[2].chip.Text())
	}
	m.pickBeside(0, -1) // there is none before the first
	m.pick(gridMost - 1)
	b.settle()
	m.pickBeside(gridMost-1, 1)
	b.settle()
	if len(m.cells) != 2 || m.cells[0].chip.Text() != "photo-17.png" || b.view.shown.ID != m.cells[0].entry.ID ||
		b.win.Canvas().Focused() != fyne.Focusable(m.cells[0].view) {
		t.Errorf("after the page was turned %d cells, the first is %q", len(m.cells), m.cells[0].chip.Text())
	}
	b.strip.open(b.Album.Entries()[15].ID) // the third one, of the first page
	b.settle()
	if len(m.cells) != gridMost || m.chosen != 2 {
		t.Errorf("back on the first page %d cells, %d chosen", len(m.cells), m.chosen)
	}
}

// TestEachIsKept: what waits is there at the next start, unread, and goes on; files that failed are named then, too.
func TestEachIsKept(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	_, paths := b.photos(6)
	b.prompt.setText("make it winter")
	b.layEach(paths)
	b.settle()
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	b.quit()
	close(b.engine.hold)

	again := b.open(b.app, b.cfg, usual)
	b.session = again
	if n := len(again.Queue.Batches()); n != 6 || !again.Queue.Paused() {
		t.Fatalf("%d wait, paused %v, want the 6", n, again.Queue.Paused())
	}
	for _, batch := range again.Queue.Batches()[1:] {
		if batch.Desk.Slots[0].Ref != nil {
			t.Error("a file was read before its turn")
		}
	}
	if err := os.WriteFile(paths[4], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.engine.hold = nil
	test.Tap(again.queued.resume)
	b.until("the end", func() bool { return again.Maker.Run() == nil && again.Queue.Empty() })
	b.settle()
	if n := len(again.Album.Entries()); n != 5 {
		t.Errorf("%d in the history, want 5", n)
	}
	b.wantSaid("photo-5.png")
}

// TestManyFilesAtOnce puts a thousand files into the queue: the window is not held up.
func TestManyFilesAtOnce(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	b.prompt.setText("make it winter")
	one := b.file("one.png", 64, 64, 1)
	var paths []string
	for range 1200 {
		paths = append(paths, one)
	}
	b.place(0, paths)
	b.wantSaid("1200 pictures are too many")
	told := 0
	b.Queue.Changed.Subscribe(func() { told++ })
	b.take(b.session, "One instruction for all 1000")
	told = 0
	b.generate()
	b.until("a preview", func() bool { return b.view.previewing })
	if n := len(b.Queue.Batches()); n != 999 || told > 2 {
		t.Errorf("%d wait, %d refreshes", n, told)
	}
	if title := b.queued.title.Text; !strings.Contains(title, "999 waiting") {
		t.Errorf("the title is %q", title)
	}
	test.Tap(b.queued.clear)
	b.Maker.Cancel()
}
