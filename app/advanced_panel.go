package app

import (
	"path/filepath"
	"strconv"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// advancedPanel has steps and guidance, what an edit of image 1 needs, and device, theme, model and folder. It is
// folded away until the user unfolds it.
type advancedPanel struct {
	common
	host     advancedHost
	open     bool
	fold     *ui.Button
	arrow    *widget.Icon
	rows     []*advancedRow
	steps    *ui.Field
	guidance *ui.Field
	device   *ui.Choice
	theme    *ui.Choice
	model    *ui.Label
	folder   *ui.Label
	line     *ui.Box
	edit     *editRows
	content  *fyne.Container
}

// advancedRow is a name with a control, which may be a text with a button. A heading has no control.
type advancedRow struct {
	name    *ui.Label
	control fyne.CanvasObject
	change  *ui.Button // nil if the control is enough
	hidden  bool
}

// What the lists offer: pairs of what is shown and what it stands for.
var (
	deviceChoices = [][2]string{
		{"Automatic", string(inference.DeviceAuto)},
		{"Graphics card", string(inference.DeviceCUDA)},
		{"Processor", string(inference.DeviceCPU)},
	}
	themeChoices = [][2]string{{"As the system", ui.ThemeSystem}, {"Light", ui.ThemeLight}, {"Dark", ui.ThemeDark}}
)

// advancedHost is what the panel asks of the window.
type advancedHost interface {
	openModel(opts inference.Options)
	chooseModel()
	choosePicturesDir()
	pickMask(chosen func(path string))
	unfolded() // lays the column out anew: the panel has another height
}

func newAdvancedPanel(c common, host advancedHost) *advancedPanel {
	p := &advancedPanel{common: c, host: host, line: ui.NewBox(ui.ColorLine, 0), arrow: widget.NewIcon(nil)}
	p.fold = ui.NewButton("", p.toggle).Says("Steps, edits of image 1, device, theme, model, folder")
	p.fold.Quiet = true
	p.steps, p.guidance = ui.NewField(c.keys), ui.NewField(c.keys)
	p.steps.Tip.Tip = "How often the picture is refined; empty: as the model wants it"
	p.guidance.Tip.Tip = "How closely a base model follows the prompt"
	p.steps.OnChanged = func(text string) { p.Desk.Choose(func(d *studio.Desk) { d.Steps = text }) }
	p.guidance.OnChanged = func(text string) { p.Desk.Choose(func(d *studio.Desk) { d.Guidance = text }) }
	p.edit = newEditRows(c, host.pickMask)
	p.Desk.Laid.Subscribe(p.lay)
	p.Desk.Chosen.Subscribe(p.refreshEdit)
	p.Reader.MaskRead.Subscribe(func(err error) {
		if err != nil {
			p.notice.fail(err)
		}
	})
	p.Model.Changed.Subscribe(p.refresh)
	p.device = ui.NewChoice(c.keys, deviceChoices, string(c.set.Device()), func(v string) {
		p.set.SetDevice(inference.Device(v))
		host.openModel(inference.Options{})
	})
	p.device.Tip.Tip = "What makes the pictures"
	p.theme = ui.NewChoice(c.keys, themeChoices, c.set.theme(), func(v string) {
		p.set.setTheme(v)
		fyne.CurrentApp().Settings().SetTheme(ui.NewTheme(v))
	})
	p.theme.Tip.Tip = "Light or dark"
	p.model, p.folder = ui.NewLabel("", ui.ColorText, ui.SizeCaption), ui.NewLabel("", ui.ColorText, ui.SizeCaption)
	p.rows = []*advancedRow{
		{name: ui.NewCaption("Steps"), control: p.steps},
		{name: ui.NewCaption("Guidance"), control: p.guidance},
	}
	p.rows = append(p.rows, p.edit.all()...)
	p.rows = append(p.rows, []*advancedRow{
		{name: ui.NewCaption("Compute on"), control: p.device},
		{name: ui.NewCaption("Theme"), control: p.theme},
		{name: ui.NewCaption("Model"), control: p.model,
			change: ui.NewLink("change…", host.chooseModel).Says("Choose another model, or download one")},
		{name: ui.NewCaption("Save in"), control: p.folder,
			change: ui.NewLink("change…", host.choosePicturesDir).Says("Choose where pictures are saved")},
	}...)
	p.content = ui.Arranged(func() fyne.Size { return fyne.NewSize(0, p.height()) }, p.place)
	p.refresh()
	return p
}

// lay shows the numbers of a desk.
func (p *advancedPanel) lay(d studio.Desk) {
	if p.steps.Text != d.Steps {
		p.steps.SetText(ui.FirstRunes(d.Steps, ui.MaxFieldRunes))
	}
	if p.guidance.Text != d.Guidance {
		p.guidance.SetText(ui.FirstRunes(d.Guidance, ui.MaxFieldRunes))
	}
	p.edit.lay(d)
}

// refreshEdit shows the rows of the edit that have an effect now.
func (p *advancedPanel) refreshEdit() {
	if p.edit.refresh() && p.open {
		p.refresh()
		p.host.unfolded()
	}
}

func (p *advancedPanel) toggle() {
	p.open = !p.open
	p.refresh()
	p.host.unfolded()
}

const advancedRowHeight float32 = 42

func (p *advancedPanel) height() float32 {
	height := float32(44)
	if p.open {
		for _, r := range p.rows {
			if !r.hidden {
				height += advancedRowHeight
			}
		}
	}
	return height
}

func (p *advancedPanel) refresh() {
	arrow := fynetheme.MenuExpandIcon()
	if p.open {
		arrow = fynetheme.MenuDropDownIcon()
	}
	p.arrow.SetResource(ui.Themed(arrow, ui.ColorDim))
	info, ok := p.Model.Info()
	if ok {
		p.steps.SetPlaceHolder(strconv.Itoa(info.Steps))
		p.guidance.SetPlaceHolder(strconv.FormatFloat(info.Guidance, 'g', -1, 64))
	}
	p.edit.refresh()
	p.rows[1].hidden = info.Variant != inference.Base // a distilled model takes no guidance
	p.rows[2].hidden = info.Remote != ""              // another computer chooses by itself
	model := info.Model
	if model == "" {
		model = "none"
	}
	p.model.Set(model, ui.ColorText)
	p.folder.Set(p.PicturesDir(), ui.ColorText)
	if base := filepath.Base(p.PicturesDir()); p.folder.Natural().Width > 150 {
		p.folder.Set("…"+string(filepath.Separator)+base, ui.ColorText)
	}
	name := ui.NewLabel("Advanced", ui.ColorDim, ui.SizeText)
	p.content.Objects = []fyne.CanvasObject{p.line, name, p.arrow, p.fold}
	ui.At(name, ui.Margin, 12, 120, 28)
	if p.open {
		for _, r := range p.rows {
			if r.hidden {
				continue
			}
			p.content.Objects = append(p.content.Objects, r.name)
			if r.control != nil {
				p.content.Objects = append(p.content.Objects, r.control)
			}
			if r.change != nil {
				p.content.Objects = append(p.content.Objects, r.change)
			}
		}
	}
	p.content.Refresh()
}

func (p *advancedPanel) place(size fyne.Size) {
	width := size.Width - 2*ui.Margin
	ui.At(p.line, ui.Margin, 4, width, 1)
	ui.At(p.arrow, ui.Margin+width-18, 17, 18, 18)
	ui.At(p.fold, ui.Margin-6, 12, width+12, 28)
	y := float32(44)
	const nameWidth = 76
	for _, r := range p.rows {
		if !p.open || r.hidden {
			continue
		}
		if r.control == nil {
			ui.At(r.name, ui.Margin, y, width, ui.FieldHeight)
			y += advancedRowHeight
			continue
		}
		ui.At(r.name, ui.Margin, y, nameWidth, ui.FieldHeight)
		x, w := ui.Margin+nameWidth, width-nameWidth
		if r.change != nil {
			c := r.change.MinSize().Width
			ui.At(r.change, ui.Margin+width-c+6, y+6, c, 24)
			w -= c
		}
		ui.At(r.control, x, y, w, ui.FieldHeight)
		y += advancedRowHeight
	}
}

// setNumbers shows the steps and guidance of an earlier picture.
func (p *advancedPanel) setNumbers(steps int, guidance float64) {
	p.steps.SetText("")
	p.guidance.SetText("")
	info, _ := p.Model.Info()
	if steps > 0 && steps != info.Steps {
		p.steps.SetText(strconv.Itoa(steps))
	}
	if guidance >= inference.NoGuidance && guidance != info.Guidance {
		p.guidance.SetText(strconv.FormatFloat(guidance, 'g', -1, 64))
	}
}
