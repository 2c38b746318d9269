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

	"github.com/kleinbild/kleinbild/atomicfile"
)

// Bin moves the file at path to the user's bin, from which the desktop can restore it: it follows the Trash
// specification of freedesktop.org. A file on another disk than the user's bin goes to a bin on its own disk.
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

// CanUnbin tells whether Unbin works on this system.
const CanUnbin = true

// Unbin moves a file from the bin back to path. If several files were moved from path to the bin, it takes the last
// one. The error is fs.ErrExist if there is a file at path, and fs.ErrNotExist if the bin holds none that came from
// there.
func Unbin(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("bin: %s: %w", path, fs.ErrExist)
	}
	for _, b := range binsOf(path) {
		info, ok := newestInfo(b.dir, b.origin)
		if !ok {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(info), infoExtension)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		if err := os.Rename(filepath.Join(b.dir, "files", name), path); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		_ = os.Remove(info) // If this fails, an info file without a file stays; desktops ignore it.
		return nil
	}
	return fmt.Errorf("bin: %s is no longer in the bin: %w", path, fs.ErrNotExist)
}

// infoExtension is the extension of info files. Each file in a bin has one, which says where it came from.
const infoExtension = ".trashinfo"

// bin is a folder of deleted files, and the origin that its info files give for one file: the absolute path in the
// user's bin, the path below the mount point in a disk's own bin.
type bin struct{ dir, origin string }

// binsOf returns the bins that a file may go to: the user's bin and the one of the file's disk.
func binsOf(path string) []bin {
	bins := []bin{{filepath.Join(xdg.DataHome, "Trash"), path}}
	top := topOf(path)
	if relative, err := filepath.Rel(top, path); err == nil {
		bins = append(bins, bin{filepath.Join(top, ".Trash-"+strconv.Itoa(os.Getuid())), relative})
	}
	return bins
}

// originLine returns the line of an info file that says where the file was.
func originLine(origin string) string { return "Path=" + (&url.URL{Path: origin}).EscapedPath() + "\n" }

// maxInfoBytes bounds the info files that are read. They hold a path and a time, but any program may write one.
const maxInfoBytes = 64 << 10

// newestInfo returns the path of the newest info file in the bin dir whose file came from origin.
func newestInfo(dir, origin string) (newest string, ok bool) {
	infos, _ := filepath.Glob(filepath.Join(dir, "info", "*"+infoExtension)) // The only error is a malformed pattern.
	var at time.Time
	for _, path := range infos {
		text, err := atomicfile.Read(path, maxInfoBytes)
		if err != nil || !strings.Contains(string(text), "\n"+originLine(origin)) {
			continue
		}
		if info, err := os.Stat(path); err == nil && (!ok || info.ModTime().After(at)) {
			newest, at, ok = path, info.ModTime(), true
		}
	}
	return newest, ok
}

// moveToBin writes the info file first, which reserves the name in the bin, and then moves the file. If the name is
// taken, a number is put before the extension.
func moveToBin(path, bin, origin string) error {
	for _, dir := range []string{"info", "files"} {
		if err := os.MkdirAll(filepath.Join(bin, dir), 0o700); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
	}
	deleted := time.Now().Format("2006-01-02T15:04:05")
	text := fmt.Sprintf("[Trash Info]\n%sDeletionDate=%s\n", originLine(origin), deleted)
	extension := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), extension)
	for n := 1; ; n++ {
		name := stem + extension
		if n > 1 {
			name = fmt.Sprintf("%s.%d%s", stem, n, extension)
		}
		info := filepath.Join(bin, "info", name+infoExtension)
		file, err := os.OpenFile(info, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bin: %w", err)
		}
		_, err = file.WriteString(text)
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

// topOf returns the mount point of the file's disk: the highest folder above the file that is on the same device.
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
