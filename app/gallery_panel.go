package app

import (
	"fmt"
	"image"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
)

// galleryPanel is the history as a page of thumbnails by day, in the canvas's place. It has the search of the history's
// row, and shows starred pictures or those of a folder alone if the user wants that.
type galleryPanel struct {
	common
	host    galleryHost
	open    bool
	starred bool            // shows only pictures with a star
	folder  uint64          // shows only its pictures; 0 for all
	shown   []history.Entry // those in the grid, newest first

	search  *ui.Field
	stars   *ui.Button
	folders *ui.Button
	naming  *folderNaming
	count   *ui.Label
	back    *ui.Button
	grid    *ui.ThumbGrid
	empty   *ui.Label
	chosen  *ui.Label
	actions []*ui.Button // what can be done with the chosen pictures
	export  *ui.Button
	compare *ui.Button
	ground  *ui.Box
	bars    [2]*ui.Box // above and below the pictures
	lines   [2]*ui.Box
	content *fyne.Container
}

// galleryHost is what the panel asks of the window.
type galleryHost interface {
	openEntry(e history.Entry) // leaves the gallery and shows an entry's picture on the canvas
	leaveGallery()
	pictureMenu(p studio.Picture, onCanvas bool) *fyne.Menu
	picturesMenu(list []history.Entry) *fyne.Menu
	filingMenu(list []history.Entry) *fyne.Menu
	export(list []history.Entry)
	useAsReferences(list []history.Entry)
	compareTwo(a, b uint64) // shows two entries' pictures side by side
	star(list []history.Entry)
	bin(ids ...uint64)
	dragPicture(img *image.RGBA, pos fyne.Position) // shows a picture that is dragged inside the window
	dropPictures(paths ...string)                   // uses pictures as references, if dropped where that is meant
	focus(o fyne.Focusable)
}

func newGalleryPanel(c common, thumbnails *history.Thumbnails, host galleryHost) *galleryPanel {
	p := &galleryPanel{
		common: c, host: host, ground: ui.NewBox(ui.ColorCanvas, 0), count: ui.NewCaption(""),
		empty: ui.NewLabel("", ui.ColorDim, ui.SizeText), chosen: ui.NewCaption(""), grid: ui.NewThumbGrid(),
	}
	p.empty.Align = fyne.TextAlignCenter
	p.search = ui.NewField(c.keys)
	p.search.SetPlaceHolder("Search")
	p.search.Icon = theme.SearchIcon()
	p.search.OnChanged = p.Album.Search
	p.stars = ui.NewIconButton(ui.StarIcon, func() { p.starred = !p.starred; p.fill() })
	p.folders = ui.NewButton("All pictures", p.showFolders)
	p.folders.Drops = true
	p.naming = newFolderNaming(c, p)
	p.back = ui.NewButton("Back", host.leaveGallery)
	p.back.Key = "G"
	p.grid.Load, p.grid.Background = thumbnails.Get, c.Loop.Background
	p.grid.OnOpen = p.openID
	p.grid.OnChosen = p.refreshActions
	p.grid.OnBin = func() { host.bin(p.grid.Chosen()...) }
	p.grid.OnStar = func() { host.star(p.chosenEntries()) }
	p.grid.Menu = p.menu
	p.grid.OnDrag = host.dragPicture
	p.grid.OnDrop = func() { host.dropPictures(pathsOf(p.chosenEntries())...) }
	p.compare = ui.NewButton("Compare", func() {
		if ids := p.grid.Chosen(); len(ids) == 2 {
			host.compareTwo(ids[0], ids[1])
		}
	})
	p.export = ui.NewButton("Export…", func() { host.export(p.chosenEntries()) })
	star := ui.NewButton("Star", p.grid.OnStar)
	star.Key = "F"
	var folder *ui.Button
	folder = ui.NewButton("Folder", func() { p.dropMenu(folder, host.filingMenu(p.chosenEntries())) })
	folder.Drops = true
	p.actions = []*ui.Button{
		p.export, ui.NewButton("Use as references", func() { host.useAsReferences(p.chosenEntries()) }),
		p.compare, star, folder, ui.NewButton("Move to bin", p.grid.OnBin),
	}
	objects := []fyne.CanvasObject{p.ground, p.grid.Scroll, p.empty}
	for i := range p.bars {
		p.bars[i], p.lines[i] = ui.NewBox(ui.ColorPanel, 0), ui.NewBox(ui.ColorLine, 0)
		objects = append(objects, p.bars[i], p.lines[i])
	}
	objects = append(objects, p.search, p.stars, p.folders, p.naming.field, p.count, p.back, p.chosen)
	for _, b := range p.actions {
		objects = append(objects, b)
	}
	p.content = ui.Arranged(ui.NoSize, p.place, objects...)
	p.content.Hide()
	p.Album.Changed.Subscribe(p.fill)
	return p
}

