package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"
)

// Choice is a list to choose from that lets the window's keys through.
type Choice struct {
	widget.Select
	Tip
	keys    *Keys
	choices [][2]string
}

// NewChoice returns a list of choices, each a pair of what is shown and the value that it stands for. chosen is called
// with the value of the user's choice.
func NewChoice(k *Keys, choices [][2]string, value string, chosen func(value string)) *Choice {
	w := &Choice{keys: k, choices: choices}
	for _, c := range choices {
		w.Options = append(w.Options, c[0])
	}
	w.PlaceHolder = "Choose…"
	w.ExtendBaseWidget(w)
	for _, c := range choices {
		if c[1] == value {
			w.SetSelected(c[0])
		}
	}
	w.OnChanged = func(name string) {
		i := slices.IndexFunc(w.choices, func(c [2]string) bool { return c[0] == name })
		chosen(w.choices[i][1])
	}
	return w
}

// Offer changes what there is to choose from. What is chosen stays, until Set says otherwise.
func (c *Choice) Offer(choices [][2]string) {
	if slices.Equal(c.choices, choices) {
		return
	}
	c.choices, c.Options = choices, nil
	for _, choice := range choices {
		c.Options = append(c.Options, choice[0])
	}
	c.Refresh()
}

// Set shows the choice of a value without telling anybody.
func (c *Choice) Set(value string) {
	for _, choice := range c.choices {
		if choice[1] == value && c.Selected != choice[0] {
			c.Selected = choice[0]
			c.Refresh()
		}
	}
}

func (c *Choice) TypedKey(e *fyne.KeyEvent) {
	if c.keys.Typed(e) {
		return
	}
	switch e.Name {
	case fyne.KeySpace, fyne.KeyUp, fyne.KeyDown, fyne.KeyLeft, fyne.KeyRight: // those of widget.Select
		c.Select.TypedKey(e)
	default:
		Forward(c, e)
	}
}
