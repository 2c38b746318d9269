package app

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/look"
)

// maskBar is the bar of tools above the canvas. Where there is no room for them, the sliders go, last the size: keys
// do the same.
type maskBar struct {
	mode     *maskMode
	ground   *ui.Box
	tools    []*ui.Button // by maskTool
	actions  []*ui.Button
	frame    *ui.Button
	undo     *ui.Button
	done     *ui.Button // goes back to the board, of which a picture is cut out
	lines    [2]*ui.Box
	amounts  []*maskAmount // in the order in which they are placed
	size     *maskAmount
	hardness *maskAmount
	alike    *maskAmount // how like the colours that fill takes
	feather  *maskAmount
	content  *fyne.Container
}

// maskAmount is a slider with its name and number.
type maskAmount struct {
	name   *ui.Label
	slider *ui.Slider
	number *ui.Label
	laying bool // the slider moves because the value was changed elsewhere
	shown  bool
}

func newMaskAmount(name string, most, step float64, set func(float64)) *maskAmount {
	a := &maskAmount{name: ui.NewCaption(name), slider: ui.NewSlider(0, most, step), shown: true}
	a.number = ui.NewLabel("", ui.ColorText, ui.SizeCaption)
	a.slider.OnChanged = func(v float64) {
		if !a.laying {
			set(v)
		}
	}
	return a
}

// lay shows a value.
func (a *maskAmount) lay(v float64, text string, color fyne.ThemeColorName) {
	a.laying = true
	a.slider.SetValue(v)
	a.laying = false
	a.number.Set(text, color)
}

// mostFeather is the widest feather that the slider offers; the field under Advanced takes more.
const mostFeather = 200

func toolButton(name string, do func()) *ui.Button {
	file, err := look.Tools.ReadFile("tools/" + name + ".svg")
	if err != nil {
		panic(err) // the file is part of the program
	}
	return ui.NewIconButton(fyne.NewStaticResource(name+".svg", file), do).Says(toolTips[name])
}

// toolTips say what the tools of a mask do.
var toolTips = map[string]string{
	"brush": "Brush (B)", "eraser": "Eraser (E)", "lasso": "Lasso (L)", "rectangle": "Rectangle (R)",
	"fill": "Fill what is alike (F)", "invert": "Invert", "clear": "Clear (Delete)",
	"frame": "Show or hide the work area", "undo": "Undo (Ctrl + Z)", "more": "More",
	"done": "Back to the board (Esc)",
}

func newMaskBar(m *maskMode) *maskBar {
	b := &maskBar{mode: m, ground: ui.NewBox(ui.ColorPanel, ui.Radius)}
	b.ground.Stroke = ui.ColorLine
	objects := []fyne.CanvasObject{b.ground}
	for i, name := range []string{"brush", "eraser", "lasso", "rectangle", "fill"} {
		tool := maskTool(i)
		button := toolButton(name, func() {
			m.layer.setTool(tool)
			m.host.focus(m.layer)
		})
		button.Passed = func() bool { return m.layer.tool != tool }
		button.OnArrow = func(by int) {
			next := (i + by + len(b.tools)) % len(b.tools)
			m.layer.setTool(maskTool(next))
			m.host.focus(b.tools[next])
		}
		b.tools = append(b.tools, button)
		objects = append(objects, button)
	}
	b.size = newMaskAmount("Size", 1, 0.005, func(v float64) { m.layer.setSize(math.Pow(paint.MostSize, v)) })
	b.hardness = newMaskAmount("Hardness", 1, 0.01, m.layer.setHardness)
	b.alike = newMaskAmount("Tolerance", 128, 1, func(v float64) {
		m.layer.tolerance = int(v)
		b.refresh()
	})
	b.feather = newMaskAmount("Feather", mostFeather, 1, func(v float64) { m.setFeather(strconv.Itoa(int(v))) })
	b.amounts = []*maskAmount{b.size, b.hardness, b.alike, b.feather}
	for _, a := range b.amounts {
		a.number.Align = fyne.TextAlignTrailing
		objects = append(objects, a.name, a.slider, a.number)
	}
	for i := range b.lines {
		b.lines[i] = ui.NewBox(ui.ColorLine, 0)
		objects = append(objects, b.lines[i])
	}
	b.frame = toolButton("frame", m.toggleFrame)
	b.undo = toolButton("undo", func() { m.Desk.Undo() })
	b.actions = []*ui.Button{
		toolButton("invert", m.invert), toolButton("clear", m.clear), b.frame, b.undo,
		toolButton("more", func() {
			more := b.actions[len(b.actions)-1]
			at := fyne.CurrentApp().Driver().AbsolutePositionForObject(more)
			ui.ShowMenu(more, m.menu(), at.AddXY(0, more.Size().Height+4))
		}),
	}
	for _, a := range b.actions {
		objects = append(objects, a)
	}
	b.done = toolButton("done", func() { m.host.leaveMode() })
	objects = append(objects, b.done)
	b.content = ui.Arranged(func() fyne.Size { return fyne.NewSize(b.place(1e6), maskBarHeight) },
		func(size fyne.Size) { b.place(size.Width) }, objects...)
	return b
}