const galleryBar float32 = 44

func (p *galleryPanel) place(size fyne.Size) {
	p.ground.Resize(size)
	low := size.Height - galleryBar
	ui.At(p.bars[0], 0, 0, size.Width, galleryBar)
	ui.At(p.lines[0], 0, galleryBar-1, size.Width, 1)
	ui.At(p.bars[1], 0, low, size.Width, galleryBar)
	ui.At(p.lines[1], 0, low, size.Width, 1)
	ui.At(p.grid.Scroll, 0, galleryBar, size.Width, low-galleryBar)
	ui.At(p.empty, ui.Margin, size.Height/2-10, size.Width-2*ui.Margin, 20)
	p.placeTop(size.Width)
	p.placeActions(size.Width, low)
}

// placeTop lays out the search, the filters, the number of pictures if there is room for it, and the way back.
func (p *galleryPanel) placeTop(width float32) {
	back, x := p.back.MinSize().Width, ui.Margin
	field := ui.Between(104, width*0.24, 220)
	ui.At(p.search, x, 4, field, ui.FieldHeight)
	x += field + ui.Gap
	ui.At(p.stars, x, 8, 28, 28)
	x += 28 + ui.Gap
	right := width - ui.Margin - back
	ui.At(p.back, right, 8, back, 28)
	folders := min(p.folders.MinSize().Width, right-ui.Gap-x, 220)
	ui.At(p.folders, x, 8, folders, 28)
	ui.At(p.naming.field, x, 4, min(right-ui.Gap-x, 220), ui.FieldHeight)
	if p.naming.field.Visible() {
		folders = p.naming.field.Size().Width
	}
	x += folders + ui.Gap + 4
	ui.At(p.count, x, 12, right-ui.Gap-x, 20)
	ui.Show(p.count, right-ui.Gap-x >= p.count.Natural().Width)
}

// placeActions lays out what can be done with the chosen pictures. If there is no room for all, those that the menu and
// the keys replace go first.
func (p *galleryPanel) placeActions(width, top float32) {
	n := p.grid.ChosenCount()
	var offered []*ui.Button
	for _, b := range p.actions {
		if n > 0 && (b != p.compare || n == 2) {
			offered = append(offered, b)
		}
	}
	room := width - 2*ui.Margin
	needed := func() (sum float32) {
		for _, b := range offered {
			sum += b.MinSize().Width + ui.Gap
		}
		return sum
	}
	label := p.chosen.Natural().Width + ui.Gap
	ui.Show(p.chosen, n == 0 || needed()+label <= room)
	for _, least := range []int{1, 3, 4} { // references, star, folder
		if i := slices.Index(offered, p.actions[least]); i >= 0 && needed() > room {
			offered = slices.Delete(offered, i, i+1)
		}
	}
	ui.At(p.chosen, ui.Margin, top+12, room, 20)
	x := width - ui.Margin + ui.Gap - needed()
	for _, b := range p.actions {
		ui.Show(b, slices.Contains(offered, b))
		if b.Visible() {
			w := b.MinSize().Width
			ui.At(b, x, top+8, w, 28)
			x += w + ui.Gap
		}
	}
}

// show opens the gallery at the entry that is on the canvas, 0 for none.
func (p *galleryPanel) show(id uint64) {
	p.open = true
	p.fill()
	p.content.Show()
	if p.grid.ChosenCount() < 2 && id != 0 {
		p.grid.Choose(id)
	}
	p.host.focus(p.grid)
}

// hide closes the gallery. What is chosen stays chosen.
func (p *galleryPanel) hide() {
	p.open = false
	p.naming.stop()
	p.content.Hide()
}

