package app

import (
	"fmt"
	"image"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/compose"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// add places pictures of files on the board, over those that are there: around a place in the window, or in its middle.
func (m *boardMode) add(paths []string, pos *fyne.Position) {
	var slots []studio.Slot
	for _, path := range paths {
		slots = append(slots, studio.Slot{Path: path})
	}
	m.addSlots(slots, m.onBoard(pos))
}

// onBoard returns the place on the board that lies at a place in the window, nil if it lies elsewhere.
func (m *boardMode) onBoard(pos *fyne.Position) *image.Point {
	if pos == nil || m.board == nil || m.cutting || !ui.Within(m.view, *pos) {
		return nil
	}
	x, y := m.view.ToPicture(pos.Subtract(fyne.CurrentApp().Driver().AbsolutePositionForObject(m.view)))
	at := image.Pt(int(x), int(y))
	if !at.In(image.Rect(0, 0, m.board.Size.Width, m.board.Size.Height)) {
		return nil
	}
	return &at
}

// take places files on the board that were dropped or pasted, and says what is wrong with others.
func (m *boardMode) take(items []string, pos *fyne.Position) {
	m.Loop.Background(func() func() {
		files, _, complaint := sift(items)
		files, adapters := splitLoRAs(files)
		return func() {
			if complaint != "" {
				m.notice.Say(complaint)
			}
			m.host.addLoRAs(adapters)
			m.add(files, pos)
		}
	})
}

// paste places a picture on the board that lies in no file.
func (m *boardMode) paste(file []byte) {
	store := m.Keeper.Store()
	if store == nil {
		m.notice.Say("Nothing can be kept here: save the picture, then drop its file on the board.")
		return
	}
	m.Loop.Background(func() func() {
		digest, err := store.Keep(file)
		return func() {
			if err != nil {
				m.notice.fail(err)
				return
			}
			m.addSlots([]studio.Slot{{Digest: digest}}, nil)
		}
	})
}

// fewPictures is how many pictures are read without a word about it.
const fewPictures = 3

// placedPicture is a picture that was read for the board.
type placedPicture struct {
	slot studio.Slot
	size picture.Size
	look *image.RGBA
}

// addSlots reads pictures, away from Fyne's goroutine, and places them on the board, which is one step: around a place
// there, or where there is room if that is nil. Those that cannot be read are named.
func (m *boardMode) addSlots(slots []studio.Slot, middle *image.Point) {
	d := m.Desk.Desk()
	if len(slots) == 0 || d.Board == nil {
		return
	}
	if room := studio.MaxLayers - len(d.Board.Layers); len(slots) > room {
		m.sayFull(len(slots) - room)
		slots = slots[:room]
	}
	if len(slots) > fewPictures {
		m.notice.Say(fmt.Sprintf("%s are read for the board: a moment.", pictureCount(len(slots))))
	}
	ctx, store := m.Loop.Closing, m.Keeper.Store()
	m.Loop.Background(func() func() {
		var list []placedPicture
		var failed []error
		for _, s := range slots {
			original, err := store.ReadOriginal(ctx, s)
			var look *image.RGBA
			if err == nil {
				look, err = compose.Look(ctx, original, lookSize(original.Size))
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
			s.Digest = original.FileSHA256
			list = append(list, placedPicture{s, original.Size, look})
		}
		return func() {
			m.sayFailed(failed)
			m.put(list, middle)
		}
	})
}

// sayFull says that pictures were left out because the board is full.
func (m *boardMode) sayFull(left int) {
	m.notice.Say(fmt.Sprintf("A board has %d pictures at most: %d found no room.", studio.MaxLayers, left))
}

// maxNamed is how many of the pictures that cannot be read are named.
const maxNamed = 4

// sayFailed says which pictures cannot be read, in one notice.
func (m *boardMode) sayFailed(failed []error) {
	var texts []string
	for i, err := range failed {
		if i == maxNamed {
			texts = append(texts, fmt.Sprintf("%d others cannot be read either.", len(failed)-maxNamed))
			break
		}
		texts = append(texts, explain(err))
	}
	if len(texts) > 0 {
		m.notice.Warn(strings.Join(texts, " "))
	}
}

// put places pictures that were read on the board, and chooses the last one unless another one is being moved.
func (m *boardMode) put(list []placedPicture, middle *image.Point) {
	m.endTurning()
	id, first, left := 0, 0, 0
	if b := m.Desk.Desk().Board; b != nil {
		first = len(b.Layers)
	}
	m.Desk.Change(func() {
		m.Desk.Choose(func(d *studio.Desk) {
			for i, p := range list {
				if d.Board == nil {
					return
				}
				if len(d.Board.Layers) >= studio.MaxLayers { // others came while these were read
					left = len(list) - i
					return
				}
				l := studio.Layer{Picture: p.slot, Size: p.size, At: d.Board.Placed(p.size, share)}
				if middle != nil {
					step := (len(d.Board.Layers) - first) * l.At.Dx() / 12
					l.At = around(image.Rectangle{*middle, *middle}.Add(image.Pt(step, step)), l.At.Size())
				}
				if m.on {
					m.looks.put(l, p.look)
				}
				d.Board, id = d.Board.Adds(l, studio.MaxLayers)
			}
		})
	})
	if left > 0 {
		m.sayFull(left)
	}
	if m.on && id > 0 && !m.cutting && !m.frame.Held() {
		m.choose(id)
		m.host.focus(m.frame)
	}
}

// remove takes the picture that is chosen off the board. The one below it is chosen then.
func (m *boardMode) remove() {
	m.flush()
	_, i, ok := m.board.Layer(m.chosen)
	if !ok {
		return
	}
	next := 0
	if i > 0 {
		next = m.board.Layers[i-1].ID
	} else if len(m.board.Layers) > 1 {
		next = m.board.Layers[1].ID
	}
	id := m.chosen
	m.chosen = next
	m.lay(func(b *studio.Board) *studio.Board { return b.Removes(id) })
}

// duplicate places another copy of the picture that is chosen over it, a little beside it.
func (m *boardMode) duplicate() {
	m.flush()
	l, i, ok := m.board.Layer(m.chosen)
	if !ok {
		return
	}
	if len(m.board.Layers) >= studio.MaxLayers {
		m.sayFull(1)
		return
	}
	step := min(m.board.Size.Width, m.board.Size.Height) / 24
	l.At = l.At.Add(image.Pt(step, step))
	m.lay(func(b *studio.Board) *studio.Board {
		b, m.chosen = b.Adds(l, i)
		return b
	})
}

// raise moves the picture that is chosen by places up, or down with a negative number.
func (m *boardMode) raise(by int) {
	id := m.chosen
	m.lay(func(b *studio.Board) *studio.Board { return b.Raises(id, by) })
}

// lay changes the board on the desk, as a step.
func (m *boardMode) lay(do func(*studio.Board) *studio.Board) {
	m.flush()
	m.Desk.Choose(func(d *studio.Desk) {
		if d.Board != nil {
			d.Board = do(d.Board)
		}
	})
}

// fill makes the picture that is chosen as large as the board has room for.
func (m *boardMode) fill() {
	b := m.board
	m.change(func(l *studio.Layer) { l.At = b.Filling(l.Size) })
}

// ownSize gives the picture that is chosen its own size, around its middle.
func (m *boardMode) ownSize() {
	m.change(func(l *studio.Layer) { l.At = around(l.At, image.Pt(l.Size.Width, l.Size.Height)) })
}

// around returns a rectangle of a size with the middle of another one.
func around(r image.Rectangle, size image.Point) image.Rectangle {
	at := r.Min.Add(r.Max).Sub(size).Div(2)
	return image.Rectangle{at, at.Add(size)}
}

// label says which picture is chosen, and how large it is.
func (m *boardMode) label() {
	l, _, ok := m.board.Layer(m.chosen)
	if !ok {
		m.frame.SetLabel("")
		return
	}
	r := m.frame.Rect()
	if r.Empty() {
		r = l.At
	}
	name := l.Picture.Name()
	if l.Picture.Path != "" {
		name = shorten(filepath.Base(l.Picture.Path), 24)
	}
	m.frame.SetLabel(fmt.Sprintf("%s · %s · %.0f %%", name, times(picture.Size{Width: r.Dx(), Height: r.Dy()}),
		100*float64(r.Dx())/float64(l.Size.Width)))
}

// startCut shows the picture that is chosen alone, to be cut out with the tools of the mask.
func (m *boardMode) startCut() {
	m.flush()
	if _, _, ok := m.board.Layer(m.chosen); !ok || m.cutting {
		return
	}
	m.cutting = true
	m.cut.holder = ofLayer{m.chosen}
	m.arrange()
	m.face()
	m.view.SetRoom(image.Rectangle{})
	m.cut.begin()
	m.switched()
}

// endCut goes back to the board.
func (m *boardMode) endCut() {
	if !m.cutting {
		return
	}
	m.cut.leave()
	m.cutting = false
	m.face()
	m.view.OnPlaced = m.placed
	b := m.Desk.Desk().Board
	if b == nil {
		m.host.leaveMode()
		return
	}
	m.show(b)
	m.switched()
}

// switched shows the other tools of the mode.
func (m *boardMode) switched() {
	m.host.redraw()
	m.host.boardChanged()
	m.host.focus(m.first())
}
