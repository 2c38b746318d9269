package app

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func (b *bench) dropAt(o fyne.CanvasObject, paths ...string) {
	var uris []fyne.URI
	for _, p := range paths {
		uris = append(uris, storage.NewFileURI(p))
	}
	b.drop(middle(o), uris)
	b.settle()
}

// names lists what the slots hold, as file names.
func (b *bench) names() (names []string) {
	for _, r := range b.Desk.Desk().References() {
		names = append(names, filepath.Base(r.Path))
	}
	return names
}

func (b *bench) wantNames(want ...string) {
	b.t.Helper()
	if got := strings.Join(b.names(), " "); got != strings.Join(want, " ") {
		b.t.Errorf("the slots hold %q, want %q; the window says %q", got, want, b.said())
	}
}

func TestDrops(t *testing.T) {
	b := newBench(t, usual)
	one, two, three := b.file("one.png", 96, 64, 1), b.file("two.png", 64, 96, 2), b.file("ünï +#%20 3.png", 80, 80, 3)

	b.dropAt(b.slots.slots[0], one)
	b.wantNames("one.png")
	if got := b.slots.slots[0].caption(); got != "96 × 64" {
		t.Errorf("caption %q", got)
	}
	b.dropAt(b.view.view, two)
	b.wantNames("one.png", "two.png")
	b.dropAt(b.slots.slots[3], three) // an empty slot: numbers have no gaps
	b.wantNames("one.png", "two.png", "ünï +#%20 3.png")
	b.dropAt(b.slots.slots[0], three)
	b.wantNames("ünï +#%20 3.png", "two.png", "ünï +#%20 3.png")
	b.dropAt(b.view.view, one, two)
	b.take(b.session, "Use the first as a reference")
	b.wantNames("ünï +#%20 3.png", "two.png", "ünï +#%20 3.png", "one.png")
	b.dropAt(b.slots.slots[3], two, one)
	b.take(b.session, "Use the first as a reference")
	b.wantNames("ünï +#%20 3.png", "two.png", "ünï +#%20 3.png", "two.png")
	b.dropAt(b.slots.slots[3], one)
	b.dropAt(b.view.view, one)
	b.wantSaid("All four slots are taken")
	if got := b.prompt.workflow.Text; got != "Multi-reference · 4 pictures" {
		t.Errorf("workflow %q", got)
	}

	b.slots.clear(2)
	b.settle()
	b.wantNames("ünï +#%20 3.png", "ünï +#%20 3.png", "one.png")
	b.slots.move(3, 1)
	b.wantNames("one.png", "ünï +#%20 3.png", "ünï +#%20 3.png")
}

func TestBadDrops(t *testing.T) {
	b := newBench(t, usual)
	good := b.file("good.png", 64, 64, 1)
	write := func(name, text string) string {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	folder := filepath.Join(b.dir, "folder") // without a picture
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, path, says string }{
		{"folder", folder, "is a folder"},
		{"text", write("notes.txt", "buy milk"), "PNG, JPEG"},
		{"empty", write("empty.png", ""), "empty file"},
		{"cut off", write("cut.png", string(whole[:len(whole)/2])), "PNG"},
		{"wide", b.file("wide.png", 900, 64, 1), "8:1"},
		{"small", b.file("small.png", 32, 32, 1), "at least 64"},
		{"vanished", filepath.Join(b.dir, "gone.png"), "is not there"},
		{"web address", "https://example.org/a.png", "address on the web"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b.t = t
			b.dropAt(b.slots.slots[0], row.path)
			b.wantNames()
			b.wantSaid(row.says)
			if !b.slots.slots[0].empty() {
				t.Error("the slot is not empty")
			}
		})
	}
	b.t = t
	b.dropAt(b.slots.slots[0], folder, good, filepath.Join(b.dir, "gone.png"))
	b.wantNames("good.png")

	// A picture that was read is held: its file may go.
	if err := os.Remove(good); err != nil {
		t.Fatal(err)
	}
	b.make("without its file")
	if refs := b.engine.made()[0].References(); len(refs) != 1 || refs[0].Image == nil {
		t.Errorf("the engine got %d references", len(refs))
	}
}

// TestDropsWhileModal: nothing that is dropped while a dialog is open gets through.
func TestDropsWhileModal(t *testing.T) {
	b := newBench(t, usual)
	one := b.file("one.png", 96, 64, 1)
	d := dialog.NewInformation("A dialog", "with a text", b.win)
	d.Show()
	b.dropAt(b.slots.slots[0], one)
	b.wantNames()
	b.wantSaid("Close the dialog first")
	b.prompt.setText("a fox")
	b.shortcut(ctrl(fyne.KeyReturn))
	if b.Maker.Run() != nil || len(b.engine.made()) != 0 {
		t.Error("a key of the window's passed through the dialog")
	}
	d.Hide()
	b.view.show(&studio.Picture{Image: landscape(64, 64, 1)})
	b.view.showMenu(fyne.NewPos(300, 200)) // a menu is no dialog
	b.dropAt(b.slots.slots[0], one)
	b.wantNames("one.png")
}

