package app

import (
	"image"
	"image/color"
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// editRows are the rows of the advanced panel about an edit of image 1: which part of it changes, and how. A row is
// shown only if it has an effect: most of them need image 1, and some of those a mask or a larger canvas.
type editRows struct {
	common
	title   *advancedRow
	rows    []*advancedRow // below the title
	mask    *advancedRow
	name    *ui.Label // of the mask
	fields  []editField
	across  *advancedRow // the margins on the left and right
	down    *advancedRow // those at the top and bottom
	feather *advancedRow
	context *advancedRow
	work    *advancedRow
	colours *advancedRow
	keep    *advancedRow
	source  *advancedRow

	area, match, shown *ui.Choice
	amount             *ui.Slider
	laying             bool // the slider moves because another desk is laid

	pick func(chosen func(path string))
}

// editField is a field and the text of the desk that it shows.
type editField struct {
	*ui.Field
	text func(e *studio.Edit) *string
}

// The choices: pairs of what is shown and what it stands for.
var (
	areaChoices  = [][2]string{{"Around it", "part"}, {"All of image 1", "whole"}}
	frameChoices = append([][2]string{{"The frame", "frame"}}, areaChoices...) // once the frame was moved
	matchChoices = [][2]string{{"Automatic", ""}, {"Match image 1", studio.MatchOn}, {"As made", studio.MatchOff}}
	shownChoices = [][2]string{{"Seen by model", "shown"}, {"Hidden", "hidden"}}
)

// newEditRows returns the rows. pick asks for the file of a mask.
func newEditRows(c common, pick func(chosen func(path string))) *editRows {
	r := &editRows{common: c, pick: pick, name: ui.NewLabel("", ui.ColorText, ui.SizeCaption)}
	field := func(hint, tip string, text func(e *studio.Edit) *string) *ui.Field {
		f := ui.NewField(c.keys)
		f.Tip.Tip = tip
		f.SetPlaceHolder(hint)
		f.OnChanged = func(now string) { c.Desk.Choose(func(d *studio.Desk) { *text(&d.Edit) = now }) }
		r.fields = append(r.fields, editField{f, text})
		return f
	}
	row := func(name string, control fyne.CanvasObject) *advancedRow {
		return &advancedRow{name: ui.NewCaption(name), control: control}
	}
	r.title = &advancedRow{name: ui.NewHeading("Edit image 1")}
	r.mask = row("Mask", r.name)
	r.mask.change = ui.NewLink("load…", r.changeMask).Says("A picture that is white where image 1 changes")
	strength := row("Strength", field("1", "1 paints anew; less keeps more of what was there",
		func(e *studio.Edit) *string { return &e.Strength }))
	r.across = row("Extend by", pair(
		field("left", "Pixels that image 1 grows on the left", func(e *studio.Edit) *string { return &e.Left }),
		field("right", "Pixels that image 1 grows on the right", func(e *studio.Edit) *string { return &e.Right })))
	r.down = row("", pair(
		field("above", "Pixels that image 1 grows at the top", func(e *studio.Edit) *string { return &e.Top }),
		field("below", "Pixels that image 1 grows at the bottom", func(e *studio.Edit) *string { return &e.Bottom })))
	r.feather = row("Soft edge", field("automatic", "Pixels over which the edge of the mask fades",
		func(e *studio.Edit) *string { return &e.Feather }))
	r.context = row("Context", field("automatic", "Pixels around the mask that the model works on, too",
		func(e *studio.Edit) *string { return &e.Context }))
	r.area = ui.NewChoice(c.keys, areaChoices, "part", func(v string) {
		c.Desk.Choose(func(d *studio.Desk) {
			d.Edit.Whole = v == "whole"
			if v == "part" {
				d.Edit.Mask.Area = image.Rectangle{}
			}
		})
	})
	r.match = ui.NewChoice(c.keys, matchChoices, "", func(v string) {
		c.Desk.Choose(func(d *studio.Desk) { d.Edit.MatchColours = v })
	})
	r.shown = ui.NewChoice(c.keys, shownChoices, "shown", func(v string) {
		c.Desk.Choose(func(d *studio.Desk) { d.Edit.Hidden = v == "hidden" })
	})
	r.amount = ui.NewSlider(0, 1, 0.05)
	r.amount.OnChangeEnded = func(v float64) {
		if !r.laying {
			c.Desk.Choose(func(d *studio.Desk) { d.Edit.Keep = v })
		}
	}
	r.area.Tip.Tip = "Around the mask alone, or on all of image 1"
	r.match.Tip.Tip = "Whether the result takes the colours of image 1"
	r.shown.Tip.Tip = "Whether the model looks at what was there"
	r.amount.Tip.Tip = "Restores what hardly changed: left off, right strong"
	r.work, r.colours = row("Work on", r.area), row("Colours", r.match)
	r.keep, r.source = row("Keep rest", r.amount), row("Image 1", r.shown)
	r.rows = []*advancedRow{
		r.mask, strength, r.across, r.down, r.feather, r.context, r.work, r.colours, r.keep, r.source,
	}
	return r
}

// all returns the rows from top to bottom.
func (r *editRows) all() []*advancedRow { return append([]*advancedRow{r.title}, r.rows...) }

// pair lays two fields side by side.
func pair(left, right fyne.CanvasObject) fyne.CanvasObject {
	return ui.Arranged(ui.NoSize, func(size fyne.Size) {
		w := (size.Width - 6) / 2
		ui.At(left, 0, 0, w, size.Height)
		ui.At(right, w+6, 0, w, size.Height)
	}, left, right)
}

// lay shows the edit of a desk.
func (r *editRows) lay(d studio.Desk) {
	r.layTexts(d.Edit)
	r.layArea(d.Edit)
	r.shown.Set(map[bool]string{false: "shown", true: "hidden"}[d.Edit.Hidden])
	r.match.Set(d.Edit.MatchColours)
	r.laying = true
	r.amount.SetValue(d.Edit.Keep)
	r.laying = false
}

// layTexts shows what is typed, or left with image 1.
func (r *editRows) layTexts(e studio.Edit) {
	for _, f := range r.fields {
		if text := ui.FirstRunes(*f.text(&e), ui.MaxFieldRunes); f.Text != text {
			f.SetText(text)
		}
	}
}

// layArea shows on what the model works.
func (r *editRows) layArea(e studio.Edit) {
	choices, chosen := areaChoices, "part"
	if !e.Mask.Area.Empty() {
		choices, chosen = frameChoices, "frame"
	}
	if e.Whole {
		chosen = "whole"
	}
	r.area.Offer(choices)
	r.area.Set(chosen)
}

// refresh shows the rows that have an effect on the desk. It says whether others are shown than before.
func (r *editRows) refresh() (changed bool) {
	d := r.Desk.Desk()
	e, image1 := d.Edit, len(d.Slots) > 0
	before := r.hidden()
	for _, row := range r.rows {
		row.hidden = !image1
	}
	r.mask.hidden = false
	paints := e.Paints()
	for _, row := range []*advancedRow{r.feather, r.work} {
		row.hidden = row.hidden || !paints
	}
	r.context.hidden = r.context.hidden || !paints || e.Whole || e.Framed()
	r.layArea(e)
	r.layTexts(e)
	r.source.hidden = r.source.hidden || !paints && strings.TrimSpace(e.Strength) == ""
	r.keep.hidden = r.keep.hidden || paints
	extendable := e.Mask.None() || e.Extends() // a mask and a larger canvas exclude each other
	r.across.hidden, r.down.hidden = r.across.hidden || !extendable, r.down.hidden || !extendable
	switch {
	case !image1:
		r.name.Set("add a picture first", ui.ColorDim)
	case e.Mask.None():
		r.name.Set("none", ui.ColorDim)
	case e.Mask.Reading():
		r.name.Set("reading…", ui.ColorDim)
	case d.Stretches():
		r.name.Set("stretched: "+e.Mask.Name(), ui.ColorText)
	default:
		r.name.Set(e.Mask.Name(), ui.ColorText)
	}
	text := "load…"
	if !e.Mask.None() {
		text = "remove"
	}
	r.mask.change.SetText(text, "")
	r.mask.change.SetDisabled(!image1)
	return !slices.Equal(before, r.hidden())
}

func (r *editRows) hidden() (list []bool) {
	for _, row := range r.all() {
		list = append(list, row.hidden)
	}
	return list
}

// changeMask takes the mask off the desk, or asks for one if there is none.
func (r *editRows) changeMask() {
	if !r.Desk.Desk().Edit.Mask.None() {
		r.Desk.Choose(func(d *studio.Desk) { d.Edit.Mask = studio.Mask{} })
		r.notice.Say("The mask was removed.", r.undoAction())
		return
	}
	r.pick(r.loadMask)
}

// tint is the colour that lies over the part of image 1 that changes, and how strongly, in 256ths. Skin, leaves, sky
// and brick all differ from it.
var (
	tint       = color.RGBA{R: 233, G: 30, B: 120, A: 255}
	tintWeight = 140
)

// tinted returns a picture with the mask as a colour over it.
func tinted(img *image.RGBA, look *image.Gray) *image.RGBA {
	size, from := img.Rect.Size(), look.Rect.Size()
	out := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
	for y := range size.Y {
		src, dst := img.Pix[y*img.Stride:], out.Pix[y*out.Stride:]
		levels := look.Pix[y*from.Y/size.Y*look.Stride:]
		for x := range size.X {
			w := int(levels[x*from.X/size.X]) * tintWeight / 255
			for c, t := range [3]uint8{tint.R, tint.G, tint.B} {
				dst[4*x+c] = uint8((int(src[4*x+c])*(256-w) + int(t)*w) / 256)
			}
			dst[4*x+3] = 255
		}
	}
	return out
}
