package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/demo"
	"github.com/kleinbild/kleinbild/inference"
)

// startPage takes the canvas's place while there is no model. It offers the models that were found on this machine, a
// folder to choose, and downloads.
type startPage struct {
	common
	cfg   Config
	host  startHost
	asked bool // the page is to show although a model is open: the user wants another one
	found []Model
	all   bool // the downloads that are not recommended show, too

	memory inference.Room // that models should fit into
	// expected is about how long a picture takes with downloads, by their names, on this computer's processor.
	expected map[string]time.Duration

	loading string // the download under way
	cancel  context.CancelFunc
	bar     *ui.ProgressLine
	state   *ui.Label

	column  *fyne.Container
	content *fyne.Container
}

// startHost is what the page asks of the window.
type startHost interface {
	useModel(spec string)  // opens a model and remembers it
	computeAnywhere()      // forgets the choice of a device, and opens the model
	sayDemo()              // names the demo model for what it is
	tryPrompt(text string) // puts a prompt into an empty box
	startLeft()            // shows pictures again
	pickFolder(title, start string, chosen func(dir string))
	pickModelFile(chosen func(path string))
	remote() (r Remote, use bool) // the other computer that is used, or was used last
	chooseRemote()                // asks for another computer
	retryRemote()                 // tries again to reach the other computer
	useThisComputer()             // makes pictures here again
}

func newStartPage(c common, cfg Config, host startHost) *startPage {
	p := &startPage{
		common: c, cfg: cfg, host: host, bar: ui.NewProgressLine(), state: ui.NewCaption(""),
		expected: map[string]time.Duration{},
	}
	if p.cfg.memoryOn == nil {
		p.cfg.memoryOn = inference.RoomOn
	}
	p.memory = p.cfg.memoryOn(inference.DeviceCPU)
	p.column = container.New(ui.Stacked{})
	scroll := container.NewVScroll(container.New(ui.Centred{}, p.column))
	p.content = container.NewStack(ui.NewBox(ui.ColorCanvas, 0), scroll)
	p.content.Hide()
	p.Model.Changed.Subscribe(func() {
		if p.content.Visible() {
			p.refresh()
		}
	})
	return p
}

// look searches this machine for models, and a graphics card for its memory, and shows them.
func (p *startPage) look() {
	p.refresh()
	p.expect()
	find, memoryOn, device := p.cfg.FindModels, p.cfg.memoryOn, p.set.Device()
	p.Loop.Background(func() func() {
		memory := memoryOn(device)
		var found []Model
		if find != nil {
			found = find(inference.WithRoomOn(p.Loop.Closing, device))
		}
		return func() {
			p.found, p.memory = found, memory
			p.refresh()
		}
	})
}

func (p *startPage) refresh() {
	var rows []fyne.CanvasObject
	title, text := "Choose a model", ""
	onlyDemo := p.Model.OnlyDemo()
	_, useRemote := p.host.remote()
	switch {
	case onlyDemo:
		title = "One thing is missing: a model"
		text = "Kleinbild makes pictures with FLUX.2 [klein], which runs on this computer and nowhere else. " +
			"It is a download of several gigabytes, or a file or folder that you have already."
		if p.set.DemoTried() {
			text += " Until then the demo model serves."
		}
	case p.Model.Engine() != nil:
		info := p.Model.Engine().Info()
		text = "Pictures are made with " + modelName(info) + " now."
		if info.Remote != "" {
			text = "Pictures are made by " + info.Remote + " now, with " + modelName(info) + " on " + info.Device + "."
		}
	case p.Model.Err() != nil && useRemote:
		title = "The other computer cannot be used"
		text = explain(p.Model.Err())
	case p.Model.Err() != nil:
		title = "The model could not be opened"
		text = explain(p.Model.Err())
	}
	if p.canLeave() && (!onlyDemo || p.set.DemoTried()) { // the first time there is nothing to go back to
		back := ui.NewLink("‹ Back", p.leave)
		rows = append(rows, ui.Arranged(ui.Fixed(0, 28), func(fyne.Size) {
			ui.At(back, -6, 0, back.MinSize().Width, 24)
		}, back))
	}
	rows = append(rows, heading(title), p.paragraph(text))
	if useRemote {
		rows = append(rows, p.remoteRows()...)
	}
	if found := p.foundRows(); len(found) > 0 { // what is there is quicker than any download
		rows = append(rows, found...)
		rows = append(rows, p.recommendedRows("To download")...)
	} else {
		rows = append(rows, p.recommendedRows("Recommended for this computer")...)
	}
	rows = append(rows, p.otherRows()...)
	if onlyDemo {
		rows = append(rows, spaced(ui.NewHeading("Nothing to download")))
		rows = append(rows, p.demoRow())
	}
	rows = append(rows, spaced(ui.NewHeading("A model that you have")))
	file := ui.NewButton("Choose a file…", p.chooseFile).Says("A .safetensors or .gguf file")
	folder := ui.NewButton("Choose a folder…", p.chooseFolder).Says("A folder with transformer, text_encoder and vae")
	rows = append(rows, p.row("One file or a folder", "as ComfyUI, Forge or Diffusers have it", "", file, folder))
	if !useRemote {
		rows = append(rows, p.remoteRows()...)
	}
	if p.Model.Engine() == nil && p.set.Device() != inference.DeviceAuto && !useRemote {
		try := ui.NewButton("Try", p.host.computeAnywhere)
		rows = append(rows, p.row("Compute on what is there", "instead of what was chosen under Advanced", "", try))
	}
	p.column.Objects = rows
	p.content.Refresh()
}

