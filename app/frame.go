package app

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"kleinbild/app/ui"
)

// frame lays the panels out: slots left, sizes right, the canvas in all that is left, the prompt below it and the
// history at the bottom.
type frame struct {
	s       *session
	size    fyne.Size
	scale   float32 // of the screen, when the panels were laid out
	left    *ui.Box
	rightBg *ui.Box
	right   *container.Scroll // scrolls where Advanced is unfolded in a low window
	lines   [4]*ui.Box
	content *fyne.Container
}

func newFrame(s *session) *frame {
	f := &frame{s: s, left: ui.NewBox(ui.ColorPanel, 0), rightBg: ui.NewBox(ui.ColorPanel, 0), size: s.set.windowSize(s.cfg.room)}
	s.frame = f // the panels ask it how low the window is
	stack := container.New(ui.Stacked{}, s.shape.content, s.advanced.content)
	f.right = container.NewVScroll(stack)
	objects := []fyne.CanvasObject{
		f.left, s.slots.content, s.view.content, s.queued.content, s.prompt.content, f.rightBg, f.right, s.cost.content, s.strip.content,
	}
	for i := range f.lines {
		f.lines[i] = ui.NewBox(ui.ColorLine, 0)
		objects = append(objects, f.lines[i])
	}
	f.content = ui.Arranged(func() fyne.Size { return leastSize }, f.place, append(objects, s.drag.Content)...)
	return f
}

// low says whether the window is too low for the history to stay open.
func (f *frame) low() bool { return f.size.Height < 720 }

// rescaled lays everything out anew where the screen has another scale: places are whole pixels of it.
func (f *frame) rescaled() {
	if scale := f.s.win.Canvas().Scale(); scale != f.scale {
		f.scale = scale
		f.content.Refresh()
	}
}

func (f *frame) place(size fyne.Size) {
	if size.IsZero() {
		return
	}
	wasLow := f.low()
	f.size = size
	s := f.s
	left := float32(int(ui.Between(156, size.Width*0.16, 340)))
	right := float32(int(ui.Between(228, size.Width*0.186, 340)))
	strip := s.strip.height()
	prompt := float32(132)
	if f.low() {
		prompt = 112
	}
	upper := size.Height - strip
	middle := size.Width - left - right
	queue := s.queued.height()
	ui.At(f.left, 0, 0, left, upper)
	ui.At(s.slots.content, 0, 0, left, upper)
	ui.At(s.view.content, left, 0, middle, upper-prompt-queue)
	ui.At(s.queued.content, left, upper-prompt-queue, middle, queue)
	ui.At(s.prompt.content, left, upper-prompt, middle, prompt)
	cost := s.cost.height()
	ui.At(f.rightBg, left+middle, 0, right, upper)
	ui.At(f.right, left+middle, 0, right, upper-cost)
	ui.At(s.cost.content, left+middle, upper-cost, right, cost)
	ui.At(s.strip.content, 0, upper, size.Width, strip)
	ui.At(f.lines[0], left-1, 0, 1, upper)
	ui.At(f.lines[1], left+middle, 0, 1, upper)
	ui.At(f.lines[2], 0, upper, size.Width, 1)
	ui.At(f.lines[3], left, upper-prompt-queue, middle, 1)
	s.drag.Content.Resize(size)
	if wasLow != f.low() {
		f.right.Content.Refresh()
		s.strip.content.Refresh()
	}
}