const (
	maskBarHeight float32 = 42
	maskToolSide  float32 = 32
	maskSlider    float32 = 84
	maskNumber    float32 = 34
)

// width is the room that the slider takes.
func (a *maskAmount) width() float32 { return a.name.Natural().Width + maskSlider + maskNumber + 14 }

// place lays the bar out in a width and returns the width that it needs.
func (b *maskBar) place(width float32) float32 {
	const side, gap, group = 6, 3, 10
	actions := b.actions
	if b.mode.holder != nil { // no model works on it
		actions = append(slices.DeleteFunc(slices.Clone(actions), func(a *ui.Button) bool { return a == b.frame }), b.done)
	}
	ui.Show(b.frame, b.mode.holder == nil)
	ui.Show(b.done, b.mode.holder != nil)
	used := func() (sum float32) {
		sum = 2*side + float32(len(b.tools)+len(actions))*(maskToolSide+gap) - 2*gap + 3*group
		for _, a := range b.amounts {
			if a.shown {
				sum += a.width()
			}
		}
		return sum
	}
	brushes := b.mode.layer == nil || b.mode.layer.brushes()
	b.size.shown, b.hardness.shown, b.feather.shown = brushes, brushes, b.mode.holder == nil
	b.alike.shown = !brushes && b.mode.layer.tool == fillTool
	for _, a := range []*maskAmount{b.hardness, b.feather, b.alike, b.size} {
		if used() > width {
			a.shown = false
		}
	}
	x, y := float32(side), (maskBarHeight-maskToolSide)/2
	b.ground.Resize(fyne.NewSize(used(), maskBarHeight))
	buttons := func(list []*ui.Button) {
		for _, button := range list {
			ui.At(button, x, y, maskToolSide, maskToolSide)
			x += maskToolSide + gap
		}
		x += group - gap
	}
	line := func(box *ui.Box) {
		ui.At(box, x, 1, 1, maskBarHeight-2)
		x += group
	}
	buttons(b.tools)
	line(b.lines[0])
	between := x
	for _, a := range b.amounts {
		for _, o := range []fyne.CanvasObject{a.name, a.slider, a.number} {
			ui.Show(o, a.shown)
		}
		if !a.shown {
			continue
		}
		name := a.name.Natural().Width
		ui.At(a.name, x, 0, name, maskBarHeight)
		ui.At(a.slider, x+name, 0, maskSlider, maskBarHeight)
		ui.At(a.number, x+name+maskSlider-4, 0, maskNumber-4, maskBarHeight)
		x += a.width()
	}
	ui.Show(b.lines[1], x > between) // beside the other line it would be one too many
	if b.lines[1].Visible() {
		line(b.lines[1])
	}
	buttons(actions)
	return used()
}

// refresh shows the tool that is chosen, the amounts, and what can be undone.
func (b *maskBar) refresh() {
	l := b.mode.layer
	for i, t := range b.tools {
		t.SetChosen(maskTool(i) == l.tool)
	}
	b.frame.SetChosen(b.mode.frame.Visible())
	b.size.lay(math.Log(l.brush.Size)/math.Log(paint.MostSize), fmt.Sprintf("%.0f", l.brush.Size), ui.ColorText)
	b.hardness.lay(l.brush.Hardness, fmt.Sprintf("%.0f %%", l.brush.Hardness*100), ui.ColorText)
	b.alike.lay(float64(l.tolerance), strconv.Itoa(l.tolerance), ui.ColorText)
	text, color := b.mode.Desk.Desk().Edit.Feather, ui.ColorText
	if text == "" { // the engine chooses it
		text, color = strconv.Itoa(b.mode.edge.feather), ui.ColorDim
	}
	if v, err := strconv.Atoi(text); err == nil {
		b.feather.lay(float64(v), text, color)
	}
	b.content.Refresh()
}

// setFeather changes the width of the soft edge; "" leaves it to the engine.
func (m *maskMode) setFeather(text string) {
	m.Desk.Choose(func(d *studio.Desk) { d.Edit.Feather = text })
	m.host.layEdit()
}
