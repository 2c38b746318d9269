package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/storage"
)

func TestLocalFile(t *testing.T) {
	const (
		missing, other = "is not there", "another computer"
		web, program   = "on the web", "another program"
		damaged        = "damaged"
	)
	for _, row := range []struct {
		item, linux, windows string // a path, or words of the refusal
	}{
		{"/a/b c.png", "/a/b c.png", missing},
		{"/a/../b/./x.png", "/b/x.png", missing},
		{"/a/100%.png", "/a/100%.png", missing},
		{"file:///a/b%20c.png", "/a/b c.png", missing},
		{"file:///a/b%25.png?x#y", "/a/b%.png?x#y", missing},
		{"FILE:///a/x.png", "/a/x.png", missing},
		{"file:/a/x.png", "/a/x.png", missing},
		{"file://localhost/a/x.png", "/a/x.png", missing},
		{"file://LOCALHOST/a/x.png", "/a/x.png", missing},
		{"file://atelier/a/x.png", "/a/x.png", missing},
		{"file://server/share/x.png", other, other},
		{"file://localhost.evil.example/share/x.png", other, other},
		{"file://user:secret@server/share/x.png", other, other},
		{"file://[::1]/share/x.png", other, other},
		{"file:////server/share/x.png", "/server/share/x.png", other},
		{"file://///server/share/x.png", "/server/share/x.png", other},
		{"file:///%5C%5Cserver/share/x.png", `/\\server/share/x.png`, other},
		{`\\server\share\x.png`, missing, other},
		{"//server/share/x.png", "/server/share/x.png", other},
		{`\\?\UNC\server\share\x.png`, missing, other},
		{`\\.\pipe\x`, missing, other},
		{`\\?\C:\a\x.png`, missing, `C:\a\x.png`},
		{"file:///C:/a/b%20c.png", "/C:/a/b c.png", `C:\a\b c.png`},
		{"file:///c|/a/x.png", "/c|/a/x.png", `c:\a\x.png`},
		{"file://C:/a/x.png", other, `C:\a\x.png`},
		{`file:\\\C:\a\x.png`, missing, `C:\a\x.png`},
		{`file:\\server\share\x.png`, missing, other},
		{`C:\a\x.png`, missing, `C:\a\x.png`},
		{"C:/a/x.png", missing, `C:\a\x.png`},
		{"C:x.png", missing, missing},
		{"x.png", missing, missing},
		{"", missing, missing},
		{"file:", missing, missing},
		{"file://", damaged, damaged},
		{"file://server", damaged, damaged},
		{"file:x.png", missing, missing},
		{"file:///a/%zz.png", damaged, damaged},
		{"file:///a/%", damaged, damaged},
		{"file:///a/x%00.png", damaged, damaged},
		{"/a/x\x00.png", damaged, damaged},
		{"http://server/x.png", web, web},
		{"HTTPS://server/x.png", web, web},
		{"data:image/png;base64,AAAA", web, web},
		{"smb://server/share/x.png", program, program},
		{"sftp://server/x.png", program, program},
		{"javascript:alert(1)", program, program},
		{strings.Repeat("a", 1<<20) + "://x", program, program},
		{"file://" + strings.Repeat("s", 1<<20) + "/x.png", other, other},
	} {
		for windows, want := range map[bool]string{false: row.linux, true: row.windows} {
			got, refusal := localFile(row.item, "atelier", windows)
			refused := got == "" && strings.Contains(refusal, want)
			if got != want && !refused || got != "" && refusal != "" || len(refusal) > 200 {
				t.Errorf("%.60q, Windows %v: %q, %.200q, want %q", row.item, windows, got, refusal, want)
			}
		}
	}
}

// TestMixedDrops: the files of this computer are taken, and one notice tells of the rest.
func TestMixedDrops(t *testing.T) {
	b := newBench(t, usual)
	good := b.file("good +%20.png", 64, 64, 1)
	web, err := storage.ParseURI("https://example.org/a.png")
	if err != nil {
		t.Fatal(err)
	}
	noName := storage.NewFileURI(filepath.Join(b.dir, "a\x00b.png"))
	b.drop(middle(b.view.view), []fyne.URI{web, storage.NewFileURI(good), noName, storage.NewFileURI(t.TempDir())})
	b.settle()
	b.wantNames("good +%20.png")
	b.wantSaid("address on the web")
	b.wantSaid("2 others could not be taken either")

	b.slots.clearAll()
	many := make([]fyne.URI, 10_000)
	for i := range many {
		many[i] = storage.NewFileURI(filepath.Join(b.dir, "gone.png"))
	}
	many[9000] = storage.NewFileURI(good)
	b.drop(middle(b.view.view), many)
	b.settle()
	b.wantNames("good +%20.png")
	b.wantSaid("9998 others")
}

// TestPastedAddresses: text of addresses counts as files, even if they cannot be used; text of paths alone counts as
// files only if one of them is a file of this computer.
func TestPastedAddresses(t *testing.T) {
	good := filepath.Join(t.TempDir(), "a b.png")
	if err := os.WriteFile(good, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	address := "file://" + strings.ReplaceAll(good, " ", "%20")
	for _, row := range []struct {
		text  string
		items int
	}{
		{good, 1}, {address + "\r\n" + good + "\n\n", 2},
		{"file://server/share/x.png", 1}, {address + "\nfile://server/x.png", 2},
		{good + "\na fox", 0}, {"/not/there.png", 0}, {"a fox", 0}, {"", 0},
		{"https://example.org/a.png", 0}, {address + "\nhttps://example.org", 0},
		{"//server/share/x.png", 0},
		{strings.Repeat(good+"\n", maxPastedItems), maxPastedItems},
		{strings.Repeat(good+"\n", maxPastedItems+1), 0},
	} {
		if got := itemsIn(row.text); len(got) != row.items {
			t.Errorf("%.80q: %d items, want %d", row.text, len(got), row.items)
		}
	}
}
