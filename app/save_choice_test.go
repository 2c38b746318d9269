package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// saveAs opens the panel, chooses a format by the keyboard from PNG on, and returns the name that the dialog proposes.
func (b *bench) saveAs(steps int) (proposed string) {
	b.t.Helper()
	test.Tap(b.view.save)
	if b.win.Canvas().Focused() != fyne.Focusable(b.savePanel.save) {
		b.t.Fatal("the button of the panel has not the keyboard")
	}
	if !b.savePanel.formats[0].Chosen {
		b.savePanel.choose(0)
	}
	b.win.Canvas().Focus(b.savePanel.formats[0])
	for range steps {
		b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	}
	return "x" + b.set.copies().format().extensions[0]
}

// TestSavePanel chooses each format in the panel and saves: the format, the quality and the tick stay for the next
// copy, and for the next start.
func TestSavePanel(t *testing.T) {
	b := newBench(t, usual)
	test.Tap(b.view.save)
	b.wantSaid("no picture to save")
	b.make("a fox")
	dir := t.TempDir()
	save := func(name string) []byte {
		t.Helper()
		b.savePanel.Close()
		path := filepath.Join(dir, name)
		b.saveTo(b.view.shown, path, false)
		b.settle()
		b.wantSaid("Saved as " + path)
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	for i, magic := range []string{"\x89PNG", "\xff\xd8\xff", "RIFF", "MM\x00*"} {
		name := b.saveAs(i)
		if b.savePanel.quality.Visible() != (copyFormats[i].quality > 0) {
			t.Errorf("%s: the quality shows: %v", name, b.savePanel.quality.Visible())
		}
		if file := save(name); !strings.HasPrefix(string(file), magic) {
			t.Errorf("%s begins with %q", name, file[:4])
		}
		if meta, err := picture.ReadMetadataFile(filepath.Join(dir, name)); err != nil || meta.Prompt != "a fox" {
			t.Errorf("%s: %v, %v", name, meta, err)
		}
	}

	usualSize := len(save("first.jpg"))
	b.saveAs(1)
	b.savePanel.quality.SetValue(60)
	test.Tap(b.savePanel.bare)
	if size := len(save("second.jpg")); size >= usualSize {
		t.Errorf("%d bytes at 60, %d at 95", size, usualSize)
	}
	b.wantSaid("(quality 60, without prompt and settings)")
	if _, err := picture.ReadOriginFile(filepath.Join(dir, "second.jpg")); !errors.Is(err, picture.ErrNoMetadata) {
		t.Errorf("the copy says how it was made: %v", err)
	}

	b.showSavePanel()
	b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if b.savePanel.IsOpen() {
		t.Error("Escape does not close the panel")
	}

	again := b.open(b.app, b.cfg, usual).set.copies()
	f := again.format()
	if f.name != "JPEG" || again.quality(f) != 60 || !again.bare() || again.quality(copyFormats[2]) != 100 {
		t.Errorf("the next start has %s of %d, bare %v", f.name, again.quality(f), again.bare())
	}
	// A name without an ending has that of the last copy; a name with one chooses.
	if name, _ := completeName("house", again.format()); name != "house.jpg" {
		t.Errorf("completed to %q", name)
	}
	save("other.tiff")
	if f := b.set.copies().format(); f.name != "TIFF" {
		t.Errorf("after other.tiff the next copy is %s", f.name)
	}
}

// TestDeepCopies saves the edit of a photo with 16 bits and a profile: PNG and TIFF keep both, JPEG and WebP the
// profile.
func TestDeepCopies(t *testing.T) {
	b := newBench(t, usual)
	b.make("a fox")
	photo, err := picture.OpenOriginal(t.Context(), filepath.Join("..", "inference", "picture", "testdata", "originals",
		"p3-16.png"))
	if err != nil {
		t.Fatal(err)
	}
	b.view.shown.Full = photo
	for name, depth := range map[string]int{"a.png": 16, "a.tif": 16, "a.jpg": 8, "a.webp": 8} {
		path := filepath.Join(t.TempDir(), name)
		b.saveTo(b.view.shown, path, false)
		b.settle()
		copied, err := picture.OpenOriginal(t.Context(), path)
		if err != nil || copied.Depth() != depth || copied.Profile != photo.Profile {
			t.Errorf("%s: %v; want %d bits and the profile %q, found %+v", name, err, depth, photo.Profile, copied)
		}
	}
}

// TestCopyFileSaysWhy: the file of a picture that lies nowhere, or is gone, cannot be copied.
func TestCopyFileSaysWhy(t *testing.T) {
	b := newBench(t, usual)
	b.copyFile()
	if b.said() != "" {
		t.Errorf("without a picture the window says %q", b.said())
	}
	b.make("a fox")
	if err := os.Remove(b.view.shown.Path); err != nil {
		t.Fatal(err)
	}
	b.copyFile()
	b.settle()
	b.wantSaid("is not there")
	b.view.shown.Path = ""
	b.copyFile()
	b.wantSaid("not saved yet")
}
