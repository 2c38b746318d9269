package app

import (
	"context"
	"fmt"
	"image"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
	"kleinbild/inference"
)

// slotsPanel holds the reference pictures. They are numbered without gaps, as the model counts them, so that
// "image 2" in the prompt is slot 2.
type slotsPanel struct {
	common
	host    slotsHost
	slots   [inference.MaxReferences]*slot
	loads   [inference.MaxReferences]context.CancelFunc // reading under way
	content *fyne.Container
	title   *ui.Label
}

// slotThumbSide is the side of a slot's thumbnail in pixels: a slot's width at twice the usual scale.
const slotThumbSide = 520

// slotsHost is what the panel asks of the window.
type slotsHost interface {
	pickPictures(chosen func(paths []string))
	slotRead(ok bool)       // a picture has been read, or could not be
	insertImage(number int) // puts "image 2" into the prompt
	reveal(path string)     // shows a file in the file manager
	dragPicture(img *image.RGBA, pos fyne.Position)
	droppedOn() *slot // ends a drag and returns the slot that it ended on, nil for none
	focus(o fyne.Focusable)
}

func newSlotsPanel(c common, host slotsHost) *slotsPanel {
	p := &slotsPanel{common: c, host: host, title: ui.NewHeading("References")}
	objects := []fyne.CanvasObject{p.title}
	for i := range p.slots {
		p.slots[i] = newSlot(p, i+1)
		objects = append(objects, p.slots[i])
	}
	p.content = ui.Arranged(ui.NoSize, p.place, objects...)
	p.Desk.Laid.Subscribe(func(d studio.Desk) { p.lay(d.Slots) })
	p.Model.Changed.Subscribe(p.refresh)
	return p
}

func (p *slotsPanel) place(size fyne.Size) {
	ui.At(p.title, ui.Margin, 10, size.Width-2*ui.Margin, 20)
	const top = 36
	n := float32(len(p.slots))
	width := size.Width - 2*ui.Margin
	height := min((size.Height-top-ui.Margin-(n-1)*ui.Gap)/n, width*0.72+captionHeight)
	for i, c := range p.slots {
		ui.At(c, ui.Margin, top+float32(i)*(height+ui.Gap), width, height)
	}
}

func (p *slotsPanel) refresh() {
	for _, c := range p.slots {
		c.Refresh()
	}
}

// changed puts what the slots hold on the desk.
func (p *slotsPanel) changed() {
	p.refresh()
	p.Desk.Choose(func(d *studio.Desk) { d.Slots = p.shown() })
}

// free returns the number of the next free slot, 0 if all are taken.
func (p *slotsPanel) free() int {
	for i, c := range p.slots {
		if c.empty() {
			return i + 1
		}
	}
	return 0
}

// count returns the number of slots that are taken.
func (p *slotsPanel) count() int {
	if free := p.free(); free > 0 {
		return free - 1
	}
	return len(p.slots)
}

// shown returns what the slots hold or are about to hold.
func (p *slotsPanel) shown() (slots []studio.Slot) {
	for _, c := range p.slots {
		switch {
		case c.ref != nil:
			slots = append(slots, studio.SlotOf(*c.ref))
		case c.reading != "":
			slots = append(slots, c.source)
		}
	}
	return slots
}

// lay fills the slots with those of a desk. A picture that is in its place already is not read again.
func (p *slotsPanel) lay(slots []studio.Slot) {
	slots = slots[:min(len(slots), len(p.slots))]
	for i := len(p.slots); i > len(slots); i-- {
		p.empty(i)
	}
	for i, slot := range slots {
		shown := p.shown()
		switch {
		case i < len(shown) && shown[i].Same(slot):
		case slot.Ref != nil:
			p.put(i+1, inference.Reference{Path: slot.Path, Reference: slot.Ref})
		default:
			p.reopen(i+1, slot)
		}
	}
	p.changed()
}

// reopen reads a picture that was in a slot before. Its file must not have changed.
func (p *slotsPanel) reopen(number int, slot studio.Slot) {
	store := p.Keeper.Store()
	p.read(number, slot, func(ctx context.Context) (inference.Reference, error) {
		return store.Read(ctx, slot)
	})
}

// add fills slots with files: it replaces the picture of the slot with the given number, if there is one, and fills
// the next free slots with the other files. With 0 it replaces none. It says how many files found no slot.
func (p *slotsPanel) add(number int, paths []string) {
	replaced := 0
	left := 0
	changed := p.Desk.Change(func() { replaced, left = p.fill(number, paths) })
	switch {
	case left == 1 && len(paths) == 1:
		p.notice.Say("All four slots are taken: drop the picture onto the one that it should replace, or remove one first.")
	case left > 0:
		p.notice.Say(fmt.Sprintf("The model takes four pictures: %d of the %d found no free slot.", left, len(paths)))
	case changed && replaced > 0:
		p.notice.Say(fmt.Sprintf("Image %d was replaced.", replaced), p.undoAction())
	}
}

// fill does the work of add. It returns the number of the slot that was replaced, 0 for none, and how many files found
// no slot.
func (p *slotsPanel) fill(number int, paths []string) (replaced, left int) {
	for i, path := range paths {
		to := p.free()
		if i == 0 && number > 0 && !p.slots[number-1].empty() {
			to, replaced = number, number
		}
		if to == 0 {
			return replaced, len(paths) - i
		}
		p.load(to, path)
	}
	return replaced, 0
}

