package app

import (
	"fmt"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// recommend returns the download for this memory: of those that may be used for everything, the first that fits, or
// else the one that needs least; the first of all if there are none.
func recommend(downloads []Download, room inference.Room) (best Download) {
	best = downloads[0]
	for _, d := range downloads {
		if d.Agree != "" {
			continue
		}
		if room.Fits(d.Need) {
			return d
		}
		if best.Agree != "" || room.Of(d.Need) < room.Of(best.Need) {
			best = d
		}
	}
	return best
}

// asksOf says in words what a download asks of this memory, and how close its pictures are to those of bf16 weights.
func asksOf(d Download, room inference.Room) string {
	text := room.Words(d.Need)
	if !d.Measured || room.Card {
		text += " (counted)"
	}
	return text + " · " + string(d.Quality)
}

// downloads returns what can be fetched, and which of it is recommended; ok is false if there is nothing.
func (p *startPage) downloads() (list []Download, best Download, ok bool) {
	if p.cfg.Catalogue == nil {
		return nil, best, false
	}
	list = p.cfg.Catalogue.Downloads()
	if len(list) == 0 {
		return nil, best, false
	}
	return list, recommend(list, p.memory), true
}

// expects says how long a picture of a download is expected to take, if that is known. Of a graphics card it is not:
// then nothing is said.
func (p *startPage) expects(d Download) string {
	engine := p.Model.Engine()
	if p.expected[d.Name] == 0 || engine == nil || !engine.Info().Processor {
		return ""
	}
	return " · counted: " + roughly(p.expected[d.Name]) + " a picture"
}

// expect finds out how long a picture of the recommended download takes.
func (p *startPage) expect() {
	_, best, ok := p.downloads()
	if !ok || best.Expected == nil {
		return
	}
	p.Loop.Background(func() func() {
		took := best.Expected()
		return func() {
			if p.expected[best.Name] != took {
				p.expected[best.Name] = took
				p.refresh()
			}
		}
	})
}

// recommendedRows show the download for this computer below a title, with what it asks and allows.
func (p *startPage) recommendedRows(title string) []fyne.CanvasObject {
	_, best, ok := p.downloads()
	if !ok {
		return nil
	}
	b := p.downloadButton(best)
	b.Accent = len(p.found) == 0 && p.loading == ""
	ground := ui.NewBox(ui.ColorPanel, ui.Radius)
	name := ui.NewLabel(best.Title, ui.ColorText, ui.SizeText)
	name.Style.Bold = true
	about := ui.NewCaption(best.About)
	asks := ui.NewCaption(gigabytes(best.SizeBytes) + " GB to download · " + asksOf(best, p.memory))
	allows := ui.NewCaption("Licence: " + best.Licence + p.expects(best))
	row := ui.Arranged(ui.Fixed(0, 96), func(size fyne.Size) {
		ui.At(ground, 0, 0, size.Width, 90)
		w := b.MinSize().Width + 8
		ui.At(b, size.Width-w-ui.Margin, 12, w, 32)
		room := size.Width - w - 3*ui.Margin
		ui.At(name, ui.Margin, 8, room, 20)
		ui.At(about, ui.Margin, 28, room, 18)
		ui.At(asks, ui.Margin, 46, size.Width-2*ui.Margin, 18)
		ui.At(allows, ui.Margin, 64, size.Width-2*ui.Margin, 18)
	}, ground, name, about, asks, allows, b)
	rows := []fyne.CanvasObject{spaced(ui.NewHeading(title)), row}
	return append(rows, p.progressRow(best)...)
}

// otherRows show the other downloads, folded until the user unfolds them or one of them is under way.
func (p *startPage) otherRows() (rows []fyne.CanvasObject) {
	list, best, ok := p.downloads()
	if !ok || len(list) == 1 {
		return nil
	}
	text := fmt.Sprintf("%d other models ›", len(list)-1)
	if len(list) == 2 {
		text = "1 other model ›"
	}
	open := p.all || p.loading != "" && p.loading != best.Name
	if open {
		text = "Other models"
	}
	fold := ui.NewLink(text, func() {
		p.all = !p.all
		p.refresh()
	}).Says("Show or hide the other models that can be downloaded")
	rows = append(rows, ui.Arranged(ui.Fixed(0, 36), func(fyne.Size) {
		ui.At(fold, -6, 10, fold.MinSize().Width, 24)
	}, fold))
	for _, d := range list {
		if open && d.Name != best.Name {
			rows = append(rows, p.row(d.Title, d.About, gigabytes(d.SizeBytes)+" GB", p.downloadButton(d)))
			asks, licence := ui.NewCaption(asksOf(d, p.memory)), ui.NewCaption("Licence: "+d.Licence)
			rows = append(rows, ui.Arranged(ui.Fixed(0, 40), func(size fyne.Size) {
				ui.At(asks, ui.Margin, -4, size.Width-2*ui.Margin, 18)
				ui.At(licence, ui.Margin, 14, size.Width-2*ui.Margin, 18)
			}, asks, licence))
			rows = append(rows, p.progressRow(d)...)
		}
	}
	return rows
}

// downloadButton begins a download, or stops it.
func (p *startPage) downloadButton(d Download) *ui.Button {
	if p.loading == d.Name {
		return ui.NewButton("Stop", p.cancel).Says("The download can go on later")
	}
	b := ui.NewButton("Download", func() { p.ask(d) }).Says(d.Title)
	b.SetDisabled(p.loading != "")
	return b
}

// progressRow shows how far the download is, if it is under way.
func (p *startPage) progressRow(d Download) []fyne.CanvasObject {
	if p.loading != d.Name {
		return nil
	}
	return []fyne.CanvasObject{ui.Arranged(ui.Fixed(0, 28), func(size fyne.Size) {
		ui.At(p.bar, 0, 2, size.Width, 3)
		ui.At(p.state, 0, 8, size.Width, 18)
	}, p.bar, p.state)}
}
