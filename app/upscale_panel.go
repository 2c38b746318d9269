package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// upscalePanel chooses how a picture is enlarged: how much, by which network, and whether the model works it over. It
// opens above the button “Upscale…”. What is chosen stays for the next pictures.
type upscalePanel struct {
	*ui.Popover
	common
	choices  upscaleChoices
	size     picture.Size // of the picture
	networks []string     // the paths of those that were found, never empty

	scales    []*ui.Button
	about     *ui.Label // the size of the result
	named     *ui.Label // “Network”
	network   *ui.Choice
	refine    *widget.Check
	strengths []*ui.Button
	refined   *ui.Label // what refining does, or why it cannot be done
	start     *ui.Button
}

// strengths are how much the model may change, in the artist's words.
var strengths = []struct {
	name, about string
	value       float64
}{
	{"Gentle", "Adds fine detail, and leaves all else as it is.", 0.25},
	{"Clear", "Draws small things anew.", 0.5},
	{"Bold", "May also change what there is.", 0.75},
}

// newUpscalePanel returns the panel for a picture of a size; start goes on.
func newUpscalePanel(
	c common, choices upscaleChoices, size picture.Size, networks []string, start func(),
) *upscalePanel {
	p := &upscalePanel{
		common: c, choices: choices, size: size, networks: networks, about: ui.NewCaption(""), refined: ui.NewCaption(""),
		named: ui.NewLabel("Network", ui.ColorText, ui.SizeText),
	}
	for i := range studio.MostScale - studio.LeastScale + 1 {
		scale := studio.LeastScale + i
		b := p.button(fmt.Sprintf("%d×", scale), &p.scales, i, func() { choices.setScale(scale) })
		b.Passed = func() bool { return choices.scale() != scale }
	}
	for i := range strengths {
		b := p.button(strengths[i].name, &p.strengths, i, func() { choices.setStrength(i) })
		b.Passed = func() bool { return choices.strength() != i }
	}
	var offered [][2]string
	for _, path := range networks {
		offered = append(offered, [2]string{networkName(path), path})
	}
	p.network = ui.NewChoice(c.keys, offered, p.chosenNetwork(), func(path string) {
		choices.setNetwork(path)
		p.refresh()
	})
	var check fyne.CanvasObject
	p.refine, check = ui.NewCheck("Refine with the model")
	p.refine.SetChecked(choices.refine())
	p.refine.OnChanged = func(on bool) {
		choices.setRefine(on)
		p.refresh()
	}
	p.start = ui.NewButton("Upscale", start)
	p.start.Accent = true
	objects := []fyne.CanvasObject{p.about, p.named, p.network, check, p.refined, p.start}
	for _, b := range append(slices.Clone(p.scales), p.strengths...) {
		objects = append(objects, b)
	}
	p.Popover = ui.NewPopover(ui.Arranged(ui.Fixed(320, 236), func(size fyne.Size) {
		placeGroup(p.scales, 0, size.Width)
		ui.At(p.about, 0, 34, size.Width, 18)
		ui.At(p.named, 0, 62, 64, 32)
		ui.At(p.network, 64, 60, size.Width-64, 34)
		ui.At(check, -8, 102, size.Width+8, 32)
		placeGroup(p.strengths, 138, size.Width)
		ui.At(p.refined, 0, 172, size.Width, 18)
		w := p.start.MinSize().Width + 24
		ui.At(p.start, size.Width-w, 204, w, 32)
	}, objects...))
	p.refresh()
	return p
}

// button adds a button to a group, whose Tab key stops once and whose arrows choose.
func (p *upscalePanel) button(text string, group *[]*ui.Button, i int, choose func()) *ui.Button {
	b := ui.NewButton(text, func() {
		choose()
		p.refresh()
	})
	b.OnArrow = func(by int) {
		list := *group
		if to := i + by; to >= 0 && to < len(list) {
			list[to].Tapped(nil)
			ui.TakeFocus(list[to])
		}
	}
	*group = append(*group, b)
	return b
}

// placeGroup puts buttons of one width beside each other.
func placeGroup(group []*ui.Button, y, width float32) {
	const between = 6
	w := (width - between*float32(len(group)-1)) / float32(len(group))
	for i, b := range group {
		ui.At(b, float32(i)*(w+between), y, w, 28)
	}
}

