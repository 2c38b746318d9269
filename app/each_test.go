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
	b.take(b.session, "Edit all 5 with this prompt")
	b.wantSaid("Describe first")
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) || !b.Queue.Empty() {
		t.Error("without a prompt the prompt has not the keyboard, or something waits")
	}
	b.prompt.setText("make it winter")
	b.take(b.session, "Edit all 5 with this prompt")
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
	b.wantNames() // the desk is as it was
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
	b.editEach(paths)
	if !b.waits() || !b.Queue.Empty() || b.Maker.Run() != nil {
		t.Fatal("it does not wait")
	}
	if b.escape(); b.waits() {
		t.Fatal("Escape does not give it up")
	}
	b.editEach(paths)
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
	b.take(b.session, "Edit all 3 with this prompt")
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

// TestEachAsReferences takes the first of many files as references instead. On a slot, files fill slots as ever.
func TestEachAsReferences(t *testing.T) {
	b := newBench(t, usual)
	_, paths := b.photos(6)
	b.dropAt(b.view.view, paths...)
	b.take(b.session, "Use the first 4 as references")
	b.wantNames("photo-1.png", "photo-2.png", "photo-3.png", "photo-4.png")
	b.slots.clearAll()
	b.dropAt(b.slots.slots[0], paths...)
	b.wantNames("photo-1.png", "photo-2.png", "photo-3.png", "photo-4.png")
}

// TestEachIsKept: what waits is there at the next start, unread, and goes on; files that failed are named then, too.
func TestEachIsKept(t *testing.T) {
	b := newBench(t, usual)
	b.engine.hold = make(chan struct{})
	_, paths := b.photos(6)
	b.prompt.setText("make it winter")
	b.editEach(paths)
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
	b.offerEach(paths)
	b.wantSaid("1200 pictures are too many")
	told := 0
	b.Queue.Changed.Subscribe(func() { told++ })
	b.take(b.session, "Edit all 1000 with this prompt")
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
