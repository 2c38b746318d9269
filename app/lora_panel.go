package app

import (
	"fmt"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// loraPanel lists the adapters of the desk. It is folded away until the user unfolds it or adds one.
type loraPanel struct {
	common
	host    loraHost
	open    bool
	width   float32 // of the column
	fold    *ui.Button
	name    *ui.Label
	arrow   *widget.Icon
	line    *ui.Box
	rows    []*loraRow
	add     *ui.Button
	file    *ui.Button
	content *fyne.Container
}

// loraHost is what the panel asks of the window.
type loraHost interface {
	chooseLoRA() // shows the list of those that there are
	pickLoRA()   // asks for a file
	insertWord(word string)
	unfolded() // lays the column out anew: the panel has another height
	focus(fyne.Focusable)
}

func newLoRAPanel(c common, host loraHost) *loraPanel {
	p := &loraPanel{
		common: c, host: host, line: ui.NewBox(ui.ColorLine, 0), arrow: widget.NewIcon(nil),
		name: ui.NewLabel("LoRA", ui.ColorDim, ui.SizeText),
	}
	p.fold = ui.NewButton("", p.toggle).Says("Adapters that change how the model draws (L)")
	p.fold.Quiet = true
	p.add, p.file = ui.NewButton("Add…", host.chooseLoRA), ui.NewButton("Choose a file…", host.pickLoRA)
	p.add.Small, p.file.Small = true, true
	p.content = ui.Arranged(func() fyne.Size { return fyne.NewSize(0, p.height()) }, p.place)
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Desk.Laid.Subscribe(func(studio.Desk) { p.refresh() })
	p.LoRAs.Changed.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(p.refresh)
	p.refresh()
	return p
}

func (p *loraPanel) toggle() {
	p.open = !p.open
	if p.open {
		p.LoRAs.Refresh() // files may have come
	}
	p.refresh()
	p.host.unfolded()
}

// unfold shows the rows.
func (p *loraPanel) unfold() {
	if !p.open {
		p.toggle()
	}
}

// title names the panel, with the number of adapters that are on. It has the colour of errors if one cannot be used.
func (p *loraPanel) title(d studio.Desk) (text string, color fyne.ThemeColorName) {
	on := 0
	for _, l := range d.LoRAs {
		if !l.Off {
			on++
		}
	}
	text, color = "LoRA", ui.ColorDim
	if on > 0 {
		text = fmt.Sprintf("LoRA · %d", on)
	}
	if _, err := p.LoRAs.Ready(d); err != nil {
		color = ui.ColorError
	}
	return text, color
}

// refresh shows the adapters of the desk. Rows stay as far as they can, and with them the keyboard.
func (p *loraPanel) refresh() {
	before := p.height()
	d := p.Desk.Desk()
	arrow := fynetheme.MenuExpandIcon()
	if p.open {
		arrow = fynetheme.MenuDropDownIcon()
	}
	p.arrow.SetResource(ui.Themed(arrow, ui.ColorDim))
	p.name.Set(p.title(d))
	for len(p.rows) < len(d.LoRAs) {
		p.rows = append(p.rows, newLoRARow(p, len(p.rows)))
	}
	for _, r := range p.rows[len(d.LoRAs):] {
		if r.hasFocus() {
			p.host.focus(p.add)
		}
	}
	p.rows = p.rows[:len(d.LoRAs)]
	objects := []fyne.CanvasObject{p.line, p.name, p.arrow, p.fold}
	for i, r := range p.rows {
		r.show(d.LoRAs[i], p.LoRAs.Fit(d.LoRAs[i]))
		if p.open {
			objects = append(objects, r.objects()...)
		}
	}
	if p.open {
		objects = append(objects, p.add, p.file)
	}
	p.content.Objects = objects
	p.content.Refresh()
	if p.height() != before {
		p.host.unfolded()
	}
}

const loraHeaderHeight float32 = 44

func (p *loraPanel) height() float32 {
	height := loraHeaderHeight
	if !p.open {
		return height
	}
	for _, r := range p.rows {
		height += r.height(p.width - 2*ui.Margin)
	}
	return height + 24 + ui.Margin
}

func (p *loraPanel) place(size fyne.Size) {
	width := size.Width - 2*ui.Margin
	ui.At(p.line, ui.Margin, 4, width, 1)
	ui.At(p.name, ui.Margin, 12, width-24, 28)
	ui.At(p.arrow, ui.Margin+width-18, 17, 18, 18)
	ui.At(p.fold, ui.Margin-6, 12, width+12, 28)
	if !p.open {
		return
	}
	y := loraHeaderHeight
	for _, r := range p.rows {
		r.place(ui.Margin, y, width)
		y += r.height(p.width - 2*ui.Margin)
	}
	w := p.add.MinSize().Width
	ui.At(p.add, ui.Margin, y, w, 24)
	ui.At(p.file, ui.Margin+w+6, y, p.file.MinSize().Width, 24)
}
