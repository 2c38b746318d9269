package app

import (
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/history"
)

// TestHistoryHeldByAnotherProgram: the window starts and says so once. A picture that is made meanwhile stays on show
// when its entry is written later and gets another ID.
func TestHistoryHeldByAnotherProgram(t *testing.T) {
	var file *bbolt.DB
	b := newBench(t, usual, func(b *bench, cfg *Config) {
		b.engine.info.NativeSize = 128
		before := history.At(cfg.HistoryFile, nil)
		before.Add(history.Entry{Path: b.file("before.png", 64, 64, 1)})
		var err error
		if file, err = bbolt.Open(cfg.HistoryFile, 0o644, nil); err != nil {
			t.Fatal(err)
		}
	})
	b.wantSaid("another program uses the file")
	b.notice.Dismiss()
	b.make("made meanwhile")
	if b.notice.Visible() {
		t.Errorf("said again: %q", b.said())
	}
	waiting := b.Album.Entries()[0]
	if b.strip.row.Marked != waiting.ID || b.view.shown.ID != waiting.ID || waiting.Path != b.view.shown.Path {
		t.Errorf("marked %d, shown %d, want %d", b.strip.row.Marked, b.view.shown.ID, waiting.ID)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	b.Album.Store().Retry() // as the watch does
	b.settle()
	b.wantSaid("1 picture that waited")
	now := b.Album.Entries()[0]
	if len(b.Album.Entries()) != 2 || now.ID == waiting.ID || now.Path != waiting.Path ||
		b.strip.row.Marked != now.ID || b.view.shown.ID != now.ID {
		t.Errorf("%d entries, marked %d, shown %d, want %d",
			len(b.Album.Entries()), b.strip.row.Marked, b.view.shown.ID, now.ID)
	}
}

// TestHistoryDamagedWhileOpen: the window goes on with what can be read.
func TestHistoryDamagedWhileOpen(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("before")
	if err := os.WriteFile(b.cfg.HistoryFile, make([]byte, 20_000), 0o644); err != nil {
		t.Fatal(err)
	}
	b.prompt.setText("after")
	b.generate()
	b.until("a picture", func() bool { return b.Maker.Run() == nil && b.view.shown.Meta.Prompt == "after" })
	b.wantSaid("The history was damaged. None of its entries could be read")
	b.settle()
	aside, err := filepath.Glob(b.cfg.HistoryFile + ".damaged-*")
	if err != nil || len(aside) != 1 || len(b.Album.Entries()) != 1 {
		t.Errorf("aside %v, %v, %d entries", aside, err, len(b.Album.Entries()))
	}
}

// TestEstimateFollowsTheHistory: the time that a picture takes is known from the history, and from nothing else.
func TestEstimateFollowsTheHistory(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("a fox")
	entries := b.Album.Entries()
	b.Album.Show(nil)
	if got := b.prompt.estimate.Text; got != "" {
		t.Errorf("without a history: %q", got)
	}
	b.Album.Show(entries)
	if got := b.prompt.estimate.Text; got == "" {
		t.Error("with a picture in the history there is no estimate")
	}
}