// load reads a picture into a slot.
func (p *slotsPanel) load(number int, path string) {
	p.read(number, studio.Slot{Path: path}, func(ctx context.Context) (inference.Reference, error) {
		return inference.OpenReference(ctx, path)
	})
}

// read fills a slot with what open returns; source names it meanwhile.
func (p *slotsPanel) read(number int, source studio.Slot, open func(context.Context) (inference.Reference, error)) {
	c := p.slots[number-1]
	name := source.Path
	if name == "" {
		name = source.Name()
	}
	p.stop(number)
	ctx, cancel := context.WithCancel(p.Loop.Closing)
	p.loads[number-1] = cancel
	c.ref, c.thumb, c.reading, c.source = nil, nil, name, source
	p.changed()
	p.Loop.Background(func() func() {
		ref, err := open(ctx)
		var thumb *image.RGBA
		if err == nil {
			thumb = history.Fit(ref.Image, slotThumbSide, slotThumbSide)
		}
		return func() {
			if ctx.Err() != nil {
				return // cleared or replaced meanwhile
			}
			cancel()
			p.finished(c, name, ref, thumb, err)
		}
	})
}

// finished puts what was read into its slot, which may have another number by now.
func (p *slotsPanel) finished(c *slot, name string, ref inference.Reference, thumb *image.RGBA, err error) {
	c.reading = ""
	p.loads[c.number-1] = nil
	if err != nil {
		p.Desk.Amend(func() { // what was there before is a step back already
			p.compact()
			p.changed()
		})
		p.host.slotRead(false)
		p.notice.Say(sentence(strings.ReplaceAll(explain(err), name, filepath.Base(name))))
		return
	}
	c.ref, c.thumb = &ref, thumb
	p.changed()
	if ref.ProfileNote != "" {
		p.notice.Say(fmt.Sprintf("Image %d: %s.", c.number, ref.ProfileNote))
	}
	p.host.slotRead(true)
}

// put fills a slot with a picture that is already prepared.
func (p *slotsPanel) put(number int, ref inference.Reference) {
	p.stop(number)
	c := p.slots[number-1]
	c.ref, c.thumb = &ref, nil
	p.Loop.Background(func() func() {
		thumb := history.Fit(ref.Image, slotThumbSide, slotThumbSide)
		return func() {
			if c.ref == &ref {
				c.thumb = thumb
				c.Refresh()
			}
		}
	})
	p.changed()
}

// stop gives up reading into a slot.
func (p *slotsPanel) stop(number int) {
	if cancel := p.loads[number-1]; cancel != nil {
		cancel()
		p.loads[number-1] = nil
	}
	p.slots[number-1].reading = ""
}

// clear empties a slot; those after it move up.
func (p *slotsPanel) clear(number int) {
	if p.slots[number-1].empty() {
		return
	}
	p.Desk.Change(func() {
		p.empty(number)
		p.compact()
		p.changed()
	})
	p.notice.Say(fmt.Sprintf("Image %d was removed.", number), p.undoAction())
}

func (p *slotsPanel) clearAll() {
	for i := range p.slots {
		p.empty(i + 1)
	}
	p.changed()
}

// empty takes the picture out of a slot.
func (p *slotsPanel) empty(number int) {
	p.stop(number)
	c := p.slots[number-1]
	c.ref, c.thumb = nil, nil
}

// move exchanges the pictures of two slots.
func (p *slotsPanel) move(from, to int) {
	to = min(to, p.count())
	if from == to || to < 1 || p.slots[from-1].empty() {
		return
	}
	p.swap(from-1, to-1)
	p.changed()
	if p.slots[from-1].focused {
		p.host.focus(p.slots[to-1])
	}
}

// compact closes gaps.
func (p *slotsPanel) compact() {
	to := 0
	for i, c := range p.slots {
		if !c.empty() {
			if i != to {
				p.swap(i, to)
			}
			to++
		}
	}
}

// swap exchanges two slots. The widgets travel with what they hold, so that a picture being read finds its slot.
func (p *slotsPanel) swap(i, j int) {
	p.slots[i], p.slots[j] = p.slots[j], p.slots[i]
	p.loads[i], p.loads[j] = p.loads[j], p.loads[i]
	p.slots[i].number, p.slots[j].number = i+1, j+1
	for i, c := range p.slots {
		p.content.Objects[i+1] = c // Tab goes from slot to slot in the order of the numbers
	}
	p.content.Refresh()
}

// browse asks for files for the next free slots.
func (p *slotsPanel) browse() { p.browseFor(p.free()) }

// browseFor asks for a file for a slot.
func (p *slotsPanel) browseFor(number int) {
	p.host.pickPictures(func(paths []string) { p.add(number, paths) })
}

// at returns the slot at a place in the window.
func (p *slotsPanel) at(pos fyne.Position) *slot {
	for _, c := range p.slots {
		if ui.Within(c, pos) {
			return c
		}
	}
	return nil
}

// target is the slot at a place in the window, as a target for a drag.
func (p *slotsPanel) target(pos fyne.Position) ui.DropTarget {
	if c := p.at(pos); c != nil {
		return c
	}
	return nil
}
