package app

import (
	"errors"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	fynedialog "fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/driver"
	"fyne.io/fyne/v2/storage"

	"github.com/kleinbild/kleinbild/app/dialog"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// pick runs ask, which shows a dialog of the system and waits for its answer, away from Fyne's goroutine. If the system
// has no dialog, fallback shows one of Fyne's. One dialog is open at a time: while one is, pick does nothing.
func (s *session) pick(ask func(owner uintptr) ([]string, error), fallback func(), chosen func([]string)) {
	if s.picking {
		return
	}
	s.picking = true
	owner := nativeHandle(s.win)
	s.Loop.Background(func() func() {
		paths, err := ask(owner)
		return func() {
			s.picking = false
			switch {
			case err == nil:
				chosen(paths)
			case errors.Is(err, dialog.ErrUnavailable):
				fallback()
			case !errors.Is(err, dialog.ErrCancelled):
				s.notice.fail(err)
			}
		}
	})
}

// nativeHandle returns the system's number of the window, so that a dialog lies in front of it; 0 if there is none.
func nativeHandle(w fyne.Window) (handle uintptr) {
	native, ok := w.(driver.NativeWindow)
	if !ok {
		return 0
	}
	native.RunNative(func(context any) {
		switch c := context.(type) {
		case driver.X11WindowContext:
			handle = c.WindowHandle
		case driver.WindowsWindowContext:
			handle = c.HWND
		}
	})
	return handle
}

// fallbackSize is the size of Fyne's own dialogs.
func (s *session) fallbackSize() fyne.Size {
	size := s.win.Canvas().Size()
	return fyne.NewSize(min(size.Width-80, 860), min(size.Height-80, 600))
}

func (s *session) pickPictures(chosen func([]string)) {
	s.pick(func(owner uintptr) ([]string, error) {
		return dialog.File().Title("Choose pictures").Filter("Pictures", picture.Extensions()...).Owner(owner).LoadMany()
	}, func() { s.openPictures(func(path string) { chosen([]string{path}) }) }, chosen)
}

// openPictures asks for one picture in Fyne's own dialog.
func (s *session) openPictures(chosen func(path string)) { s.openFile(picture.Extensions(), chosen) }

// openFile asks for one file in Fyne's own dialog.
func (s *session) openFile(kinds []string, chosen func(path string)) {
	d := fynedialog.NewFileOpen(func(f fyne.URIReadCloser, err error) {
		if err != nil {
			s.notice.fail(err)
		} else if f != nil {
			f.Close()
			chosen(f.URI().Path())
		}
	}, s.win)
	var extensions []string
	for _, e := range kinds {
		extensions = append(extensions, "."+e)
	}
	d.SetFilter(storage.NewExtensionFileFilter(extensions))
	d.Resize(s.fallbackSize())
	d.Show()
}

// pickMask asks for the file of a mask.
func (s *session) pickMask(chosen func(path string)) {
	s.pick(func(owner uintptr) ([]string, error) {
		path, err := dialog.File().Title("Choose a mask: white where the picture changes").
			Filter("Pictures", picture.Extensions()...).Owner(owner).Load()
		return []string{path}, err
	}, func() { s.openPictures(chosen) }, func(paths []string) { chosen(paths[0]) })
}

// modelExtensions are the files that a model comes in.
var modelExtensions = []string{"safetensors", "gguf", "sft"}

// pickModelFile asks for the file of a model.
func (s *session) pickModelFile(chosen func(path string)) {
	s.pick(func(owner uintptr) ([]string, error) {
		path, err := dialog.File().Title("Choose a model's file").Filter("Models", modelExtensions...).Owner(owner).Load()
		return []string{path}, err
	}, func() { s.openFile(modelExtensions, chosen) }, func(paths []string) { chosen(paths[0]) })
}

func (s *session) pickFolder(title, start string, chosen func(string)) {
	s.pick(func(owner uintptr) ([]string, error) {
		path, err := dialog.Directory().Title(title).SetStartDir(start).Owner(owner).Browse()
		return []string{path}, err
	}, func() {
		d := fynedialog.NewFolderOpen(func(dir fyne.ListableURI, err error) {
			if err != nil {
				s.notice.fail(err)
			} else if dir != nil {
				chosen(dir.Path())
			}
		}, s.win)
		if dir, err := storage.ListerForURI(storage.NewFileURI(start)); err == nil {
			d.SetLocation(dir)
		}
		d.Resize(s.fallbackSize())
		d.Show()
	}, func(paths []string) { chosen(paths[0]) })
}

// pickSave asks for a file's name. asked says that the system has asked about replacing a file of exactly that name;
// nothing was opened or written yet.
func (s *session) pickSave(dir, name string, chosen func(path string, asked bool)) {
	// The dialog opens with the first filter: that of the name.
	first, _ := formatOf(name)
	others := slices.DeleteFunc(slices.Clone(copyFormats), func(f copyFormat) bool { return f.name == first.name })
	formats := append([]copyFormat{first}, others...)
	s.pick(func(owner uintptr) ([]string, error) {
		d := dialog.File().Title("Save a copy").SetStartDir(dir).SetStartFile(name).Owner(owner)
		for _, f := range formats {
			var extensions []string
			for _, e := range f.extensions {
				extensions = append(extensions, strings.TrimPrefix(e, "."))
			}
			d.Filter(f.name, extensions...)
		}
		path, err := d.Save()
		return []string{path}, err
	}, func() {
		s.showSaveDialog(dir, name, func(path string) { chosen(path, false) })
	}, func(paths []string) { chosen(paths[0], true) })
}
