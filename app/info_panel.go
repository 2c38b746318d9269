package app

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// infoPanel says how the picture on show was made, and takes its prompt, its seed or all of it to the desk. It is a
// block of the right column that the user opens and closes.
type infoPanel struct {
	common
	host    infoHost
	open    bool
	width   float32         // of the column
	shown   *studio.Picture // nil for none
	prompt  *ui.SentenceLabel
	rows    []infoRow
	lineage *lineage
	use     []*ui.Button
	none    *ui.Label
	title   *ui.Label
	line    *ui.Box
	content *fyne.Container
}

// infoRow is a name with a value. The name is "" in the further rows of a list.
type infoRow struct{ name, value *ui.Label }

// infoHost is what the panel asks of the window.
type infoHost interface {
	lineageHost
	usePrompt(text string)
	useSeed(seed uint64)
	restorePicture(p studio.Picture)
	unfolded()   // lays the column out anew: the panel has another height
	infoOpened() // was opened or closed by the user: brings it into sight
}

func newInfoPanel(c common, small *history.Thumbnails, host infoHost) *infoPanel {
	p := &infoPanel{
		common: c, host: host, title: ui.NewHeading("Info"), line: ui.NewBox(ui.ColorLine, 0),
		none: ui.NewCaption("No finished picture is on show."), prompt: ui.NewSentenceLabel(""),
		lineage: newLineage(c, small, host),
	}
	p.prompt.SizeName = ui.SizeCaption
	use := func(text string, do func()) {
		b := ui.NewButton(text, do)
		b.Small = true
		p.use = append(p.use, b)
	}
	use("Use prompt", func() { host.usePrompt(p.shown.Meta.Prompt) })
	use("Use seed", func() { host.useSeed(p.shown.Meta.Seed) })
	use("Use all", func() { host.restorePicture(*p.shown) })
	p.content = ui.Arranged(func() fyne.Size { return fyne.NewSize(0, p.height()) }, p.place)
	p.content.Hide()
	p.Album.Changed.Subscribe(p.refresh) // it knows how long the picture took
	return p
}

// toggle opens or closes the panel.
func (p *infoPanel) toggle() {
	p.open = !p.open
	p.refresh()
	p.host.infoOpened()
}

// show tells the panel which picture is on show, nil for none.
func (p *infoPanel) show(shown *studio.Picture) {
	if p.shown != shown {
		p.shown = shown
		p.refresh()
	}
}

// infoFacts returns what is known of a picture besides its prompt, as pairs of a name and a value. took is 0 if it is
// not known how long the picture took.
func infoFacts(m picture.Metadata, took time.Duration) (facts [][2]string) {
	last := ""
	add := func(name, value string) {
		if value == "" {
			return
		}
		if name == last { // a further row of a list
			name = ""
		} else {
			last = name
		}
		facts = append(facts, [2]string{name, value})
	}
	add("Seed", strconv.FormatUint(m.Seed, 10))
	add("Size", times(picture.Size{Width: m.Width, Height: m.Height}))
	add("Model", m.Model)
	steps := ""
	if m.Steps > 0 {
		steps = strconv.Itoa(m.Steps)
		if m.Guidance >= inference.NoGuidance && m.Guidance > 1 {
			steps += " · guidance " + strconv.FormatFloat(m.Guidance, 'g', -1, 64)
		}
	}
	add("Steps", steps)
	if took > 0 {
		add("Made in", roughly(took))
	}
	for _, l := range m.LoRAs {
		add("LoRA", fmt.Sprintf("%g · %s", l.Strength, l.Name))
	}
	facts = append(facts, upscaleFacts(m.Upscale)...)
	if e := m.Edit; e != nil {
		if e.Mask != nil {
			name := picture.BaseName(e.Mask.File.Path)
			switch {
			case e.Mask.Alpha:
				name = "the transparency"
			case e.Mask.File.Path == "":
				name = "painted or pasted"
			}
			add("Edit", "mask: "+name)
		}
		if a := e.Area; a != [4]int{} {
			add("Edit", fmt.Sprintf("work area: %d × %d at %d, %d", a[2], a[3], a[0], a[1]))
		}
		var grown []string
		for i, side := range []string{"left", "top", "right", "bottom"} {
			if e.Extend[i] > 0 {
				grown = append(grown, fmt.Sprintf("%s %d", side, e.Extend[i]))
			}
		}
		if len(grown) > 0 {
			add("Edit", "extended: "+strings.Join(grown, ", "))
		}
		if e.Strength < 1 {
			add("Edit", fmt.Sprintf("strength %g", e.Strength))
		}
		if e.SourceHidden {
			add("Edit", "image 1 hidden")
		}
		if e.MatchColours {
			add("Edit", "colours matched")
		}
		if e.KeepUnchanged > 0 {
			add("Edit", fmt.Sprintf("rest kept: %.0f %%", 100*e.KeepUnchanged))
		}
	}
	return facts
}

