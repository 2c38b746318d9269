package app

import (
	"errors"
	"fmt"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// folderNaming is the field in which the gallery asks for the name of a folder, in the place of the choice of folders.
type folderNaming struct {
	panel  *galleryPanel
	field  *ui.Field
	folder history.Folder // that gets a name; a new one has no ID
	file   []uint64       // what is filed in a new folder
}

func newFolderNaming(c common, p *galleryPanel) *folderNaming {
	n := &folderNaming{panel: p, field: ui.NewField(c.keys)}
	n.field.SetPlaceHolder("Name of the folder")
	n.field.OnSubmitted = func(string) { n.submit() }
	n.field.OnLeft = n.stop
	n.field.Hide()
	return n
}

// start asks for the name of a folder. Pictures are filed in it if it is new.
func (n *folderNaming) start(f history.Folder, file []uint64) {
	n.folder, n.file = f, file
	n.field.SetText(f.Name)
	n.panel.folders.Hide()
	n.field.Show()
	n.panel.content.Refresh()
	n.panel.host.focus(n.field)
	n.field.TypedShortcut(&fyne.ShortcutSelectAll{})
}

// active says whether a name is asked for.
func (n *folderNaming) active() bool { return n.field.Visible() }

// stop asks no longer.
func (n *folderNaming) stop() {
	if !n.active() {
		return
	}
	n.field.Hide()
	n.panel.folders.Show()
	n.panel.content.Refresh()
}

// submit stores the folder and shows it. If its name cannot be used, it asks again.
func (n *folderNaming) submit() {
	p, file := n.panel, n.file
	asked := n.folder
	asked.Name = n.field.Text
	n.stop()
	p.host.focus(p.grid)
	p.Album.PutFolder(asked, func(f history.Folder, err error) {
		switch {
		case errors.Is(err, history.ErrFolderName), errors.Is(err, history.ErrFolderTaken):
			p.notice.Say(explain(err), ui.Action{Text: "Choose another name…", Do: func() { n.start(asked, file) }})
		case err != nil:
			p.notice.fail(err)
		case len(file) > 0:
			p.Album.File(file, f.ID, true, p.notice.fail)
			p.notice.Say(fmt.Sprintf("%s filed in “%s”.", pictureCount(len(file)), f.Name),
				ui.Action{Text: "Show folder", Do: func() { p.choose(f.ID) }})
		default:
			p.choose(f.ID)
		}
	})
}

// choose shows the pictures of a folder alone, those of all with 0.
func (p *galleryPanel) choose(folder uint64) {
	p.folder = folder
	p.fill()
	p.content.Refresh()
}

func (p *galleryPanel) showFolders() { p.dropMenu(p.folders, p.foldersMenu()) }

// foldersMenu returns the menu of the folders: to choose one, and to add, rename and remove them.
func (p *galleryPanel) foldersMenu() *fyne.Menu {
	all := fyne.NewMenuItem("All pictures", func() { p.choose(0) })
	all.Checked = p.folder == 0
	items := []*fyne.MenuItem{all}
	for _, f := range p.Album.Folders() {
		item := fyne.NewMenuItem(f.Name, func() { p.choose(f.ID) })
		item.Checked = p.folder == f.ID
		items = append(items, item)
	}
	items = append(items, fyne.NewMenuItemSeparator(),
		fyne.NewMenuItem("New folder…", func() { p.naming.start(history.Folder{}, nil) }))
	if f, ok := p.Album.Folder(p.folder); ok {
		items = append(items,
			fyne.NewMenuItem("Rename “"+shorten(f.Name, 30)+"”…", func() { p.naming.start(f, nil) }),
			fyne.NewMenuItem("Remove “"+shorten(f.Name, 30)+"”", func() { p.removeFolder(f) }))
	}
	return fyne.NewMenu("", items...)
}

// removeFolder removes a folder; its pictures stay where they are. Undo brings it back with them.
func (p *galleryPanel) removeFolder(f history.Folder) {
	failed := func(err error) {
		if err != nil {
			p.notice.fail(err)
		}
	}
	p.Album.RemoveFolder(f.ID, func(err error) {
		if err != nil {
			failed(err)
			return
		}
		p.Desk.Do(studio.Step{
			Undo: func() { p.Album.PutFolder(f, func(_ history.Folder, err error) { failed(err) }) },
			Redo: func() { p.Album.RemoveFolder(f.ID, failed) },
		}, func() {})
		p.notice.Say(fmt.Sprintf("The folder “%s” was removed; its pictures stay in the history.", f.Name),
			p.undoAction())
	})
}
