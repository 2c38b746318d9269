package app

import (
	"context"
	"image"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// maskMode is the mode of the canvas in which the mask of image 1 is painted, over image 1 at its full resolution. The
// mask on the desk is the one that counts: what is painted goes there, and what changes there, such as by undo, is
// shown here.
type maskMode struct {
	common
	host  maskHost
	view  *ui.PictureView
	layer *maskLayer
	tools *maskBar
	frame *ui.Frame

	holder  maskHolder // nil for the mask of image 1
	entered bool
	of      studio.Slot // image 1, or what else the mask is painted on
	photo   *image.RGBA // image 1 as it is shown, nil before it was read
	size    image.Point // of image 1, in pixels
	mask    *paint.Mask // what is shown and painted on, nil before image 1 was read
	blank   *paint.Mask // the mask of nothing
	loaded  loadedMask  // the mask of a file, at the size of image 1
	stop    context.CancelFunc
	todo    []maskChange // what was asked for and is not done yet
	busy    bool         // the first of todo is being done
	visit   int          // counts the calls of forget: what was begun before one is not for what is shown now
	tails   int          // what was left undone when the mode was left, and is being done now
	edge    edgeJob
}

// loadedMask is what a mask on the desk that was not painted here looks like at the size of image 1.
type loadedMask struct {
	from studio.Mask
	mask *paint.Mask
}

// maskHost is what the mode asks of the window.
type maskHost interface {
	editShown()             // takes the picture on show on as image 1
	finishedShown() bool    // says whether a finished picture is on show
	leaveMode()             // goes back to looking at pictures
	redraw()                // has the canvas show what the mode has to show
	focus(o fyne.Focusable) // gives an object the keyboard
	layEdit()               // has the rows about an edit show the desk
	pickMask(chosen func(path string))
	saveMask(mask *paint.Mask) // asks for a place and saves a mask there
	maskDone()                 // all that was asked of the mask is done
}

func newMaskMode(c common, view *ui.PictureView, host maskHost) *maskMode {
	m := &maskMode{common: c, host: host, view: view, frame: ui.NewFrame(view)}
	m.frame.Grips = true // all else is for the tools
	m.frame.OnChanged, m.frame.OnSettled, m.frame.OnReset = m.labelFrame, m.frameSettled, m.resetFrame
	m.frame.Disable()
	m.layer = newMaskLayer(m)
	m.tools = newMaskBar(m)
	c.Desk.Changed.Subscribe(m.follow)
	c.Desk.Settling.Subscribe(m.layer.release)
	c.Model.Changed.Subscribe(func() { m.edge.ask(m) })
	return m
}

func (m *maskMode) name() (text, key string) { return "Mask", "M" }
func (m *maskMode) offered() bool            { return len(m.Desk.Desk().Slots) > 0 || m.host.finishedShown() }
func (m *maskMode) bar() fyne.CanvasObject   { return m.tools.content }
func (m *maskMode) over() fyne.CanvasObject  { return m.layer.content }

func (m *maskMode) picture() (*image.RGBA, image.Point) {
	if m.photo != nil {
		return m.photo, m.size
	}
	if slots := m.Desk.Desk().Slots; len(slots) > 0 && slots[0].Ref != nil { // small, until it was read large
		return slots[0].Ref.Image, image.Pt(slots[0].Ref.Original.Width, slots[0].Ref.Original.Height)
	}
	return nil, image.Point{}
}

// enter begins to read image 1. If there is none, the picture on show becomes image 1 first.
func (m *maskMode) enter() bool {
	if len(m.Desk.Desk().Slots) == 0 {
		m.host.editShown()
		if len(m.Desk.Desk().Slots) == 0 {
			return false
		}
	}
	if m.hasMargins() {
		return false
	}
	m.begin()
	return true
}

// begin begins to read the picture that is painted on.
func (m *maskMode) begin() {
	m.entered = true
	m.view.OnPlaced = m.placed
	m.tools.refresh()
	m.read()
}

func (m *maskMode) first() fyne.Focusable { return m.layer }

func (m *maskMode) leave() {
	m.finish()
	m.entered = false
	m.view.OnPlaced = nil
	m.forget()
}

// forget drops image 1 and what belongs to it.
func (m *maskMode) forget() {
	if m.stop != nil {
		m.stop()
		m.stop = nil
	}
	m.of, m.photo, m.mask, m.blank, m.loaded = studio.Slot{}, nil, nil, nil, loadedMask{}
	m.todo, m.busy = nil, false
	m.visit++
	m.edge.done = edgeOf{} // what it led to is not shown any more
	m.layer.forget()       // what is under way has the size of the image 1 before
	m.layer.tiles.clear()
	m.frame.Set(image.Rectangle{})
	m.frame.Disable()
}

// read reads image 1 at its full resolution, and the mask if it lies in a file.
func (m *maskMode) read() {
	m.forget()
	m.of, _ = m.where().picture(m.Desk.Desk())
	ctx, stop := context.WithCancel(m.Loop.Closing)
	m.stop = stop
	slot, store := m.of, m.Keeper.Store()
	m.Loop.Background(func() func() {
		original, err := store.ReadOriginal(ctx, slot)
		var photo *image.RGBA
		if err == nil {
			photo, err = studio.View(ctx, original)
		}
		return func() {
			switch {
			case ctx.Err() != nil:
			case err != nil:
				m.notice.fail(err)
				m.host.leaveMode()
			default:
				m.photo, m.size = photo, image.Pt(original.Size.Width, original.Size.Height)
				m.blank = paint.New(m.size)
				m.host.redraw()
				m.follow()
			}
		}
	})
}

// follow shows the mask and the feather that are on the desk.
func (m *maskMode) follow() {
	if !m.entered {
		return
	}
	m.tools.refresh()
	d := m.Desk.Desk()
	of, there := m.where().picture(d)
	switch {
	case !there:
		m.host.leaveMode()
	case !of.Same(m.of):
		m.read()
	case m.blank == nil:
		return // it is being read
	default:
		if mask := m.onDesk(m.where().mask(d)); mask != nil {
			m.show(mask)
		}
		m.edge.ask(m)
	}
}

// onDesk returns a mask of the desk at the size of image 1. It returns nil for one that has to be read first, which it
// has done.
func (m *maskMode) onDesk(mask studio.Mask) *paint.Mask {
	switch {
	case mask.None():
		return m.blank
	case mask.Painted != nil && mask.Painted.Size() == m.size:
		return mask.Painted
	case m.loaded.mask != nil && m.loaded.from.Is(mask):
		return m.loaded.mask
	}
	ctx, slot, store, size, holder := m.Loop.Closing, m.of, m.Keeper.Store(), m.size, m.holder
	if m.loaded.from.Is(mask) {
		return nil // it is being read
	}
	m.loaded = loadedMask{from: mask}
	m.Loop.Background(func() func() {
		levels, err := store.LevelsOf(ctx, mask, slot)
		switch {
		case err != nil && holder == nil:
			return nil // the reader of the desk tells of it
		case err != nil:
			return func() {
				if m.entered && m.loaded.from.Is(mask) { // or else another mask is on show by now
					m.notice.fail(err)
					m.host.leaveMode()
				}
			}
		}
		painted := paint.FromGray(levels, size)
		return func() {
			if m.entered && m.loaded.from.Is(mask) && m.size == size {
				m.loaded.mask = painted
				m.follow()
			}
		}
	})
	return nil
}

// show shows another mask.
func (m *maskMode) show(mask *paint.Mask) {
	if m.mask != mask {
		m.mask = mask
		m.layer.tiles.show(mask)
		m.tools.refresh()
	}
}

// placed draws everything where the view has its picture now.
func (m *maskMode) placed() {
	m.layer.placed()
	m.frame.Place()
}

// edgeJob finds out what the feather of a mask will look like, and which area the model will work on. One runs at a
// time, for the last mask and settings.
type edgeJob struct {
	running bool
	done    edgeOf
	feather int // that is used, in pixels of image 1
}

// edgeOf is what an edge and an area follow from.
type edgeOf struct {
	mask             *paint.Mask
	feather, context string
	whole            bool
	area             image.Rectangle
	native           int
}

// edgePixels bounds the size at which a feather is shown.
const edgePixels = 1_500_000

// ask begins, if anything has changed since the last time.
func (j *edgeJob) ask(m *maskMode) {
	if !m.entered || m.mask == nil || j.running || m.holder != nil {
		return
	}
	e := m.Desk.Desk().Edit
	of := edgeOf{m.mask, e.Feather, e.Context, e.Whole, e.Mask.Area, m.native()}
	if of == j.done {
		return
	}
	j.running = true
	settings := e.Settings()
	size := picture.Size{Width: m.size.X, Height: m.size.Y}
	small := m.size
	for small.X*small.Y > edgePixels {
		small = image.Pt(max(small.X*9/10, 1), max(small.Y*9/10, 1))
	}
	ctx := m.Loop.Closing
	m.Loop.Background(func() func() {
		var soft *image.Gray
		var area image.Rectangle
		var work picture.Size
		var feather int
		bounds := of.mask.Bounds()
		if !bounds.Empty() {
			soft, feather, _ = inference.SoftEdge(ctx, of.mask.Shrunk(small), size, settings.Feather)
			area, work = settings.WorkArea(size, bounds, of.native)
		}
		return func() {
			j.running, j.done = false, of
			if m.mask == of.mask {
				j.feather = feather
				m.layer.tiles.edge(of.mask, soft)
				if !m.frame.Held() {
					m.showArea(area, work, bounds)
				}
				m.tools.refresh()
			}
			j.ask(m)
		}
	})
}
