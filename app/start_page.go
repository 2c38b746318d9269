package app

import (
	"context"
	"fmt"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"kleinbild/assets/demo"
	"kleinbild/inference"
)

// startPage takes the canvas's place while there is no model: what was found on this machine, a folder to choose,
// what can be downloaded.
type startPage struct {
	s      *session
	asked  bool // the user wants another model
	found  []Model
	looked bool

	loading string // the download under way
	cancel  context.CancelFunc
	bar     *progressLine
	state   *label

	column  *fyne.Container
	content *fyne.Container
}

func newStartPage(s *session) *startPage {
	p := &startPage{s: s, bar: newProgressLine(), state: newLabel("", colorDim, sizeCaption)}
	p.column = container.New(stacked{})
	scroll := container.NewVScroll(container.New(centred{}, p.column))
	p.content = container.NewStack(newBox(colorCanvas, 0), scroll)
	p.content.Hide()
	return p
}

// look searches this machine for models and shows them.
func (p *startPage) look() {
	p.refresh()
	find := p.s.cfg.FindModels
	if find == nil {
		return
	}
	p.s.background(func() func() {
		found := find(p.s.closing)
		return func() {
			p.found, p.looked = found, true
			p.refresh()
		}
	})
}

func (p *startPage) refresh() {
	s := p.s
	var rows []fyne.CanvasObject
	title, text := "Choose a model", ""
	onlyDemo := s.onlyDemo()
	switch {
	case onlyDemo:
		title = "One thing is missing: a model"
		text = "Kleinbild makes pictures with FLUX.2 [klein], which runs on this machine and nowhere else. It is a download of several gigabytes, or a folder that you have already."
		if s.set.demoTried() {
			text += " Until then the demo model serves."
		}
	case s.engine != nil:
		text = "Pictures are made with " + modelName(s.engine.Info()) + " now."
	case s.openError != nil:
		title = "The model could not be opened"
		text = explain(s.openError)
	}
	if p.canLeave() && (!onlyDemo || s.set.demoTried()) { // the first time there is nothing to go back to
		back := newLink("‹ Back", p.leave)
		rows = append(rows, arranged(fixed(0, 28), func(fyne.Size) { at(back, -6, 0, back.MinSize().Width, 24) }, back))
	}
	rows = append(rows, heading(title), p.paragraph(text))
	if onlyDemo {
		rows = append(rows, spaced(newHeading("Nothing to download")))
		rows = append(rows, p.demoRow())
	}
	if len(p.found) > 0 {
		rows = append(rows, spaced(newHeading("On this machine")))
		for _, m := range p.found {
			b := newButton("Use", func() { p.use(m.Spec) })
			if p.inUse(m) {
				b = newButton("In use", p.leave)
				b.chosen = true
			}
			rows = append(rows, p.row(m.Name, m.Spec, gigabytes(m.SizeBytes)+" GB", b))
		}
	}
	if s.cfg.Catalogue != nil {
		rows = append(rows, spaced(newHeading("Download")))
		for _, d := range s.cfg.Catalogue.Downloads() {
			b := newButton("Download", func() { p.ask(d) })
			switch {
			case p.loading == d.Name:
				b = newButton("Stop", p.cancel)
			case p.loading != "":
				b.disabled = true
			default:
				b.accent = len(p.found) == 0 && d.Name == s.cfg.Catalogue.Downloads()[0].Name
			}
			rows = append(rows, p.row(d.Name, d.About, gigabytes(d.SizeBytes)+" GB · "+d.Licence, b))
			if p.loading == d.Name {
				rows = append(rows, arranged(fixed(0, 28), func(size fyne.Size) {
					at(p.bar, 0, 2, size.Width, 3)
					at(p.state, 0, 8, size.Width, 18)
				}, p.bar, p.state))
			}
		}
	}
	rows = append(rows, spaced(newHeading("A folder of yours")))
	rows = append(rows, p.row("A Diffusers folder", "with transformer, text_encoder and vae in it", "", newButton("Choose…", p.chooseFolder)))
	if s.engine == nil && s.set.device() != string(inference.DeviceAuto) {
		rows = append(rows, p.row("Compute on what is there", "instead of what was chosen under Advanced", "", newButton("Try", func() {
			s.advanced.device.SetSelected(deviceChoices[0][0]) // which opens the model
		})))
	}
	p.column.Objects = rows
	p.content.Refresh()
}

// canLeave says whether there is a way back to pictures: a model is there, or on its way.
func (p *startPage) canLeave() bool { return p.asked && (p.s.engine != nil || p.s.opening) }

// inUse says whether pictures are made with a model.
func (p *startPage) inUse(m Model) bool {
	return p.s.engine != nil && p.s.engine.Info().Location == m.Spec
}

// leave goes back to pictures. With the demo model that is a choice for the next starts too; a real model still goes
// before it once there is one.
func (p *startPage) leave() {
	if p.s.onlyDemo() {
		p.s.set.setDemoTried()
		if p.asked {
			p.s.sayDemo()
		}
	}
	p.asked = false
	p.s.view.refresh()
}

