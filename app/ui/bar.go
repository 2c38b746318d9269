package ui

import (
	"slices"

	"fyne.io/fyne/v2"
)

// BarHeight is the height of a bar of tools.
const BarHeight float32 = 40

// bar is a row of tools in groups.
type bar struct {
	groups [][]fyne.CanvasObject
	spared []int // the numbers of groups that are hidden if there is no room, in this order
	ground *Box
	lines  []*Box
}

// NewBar returns a row of tools in groups, on a ground of its own, with a line between two groups. Each tool has its
// least size. If there is no room for all of them, groups are hidden from the last but one back to the second: the
// first and the last one are those that nobody can do without.
func NewBar(groups ...[]fyne.CanvasObject) *fyne.Container {
	var spared []int
	for i := len(groups) - 2; i > 0; i-- {
		spared = append(spared, i)
	}
	return NewSparingBar(spared, groups...)
}

// NewSparingBar is NewBar with the numbers of the groups that are hidden if there is no room, in their order.
func NewSparingBar(spared []int, groups ...[]fyne.CanvasObject) *fyne.Container {
	b := &bar{groups: groups, spared: spared, ground: NewBox(ColorPanel, 8)}
	b.ground.Stroke = ColorLine
	objects := []fyne.CanvasObject{b.ground}
	for i, g := range groups {
		if i > 0 {
			line := NewBox(ColorLine, 0)
			b.lines = append(b.lines, line)
			objects = append(objects, line)
		}
		objects = append(objects, g...)
	}
	return Arranged(func() fyne.Size { return fyne.NewSize(b.width(b.all()), BarHeight) }, b.place, objects...)
}

const (
	barPad     float32 = 6
	barBetween float32 = 4 // between two objects of a group
	barGroups  float32 = 17
)

// all returns the numbers of all groups.
func (b *bar) all() (list []int) {
	for i := range b.groups {
		list = append(list, i)
	}
	return list
}

// width returns what some of the groups take.
func (b *bar) width(shown []int) float32 {
	sum := 2 * barPad
	for n, i := range shown {
		if n > 0 {
			sum += barGroups
		}
		for k, o := range b.groups[i] {
			if k > 0 {
				sum += barBetween
			}
			sum += o.MinSize().Width
		}
	}
	return sum
}

func (b *bar) place(size fyne.Size) {
	shown := b.all()
	for _, spare := range b.spared {
		if b.width(shown) <= size.Width {
			break
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == spare })
	}
	width := min(b.width(shown), size.Width)
	x := (size.Width - width) / 2
	At(b.ground, x, 0, width, size.Height)
	x += barPad
	for _, line := range b.lines {
		Show(line, false)
	}
	next := 0 // of shown
	for i, group := range b.groups {
		visible := next < len(shown) && shown[next] == i
		if visible && next > 0 {
			line := b.lines[i-1]
			Show(line, true)
			At(line, x+barGroups/2, 8, 1, size.Height-16)
			x += barGroups
		}
		for k, o := range group {
			Show(o, visible)
			if !visible {
				continue
			}
			if k > 0 {
				x += barBetween
			}
			least := o.MinSize()
			At(o, x, (size.Height-least.Height)/2, least.Width, least.Height)
			x += least.Width
		}
		if visible {
			next++
		}
	}
}
