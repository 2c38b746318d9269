package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	fynetheme "fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// loraRow is an adapter of the desk: its tick and name, its strength, how it fits, and its trigger words.
type loraRow struct {
	panel    *loraPanel
	index    int
	on       *widget.Check
	tick     fyne.CanvasObject
	name     *ui.Label
	remove   *ui.Button
	amount   *ui.Slider
	number   *ui.Field
	fits     *ui.SentenceLabel
	words    []string // of the buttons
	triggers []*ui.Button
	laying   bool // the controls move because the desk is shown
}

func newLoRARow(p *loraPanel, index int) *loraRow {
	r := &loraRow{
		panel: p, index: index, name: ui.NewLabel("", ui.ColorText, ui.SizeText), number: ui.NewField(p.keys),
		amount: ui.NewSlider(studio.LeastLoRAStrength, studio.MostLoRAStrength, studio.LoRAStrengthStep),
		fits:   ui.NewSentenceLabel(""),
	}
	r.fits.SizeName = ui.SizeCaption
	r.on, r.tick = ui.NewCheck("")
	r.on.OnChanged = func(on bool) { r.change(func(l *studio.LoRA) { l.Off = !on }) }
	r.remove = ui.NewIconButton(fynetheme.CancelIcon(), r.leave)
	r.remove.Quiet = true
	r.amount.OnChanged = func(v float64) {
		if !r.laying {
			r.number.SetText(strengthText(studio.RoundStrength(v)))
		}
	}
	r.amount.OnChangeEnded = func(v float64) {
		r.change(func(l *studio.LoRA) { l.Strength = studio.RoundStrength(v) })
	}
	r.number.OnChanged = r.typed
	r.number.OnLeft = func() { p.refresh() }
	return r
}

// change changes the adapter on the desk, unless the row only shows it.
func (r *loraRow) change(do func(*studio.LoRA)) {
	if !r.laying {
		r.panel.Desk.Choose(func(d *studio.Desk) { d.SetLoRA(r.index, do) })
	}
}

// leave takes the adapter off the desk.
func (r *loraRow) leave() {
	name := r.name.Text
	r.panel.Desk.Choose(func(d *studio.Desk) { d.RemoveLoRA(r.index) })
	r.panel.notice.Say("The LoRA "+name+" was removed.", r.panel.undoAction())
}

// typed takes a strength that was typed. The slider has moved the text itself: then nothing is chosen before it rests.
func (r *loraRow) typed(text string) {
	v, ok := parseStrength(text)
	if r.laying || !r.number.Focused {
		return
	}
	if !ok {
		r.fits.Set(fmt.Sprintf("The strength is a number from -%d to %d.", inference.MaxLoRAStrength,
			inference.MaxLoRAStrength), true)
		return
	}
	r.change(func(l *studio.LoRA) { l.Strength = v })
}

func parseStrength(text string) (v float64, ok bool) {
	v, err := strconv.ParseFloat(strings.Replace(strings.TrimSpace(text), ",", ".", 1), 64)
	ok = err == nil && v >= -inference.MaxLoRAStrength && v <= inference.MaxLoRAStrength
	return v, ok
}

func strengthText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// show shows an adapter and how it fits the model.
func (r *loraRow) show(l studio.LoRA, fit studio.LoRAFit) {
	r.laying = true
	defer func() { r.laying = false }()
	color := ui.ColorText
	if l.Off {
		color = ui.ColorDim
	}
	r.name.Set(l.Name, color)
	if r.on.Checked == l.Off {
		r.on.SetChecked(!l.Off)
	}
	if r.amount.Value != onSlider(l.Strength) {
		r.amount.SetValue(onSlider(l.Strength))
	}
	if v, ok := parseStrength(r.number.Text); !ok && !r.number.Focused || ok && v != l.Strength {
		r.number.SetText(strengthText(l.Strength))
	}
	switch {
	case fit.Err != nil:
		r.fits.Set(explain(fit.Err), !l.Off)
	case fit.Reading:
		r.fits.Set("reading…", false)
	default:
		r.fits.Set(fitText(fit.Info), false)
	}
	if !slices.Equal(r.words, fit.Info.Triggers) {
		r.words, r.triggers = fit.Info.Triggers, nil
		for _, word := range r.words[:min(len(r.words), shownTriggers)] {
			b := ui.NewButton(shorten(word, 26), func() { r.panel.host.insertWord(word) })
			b.Small = true
			r.triggers = append(r.triggers, b)
		}
	}
}