func TestReorderByDragging(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("a.png", 64, 64, 1), b.file("b.png", 64, 64, 2), b.file("c.png", 64, 64, 3)})
	b.settle()
	from, to := b.slots.slots[0], b.slots.slots[2]
	drag := func(d fyne.Draggable, pos fyne.Position) {
		d.Dragged(&fyne.DragEvent{PointEvent: fyne.PointEvent{AbsolutePosition: pos}, Dragged: fyne.Delta{DX: 1, DY: 1}})
	}
	drag(from, middle(from))
	drag(from, middle(to))
	if !to.lit || !b.drag.Ghost.Visible() {
		t.Error("the slot under the drag is not lit")
	}
	from.DragEnd()
	b.wantNames("c.png", "b.png", "a.png")
	if b.drag.Ghost.Visible() || to.lit {
		t.Error("the drag left something behind")
	}

	b.make("for the history")
	thumb := b.strip.row.Cells[0]
	b.slots.clear(1)
	drag(thumb, middle(thumb))
	drag(thumb, middle(b.slots.slots[3]))
	thumb.DragEnd()
	b.settle()
	if n := len(b.names()); n != 3 || b.Desk.Desk().References()[2].Path != b.Album.Entries()[0].Path {
		t.Errorf("slots %v after a thumbnail was dropped", b.names())
	}
}

func TestPaste(t *testing.T) {
	b := newBench(t, usual)
	path := b.file("copied +.png", 64, 64, 1)
	clipboard := b.app.Clipboard()
	clipboard.SetContent("file://" + strings.ReplaceAll(path, " ", "%20"))
	b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: clipboard})
	b.settle()
	b.wantNames("copied +.png")
	clipboard.SetContent("a fox / a dog")
	b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: clipboard})
	b.settle()
	if b.prompt.entry.Text != "a fox / a dog" {
		t.Errorf("prompt %q", b.prompt.entry.Text)
	}
	clipboard.SetContent("/not/there.png")
	b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: clipboard})
	b.settle()
	if !strings.HasSuffix(b.prompt.entry.Text, "/not/there.png") {
		t.Errorf("prompt %q, want the text that only looks like a path", b.prompt.entry.Text)
	}
}

// TestPasteTextElsewhere: text that is pasted while the canvas has the focus goes to the prompt, too.
func TestPasteTextElsewhere(t *testing.T) {
	b := newBench(t, usual)
	b.view.show(&studio.Picture{Image: landscape(64, 64, 1)})
	ui.TakeFocus(b.view.view)
	b.app.Clipboard().SetContent("a fox")
	b.pasteText()
	b.settle()
	if b.prompt.entry.Text != "a fox" || b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Errorf("prompt %q, focus %T", b.prompt.entry.Text, b.win.Canvas().Focused())
	}
	b.app.Clipboard().SetContent("")
	b.pasteText()
	b.wantSaid("neither a picture nor text")
}

func TestRestoreSettings(t *testing.T) {
	b := newBench(t, usual)
	ref := b.file("ref.png", 96, 64, 2)
	b.slots.add(0, []string{ref})
	b.settle()
	b.shape.choose(picture.Match)
	b.shape.setSeed("42")
	b.make("with a reference")
	made := b.Album.Entries()[0].Path

	b.slots.clearAll()
	b.prompt.setText("something else")
	b.shape.choose(picture.Square)
	b.dropAt(b.view.view, made)
	b.wantSaid("Kleinbild made this picture")
	b.wantNames() // nothing happens by itself
	test.Tap(b.notice.Actions[0])
	b.settle()
	b.wantNames("ref.png")
	size := b.size()
	if b.prompt.entry.Text != "with a reference" || b.shape.seedEntry.Text != "42" || b.shape.locked() ||
		size != (picture.Size{Width: 96, Height: 64}) {
		t.Errorf("restored %q, seed %s locked %v, %v", b.prompt.entry.Text, b.shape.seedEntry.Text, b.shape.locked(), size)
	}

	b.dropAt(b.view.view, made)
	test.Tap(b.notice.Actions[1])
	b.settle()
	if b.names()[1] != filepath.Base(made) {
		t.Errorf("slots %v, want the picture as a reference", b.names())
	}

	b.file("ref.png", 96, 64, 3) // changed since
	b.restore(b.Album.Entries()[0].Picture, studio.Mask{})
	b.settle()
	b.wantNames()
	b.wantSaid("has changed")
}