// refresh fills the panel, if it is open, with what is known of the picture on show.
func (p *infoPanel) refresh() {
	ui.Show(p.content, p.open)
	if !p.open {
		return
	}
	p.content.Objects = []fyne.CanvasObject{p.line, p.title}
	p.rows = nil
	if p.shown == nil {
		p.lineage.show(nil)
		p.content.Objects = append(p.content.Objects, p.none)
		p.content.Refresh()
		p.host.unfolded()
		return
	}
	m := p.shown.Meta
	var took time.Duration
	if e, ok := p.Album.Find(p.shown.ID); ok && p.shown.ID != 0 {
		took = e.Took
	}
	text := shorten(m.Prompt, maxInfoPrompt)
	if text == "" {
		text = "(no prompt)"
	}
	p.prompt.Set(text, false)
	p.content.Objects = append(p.content.Objects, p.prompt)
	for _, fact := range infoFacts(m, took) {
		row := infoRow{ui.NewCaption(fact[0]), ui.NewLabel(fact[1], ui.ColorText, ui.SizeCaption)}
		p.rows = append(p.rows, row)
		p.content.Objects = append(p.content.Objects, row.name, row.value)
	}
	p.content.Objects = append(p.content.Objects, p.lineage.show(p.shown)...)
	for _, b := range p.use {
		p.content.Objects = append(p.content.Objects, b)
	}
	p.content.Refresh()
	p.host.unfolded()
}

// maxInfoPrompt bounds how much of a prompt is shown, in characters: four to six lines.
const maxInfoPrompt = 180

const infoRowHeight float32 = 20

func (p *infoPanel) height() float32 {
	switch {
	case !p.open:
		return 0
	case p.shown == nil:
		return 64
	}
	return 40 + p.promptHeight() + float32(len(p.rows))*infoRowHeight + p.lineage.height() + 12 + 24 + 12
}

// infoInset is the room that a widget.Label has on all sides.
const infoInset = 8

// promptHeight returns the height that the prompt needs at the column's width.
func (p *infoPanel) promptHeight() float32 {
	p.prompt.Resize(fyne.NewSize(p.width-2*ui.Margin+2*infoInset, 0))
	return float32(int(p.prompt.MinSize().Height))
}

func (p *infoPanel) place(size fyne.Size) {
	width := size.Width - 2*ui.Margin
	ui.At(p.line, ui.Margin, 4, width, 1)
	ui.At(p.title, ui.Margin, 14, width, 20)
	ui.At(p.none, ui.Margin, 36, width, 20)
	if p.shown == nil {
		return
	}
	height := p.promptHeight()
	ui.At(p.prompt, ui.Margin-infoInset, 30, width+2*infoInset, height)
	y := 30 + height
	const nameWidth = 58
	for _, row := range p.rows {
		ui.At(row.name, ui.Margin, y, nameWidth, infoRowHeight)
		ui.At(row.value, ui.Margin+nameWidth, y, width-nameWidth, infoRowHeight)
		y += infoRowHeight
	}
	p.lineage.place(y, width)
	y += p.lineage.height()
	y += 12
	const between = 6
	extra := width - between*float32(len(p.use)-1) // room that is left, or is missing, shared equally
	for _, b := range p.use {
		extra -= b.MinSize().Width
	}
	x := ui.Margin
	for _, b := range p.use {
		w := b.MinSize().Width + float32(int(extra/float32(len(p.use))))
		ui.At(b, x, y, w, 24)
		x += w + between
	}
}
