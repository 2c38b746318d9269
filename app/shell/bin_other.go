//go:build !windows

package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/adrg/xdg"

	"kleinbild/atomicfile"
)

// Bin moves a file to the user's bin, where the desktop can bring it back from (the Trash specification of
// freedesktop.org). A file on another disk goes to that disk's bin.
func Bin(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	for _, b := range binsOf(path) {
		if err = moveToBin(path, b.dir, b.origin); !errors.Is(err, syscall.EXDEV) {
			return err
		}
	}
	return err
}

// CanUnbin says that Unbin works on this system.
const CanUnbin = true

// Unbin takes the file that was moved to the bin from path last back to its place. It replaces nothing.
func Unbin(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("bin: %s: %w", path, fs.ErrExist)
	}
	for _, b := range binsOf(path) {
		note, ok := newestNote(b.dir, b.origin)
		if !ok {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(note), noteExtension)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		if err := os.Rename(filepath.Join(b.dir, "files", name), path); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		_ = os.Remove(note) // a note without its file is no more than that
		return nil
	}
	return fmt.Errorf("bin: %s is not in the bin any more: %w", path, fs.ErrNotExist)
}

// noteExtension ends the name of the note that says where a file in the bin came from.
const noteExtension = ".trashinfo"

// bin is a folder for what is thrown away, and what a note there calls a file.
type bin struct{ dir, origin string }

// binsOf returns the bins that a file may go to: the user's, and that of the file's disk.
func binsOf(path string) []bin {
	bins := []bin{{filepath.Join(xdg.DataHome, "Trash"), path}}
	top := topOf(path)
	if relative, err := filepath.Rel(top, path); err == nil {
		bins = append(bins, bin{filepath.Join(top, ".Trash-"+strconv.Itoa(os.Getuid())), relative})
	}
	return bins
}

// originLine is the line of a note that names where the file was.
func originLine(origin string) string { return "Path=" + (&url.URL{Path: origin}).EscapedPath() + "\n" }

// maxNoteBytes bounds a note, which names a path and a time. Any program may put one there.
const maxNoteBytes = 64 << 10

// newestNote finds the note of the file that came from origin last.
func newestNote(dir, origin string) (newest string, ok bool) {
	notes, _ := filepath.Glob(filepath.Join(dir, "info", "*"+noteExtension)) // the pattern is sound
	var at time.Time
	for _, note := range notes {
		text, err := atomicfile.Read(note, maxNoteBytes)
		if err != nil || !strings.Contains(string(text), "\n"+originLine(origin)) {
			continue
		}
		if info, err := os.Stat(note); err == nil && (!ok || info.ModTime().After(at)) {
			newest, at, ok = note, info.ModTime(), true
		}
	}
	return newest, ok
}

// moveToBin writes the note that names where the file came from, then moves it: the note claims the name.
func moveToBin(path, bin, origin string) error {
	for _, dir := range []string{"info", "files"} {
		if err := os.MkdirAll(filepath.Join(bin, dir), 0o700); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
	}
	note := fmt.Sprintf("[Trash Info]\n%sDeletionDate=%s\n", originLine(origin), time.Now().Format("2006-01-02T15:04:05"))
	extension := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), extension)
	for n := 1; ; n++ {
		name := stem + extension
		if n > 1 {
			name = fmt.Sprintf("%s.%d%s", stem, n, extension)
		}
		info := filepath.Join(bin, "info", name+noteExtension)
		file, err := os.OpenFile(info, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		_, err = file.WriteString(note)
		err = errors.Join(err, file.Close())
		if err == nil {
			err = os.Rename(path, filepath.Join(bin, "files", name))
		}
		if err != nil {
			os.Remove(info)
			return fmt.Errorf("bin: %w", err)
		}
		return nil
	}
}

// topOf returns the folder that the file's disk is mounted on.
func topOf(path string) string {
	device := func(p string) (uint64, bool) {
		info, err := os.Stat(p)
		if err != nil {
			return 0, false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(stat.Dev), true
	}
	dir := filepath.Dir(path)
	own, ok := device(dir)
	for ok && dir != filepath.Dir(dir) {
		above, found := device(filepath.Dir(dir))
		if !found || above != own {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}
