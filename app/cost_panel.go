package app

import (
	"fmt"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// costPanel names the model and the device. If the engine can plan memory, it says how much the next picture will take.
type costPanel struct {
	common
	host    costHost
	ground  *ui.Box // over what scrolls below it
	model   *ui.Label
	bar     *ui.Box
	filled  *ui.Box
	memory  *ui.Label
	share   float32
	asked   int // counts refreshes
	content *fyne.Container
}

// costHost is what the panel asks of the window.
type costHost interface {
	resized() // lays the window out anew: the panel has another height
}

func newCostPanel(c common, host costHost) *costPanel {
	p := &costPanel{
		common: c, host: host, ground: ui.NewBox(ui.ColorPanel, 0),
		model: ui.NewCaption(""), memory: ui.NewCaption(""),
		bar: ui.NewBox(ui.ColorLine, 2), filled: ui.NewBox(ui.ColorDim, 2),
	}
	p.content = ui.Arranged(ui.NoSize, p.place, p.ground, p.model, p.bar, p.filled, p.memory)
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(p.refresh)
	p.Maker.Ended.Subscribe(func(studio.Ended) { p.refresh() }) // a run changes how much memory is taken
	return p
}

func (p *costPanel) height() float32 {
	if p.memory.Text == "" {
		return 36
	}
	return 62
}

func (p *costPanel) place(size fyne.Size) {
	ui.At(p.ground, 0, 0, size.Width, size.Height)
	width := size.Width - 2*ui.Margin
	ui.At(p.model, ui.Margin, 6, width, 18)
	ui.At(p.bar, ui.Margin, 28, width, 4)
	ui.At(p.filled, ui.Margin, 28, width*p.share, 4)
	ui.At(p.memory, ui.Margin, 36, width, 18)
}

func (p *costPanel) refresh() {
	engine := p.Model.Engine()
	p.asked++
	switch {
	case engine != nil:
		info := engine.Info()
		where := info.Device
		if info.Remote != "" {
			where = info.Remote
		}
		p.model.Set(modelName(info)+" · "+where, ui.ColorDim)
		if planner, ok := engine.(Planner); ok {
			p.plan(planner)
			return
		}
	case p.Model.Opening():
		p.model.Set("Opening the model…", ui.ColorDim)
	default:
		p.model.Set("No model", ui.ColorDim)
	}
	p.show("", ui.ColorDim, 0)
}

// plan asks for the next picture's memory; only the answer to the last question is shown.
func (p *costPanel) plan(planner Planner) {
	req, err := p.Request()
	if err != nil {
		return
	}
	asked := p.asked
	p.Loop.Background(func() func() {
		plan, err := planner.Plan(req)
		return func() {
			switch {
			case asked != p.asked:
			case err != nil:
				p.show("", ui.ColorDim, 0)
			case !plan.Fits():
				text := fmt.Sprintf("needs %s GB, %s GB free: take a smaller size",
					gigabytes(plan.LeastBytes), gigabytes(plan.RoomBytes))
				p.show(text, ui.ColorError, 1)
			default:
				p.show(fmt.Sprintf("needs %s of %s GB", gigabytes(plan.PeakBytes), gigabytes(plan.TotalBytes)), ui.ColorDim,
					min(float32(plan.PeakBytes)/float32(plan.TotalBytes), 1))
			}
		}
	})
}

func (p *costPanel) show(memory string, color fyne.ThemeColorName, share float32) {
	p.share = share
	height := p.height()
	p.memory.Set(memory, color)
	for _, o := range []fyne.CanvasObject{p.bar, p.filled, p.memory} {
		ui.Show(o, memory != "")
	}
	p.content.Refresh()
	if p.height() != height {
		p.host.resized()
	}
}

// modelName returns a short name: the family of a published model, or else the checkpoint's own name.
func modelName(info inference.Info) string {
	for _, published := range []string{"FLUX.2 [klein] 4B", "FLUX.2 [klein] 9B"} {
		if info.Family == published {
			return published
		}
	}
	return info.Model
}