// networkName is how a network is called: its file without folder and ending.
func networkName(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// chosenNetwork is the network that was chosen last, or the first if that is gone.
func (p *upscalePanel) chosenNetwork() string {
	if path := p.choices.network(); slices.Contains(p.networks, path) {
		return path
	}
	return p.networks[0]
}

// asked returns what is chosen.
func (p *upscalePanel) asked() studio.Upscale {
	u := studio.Upscale{Scale: p.choices.scale(), Network: p.chosenNetwork()}
	if p.choices.refine() && p.cannotRefine() == "" {
		u.Strength = strengths[p.choices.strength()].value
	}
	return u
}

// cannotRefine says why the model cannot work pictures over, "" if it can.
func (p *upscalePanel) cannotRefine() string {
	switch engine := p.Model.Engine(); engine.(type) {
	case nil:
		return "There is no model to refine with."
	case studio.Refiner:
		return ""
	}
	return "Only a model on this computer can refine."
}

// fits says whether a picture may be enlarged as u says.
func (p *upscalePanel) fits(u studio.Upscale) bool {
	size := u.SizeOf(p.size)
	return size.Width <= u.Limit()/max(size.Height, 1)
}

func (p *upscalePanel) refresh() {
	u := p.asked()
	for i, b := range p.scales {
		b.SetChosen(studio.LeastScale+i == u.Scale)
	}
	size := u.SizeOf(p.size)
	text := fmt.Sprintf("%s · %.1f megapixels", times(size), float64(size.Width*size.Height)/1e6)
	color := ui.ColorDim
	if !p.fits(u) {
		text += fmt.Sprintf(", want at most %d", u.Limit()/1_000_000)
		color = ui.ColorError
	} else if took := p.expected(u); took != "" {
		text += " · " + took
	}
	p.about.Set(text, color)
	p.start.SetDisabled(!p.fits(u))
	why := p.cannotRefine()
	if why != "" {
		p.refine.Disable()
	}
	for i, b := range p.strengths {
		b.SetDisabled(!u.Refines())
		b.SetChosen(u.Refines() && i == p.choices.strength())
	}
	if why == "" {
		why = "The model draws the enlarged picture again, in parts."
		if u.Refines() {
			why = strengths[p.choices.strength()].about
		}
	}
	p.refined.Set(why, ui.ColorDim)
}

// expected says how long enlarging takes, judged by the last time; "" if that is not known.
func (p *upscalePanel) expected(u studio.Upscale) string {
	info, _ := p.Model.Info()
	if took := p.Album.Enlarged(networkName(u.Network), u, p.size, info.Digest); took > 0 {
		return "about " + roughly(took)
	}
	return ""
}

// upscaleChoices are how pictures were enlarged last, in the preferences.
type upscaleChoices struct{ kept fyne.Preferences }

func (s settings) upscales() upscaleChoices { return upscaleChoices{s.window} }

func (c upscaleChoices) scale() int {
	return min(max(c.kept.IntWithFallback("upscale", studio.MostScale), studio.LeastScale), studio.MostScale)
}
func (c upscaleChoices) setScale(v int)      { c.kept.SetInt("upscale", v) }
func (c upscaleChoices) network() string     { return c.kept.String("upscaleNetwork") }
func (c upscaleChoices) setNetwork(v string) { c.kept.SetString("upscaleNetwork", v) }
func (c upscaleChoices) refine() bool        { return c.kept.Bool("upscaleRefine") }
func (c upscaleChoices) setRefine(v bool)    { c.kept.SetBool("upscaleRefine", v) }

// strength is an index of strengths.
func (c upscaleChoices) strength() int {
	return min(max(c.kept.Int("upscaleStrength"), 0), len(strengths)-1)
}
func (c upscaleChoices) setStrength(v int) { c.kept.SetInt("upscaleStrength", v) }

// take makes the choices those of a batch.
func (c upscaleChoices) take(u studio.Upscale) {
	c.setScale(u.Scale)
	c.setNetwork(u.Network)
	c.setRefine(u.Refines())
	for i, s := range strengths {
		if s.value == u.Strength {
			c.setStrength(i)
		}
	}
}
