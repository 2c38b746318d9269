package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestStandardOutput checks that -o - writes the picture and nothing else, and is refused on a terminal.
func TestStandardOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	mustMake(t, small(t, "-p", "a red fox", "-s", "7", "-o", "fox.png")...)
	if got := mustMake(t, small(t, "-p", "a red fox", "-s", "7", "-o", "-")...); got.out != string(readFile(t,
		"fox.png")) {
		t.Errorf("%d bytes on standard output, want those of the file", len(got.out))
	}
	if left := names(t); !slices.Equal(left, []string{"fox.png"}) {
		t.Errorf("files %v", left)
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal here:", err)
	}
	defer terminal.Close()
	var stderr strings.Builder
	if code := Main(small(t, "-p", "x", "-o", "-"),
		Streams{In: strings.NewReader(""), Out: terminal, Err: &stderr}); code != exitUsage ||
		!strings.Contains(stderr.String(), "terminal") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// onFirstWrite is a standard error that calls do at the first write. That is after all checks and before the picture is
// made.
type onFirstWrite struct {
	strings.Builder
	do func()
}

func (w *onFirstWrite) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Builder.Write(p)
}

func (w *onFirstWrite) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

// brokenPipe is a standard output to which all writes fail.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestPictureIsNotLost checks that a finished picture that cannot be written to its path is kept elsewhere, and that
// the last line names the path.
func TestPictureIsNotLost(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	pictures := filepath.Join(dir, "My pictures")
	t.Cleanup(xdg.Reload)
	t.Setenv("XDG_PICTURES_DIR", pictures)
	xdg.Reload()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name, output string
		meanwhile    func()
		out          io.Writer // nil for a buffer
		kept, reason string
	}{
		{"the folder vanishes", "out/fox.png", func() { must(os.RemoveAll("out")) }, nil,
			filepath.Join(pictures, "Kleinbild", "fox.png"), "out"},
		{"a folder takes the name", "out/fox.png", func() { must(os.Mkdir("out/fox.png", 0o777)) }, nil,
			filepath.Join("out", "kleinbild-7.png"), "found a folder"},
		{"the file is protected", "out/fox.png", func() {
			writeFile(t, "out/fox.png",
				"old")
			must(os.Chmod("out/fox.png", 0o444))
		}, nil, filepath.Join("out", "fox-2.png"), "protected against writing"},
		{"standard output is full", "-", func() {}, brokenPipe{}, filepath.Join(pictures, "Kleinbild", "kleinbild-7.png"),
			"the disk is full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			must(errors.Join(os.RemoveAll("out"), os.RemoveAll(pictures), os.Mkdir("out", 0o777)))
			var out strings.Builder
			stderr := onFirstWrite{do: row.meanwhile}
			streams := Streams{In: strings.NewReader(""), Out: &out, Err: &stderr}
			if row.out != nil {
				streams.Out = row.out
			}
			code := Main(small(t, "-p", "a fox", "-s", "7", "-o", row.output), streams)
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			if code != exitFailure || !strings.Contains(last, row.reason) ||
				!strings.HasSuffix(last, "; the picture is kept as "+row.kept) {
				t.Errorf("exit code %d: %q", code, last)
			}
			if meta, err := picture.ReadMetadataFile(row.kept); err != nil || meta.Seed != 7 {
				t.Errorf("%v: %+v", err, meta)
			}
			if row.out == nil && out.String() != row.kept+"\n" {
				t.Errorf("standard output %q", out.String())
			}
			if text, err := os.ReadFile("out/fox.png"); err == nil && string(text) != "old" {
				t.Errorf("what was there is %q", text)
			}
		})
	}
	// Errors that can be found before the run must be reported before anything is computed.
	must(errors.Join(os.RemoveAll("out"), os.Mkdir("out", 0o777)))
	writeFile(t, "out/fox.png", "old")
	must(os.Chmod("out/fox.png", 0o444))
	for _, output := range []string{"out/fox.png", "gone/fox.png", "out", "a\x00b.png",
		strings.Repeat("a", 260) + ".png"} {
		if got := call("", small(t, "-p", "a fox", "-o", output)...); got.code == exitOK ||
			strings.Contains(got.err, "picture 1/1") {
			t.Errorf("%q: exit code %d: %s", output, got.code, got.err)
		}
	}
}

