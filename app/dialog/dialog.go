// Package dialog shows the system's own file dialogs. Its builders have the shape of those in sqweek/dialog:
//
//	path, err := dialog.File().Title("Open").Filter("Pictures", "png", "jpg").Load()
//
// On Linux the dialogs come from xdg-desktop-portal or, if the build has the tag gtk and no portal answers, from
// sqweek/dialog. On Windows they come from sqweek/dialog; LoadMany and paths over 260 characters, which it lacks, are
// served by comdlg32 and shell32 directly.
//
// Each call blocks until the user has answered, so it must not run on the goroutine that draws. If the system has no
// dialogs, a call returns ErrUnavailable and the caller shows a dialog of its own.
package dialog

import "errors"

// ErrCancelled is returned if the user closed the dialog without choosing anything.
var ErrCancelled = errors.New("dialog: cancelled")

// ErrUnavailable is wrapped by the error of a call that found no dialog to show.
var ErrUnavailable = errors.New("dialog: the system offers none")

// filter is one kind of file: its name and its extensions, without dots.
type filter struct {
	name       string
	extensions []string
}

// FileBuilder collects the options of a file dialog. Load, LoadMany or Save shows it.
type FileBuilder struct {
	title, dir, file string
	filters          []filter
	owner            uintptr
}

// File returns the builder of a dialog in which the user chooses files.
func File() *FileBuilder { return &FileBuilder{} }

// Title sets the dialog's title.
func (b *FileBuilder) Title(title string) *FileBuilder { b.title = title; return b }

// Filter adds a kind of file: a name and at least one extension, without a dot. The dialog opens with the first filter.
func (b *FileBuilder) Filter(name string, extensions ...string) *FileBuilder {
	b.filters = append(b.filters, filter{name, extensions})
	return b
}

// SetStartDir sets the folder that the dialog shows first.
func (b *FileBuilder) SetStartDir(dir string) *FileBuilder { b.dir = dir; return b }

// SetStartFile sets the file name that a save dialog proposes.
func (b *FileBuilder) SetStartFile(name string) *FileBuilder { b.file = name; return b }

// Owner sets the window that the dialog stays in front of, by the system's handle: an X11 window or an HWND, 0 for
// none.
func (b *FileBuilder) Owner(handle uintptr) *FileBuilder { b.owner = handle; return b }

// Load asks for one file to open and returns its path.
func (b *FileBuilder) Load() (string, error) { return first(b.load(false)) }

// LoadMany asks for one or more files to open and returns their paths.
func (b *FileBuilder) LoadMany() ([]string, error) {
	paths, err := b.load(true)
	if err == nil && len(paths) == 0 {
		err = ErrCancelled
	}
	return paths, err
}

// Save asks where to save a file and returns the path. If a file of that name exists, the dialog has already asked
// whether to replace it.
func (b *FileBuilder) Save() (string, error) { return first(b.save()) }

// DirectoryBuilder collects the options of a folder dialog. Browse shows it.
type DirectoryBuilder struct {
	title, dir string
	owner      uintptr
}

// Directory returns the builder of a dialog in which the user chooses a folder.
func Directory() *DirectoryBuilder { return &DirectoryBuilder{} }

// Title sets the dialog's title.
func (b *DirectoryBuilder) Title(title string) *DirectoryBuilder { b.title = title; return b }

// SetStartDir sets the folder that the dialog shows first.
func (b *DirectoryBuilder) SetStartDir(dir string) *DirectoryBuilder { b.dir = dir; return b }

// Owner sets the window that the dialog stays in front of, as FileBuilder.Owner does.
func (b *DirectoryBuilder) Owner(handle uintptr) *DirectoryBuilder { b.owner = handle; return b }

// Browse asks for a folder and returns its path.
func (b *DirectoryBuilder) Browse() (string, error) { return first(b.browse()) }

// first returns the first of the chosen paths, or ErrCancelled if none was chosen.
func first(paths []string, err error) (string, error) {
	switch {
	case err != nil:
		return "", err
	case len(paths) == 0:
		return "", ErrCancelled
	}
	return paths[0], nil
}
