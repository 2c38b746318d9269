package app

import (
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	fynedialog "fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/ui"
)

// saveDialog asks for a folder and a name if the system has no dialog for that. Fyne's own cannot be used: it opens
// the chosen file, which empties it, before its name has been checked.
type saveDialog struct {
	s      *session
	modal  *ui.Modal
	dir    string
	folder *widget.Label
	name   *ui.Field
	chosen func(path string)
}

func (s *session) showSaveDialog(dir, name string, chosen func(path string)) *saveDialog {
	d := &saveDialog{s: s, dir: dir, chosen: chosen, folder: widget.NewLabel(dir), name: ui.NewField(s.keys)}
	d.folder.Truncation = fyne.TextTruncateEllipsis
	d.name.SetText(name)
	d.name.OnSubmitted = func(string) {
		d.modal.Close()
		d.save()
	}
	title := ui.NewLabel("Save a copy", ui.ColorText, "headingText")
	change := ui.NewButton("Change folder…", d.changeFolder)
	hint := ui.NewCaption("The name's ending chooses the format: .png, .jpg, .webp or .tif.")
	body := ui.Arranged(ui.Fixed(0, 150), func(size fyne.Size) {
		ui.At(title, 0, 0, size.Width, 28)
		w := change.MinSize().Width
		ui.At(d.folder, -8, 34, size.Width-w, ui.FieldHeight)
		ui.At(change, size.Width-w, 38, w, 28)
		ui.At(d.name, 0, 76, size.Width, ui.FieldHeight)
		ui.At(hint, 0, 116, size.Width, 20)
	}, title, d.folder, change, d.name, hint)
	d.modal = s.showModal(body, ui.Action{Text: "Cancel"}, ui.Action{Text: "Save", Do: d.save})
	s.win.Canvas().Focus(d.name)
	d.name.Entry.TypedShortcut(&fyne.ShortcutSelectAll{}) // what is typed takes the place of the proposal
	return d
}

func (d *saveDialog) save() {
	name := strings.TrimSpace(d.name.Text)
	if name == "" {
		d.s.showSaveDialog(d.dir, "", d.chosen)
		return
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	d.chosen(name)
}

func (d *saveDialog) changeFolder() {
	f := fynedialog.NewFolderOpen(func(dir fyne.ListableURI, err error) {
		if err != nil {
			d.s.notice.fail(err)
		} else if dir != nil {
			d.dir = dir.Path()
			d.folder.SetText(d.dir)
		}
	}, d.s.win)
	if dir, err := storage.ListerForURI(storage.NewFileURI(filepath.Clean(d.dir))); err == nil {
		f.SetLocation(dir)
	}
	f.Resize(d.s.fallbackSize())
	f.Show()
}