// foundRows show the models that were found on this computer.
func (p *startPage) foundRows() (rows []fyne.CanvasObject) {
	for i, m := range p.found {
		if i == 0 {
			rows = append(rows, spaced(ui.NewHeading("On this computer")))
		}
		b := ui.NewButton("Use", func() { p.use(m.Spec) })
		if p.inUse(m) {
			b = ui.NewButton("In use", p.leave)
			b.Chosen = true
		}
		rows = append(rows, p.foundRow(m, b.Says(m.Why)))
	}
	return rows
}

// foundRow shows a model with what is to be expected of it.
func (p *startPage) foundRow(m Model, b *ui.Button) fyne.CanvasObject {
	const height = 78
	ground := ui.NewBox(ui.ColorPanel, ui.Radius)
	row := p.row(m.Name, p.memory.Words(m.Need)+" · "+string(m.Quality), gigabytes(m.SizeBytes)+" GB", b)
	spec := ui.NewCaption(m.Spec)
	return ui.Arranged(ui.Fixed(0, height), func(size fyne.Size) {
		ui.At(ground, 0, 0, size.Width, height-6)
		ui.At(row, 0, 0, size.Width, 60)
		ui.At(spec, ui.Margin, 47, size.Width-2*ui.Margin, 18)
	}, ground, row, spec)
}

// canLeave says whether there is a way back to pictures: whether a model is open or is being opened.
func (p *startPage) canLeave() bool {
	return p.asked && (p.Model.Engine() != nil || p.Model.Opening())
}

// inUse says whether pictures are made with a model.
func (p *startPage) inUse(m Model) bool {
	info, ok := p.Model.Info()
	return ok && info.Location == m.Spec
}

// leave goes back to pictures. If only the demo model is there, the next start will not ask again. A real model is
// preferred as soon as there is one.
func (p *startPage) leave() {
	if p.Model.OnlyDemo() {
		p.set.SetDemoTried()
		if p.asked {
			p.host.sayDemo()
		}
	}
	p.asked = false
	p.host.startLeft()
}

func heading(text string) fyne.CanvasObject {
	l := ui.NewLabel(text, ui.ColorText, "headingText")
	return ui.Arranged(ui.Fixed(0, 36), func(size fyne.Size) { l.Resize(size) }, l)
}

// width returns the width of the column.
func (p *startPage) width() float32 {
	return ui.Between(100, p.content.Size().Width-4*ui.Margin, ui.ColumnWidth)
}

func (p *startPage) paragraph(text string) fyne.CanvasObject {
	l := ui.NewSentenceLabel(text)
	// A label has a margin of its own; without it the text lines up with the headings.
	const inset = 8
	return ui.Arranged(func() fyne.Size {
		l.Resize(fyne.NewSize(p.width()+2*inset, 0))
		return fyne.NewSize(0, l.MinSize().Height)
	}, func(size fyne.Size) { ui.At(l, -inset, 0, size.Width+2*inset, size.Height) }, l)
}

