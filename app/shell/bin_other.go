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
	err = moveToBin(path, filepath.Join(xdg.DataHome, "Trash"), path)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	top := topOf(path)
	relative, err := filepath.Rel(top, path)
	if err != nil {
		return fmt.Errorf("bin: %w", err)
	}
	return moveToBin(path, filepath.Join(top, ".Trash-"+strconv.Itoa(os.Getuid())), relative)
}

// moveToBin writes the note that names where the file came from, then moves it: the note claims the name.
func moveToBin(path, bin, origin string) error {
	for _, dir := range []string{"info", "files"} {
		if err := os.MkdirAll(filepath.Join(bin, dir), 0o700); err != nil {
			return fmt.Errorf("bin: %w", err)
		}
	}
	note := fmt.Sprintf("[Trash Info]\nPath=%s\nDeletionDate=%s\n", (&url.URL{Path: origin}).EscapedPath(), time.Now().Format("2006-01-02T15:04:05"))
	extension := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), extension)
	for n := 1; ; n++ {
		name := stem + extension
		if n > 1 {
			name = fmt.Sprintf("%s.%d%s", stem, n, extension)
		}
		info := filepath.Join(bin, "info", name+".trashinfo")
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
