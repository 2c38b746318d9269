//go:build gtk && cgo && linux

package dialog

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/sqweek/dialog"
)

// If no portal answered, sqweek/dialog shows a dialog of GTK 3. It has no owner and no title of the caller's, chooses
// one file only, and asks for a folder without a start folder.

func (b *FileBuilder) loadFallback(error) ([]string, error) { return inGTK(b.gtk().Load) }

func (b *FileBuilder) saveFallback(error) ([]string, error) {
	return inGTK(b.gtk().SetStartFile(b.file).Save)
}

func (b *DirectoryBuilder) browseFallback(error) ([]string, error) {
	return inGTK(dialog.Directory().Browse)
}

// gtk returns the dialog of sqweek/dialog with the same options.
func (b *FileBuilder) gtk() *dialog.FileBuilder {
	d := dialog.File().SetStartDir(b.dir)
	for _, f := range b.filters {
		extensions := make([]string, len(f.extensions))
		for i, extension := range f.extensions {
			extensions[i] = anyCase(extension)
		}
		d.Filter(f.name, extensions...)
	}
	return d
}

// gtkTurn is held while a dialog of GTK is open: two at once never return, or end the program.
var gtkTurn sync.Mutex

// inGTK shows a dialog through ask and returns the chosen path. A second call waits until the first dialog is closed.
func inGTK(ask func() (string, error)) (paths []string, err error) {
	gtkTurn.Lock()
	defer gtkTurn.Unlock()
	runtime.LockOSThread() // GTK's main loop belongs to the thread that runs it.
	defer runtime.UnlockOSThread()
	defer func() {
		// sqweek/dialog panics if GTK found no screen when the program started.
		if p := recover(); p != nil {
			paths, err = nil, fmt.Errorf("%w: %v", ErrUnavailable, p)
		}
	}()
	path, err := ask()
	switch {
	case errors.Is(err, dialog.ErrCancelled):
		return nil, ErrCancelled
	case err == nil && path == "":
		err = errors.New("dialog: the chosen place is on the network, want one on this machine")
	}
	if err != nil {
		return nil, err
	}
	return []string{path}, nil
}
