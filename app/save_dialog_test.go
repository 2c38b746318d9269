package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
)

// TestSaveAgain: if no file can be written at the place, the window says so and offers another name.
func TestSaveAgain(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("a house")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dir.png"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string]string{
		"dir.png": "is a folder", "nosuch/x.png": "does not exist, want an existing folder.",
	} {
		b.saveTo(b.view.shown, filepath.Join(dir, name), false)
		b.settle()
		b.wantSaid(said)
		if b.session.modal.IsOpen() {
			t.Errorf("%s: asks whether to replace it", name)
		}
		if !slices.ContainsFunc(b.notice.Actions, func(a *ui.Button) bool { return a.Text == "Choose another name…" }) {
			t.Errorf("%s: no other name is offered", name)
		}
	}
}

// TestSaveDialogEmptiesNothing saves under names that a dialog may return: whatever the user is asked or told, a file
// that was there is whole until the very name has been confirmed.
func TestSaveDialogEmptiesNothing(t *testing.T) {
	const old = "a week's work"
	for _, row := range []struct {
		name   string
		typed  string
		there  []string // beforehand
		asked  bool     // the system's dialog asked about the name
		saved  string   // the new file, "" for none
		asks   bool     // the window asks before it replaces
		refuse string   // what the window says instead
	}{
		{name: "new", typed: "house.png", saved: "house.png"},
		{
			name: "another format", typed: "painting.psd", there: []string{"painting.psd"},
			refuse: "painting.psd was not saved",
		},
		{
			name: "another format, confirmed", typed: "painting.psd", there: []string{"painting.psd"}, asked: true,
			refuse: "painting.psd was not saved",
		},
		{name: "too long", typed: strings.Repeat("a", 260), refuse: "the name is too long"},
		{name: "another format, new", typed: "copy.psd", refuse: "copy.psd was not saved"},
		{name: "no ending", typed: "noext", saved: "noext.png"},
		{name: "no ending, taken", typed: "noext", there: []string{"noext"}, saved: "noext.png"},
		{
			name: "no ending, the completed name taken", typed: "house", there: []string{"house.png"},
			saved: "house.png", asks: true,
		},
		{
			name: "the system asked about another name", typed: "house", there: []string{"house", "house.png"}, asked: true,
			saved: "house.png", asks: true,
		},
		{
			name: "the system asked about this name", typed: "house.png", there: []string{"house.png"}, asked: true,
			saved: "house.png",
		},
		{name: "taken", typed: "house.JPG", there: []string{"house.JPG"}, saved: "house.JPG", asks: true},
		{name: "a full stop at the end", typed: "house.", there: []string{"house.png"}, saved: "house.png", asks: true},
		{name: "an ending alone", typed: ".png", there: []string{".png"}, refuse: "needs a name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, usual)
			b.engine.info.NativeSize = 128
			b.make("a house")
			dir := t.TempDir()
			for _, name := range row.there {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(old), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			whole := func(name string) {
				t.Helper()
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != old {
					t.Errorf("%s holds %d bytes, %v: want what was there", name, len(got), err)
				}
			}
			choose := func() {
				if row.asked {
					b.saveTo(b.view.shown, filepath.Join(dir, row.typed), true)
				} else {
					d := b.showSaveDialog(dir, "", func(path string) { b.saveTo(b.view.shown, path, false) })
					d.name.SetText(row.typed)
					test.Tap(d.modal.Buttons[len(d.modal.Buttons)-1])
				}
				b.settle()
			}
			choose()
			if row.refuse != "" {
				b.wantSaid(row.refuse)
			}
			if asks := b.session.modal.IsOpen(); asks != row.asks {
				t.Fatalf("asks %v, want %v; the window says %q", asks, row.asks, b.said())
			}
			if row.asks {
				whole(row.saved)
				b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
				if b.session.modal.IsOpen() {
					t.Fatal("Escape does not close the question")
				}
				whole(row.saved)
				choose()
				b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn}) // pressed once too often
				b.settle()
				whole(row.saved)
				choose()
				b.answer(b.session, "Replace")
				b.settle()
			}
			for _, name := range row.there {
				if name != row.saved {
					whole(name)
				}
			}
			if row.saved != "" {
				if got, err := os.ReadFile(filepath.Join(dir, row.saved)); err != nil || len(got) < 100 {
					t.Errorf("%s: %d bytes, %v", row.saved, len(got), err)
				}
			}
			want := len(row.there)
			if row.saved != "" && !slices.Contains(row.there, row.saved) {
				want++
			}
			if files, _ := os.ReadDir(dir); len(files) != want {
				t.Errorf("%d files, want %d: nothing is left behind", len(files), want)
			}
		})
	}
}