// shownTriggers is how many trigger words have buttons.
const shownTriggers = 6

// onSlider returns the place of the slider for a strength, which may be beyond its ends.
func onSlider(strength float64) float64 {
	return min(max(strength, studio.LeastLoRAStrength), studio.MostLoRAStrength)
}

// fitText says how an adapter fits the model: "280 of 280 layers · rank 16".
func fitText(i inference.LoRAInfo) string {
	if i.Total == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d layers", i.Matched, i.Total)
	if rank := rankText(i); rank != "" {
		text += " · " + rank
	}
	if i.Left != "" {
		text += "; " + shorten(i.Left, maxLeft)
	}
	return text
}

// maxLeft bounds what a row says of layers that are left out, in characters.
const maxLeft = 240

// rankText names the rank of an adapter, "" if it has none.
func rankText(i inference.LoRAInfo) string {
	switch {
	case i.HighestRank == 0:
		return ""
	case i.LowestRank == i.HighestRank:
		return fmt.Sprintf("rank %d", i.HighestRank)
	}
	return fmt.Sprintf("rank %d to %d", i.LowestRank, i.HighestRank)
}

func (r *loraRow) hasFocus() bool { return r.number.Focused || r.remove.Focused }

func (r *loraRow) objects() []fyne.CanvasObject {
	list := []fyne.CanvasObject{r.tick, r.name, r.remove, r.amount, r.number, r.fits}
	for _, b := range r.triggers {
		list = append(list, b)
	}
	return list
}

const (
	loraNameHeight  float32 = 28
	loraNumberWidth float32 = 64
	loraWordHeight  float32 = 28
	loraRowGap      float32 = 14
)

// fitsHeight returns the height of the text about the fit, which wraps.
func (r *loraRow) fitsHeight(width float32) float32 {
	r.fits.Resize(fyne.NewSize(width+2*infoInset, 0))
	return max(float32(int(r.fits.MinSize().Height))-infoInset, 20)
}

func (r *loraRow) height(width float32) float32 {
	return loraNameHeight + ui.FieldHeight + r.fitsHeight(width) + r.placeTriggers(0, 0, width, nil) + loraRowGap
}

func (r *loraRow) place(x, y, width float32) {
	const tickWidth = 26
	ui.At(r.tick, x-8, y, tickWidth+8, loraNameHeight)
	ui.At(r.name, x+tickWidth, y, width-tickWidth-30, loraNameHeight)
	ui.At(r.remove, x+width-24, y+2, 24, 24)
	y += loraNameHeight
	ui.At(r.amount, x-6, y, width-loraNumberWidth, ui.FieldHeight)
	ui.At(r.number, x+width-loraNumberWidth, y, loraNumberWidth, ui.FieldHeight)
	y += ui.FieldHeight
	height := r.fitsHeight(width)
	ui.At(r.fits, x-infoInset, y-infoInset/2, width+2*infoInset, height+infoInset)
	y += height
	r.placeTriggers(x, y, width, ui.At)
}

// placeTriggers puts the trigger words into lines, and returns the height that they take. at may be nil.
func (r *loraRow) placeTriggers(
	x, y, width float32, at func(o fyne.CanvasObject, x, y, width, height float32),
) (height float32) {
	if len(r.triggers) == 0 {
		return 0
	}
	height = loraWordHeight + 4
	var right float32
	for _, b := range r.triggers {
		w := min(b.MinSize().Width, width)
		if right > 0 && right+w > width {
			right, height = 0, height+loraWordHeight
		}
		if at != nil {
			at(b, x+right, y+height-loraWordHeight, w, 24)
		}
		right += w + 4
	}
	return height
}