// TestOtherFormats checks that a JPEG and a WebP contain how they were made, and can be repeated.
func TestOtherFormats(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "ref.png", 64, 64)
	made := func(name string) {
		t.Helper()
		if got := mustMake(t, small(t, "-p", "a red fox, füchse 狐", "-s", "7", "-i", "ref.png", "-o",
			name)...); got.out != name+"\n" {
			t.Errorf("standard output %q", got.out)
		}
	}
	made("fox.png")
	for name, magic := range map[string]string{"fox.jpg": "\xff\xd8\xff", "fox.JPEG": "\xff\xd8\xff", "fox.webp": "RIFF"} {
		made(name)
		if !bytes.HasPrefix(readFile(t, name), []byte(magic)) {
			t.Errorf("%s begins with %q", name, readFile(t, name)[:8])
		}
		if got := mustMake(t, "info", name); got.out != mustMake(t, "info", "fox.png").out {
			t.Errorf("%s: info says %s", name, got.out)
		}
		mustMake(t, "generate", "--like", name, "-o", "again.png", "-m", model(t, "distilled"))
		if !bytes.Equal(readFile(t, "again.png"), readFile(t, "fox.png")) {
			t.Errorf("--like %s gives another picture", name)
		}
		mustMake(t, small(t, "-p", "x", "-i", name, "-o", "x.png")...) // the file can also be a reference
	}
}

// TestNamesAreBytes checks that a file whose name is not UTF-8 can be read, written and found again.
func TestNamesAreBytes(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("m\xf6del", 0o777); err != nil || names(t)[0] != "m\xf6del" {
		t.Skip("names are Unicode here:", err)
	}
	if err := os.CopyFS("m\xf6del", os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	writePicture(t, "r\xe9f.png", 64, 64)
	args := []string{"generate", "-m", "m\xf6del", "--precision", "float32", "--size", "64x64", "--steps", "1", "-p", "x",
		"-s", "7", "-i", "r\xe9f.png"}
	if got := mustMake(t, append(args, "-o", "f\xfcchse.png")...); got.out != "f\xfcchse.png\n" {
		t.Errorf("standard output %q", got.out)
	}
	mustMake(t, "generate", "-m", "m\xf6del", "--like", "f\xfcchse.png", "-o", "\xe4.png")
	if !bytes.Equal(readFile(t, "f\xfcchse.png"), readFile(t, "\xe4.png")) {
		t.Error("--like gives another picture")
	}
	var rep struct {
		PathBytes  []byte `json:"path_base64"`
		References []picture.ReferenceFile
	}
	got := mustMake(t, append(args, "-o", "f\xfcchse.png", "--json")...)
	if err := json.Unmarshal([]byte(got.out), &rep); err != nil || string(rep.PathBytes) != "f\xfcchse.png" ||
		len(rep.References) != 1 || rep.References[0].Path != "r\xe9f.png" {
		t.Errorf("%s: %v, %+v", got.out, err, rep)
	}
	if got := mustMake(t, "info", "f\xfcchse.png"); !strings.Contains(got.out, `r\xe9f.png (SHA-256`) {
		t.Errorf("info: %q", got.out)
	}
	// An error about such a file contains its name.
	for _, args := range [][]string{{"info", "g\xf6ne.png"}, small(t, "-p", "x", "-i", "g\xf6ne.png"),
		{"generate", "-p", "x", "-m", "g\xf6ne"}, small(t, "--like", "g\xf6ne.png")} {
		if got := call("", args...); got.code != exitFailure || !strings.Contains(errorLine(t, got), `g\xf6ne`) {
			t.Errorf("%q: exit code %d: %q", args, got.code, got.err)
		}
	}
}

// TestPreparationIsSaid checks that there is a note if the model sees a reference in another size or form than the file
// has.
func TestPreparationIsSaid(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "odd.png", 99, 70)
	writePicture(t, "even.png", 64, 64)
	got := mustMake(t, small(t, "-p", "x", "-i", "even.png", "-i", "odd.png", "--json", "-o", "made.png")...)
	note := "note: image 2: 99×70 → 96×64, 1 px cropped at the left, 2 at the right, 3 at the top and 3 at the bottom\n"
	if !strings.Contains(got.err, note) || strings.Contains(got.err, "image 1") {
		t.Errorf("%q, want %q and no word of image 1", got.err, note)
	}
	var rep struct{ Prepared []picture.Preparation }
	want := []picture.Preparation{
		{Original: picture.Size{Width: 64, Height: 64}, Size: picture.Size{Width: 64, Height: 64}},
		{Original: picture.Size{Width: 99, Height: 70}, Size: picture.Size{Width: 96, Height: 64}, Left: 1, Right: 2, Top: 3,
			Bottom: 3},
	}
	if err := json.Unmarshal([]byte(got.out), &rep); err != nil || !slices.Equal(rep.Prepared, want) {
		t.Errorf("%v, %+v, want %+v", err, rep.Prepared, want)
	}
}
