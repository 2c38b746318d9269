// Package dialog shows the system's own file dialogs, built up in the manner of sqweek/dialog:
//
//	path, err := dialog.File().Title("Open").Filter("Pictures", "png", "jpg").Load()
//
// On Linux they come from xdg-desktop-portal, on Windows from comdlg32 and shell32. Each call waits for the user: it is
// not for the goroutine that draws. Where the system has no dialog, ErrUnavailable says so and the caller shows its own.
package dialog

import "errors"

// ErrCancelled is returned when the user closed the dialog without a choice.
var ErrCancelled = errors.New("dialog: cancelled")

// ErrUnavailable is wrapped by the error of a call that found no dialog to show.
var ErrUnavailable = errors.New("dialog: the system offers none")

// filter is one kind of file: its name and its extensions, without dots.
type filter struct {
	name       string
	extensions []string
}

// FileBuilder is a dialog for files in the making.
type FileBuilder struct {
	title, dir, file string
	filters          []filter
	owner            uintptr
}

// File begins a dialog that chooses files.
func File() *FileBuilder { return &FileBuilder{} }

// Title names the dialog.
func (b *FileBuilder) Title(title string) *FileBuilder { b.title = title; return b }

// Filter adds a kind of file. The first one is chosen at the start.
func (b *FileBuilder) Filter(name string, extensions ...string) *FileBuilder {
	b.filters = append(b.filters, filter{name, extensions})
	return b
}

// SetStartDir is the folder that the dialog begins in.
func (b *FileBuilder) SetStartDir(dir string) *FileBuilder { b.dir = dir; return b }

// SetStartFile is the name that a save dialog proposes.
func (b *FileBuilder) SetStartFile(name string) *FileBuilder { b.file = name; return b }

// Owner is the system's handle of the window that the dialog belongs to: an X11 window or an HWND; 0 for none.
func (b *FileBuilder) Owner(handle uintptr) *FileBuilder { b.owner = handle; return b }

// Load asks for one file to open.
func (b *FileBuilder) Load() (string, error) { return first(b.load(false)) }

// LoadMany asks for files to open.
func (b *FileBuilder) LoadMany() ([]string, error) {
	paths, err := b.load(true)
	if err == nil && len(paths) == 0 {
		err = ErrCancelled
	}
	return paths, err
}

// Save asks where to save; the system has asked about replacing what is there.
func (b *FileBuilder) Save() (string, error) { return first(b.save()) }

// DirectoryBuilder is a dialog for a folder in the making.
type DirectoryBuilder struct {
	title, dir string
	owner      uintptr
}

// Directory begins a dialog that chooses a folder.
func Directory() *DirectoryBuilder { return &DirectoryBuilder{} }

// Title names the dialog.
func (b *DirectoryBuilder) Title(title string) *DirectoryBuilder { b.title = title; return b }

// SetStartDir is the folder that the dialog begins in.
func (b *DirectoryBuilder) SetStartDir(dir string) *DirectoryBuilder { b.dir = dir; return b }

// Owner is as FileBuilder's.
func (b *DirectoryBuilder) Owner(handle uintptr) *DirectoryBuilder { b.owner = handle; return b }

// Browse asks for a folder.
func (b *DirectoryBuilder) Browse() (string, error) { return first(b.browse()) }

func first(paths []string, err error) (string, error) {
	switch {
	case err != nil:
		return "", err
	case len(paths) == 0:
		return "", ErrCancelled
	}
	return paths[0], nil
}
