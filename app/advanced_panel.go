package app

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kleinbild/inference"
)

// advancedPanel is folded away: steps, guidance, device, model, folder, theme.
type advancedPanel struct {
	s        *session
	open     bool
	fold     *button
	arrow    *widget.Icon
	rows     []*advancedRow
	steps    *field
	guidance *field
	device   *choice
	theme    *choice
	model    *label
	folder   *label
	line     *box
	content  *fyne.Container
}

// advancedRow is a name with a control, which may be a text with a button.
type advancedRow struct {
	name    *label
	control fyne.CanvasObject
	change  *button // nil where the control is enough
	hidden  bool
}

// What the lists offer: what is shown, and what it stands for.
var (
	deviceChoices = [][2]string{{"Automatic", string(inference.DeviceAuto)}, {"Graphics card", string(inference.DeviceCUDA)}, {"Processor", string(inference.DeviceCPU)}}
	themeChoices  = [][2]string{{"As the system", themeSystem}, {"Light", themeLight}, {"Dark", themeDark}}
)

func newAdvancedPanel(s *session) *advancedPanel {
	p := &advancedPanel{s: s, line: newBox(colorLine, 0), arrow: widget.NewIcon(nil)}
	p.fold = newButton("", p.toggle)
	p.fold.quiet = true
	p.steps, p.guidance = newField(s.keys), newField(s.keys)
	p.steps.OnChanged = func(string) { s.requestChanged() }
	p.guidance.OnChanged = func(string) { s.requestChanged() }
	p.device = newChoice(s.keys, deviceChoices, s.set.device(), func(v string) {
		s.set.setDevice(v)
		s.openModel(inference.Options{})
	})
	p.theme = newChoice(s.keys, themeChoices, s.set.theme(), func(v string) {
		s.set.setTheme(v)
		s.app.Settings().SetTheme(newTheme(v))
	})
	p.model, p.folder = newLabel("", colorText, sizeCaption), newLabel("", colorText, sizeCaption)
	p.rows = []*advancedRow{
		{name: newLabel("Steps", colorDim, sizeCaption), control: p.steps},
		{name: newLabel("Guidance", colorDim, sizeCaption), control: p.guidance},
		{name: newLabel("Compute on", colorDim, sizeCaption), control: p.device},
		{name: newLabel("Theme", colorDim, sizeCaption), control: p.theme},
		{name: newLabel("Model", colorDim, sizeCaption), control: p.model, change: newLink("change…", s.chooseModel)},
		{name: newLabel("Save in", colorDim, sizeCaption), control: p.folder, change: newLink("change…", s.choosePicturesDir)},
	}
	p.content = arranged(func() fyne.Size { return fyne.NewSize(0, p.height()) }, p.place)
	p.refresh()
	return p
}

func (p *advancedPanel) toggle() {
	p.open = !p.open
	p.refresh()
	p.s.frame.right.Refresh()
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
	p.arrow.SetResource(themed(arrow, colorDim))
	var info inference.Info
	if p.s.engine != nil {
		info = p.s.engine.Info()
		p.steps.SetPlaceHolder(strconv.Itoa(info.Steps))
		p.guidance.SetPlaceHolder(strconv.FormatFloat(info.Guidance, 'g', -1, 64))
	}
	p.rows[1].hidden = info.Variant != inference.Base // distilled models know no guidance
	model := info.Model
	if model == "" {
		model = "none"
	}
	p.model.set(model, colorText)
	p.folder.set(p.s.picturesDir(), colorText)
	if base := filepath.Base(p.s.picturesDir()); p.folder.natural().Width > 150 {
		p.folder.set("…"+string(filepath.Separator)+base, colorText)
	}
	name := newLabel("Advanced", colorDim, sizeText)
	p.content.Objects = []fyne.CanvasObject{p.line, name, p.arrow, p.fold}
	at(name, margin, 12, 120, 28)
	if p.open {
		for _, r := range p.rows {
			if r.hidden {
				continue
			}
			p.content.Objects = append(p.content.Objects, r.name, r.control)
			if r.change != nil {
				p.content.Objects = append(p.content.Objects, r.change)
			}
		}
	}
	p.content.Refresh()
}

func (p *advancedPanel) place(size fyne.Size) {
	width := size.Width - 2*margin
	at(p.line, margin, 4, width, 1)
	at(p.arrow, margin+width-18, 17, 18, 18)
	at(p.fold, margin-6, 12, width+12, 28)
	y := float32(44)
	const nameWidth = 76
	for _, r := range p.rows {
		if !p.open || r.hidden {
			continue
		}
		at(r.name, margin, y, nameWidth, fieldHeight)
		x, w := margin+nameWidth, width-nameWidth
		if r.change != nil {
			c := r.change.MinSize().Width
			at(r.change, margin+width-c+6, y+6, c, 24)
			w -= c
		}
		at(r.control, x, y, w, fieldHeight)
		y += advancedRowHeight
	}
}

// numbers are the steps and the guidance; 0 leaves the model's own.
func (p *advancedPanel) numbers() (steps int, guidance float64, err error) {
	if text := strings.TrimSpace(p.steps.Text); text != "" {
		if steps, err = strconv.Atoi(text); err != nil || steps < 1 || steps > inference.MaxSteps {
			return 0, 0, fmt.Errorf("the steps are %q, want a number from 1 to %d", shorten(text, 24), inference.MaxSteps)
		}
	}
	if text := strings.TrimSpace(p.guidance.Text); text != "" && !p.rows[1].hidden {
		guidance, err = strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
		if err != nil || !(guidance >= 1 && guidance <= 100) {
			return 0, 0, fmt.Errorf("the guidance is %q, want a number from 1 to 100", shorten(text, 24))
		}
	}
	return steps, guidance, nil
}

// setNumbers shows the steps and guidance of an earlier picture.
func (p *advancedPanel) setNumbers(steps int, guidance float64) {
	p.steps.SetText("")
	p.guidance.SetText("")
	var info inference.Info
	if p.s.engine != nil {
		info = p.s.engine.Info()
	}
	if steps > 0 && steps != info.Steps {
		p.steps.SetText(strconv.Itoa(steps))
	}
	if guidance >= 1 && guidance != info.Guidance {
		p.guidance.SetText(strconv.FormatFloat(guidance, 'g', -1, 64))
	}
}

// chooseModel goes to the page that offers models.
func (s *session) chooseModel() {
	s.start.asked = true
	s.start.look()
	s.view.refresh()
}
