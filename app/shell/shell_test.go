//go:build !windows

package shell

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/adrg/xdg"
)

func TestBin(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	dir := t.TempDir()
	path := filepath.Join(dir, "a fox %+#ä.png")
	for n, want := range []string{"a fox %+#ä.png", "a fox %+#ä.2.png"} {
		if err := os.WriteFile(path, []byte{byte(n)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Bin(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still in its folder: %v", err)
		}
		moved, err := os.ReadFile(filepath.Join(home, "Trash", "files", want))
		if err != nil || moved[0] != byte(n) {
			t.Errorf("%v, %v", moved, err)
		}
		info, err := os.ReadFile(filepath.Join(home, "Trash", "info", want+".trashinfo"))
		begin := "[Trash Info]\nPath=" + dir + "/a%20fox%20%25+%23%C3%A4.png\nDeletionDate=20"
		if err != nil || !strings.HasPrefix(string(info), begin) {
			t.Errorf("info file %q, %v; want it to begin with %q", info, err, begin)
		}
	}
	if err := Bin(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v, want ErrNotExist", err)
	}
	if infos, _ := os.ReadDir(filepath.Join(home, "Trash", "info")); len(infos) != 2 {
		t.Errorf("%d info files for 2 files", len(infos))
	}

	older := filepath.Join(home, "Trash", "info", "a fox %+#ä.png.trashinfo")
	if err := os.Chtimes(older, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []byte{1, 0} { // The last file that was moved to the bin comes back first.
		if err := Unbin(path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || got[0] != want {
			t.Errorf("restored %v, %v; want the file %d", got, err, want)
		}
		if err := Unbin(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("restored over a file: %v, want ErrExist", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := Unbin(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not in the bin: %v, want ErrNotExist", err)
	}
	if infos, _ := os.ReadDir(filepath.Join(home, "Trash", "info")); len(infos) != 0 {
		t.Errorf("%d info files for no files", len(infos))
	}
}

// startX runs an X11 server for this test alone.
func startX(t *testing.T) {
	t.Helper()
	server := exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "64x64x24", "-noreset", "-nolisten", "tcp")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Skipf("Xvfb: %v", err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	number, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Skipf("Xvfb printed no display: %v", err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
}

// TestClipboard copies with one connection to the X11 server and pastes with another, in one piece and in portions.
func TestClipboard(t *testing.T) {
	startX(t)
	if _, err := PastePicture(); !errors.Is(err, ErrNoPicture) {
		t.Errorf("an empty clipboard: %v, want ErrNoPicture", err)
	}
	for _, size := range []int{1, portionBytes, portionBytes + 1, 5*portionBytes + 77} {
		file := make([]byte, size)
		for i := range file {
			file[i] = byte(i * i >> 3)
		}
		if err := CopyPNG(file); err != nil {
			t.Fatal(err)
		}
		for range 2 { // A picture can be pasted more than once.
			if got, err := PastePicture(); err != nil || !bytes.Equal(got, file) {
				t.Errorf("%d bytes: pasted %d, %v", size, len(got), err)
			}
		}
	}
}

// TestCopyFiles: a file manager, a mail program and a text box each find what they ask for.
func TestCopyFiles(t *testing.T) {
	startX(t)
	if err := CopyFiles("/home/ada/a fox ä.png", "/tmp/b%.jpg"); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		"text/uri-list":                "file:///home/ada/a%20fox%20%C3%A4.png\r\nfile:///tmp/b%25.jpg\r\n",
		"x-special/gnome-copied-files": "copy\nfile:///home/ada/a%20fox%20%C3%A4.png\nfile:///tmp/b%25.jpg",
		"UTF8_STRING":                  "/home/ada/a fox ä.png\n/tmp/b%.jpg",
	} {
		if got, err := paste(format); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", format, got, err, want)
		}
	}
	if _, err := PastePicture(); !errors.Is(err, ErrNoPicture) {
		t.Errorf("a picture: %v, want ErrNoPicture", err)
	}
	// Another program, which asks for the list of formats first.
	if out, err := exec.Command("xclip", "-selection", "clipboard", "-target", "TARGETS", "-out").Output(); err == nil {
		want := "TARGETS\ntext/uri-list\nx-special/gnome-copied-files\nUTF8_STRING\ntext/plain;charset=utf-8\n"
		if string(out) != want {
			t.Errorf("formats %q, want %q", out, want)
		}
	}
}

func TestNoClipboard(t *testing.T) {
	for _, display := range []string{"", ":98765"} {
		t.Setenv("DISPLAY", display)
		if _, err := PastePicture(); !errors.Is(err, ErrNoClipboard) {
			t.Errorf("DISPLAY %q: %v", display, err)
		}
		if err := CopyPNG([]byte("x")); !errors.Is(err, ErrNoClipboard) {
			t.Errorf("DISPLAY %q: %v", display, err)
		}
		if err := CopyFiles("/x"); !errors.Is(err, ErrNoClipboard) {
			t.Errorf("DISPLAY %q: %v", display, err)
		}
	}
}