// TestRestoreOfOthers: for a picture of another program, those of its settings are offered that have a meaning here.
func TestRestoreOfOthers(t *testing.T) {
	b := newBench(t, usual)
	path := b.withText(b.file("other.png", 96, 64, 2), "parameters\x00a fox\nSteps: 20, Sampler: Euler a, Size: 100x64")
	b.dropAt(b.view.view, path)
	b.wantSaid("AUTOMATIC1111")
	b.wantSaid("Sampler Euler a")
	b.wantNames()
	test.Tap(b.notice.Actions[0])
	b.settle()
	size := b.size()
	next, err := b.NextBatch()
	if err != nil || next.Seed == 0 || b.prompt.entry.Text != "a fox" || b.advanced.steps.Text != "20" ||
		size != (picture.Size{Width: 96, Height: 64}) {
		t.Errorf("restored %q, seed %s, %v, steps %s, %v",
			b.prompt.entry.Text, b.shape.seedEntry.Text, err, b.advanced.steps.Text, size)
	}
}

// withText puts a text chunk into the PNG file at path.
func (b *bench) withText(path, text string) string {
	b.t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), "tEXt"+text...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 33 // signature and IHDR
	if err := os.WriteFile(path, slices.Concat(file[:header], chunk, file[header:]), 0o666); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// TestTooMuchTextInAPicture: the picture is taken, and the window says that its settings are not read.
func TestTooMuchTextInAPicture(t *testing.T) {
	b := newBench(t, usual)
	b.dropAt(b.view.view, b.withText(b.file("long.png", 96, 64, 2), "parameters\x00"+strings.Repeat("x", 1<<20)))
	b.wantSaid("long.png says more of how it was made than is read")
	b.wantNames("long.png")
}

// TestCaptions: a slot says what the model sees of its picture, which is less for a model of small pictures.
func TestCaptions(t *testing.T) {
	b := newBench(t, usual)
	for _, row := range []struct {
		width, height, native int
		want                  string
	}{
		{96, 64, 1024, "96 × 64"},
		{99, 64, 1024, "99 × 64 › 96 × 64 · 3 px of width cropped"},
		{96, 65, 1024, "96 × 65 › 96 × 64 · 1 px of height cropped"},
		{99, 70, 1024, "99 × 70 › 96 × 64 · 3 × 6 px cropped"},
		{512, 512, 1024, "512 × 512"},
		{512, 512, 192, "512 × 512 › 192 × 192"},
	} {
		b.engine.info.NativeSize = row.native
		b.slots.clearAll()
		b.slots.add(1, []string{b.file("ref.png", row.width, row.height, 1)})
		b.settle()
		if got := b.slots.slots[0].captions(); got[0] != row.want {
			t.Errorf("%d × %d for %d: %q, want %q", row.width, row.height, row.native, got, row.want)
		}
	}
	b.engine.info.NativeSize = 1024
	b.engineChanged()
	if got := test.WidgetRenderer(b.slots.slots[0]).(*slotRenderer).caption.Text; got != "512 × 512" {
		t.Errorf("another model was opened, and the caption is %q", got)
	}
}

// TestLocateOpensNoStrangersPath: of a path that a picture names, the base name alone is left, unless a file of this
// computer with the right digest lies there.
func TestLocateOpensNoStrangersPath(t *testing.T) {
	b := newBench(t, usual)
	own := b.file("own.png", 64, 64, 1)
	ref, err := inference.OpenReference(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	references := []picture.ReferenceFile{
		{Path: "//server/share/a.png", SHA256: ref.FileSHA256}, {Path: `\\server\share\b.png`, SHA256: ref.FileSHA256},
		{Path: own, SHA256: strings.Repeat("0", 64)}, {Path: own, SHA256: ref.FileSHA256},
	}
	b.locate(nil, references, t.TempDir())
	for i, want := range []string{"a.png", "b.png", "own.png", own} {
		if references[i].Path != want {
			t.Errorf("reference %d: %s, want %s", i+1, references[i].Path, want)
		}
	}
}

// TestRemovedWhileItIsRead: the slot is empty at once, and the decoder stops.
func TestRemovedWhileItIsRead(t *testing.T) {
	b := newBench(t, usual)
	path := filepath.Join(t.TempDir(), "large.png")
	var file bytes.Buffer
	large := image.NewGray(image.Rect(0, 0, 5000, 5000))
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, large); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	decoding := func() bool {
		stacks := make([]byte, 1<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("picture.prepare("))
	}
	b.slots.add(1, []string{path})
	b.until("it is decoded", decoding)
	b.slots.clear(1)
	b.wantNames()
	if !b.slots.slots[0].empty() {
		t.Error("the slot is not empty")
	}
	b.settle()
	if decoding() {
		t.Error("the decoder runs on when nobody waits for it")
	}
}
