package app

import (
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// ownSize is the field for a size that is none of the tiles. It takes any text: the nearest valid size is chosen while
// the text is typed, and a note beside the field says which size that is.
type ownSize struct {
	common
	field   *ui.Field
	note    *ui.Label
	setting bool // the window sets the text; it is not typed
	// Typing is one step, however many keys it takes: typed is the number of steps after the last key, 0 if nothing was
	// typed since the field got the keyboard.
	typed int
}

func newOwnSize(c common) *ownSize {
	o := &ownSize{common: c, note: ui.NewCaption("")}
	o.field = ui.NewField(c.keys)
	o.field.OnLeft = o.leave
	o.field.OnSubmitted = func(string) { o.leave() }
	o.field.SetPlaceHolder("W × H, or 3:2")
	o.field.Tip.Tip = "Width × height in pixels, or a ratio of the sides"
	o.field.OnChanged = func(string) { o.changed() }
	return o
}

// changed chooses the size that is typed, if there is one.
func (o *ownSize) changed() {
	if o.setting {
		return
	}
	size, ok := studio.ReadSize(o.field.Text, o.native())
	if !ok {
		o.refresh()
		return
	}
	pick := func() { o.Desk.Choose(func(d *studio.Desk) { d.PickSize(size) }) }
	if o.typed > 0 && o.typed == o.Desk.Steps() {
		o.Desk.Amend(pick)
	} else {
		pick()
	}
	o.typed = o.Desk.Steps()
}

// leave shows the size that applies in the place of what was typed.
func (o *ownSize) leave() {
	o.typed = 0
	o.show()
}

// show writes the size that applies into the field, nothing if a tile is chosen.
func (o *ownSize) show() {
	text := ""
	if d := o.Desk.Desk(); d.Aspect == "" {
		text = times(d.Size)
	}
	if o.field.Text != text {
		o.setting = true
		o.field.SetText(text)
		o.setting = false
	}
	o.refreshNote()
}

// refresh follows the desk. Text that is being typed stays.
func (o *ownSize) refresh() {
	if !o.field.Focused || o.typed != 0 && o.typed != o.Desk.Steps() {
		o.typed = 0
		o.show()
		return
	}
	o.refreshNote()
}

// refreshNote says which size the text stands for.
func (o *ownSize) refreshNote() {
	size, ok := studio.ReadSize(o.field.Text, o.native())
	d := o.Desk.Desk()
	switch {
	case o.field.Text == "":
		o.note.Set("own size", ui.ColorDim)
	case !ok:
		o.note.Set("want two numbers", ui.ColorError)
	case d.Aspect == "" && d.Size == size:
		o.note.Set(o.told(size), ui.ColorAccent)
	default:
		o.note.Set(o.told(size), ui.ColorDim)
	}
}

// told is the nearest size if another one was typed, else its ratio.
func (o *ownSize) told(size picture.Size) string {
	if o.field.Text == times(size) {
		return studio.Ratio(size)
	}
	return "› " + times(size)
}
