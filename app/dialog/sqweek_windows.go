package dialog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sqweek/dialog"
	"golang.org/x/sys/windows"
)

// bufferTooSmall is FNERR_BUFFERTOOSMALL of the Windows headers: the chosen path is longer than sqweek/dialog's buffer.
const bufferTooSmall dialog.WinDlgError = 0x3003

// sqweek returns the dialog of sqweek/dialog with the same options. The dialog opens in the folder start.
func (b *FileBuilder) sqweek(start string) *dialog.FileBuilder {
	d := dialog.File().Title(b.title).SetStartDir(start).SetStartFile(b.file)
	for _, f := range b.filters {
		d.Filter(f.name, f.extensions...)
	}
	return d.Filter("All files", "*")
}

func (b *FileBuilder) load(many bool) ([]string, error) {
	flags := uint32(ofnFileMustExist | ofnHideReadOnly)
	if many {
		return b.show(getOpenFileNameW, flags|ofnAllowMultiSelect)
	}
	own := func() ([]string, error) { return b.show(getOpenFileNameW, flags) }
	return b.choose(getOpenFileNameW, (*dialog.FileBuilder).Load, own)
}

func (b *FileBuilder) save() ([]string, error) {
	own := func() ([]string, error) { return b.show(getSaveFileNameW, ofnOverwritePrompt) }
	return b.choose(getSaveFileNameW, (*dialog.FileBuilder).Save, own)
}

// choose asks for one file with sqweek/dialog's function ask, which calls proc. sqweek/dialog has room for 259
// characters. If the proposed path is longer, choose asks with own instead; if the chosen path is longer, it asks again
// with own. A name without an extension stays without one, because sqweek/dialog does not say which filter was chosen.
func (b *FileBuilder) choose(
	proc *windows.LazyProc, ask func(*dialog.FileBuilder) (string, error), own func() ([]string, error),
) ([]string, error) {
	// sqweek/dialog panics if the function is missing.
	if err := proc.Find(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	start := existing(b.dir)
	if !fits(filepath.Join(start, b.file)) {
		return own()
	}
	path, err := attach(b.owner, "", func() (string, error) { return ask(b.sqweek(start)) })
	var failed dialog.WinDlgError
	switch {
	case err == nil:
		return []string{path}, nil
	case errors.Is(err, dialog.ErrCancelled):
		return nil, ErrCancelled
	case errors.Is(err, bufferTooSmall):
		return own()
	case errors.As(err, &failed):
		return nil, fmt.Errorf("dialog: the system's file dialog failed (code %#x): try again", int(failed))
	}
	return nil, err
}

func (b *DirectoryBuilder) browse() ([]string, error) {
	if err := errors.Join(shBrowseForFolderW.Find(), shGetPathFromIDList.Find()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// The dialog needs COM, on the thread that opens it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := windows.CoInitializeEx(0, windows.COINIT_APARTMENTTHREADED); err == nil {
		defer windows.CoUninitialize()
	}
	start := existing(b.dir)
	ask := b.show
	if fits(start) {
		// attach selects the start folder. sqweek/dialog would pass Windows the address of a text that nothing keeps
		// alive: after a garbage collection, Windows reads other bytes there and shows another folder.
		ask = dialog.Directory().Title(b.title).Browse
	}
	path, err := attach(b.owner, start, ask)
	if err == nil && path == "" { // The path is too long for sqweek/dialog, or the place has no path.
		path, err = attach(b.owner, start, b.show)
	}
	switch {
	case errors.Is(err, dialog.ErrCancelled):
		return nil, ErrCancelled
	case err != nil:
		return nil, err
	}
	return []string{path}, nil
}

// fits reports whether sqweek/dialog has room for path, which needs a zero at its end.
func fits(path string) bool {
	text, err := windows.UTF16FromString(path)
	return err == nil && len(text) <= windows.MAX_PATH
}

// existing returns dir if it exists, else the nearest folder above it that exists, else "". If a dialog is given a
// folder that does not exist, it shows an arbitrary one.
func existing(dir string) string {
	for dir != "" {
		dir = filepath.Clean(dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
	return ""
}
