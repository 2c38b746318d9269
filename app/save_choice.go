package app

import (
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/ui"
)

// savePanel chooses how a copy is saved: format, quality, and whether it says how it was made. It opens above the
// button “Save as…”, and leads to the system's dialog. What is chosen stays for the next copies.
type savePanel struct {
	*ui.Popover
	choices copyChoices
	formats []*ui.Button
	about   *ui.Label
	quality *ui.Slider
	amount  *ui.Label
	named   *ui.Label // “Quality”
	bare    *widget.Check
	save    *ui.Button
}

// showSavePanel opens the panel for the picture in hand.
func (s *session) showSavePanel() {
	if s.inHand() == nil {
		s.notice.Say("There is no picture to save yet.")
		return
	}
	p := newSavePanel(s.set.copies(), func() {
		s.savePanel.Close()
		s.saveCopy()
	})
	s.savePanel = p
	above := s.view.save
	if s.gallery.open {
		above = s.gallery.export
	}
	p.Show(s.win.Canvas(), above)
	s.focus(p.save)
}

// newSavePanel returns the panel; save goes on to the dialog.
func newSavePanel(choices copyChoices, save func()) *savePanel {
	p := &savePanel{
		choices: choices, about: ui.NewCaption(""), quality: ui.NewSlider(leastQuality, 100, 1),
		amount: ui.NewLabel("", ui.ColorText, ui.SizeText), named: ui.NewLabel("Quality", ui.ColorText, ui.SizeText),
	}
	p.amount.Align = fyne.TextAlignTrailing
	for i, f := range copyFormats {
		b := ui.NewButton(f.name, func() { p.choose(i) })
		b.OnArrow = func(by int) {
			to := min(max(i+by, 0), len(copyFormats)-1)
			p.choose(to)
			ui.TakeFocus(p.formats[to])
		}
		b.Passed = func() bool { return copyFormats[i].name != p.choices.format().name }
		p.formats = append(p.formats, b)
	}
	p.quality.OnChanged = func(v float64) {
		p.choices.setQuality(p.choices.format(), int(v))
		p.amount.Set(strconv.Itoa(int(v)), ui.ColorText)
	}
	var bare fyne.CanvasObject
	p.bare, bare = ui.NewCheck("Without prompt and settings")
	p.bare.SetChecked(choices.bare())
	p.bare.OnChanged = choices.setBare
	p.save = ui.NewButton("Save…", save)
	p.save.Accent = true
	objects := []fyne.CanvasObject{p.about, p.named, p.quality, p.amount, bare, p.save}
	for _, b := range p.formats {
		objects = append(objects, b)
	}
	p.Popover = ui.NewPopover(ui.Arranged(ui.Fixed(300, 172), func(size fyne.Size) {
		width := (size.Width - 3*6) / 4
		for i, b := range p.formats {
			ui.At(b, float32(i)*(width+6), 0, width, 28)
		}
		ui.At(p.about, 0, 34, size.Width, 18)
		ui.At(p.named, 0, 60, 56, 32)
		ui.At(p.quality, 56, 60, size.Width-56-36, 32)
		ui.At(p.amount, size.Width-36, 60, 36, 32)
		ui.At(bare, -8, 96, size.Width+8, 32)
		w := p.save.MinSize().Width + 24
		ui.At(p.save, size.Width-w, 140, w, 32)
	}, objects...))
	p.refresh()
	return p
}

func (p *savePanel) choose(i int) {
	p.choices.setFormat(copyFormats[i])
	p.refresh()
}

func (p *savePanel) refresh() {
	f := p.choices.format()
	for i, b := range p.formats {
		b.SetChosen(copyFormats[i].name == f.name)
	}
	p.about.Set(f.about, ui.ColorDim)
	quality := p.choices.quality(f)
	for _, o := range []fyne.CanvasObject{p.named, p.quality, p.amount} {
		ui.Show(o, quality != 0)
	}
	if quality != 0 {
		p.quality.SetValue(float64(quality))
		p.amount.Set(strconv.Itoa(quality), ui.ColorText)
	}
}
