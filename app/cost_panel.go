package app

import (
	"fmt"

	"fyne.io/fyne/v2"
	"github.com/shirou/gopsutil/v4/mem"

	"kleinbild/inference"
)

// costPanel says which model computes where, and what the next picture will cost in memory where the engine plans it.
type costPanel struct {
	s       *session
	model   *label
	bar     *box
	filled  *box
	memory  *label
	share   float32
	content *fyne.Container
}

func newCostPanel(s *session) *costPanel {
	p := &costPanel{
		s: s, model: newLabel("", colorDim, sizeCaption), memory: newLabel("", colorDim, sizeCaption),
		bar: newBox(colorLine, 2), filled: newBox(colorDim, 2),
	}
	p.content = arranged(noSize, p.place, p.model, p.bar, p.filled, p.memory)
	return p
}

func (p *costPanel) height() float32 {
	if p.memory.text == "" {
		return 36
	}
	return 62
}

func (p *costPanel) place(size fyne.Size) {
	width := size.Width - 2*margin
	at(p.model, margin, 6, width, 18)
	at(p.bar, margin, 28, width, 4)
	at(p.filled, margin, 28, width*p.share, 4)
	at(p.memory, margin, 36, width, 18)
}

func (p *costPanel) refresh() {
	engine := p.s.engine
	p.share = 0
	memory := ""
	switch {
	case engine != nil:
		info := engine.Info()
		p.model.set(modelName(info)+" · "+info.Device, colorDim)
		if planner, ok := engine.(planner); ok {
			if req, err := p.s.request(); err == nil {
				need, total, err := planner.PlanBytes(req)
				if err == nil && total > 0 {
					memory = fmt.Sprintf("needs %s of %s GB", gigabytes(need), gigabytes(total))
					p.share = min(float32(need)/float32(total), 1)
				}
			}
		}
	case p.s.opening:
		p.model.set("Opening the model…", colorDim)
	default:
		p.model.set("No model", colorDim)
	}
	p.memory.set(memory, colorDim)
	for _, o := range []fyne.CanvasObject{p.bar, p.filled, p.memory} {
		show(o, memory != "")
	}
	p.content.Refresh()
	if p.s.frame != nil {
		p.s.frame.right.Refresh()
	}
}

// planner is an engine that knows beforehand what a picture takes.
type planner interface {
	// PlanBytes returns the most memory that a request takes on the device, and what the device has.
	PlanBytes(req inference.Request) (need, total int64, err error)
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e9) }

// modelName is short: the family where it is a published one, else the checkpoint's own name.
func modelName(info inference.Info) string {
	for _, published := range []string{"FLUX.2 [klein] 4B", "FLUX.2 [klein] 9B"} {
		if info.Family == published {
			return published
		}
	}
	return info.Model
}

// tightMemory says in a sentence that the model does not fit into this machine's memory.
func (s *session) tightMemory(info inference.Info) string {
	memory, err := mem.VirtualMemory()
	if err != nil || int64(memory.Total) > info.SizeBytes+2<<30 {
		return ""
	}
	return fmt.Sprintf("The model is larger than this machine's memory (%s of %s GB): it is read from the disk in every step, which is slow. A smaller model or closing other programs helps.",
		gigabytes(info.SizeBytes), gigabytes(int64(memory.Total)))
}
