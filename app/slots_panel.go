package app

import (
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// slotsPanel shows the reference pictures in their numbered slots.
type slotsPanel struct {
	common
	host    slotsHost
	slots   [inference.MaxReferences]*slot
	thumbs  map[*picture.Reference]*image.RGBA // of the pictures on the desk; nil while one is made
	content *fyne.Container
	title   *ui.Label
	all     *ui.Button // removes all pictures
	masked  struct {   // the last thumbnail of image 1 with the mask over it
		of   *image.RGBA
		look *image.Gray
		img  *image.RGBA
	}
}

// slotThumbSide is the side of a slot's thumbnail in pixels: a slot's width at twice the usual scale.
const slotThumbSide = 520

// slotsHost is what the panel asks of the window.
type slotsHost interface {
	pickPictures(chosen func(paths []string))
	place(number int, files []string) // fills slots, or offers one instruction for all files
	insertImage(number int)           // puts "image 2" into the prompt
	dropInPrompt(number int)          // does so where a drag has ended, if that is in the prompt
	cropSlot(number int)              // crops and turns the picture of a slot on the canvas
	placeOnBoard(slot studio.Slot)
	openBoard(b *studio.Board)
	reveal(path string) // shows a file in the file manager
	dragPicture(img *image.RGBA, pos fyne.Position)
	droppedOn() *slot // ends a drag and returns the slot that it ended on, nil for none
	focus(o fyne.Focusable)
}

func newSlotsPanel(c common, host slotsHost) *slotsPanel {
	p := &slotsPanel{
		common: c, host: host, title: ui.NewHeading("References"), thumbs: map[*picture.Reference]*image.RGBA{},
	}
	p.all = ui.NewLink("clear all", p.removeAll).Says("Remove all references")
	p.all.Hide()
	objects := []fyne.CanvasObject{p.title, p.all}
	for i := range p.slots {
		p.slots[i] = newSlot(p, i+1)
		objects = append(objects, p.slots[i])
	}
	p.content = ui.Arranged(ui.NoSize, p.place, objects...)
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(p.refresh)
	p.Reader.Read.Subscribe(func(r studio.ReadPicture) {
		if r.Ref.ProfileNote != "" {
			p.notice.Say(fmt.Sprintf("Image %d: %s.", r.Number, r.Ref.ProfileNote))
		}
	})
	p.Reader.Failed.Subscribe(func(u studio.UnreadPicture) {
		text := explain(u.Err)
		if u.Slot.Path != "" {
			text = strings.ReplaceAll(text, u.Slot.Path, filepath.Base(u.Slot.Path))
		}
		p.notice.Say(sentence(text))
	})
	p.Reader.NotKept.Subscribe(func(err error) {
		p.notice.Say("What was pasted or painted may not be there the next time: " + explain(err))
	})
	return p
}

func (p *slotsPanel) place(size fyne.Size) {
	ui.At(p.title, ui.Margin, 10, size.Width-2*ui.Margin, 20)
	all := p.all.MinSize().Width
	ui.At(p.all, size.Width-ui.Margin+6-all, 8, all, 24)
	const top = 36
	n := float32(len(p.slots))
	width := size.Width - 2*ui.Margin
	height := min((size.Height-top-ui.Margin-(n-1)*ui.Gap)/n, width*0.72+captionHeight)
	for i, c := range p.slots {
		ui.At(c, ui.Margin, top+float32(i)*(height+ui.Gap), width, height)
	}
}

// refresh shows the pictures on the desk.
func (p *slotsPanel) refresh() {
	slots := p.Desk.Desk().Slots
	for ref := range p.thumbs {
		if !slices.ContainsFunc(slots, func(s studio.Slot) bool { return s.Ref == ref }) {
			delete(p.thumbs, ref)
		}
	}
	ui.Show(p.all, len(slots) > 0)
	for i, c := range p.slots {
		c.each = 0
		if i == 0 {
			c.each = len(p.Desk.Desk().EachOf())
		}
		if c.taken = i < len(slots); c.taken {
			c.source = slots[i]
			c.thumb = p.thumbnail(c.source.Ref)
			if look := p.Desk.Desk().Edit.Mask.Look; i == 0 && c.thumb != nil && look != nil {
				c.thumb = p.withMask(c.thumb, look)
			}
		} else {
			c.source, c.thumb = studio.Slot{}, nil
		}
		c.Refresh()
	}
}

// withMask returns the thumbnail of image 1 with the mask over it.
func (p *slotsPanel) withMask(thumb *image.RGBA, look *image.Gray) *image.RGBA {
	if m := &p.masked; m.of != thumb || m.look != look {
		m.of, m.look, m.img = thumb, look, tinted(thumb, look)
	}
	return p.masked.img
}

// thumbnail returns the thumbnail of a picture. If there is none yet, it returns nil and has it made.
func (p *slotsPanel) thumbnail(ref *picture.Reference) *image.RGBA {
	thumb, asked := p.thumbs[ref]
	if ref == nil || asked {
		return thumb
	}
	p.thumbs[ref] = nil
	p.Loop.Background(func() func() {
		thumb := history.Fit(ref.Image, slotThumbSide, slotThumbSide)
		return func() {
			if _, wanted := p.thumbs[ref]; wanted {
				p.thumbs[ref] = thumb
				p.refresh()
			}
		}
	})
	return nil
}

// free returns the number of the next free slot, 0 if all are taken.
func (p *slotsPanel) free() int { return p.Desk.Desk().FreeSlot() }

// count returns the number of slots that are taken.
func (p *slotsPanel) count() int { return len(p.Desk.Desk().Slots) }

// add fills slots with files: it replaces the picture of the slot with the given number, if there is one, and fills
// the next free slots with the other files. With 0 it replaces none. It says how many files found no slot.
func (p *slotsPanel) add(number int, paths []string) {
	replaced := 0
	left := 0
	changed := p.Desk.Change(func() {
		p.Desk.Choose(func(d *studio.Desk) { replaced, left = d.Fill(number, paths) })
	})
	switch {
	case left == 1 && len(paths) == 1:
		p.notice.Say("All four slots are taken: drop the picture onto the one that it should replace, or remove one first.")
	case left > 0:
		p.notice.Say(fmt.Sprintf("The model takes four pictures: %d of the %d found no free slot.", left, len(paths)))
	case changed && replaced > 0:
		p.notice.Say(fmt.Sprintf("Image %d was replaced.", replaced), p.undoAction())
	}
}

// clear empties a slot; those after it move up.
func (p *slotsPanel) clear(number int) {
	if number > p.count() {
		return
	}
	text := fmt.Sprintf("Image %d was removed.", number)
	if number == 1 && p.Desk.Desk().EachOf() != nil {
		text = "Image 1 was removed, and with it the other pictures of the instruction."
	}
	p.Desk.EmptySlot(number)
	p.notice.Say(text, p.undoAction())
}

// removeAll empties all slots.
func (p *slotsPanel) removeAll() {
	n := p.count()
	if n == 0 {
		return
	}
	p.Desk.EmptySlots()
	p.host.focus(p.slots[0]) // the button has gone
	p.notice.Say(pictureCount(n)+" removed.", p.undoAction())
}

// onlyFirst ends the instruction for many pictures: image 1 stays.
func (p *slotsPanel) onlyFirst() {
	p.Desk.Choose(func(d *studio.Desk) { d.Each = nil })
	p.notice.Say("The prompt is for image 1 alone again.", p.undoAction())
}

// move exchanges the pictures of two slots.
func (p *slotsPanel) move(from, to int) {
	to = min(to, p.count())
	if from == to || to < 1 || from > p.count() {
		return
	}
	p.Desk.SwapSlots(from, to)
	if p.slots[from-1].focused {
		p.host.focus(p.slots[to-1])
	}
}

// browse asks for files for the next free slots.
func (p *slotsPanel) browse() { p.browseFor(p.free()) }

// browseFor asks for a file for a slot.
func (p *slotsPanel) browseFor(number int) {
	p.host.pickPictures(func(paths []string) { p.host.place(number, paths) })
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