// fill shows the entries that match the search and the filters.
func (p *galleryPanel) fill() {
	if !p.open {
		return // show will
	}
	if text := p.Album.Query(); p.search.Text != text {
		p.search.SetText(text)
	}
	folder, ok := p.Album.Folder(p.folder)
	if !ok {
		p.folder = 0
		folder.Name = "All pictures"
	}
	p.shown = p.Album.Found()
	if p.starred || p.folder != 0 {
		p.shown = nil
		found := p.Album.Found()
		for i := range found {
			if e := &found[i]; (e.Starred || !p.starred) && (p.folder == 0 || e.Filed(p.folder)) {
				p.shown = append(p.shown, *e)
			}
		}
	}
	p.folders.SetText(folder.Name, "")
	p.folders.SetChosen(p.folder != 0)
	p.stars.SetChosen(p.starred)
	all := len(p.Album.Entries())
	text := pictureCount(all)
	if len(p.shown) < all {
		text = fmt.Sprintf("%d of %d", len(p.shown), all)
	}
	p.count.Set(text, ui.ColorDim)
	p.empty.Set(p.whyEmpty(), ui.ColorDim)
	ui.Show(p.empty, len(p.shown) == 0)
	p.grid.Set(itemsOf(p.shown), byDay(p.shown))
	p.refreshActions()
}

// whyEmpty says why there may be no pictures on show.
func (p *galleryPanel) whyEmpty() string {
	switch {
	case len(p.Album.Entries()) == 0:
		return "What you make appears here."
	case p.Album.Query() != "":
		return "No picture on show has a prompt with these words."
	case p.starred:
		return "No picture here has a star. F gives one to what is chosen."
	}
	return "No picture is filed in this folder yet."
}

func itemsOf(list []history.Entry) []ui.ThumbItem {
	items := make([]ui.ThumbItem, len(list))
	for i := range list {
		items[i] = ui.ThumbItem{ID: list[i].ID, Path: list[i].Path, Starred: list[i].Starred}
	}
	return items
}

// byDay returns a heading for the entries of each day.
func byDay(list []history.Entry) (sections []ui.ThumbSection) {
	var year, day int
	for i := range list {
		made := list[i].Made.In(time.Local)
		if y, d := made.Year(), made.YearDay(); i == 0 || y != year || d != day {
			year, day = y, d
			sections = append(sections, ui.ThumbSection{Title: made.Format("Monday, 2 January 2006"), First: i})
		}
	}
	return sections
}

// refreshActions says what is chosen and what can be done with it.
func (p *galleryPanel) refreshActions() {
	switch n := p.grid.ChosenCount(); n {
	case 0:
		p.chosen.Set("Double click opens, Ctrl and Shift choose several.", ui.ColorDim)
	default:
		p.chosen.Set(fmt.Sprintf("%d chosen", n), ui.ColorDim)
	}
	p.placeActions(p.content.Size().Width, p.content.Size().Height-galleryBar)
}

// chosenEntries returns the entries that are chosen, newest first.
func (p *galleryPanel) chosenEntries() (list []history.Entry) {
	list = make([]history.Entry, 0, p.grid.ChosenCount())
	for i := range p.shown {
		if p.grid.IsChosen(p.shown[i].ID) {
			list = append(list, p.shown[i])
		}
	}
	return list
}

// current returns the entry that the keyboard is at, if it is chosen.
func (p *galleryPanel) current() (history.Entry, bool) { return p.Album.Find(p.grid.Current()) }

func (p *galleryPanel) openID(id uint64) {
	if e, ok := p.Album.Find(id); ok {
		p.host.openEntry(e)
	}
}

func (p *galleryPanel) menu() *fyne.Menu {
	switch list := p.chosenEntries(); len(list) {
	case 0:
		return nil
	case 1:
		return p.host.pictureMenu(studio.Picture{Meta: list[0].Picture, Path: list[0].Path, ID: list[0].ID}, false)
	default:
		return p.host.picturesMenu(list)
	}
}

// dropMenu shows the menu of a button below it, or above it if there is more room.
func (p *galleryPanel) dropMenu(b *ui.Button, menu *fyne.Menu) {
	pos := fyne.CurrentApp().Driver().AbsolutePositionForObject(b)
	ui.ShowMenu(b, menu, pos.AddXY(0, b.Size().Height))
}
