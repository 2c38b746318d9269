package plain

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestText(t *testing.T) {
	at := func(errno syscall.Errno) error { return &fs.PathError{Op: "open", Path: "/a/b.png", Err: errno} }
	_, damagedPNG := png.Decode(strings.NewReader("no picture"))
	_, cutPNG := png.Decode(strings.NewReader("\x89PNG\r\n\x1a\n"))
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"of the project", errors.New("engine: busy"), "engine: busy"},
		{"a file below a file", &fs.PathError{Op: "mkdir", Path: "/a", Err: syscall.ENOTDIR},
			"/a is a file, not a folder: choose another folder"},
		{"a path below a file", at(syscall.ENOTDIR),
			"a part of the path of /a/b.png is a file, not a folder: choose another folder"},
		{"full", at(syscall.ENOSPC), "the disk is full: free some space, then try again"},
		{"permission", at(syscall.EACCES),
			"the system does not allow access to /a/b.png: choose another place, or change who may use it"},
		{"permission, wrapped", fmt.Errorf("picture: output /x.png: cannot write in folder /: %w", syscall.EACCES),
			"picture: output /x.png: cannot write in folder /: the system does not allow access to the file: " +
				"choose another place, or change who may use it"},
		{"read-only", at(syscall.EROFS), "the system does not allow writing to /a: choose another folder"},
		{"long", &fs.PathError{Op: "open", Path: "/a/" + strings.Repeat("x", 300), Err: syscall.ENAMETOOLONG},
			"the name " + strings.Repeat("x", 40) + "… is too long for this disk: choose a shorter one"},
		{"gone", fmt.Errorf("history: /a/b.png: %w", at(syscall.ENOENT)), "history: /a/b.png is not there"},
		{"taken", &os.LinkError{Op: "link", Old: "/a/c", New: "/a/b.png", Err: syscall.EEXIST},
			"/a/b.png is there already: choose another name"},
		{"a folder", at(syscall.EISDIR), "/a/b.png is a folder, not a file: choose a file"},
		{"a broken disk", at(syscall.EIO),
			"the disk of /a/b.png reports a fault: copy your files from it, and choose another one"},
		{"no path", fmt.Errorf("picture: %w", &fs.PathError{Op: "stat", Err: syscall.ENOENT}),
			"picture: the file is not there"},
		{"an address that is taken", &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE},
			"listen tcp: address already in use"},
		{"several", errors.Join(at(syscall.ENOENT), at(syscall.EISDIR)),
			"/a/b.png is not there\n/a/b.png is a folder, not a file: choose a file"},
		{"png", fmt.Errorf("history: x.png: %w", damagedPNG), "history: x.png: the picture is damaged: get or save it again"},
		{"png, cut off", cutPNG, "the file is cut off: get or save it again"},
		{"cut off", io.ErrUnexpectedEOF, "the file is cut off: get or save it again"},
		{"no network", &url.Error{Op: "Get", URL: "https://huggingface.co/x",
			Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "huggingface.co"}}},
			"huggingface.co cannot be reached: look at the network connection, then try again"},
		{"no answer", &url.Error{Op: "Get", URL: "https://huggingface.co/x", Err: os.ErrDeadlineExceeded},
			"huggingface.co does not answer in time: try again later"},
		{"no program", &exec.Error{Name: "xdg-open", Err: exec.ErrNotFound},
			"the program xdg-open is not installed: install it, then try again"},
		{"too slow", fmt.Errorf("a: %w", context.DeadlineExceeded), "a: there was no answer in time: try again"},
	} {
		if got := Text(row.err); got != row.want {
			t.Errorf("%s: %q\nwant %q", row.name, got, row.want)
		}
	}
}

// TestSystem provokes errors of the operating system and checks that Text replaces the system's text.
func TestSystem(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(path string) error { _, err := os.ReadFile(path); return err }
	for name, err := range map[string]error{
		"mkdir in a file": os.MkdirAll(filepath.Join(file, "deep", "inside"), 0o700),
		"open in a file":  open(filepath.Join(file, "inside")),
		"gone":            open(filepath.Join(dir, "gone")),
		"a folder":        open(dir),
		"a long name":     open(filepath.Join(dir, strings.Repeat("x", 4000))),
		"taken":           os.Mkdir(file, 0o700),
		"rename":          os.Rename(filepath.Join(dir, "gone"), filepath.Join(file, "inside")),
		"a NUL":           open(filepath.Join(dir, "a\x00b")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		var errno syscall.Errno
		if errors.As(err, &errno) && strings.Contains(Text(err), errno.Error()) || Text(err) == err.Error() {
			t.Errorf("%s: %q", name, Text(err))
		}
	}
}