func spaced(l *ui.Label) fyne.CanvasObject {
	return ui.Arranged(ui.Fixed(0, 36), func(size fyne.Size) { ui.At(l, 0, 12, size.Width, 20) }, l)
}

// row returns one choice: its name, a few words about it, its size, and the buttons that take it.
func (p *startPage) row(name, about, size string, buttons ...*ui.Button) fyne.CanvasObject {
	ground := ui.NewBox(ui.ColorPanel, ui.Radius)
	title, sub := ui.NewLabel(name, ui.ColorText, ui.SizeText), ui.NewCaption(about)
	amount := ui.NewCaption(size)
	amount.Align = fyne.TextAlignTrailing
	objects := []fyne.CanvasObject{ground, title, sub, amount}
	for _, b := range buttons {
		objects = append(objects, b)
	}
	return ui.Arranged(ui.Fixed(0, 60), func(size fyne.Size) {
		ui.At(ground, 0, 0, size.Width, 54)
		right := size.Width - ui.Margin
		for _, b := range slices.Backward(buttons) {
			w := b.MinSize().Width + 8
			right -= w
			ui.At(b, right, 12, w, 30)
			right -= ui.Gap
		}
		a := amount.Natural().Width
		ui.At(amount, right-a-4, 12, a, 30)
		room := right - a - 4 - 2*ui.Margin
		ui.At(title, ui.Margin, 8, room, 20)
		ui.At(sub, ui.Margin, 28, room, 18)
	}, objects...)
}

// demoRow returns the choice of the demo model, with a picture that it makes and the prompt for it.
func (p *startPage) demoRow() fyne.CanvasObject {
	const height, inset, side = 96, 6, 78
	shown := canvas.NewImageFromResource(fyne.NewStaticResource("house.png", demo.Picture))
	row := p.row("Demo model: simple drawings only", "“"+demo.Prompt+"”", "", ui.NewButton("Try", p.try))
	ground := ui.NewBox(ui.ColorPanel, ui.Radius)
	return ui.Arranged(ui.Fixed(0, height), func(size fyne.Size) {
		ui.At(ground, 0, 0, size.Width, height-6)
		ui.At(shown, inset, inset, side, side)
		ui.At(row, inset+side, (height-60)/2, size.Width-inset-side, 60)
	}, ground, shown, row)
}

// try takes the demo model: it leaves the page, and puts that model's prompt into the box if the box is empty.
func (p *startPage) try() {
	p.host.tryPrompt(demo.Prompt)
	p.leave()
}

// use opens a model and remembers it.
func (p *startPage) use(spec string) {
	p.asked = false
	p.host.useModel(spec)
}

func (p *startPage) chooseFile() { p.host.pickModelFile(p.use) }

func (p *startPage) chooseFolder() {
	p.host.pickFolder("Choose a model's folder", "", p.use)
}

// ask begins a download. If its licence asks for that, the user has to agree first.
func (p *startPage) ask(d Download) {
	if d.Agree == "" {
		p.download(d)
		return
	}
	agree := ui.Action{Text: "I agree: download", Do: func() { p.download(d) }}
	p.notice.Ask(d.Agree, agree, ui.Action{Text: "No"})
}

// download fetches a model. If it is stopped, it is resumed the next time.
func (p *startPage) download(d Download) {
	ctx, cancel := context.WithCancel(p.Loop.Closing)
	p.loading, p.cancel = d.Name, cancel
	p.bar.Set(0)
	p.state.Set("Connecting…", ui.ColorDim)
	p.refresh()
	catalogue, post := p.cfg.Catalogue, p.Loop.Post
	p.Loop.Background(func() func() {
		meter := newMeter(post, func(done, total int64) {
			if total > 0 {
				p.bar.Set(float32(done) / float32(total))
			}
			p.state.Set(fmt.Sprintf("%s of %s GB", gigabytes(done), gigabytes(total)), ui.ColorDim)
		})
		spec, err := catalogue.Get(ctx, d.Name, meter.report)
		return func() {
			stopped := ctx.Err() != nil
			cancel()
			p.loading = ""
			p.refresh()
			switch {
			case stopped:
				p.notice.Say("The download is stopped; it goes on from there next time.")
			case err != nil:
				p.notice.fail(err)
			default:
				p.use(spec)
			}
		}
	})
}