func heading(text string) fyne.CanvasObject {
	l := newLabel(text, colorText, "headingText")
	return arranged(fixed(0, 36), func(size fyne.Size) { l.Resize(size) }, l)
}

// width is that of the column.
func (p *startPage) width() float32 {
	return between(100, p.content.Size().Width-4*margin, columnWidth)
}

func (p *startPage) paragraph(text string) fyne.CanvasObject {
	l := newSentenceLabel(text)
	// A label has a margin of its own; without it the text lines up with the headings.
	const inset = 8
	return arranged(func() fyne.Size {
		l.Resize(fyne.NewSize(p.width()+2*inset, 0))
		return fyne.NewSize(0, l.MinSize().Height)
	}, func(size fyne.Size) { at(l, -inset, 0, size.Width+2*inset, size.Height) }, l)
}

func spaced(l *label) fyne.CanvasObject {
	return arranged(fixed(0, 36), func(size fyne.Size) { at(l, 0, 12, size.Width, 20) }, l)
}

// row is one choice: what it is, about it, its size, and the button that takes it.
func (p *startPage) row(name, about, size string, b *button) fyne.CanvasObject {
	ground := newBox(colorPanel, radius)
	title, sub, amount := newLabel(name, colorText, sizeText), newLabel(about, colorDim, sizeCaption), newLabel(size, colorDim, sizeCaption)
	amount.align = fyne.TextAlignTrailing
	return arranged(fixed(0, 60), func(size fyne.Size) {
		at(ground, 0, 0, size.Width, 54)
		w := b.MinSize().Width + 8
		at(b, size.Width-w-margin, 12, w, 30)
		a := amount.natural().Width
		at(amount, size.Width-w-2*margin-a, 12, a, 30)
		room := size.Width - w - a - 4*margin
		at(title, margin, 8, room, 20)
		at(sub, margin, 28, room, 18)
	}, ground, title, sub, amount, b)
}

// demoRow is the demo model's choice: with what it makes, and the prompt for it.
func (p *startPage) demoRow() fyne.CanvasObject {
	const height, inset, side = 96, 6, 78
	shown := canvas.NewImageFromResource(fyne.NewStaticResource("house.png", demo.Picture))
	row := p.row("Demo model: simple drawings only", "“"+demo.Prompt+"”", "", newButton("Try", p.try))
	ground := newBox(colorPanel, radius)
	return arranged(fixed(0, height), func(size fyne.Size) {
		at(ground, 0, 0, size.Width, height-6)
		at(shown, inset, inset, side, side)
		at(row, inset+side, (height-60)/2, size.Width-inset-side, 60)
	}, ground, shown, row)
}

// try leaves with the demo model's prompt in the box, unless something is written there.
func (p *startPage) try() {
	if prompt := p.s.prompt; prompt.entry.Text == "" {
		prompt.setText(demo.Prompt)
	}
	p.leave()
}

// use opens a model and remembers it.
func (p *startPage) use(spec string) {
	s := p.s
	s.cfg.ModelSetting = spec
	if remember := s.cfg.RememberModel; remember != nil {
		s.background(func() func() {
			if err := remember(spec); err != nil {
				return func() { s.notice.say("The choice of the model could not be kept: " + explain(err)) }
			}
			return nil
		})
	}
	p.asked = false
	s.openModel(inference.Options{})
	s.view.refresh()
}

func (p *startPage) chooseFolder() {
	p.s.pickFolder("Choose a model's folder", "", p.use)
}

// ask begins a download once the user has agreed to the licence where it asks for that.
func (p *startPage) ask(d Download) {
	if d.Agree == "" {
		p.download(d)
		return
	}
	p.s.notice.ask(d.Agree, action{"I agree: download", func() { p.download(d) }}, action{"No", nil})
}

// download fetches a model; what was fetched stays where it is stopped, and the next time goes on from there.
func (p *startPage) download(d Download) {
	ctx, cancel := context.WithCancel(p.s.closing)
	p.loading, p.cancel = d.Name, cancel
	p.bar.set(0)
	p.state.set("Connecting…", colorDim)
	p.refresh()
	catalogue, post := p.s.cfg.Catalogue, p.s.post
	p.s.background(func() func() {
		meter := newMeter(post, func(done, total int64) {
			if total > 0 {
				p.bar.set(float32(done) / float32(total))
			}
			p.state.set(fmt.Sprintf("%s of %s GB", gigabytes(done), gigabytes(total)), colorDim)
		})
		spec, err := catalogue.Get(ctx, d.Name, meter.report)
		return func() {
			stopped := ctx.Err() != nil
			cancel()
			p.loading = ""
			p.refresh()
			switch {
			case stopped:
				p.s.notice.say("The download is stopped; it goes on from there next time.")
			case err != nil:
				p.s.notice.fail(err)
			default:
				p.use(spec)
			}
		}
	})
}
