package app

import (
	"fmt"
	"slices"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
)

// ratioButtons choose the ratio of a frame: any, or one of the usual ones. A second click on a ratio turns it on its
// side.
type ratioButtons struct {
	buttons []*ui.Button
	chosen  int // index of usualRatios
	upright bool
	changed func()
}

// usualRatios are the ratios of photos and films, lying; the first one stands for any.
var usualRatios = [][2]int{{}, {1, 1}, {4, 3}, {3, 2}, {16, 9}}

// newRatioButtons returns the buttons. changed is called when the user has chosen.
func newRatioButtons(focus func(fyne.Focusable), changed func()) *ratioButtons {
	r := &ratioButtons{changed: changed}
	for i := range usualRatios {
		b := ui.NewButton("", func() { r.choose(i) })
		b.Passed = func() bool { return r.chosen != i }
		b.OnArrow = func(by int) {
			if to := min(max(i+by, 0), len(usualRatios)-1); to != i {
				r.choose(to)
				focus(r.buttons[to])
			}
		}
		r.buttons = append(r.buttons, b)
	}
	r.show()
	return r
}

// objects returns the buttons as a group of a bar.
func (r *ratioButtons) objects() (list []fyne.CanvasObject) {
	for _, b := range r.buttons {
		list = append(list, b)
	}
	return list
}

// reset chooses any ratio; the others are upright ones if that is asked for.
func (r *ratioButtons) reset(upright bool) {
	r.chosen, r.upright = 0, upright
	r.show()
}

// turn turns all ratios on their sides, as the picture was.
func (r *ratioButtons) turn() {
	r.upright = !r.upright
	r.show()
}

func (r *ratioButtons) choose(i int) {
	if i == r.chosen {
		r.upright = !r.upright
	}
	r.chosen = i
	r.show()
	r.changed()
}

// ratio returns the ratio of width to height, 0 for any.
func (r *ratioButtons) ratio() float64 {
	pair := r.pair(r.chosen)
	if pair[1] == 0 {
		return 0
	}
	return float64(pair[0]) / float64(pair[1])
}

func (r *ratioButtons) pair(i int) [2]int {
	pair := usualRatios[i]
	if r.upright {
		slices.Reverse(pair[:])
	}
	return pair
}

func (r *ratioButtons) show() {
	for i, b := range r.buttons {
		text := "Free"
		if pair := r.pair(i); i > 0 {
			text = fmt.Sprintf("%d:%d", pair[0], pair[1])
		}
		b.SetText(text, "")
		b.SetChosen(i == r.chosen)
	}
}
