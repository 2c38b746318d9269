package app

import (
	"context"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
)

// maskChange makes another mask of one. The error is the context's.
type maskChange func(ctx context.Context, from *paint.Mask) (*paint.Mask, error)

// quickTiles is how many tiles of a mask can be changed on Fyne's goroutine: each takes about a tenth of a millisecond.
const quickTiles = 48

// apply adds what a stroke covers to the mask, or removes it.
func (m *maskMode) apply(cover *paint.Mask, remove bool) {
	if m.mask == nil {
		return
	}
	join := func(_ context.Context, from *paint.Mask) (*paint.Mask, error) {
		if remove {
			return from.Remove(cover), nil
		}
		return from.Add(cover), nil
	}
	if !m.busy && m.mask.Mixed(cover) <= quickTiles {
		joined, _ := join(m.Loop.Closing, m.mask)
		m.put(joined)
		return
	}
	m.change(join)
}

// change does something to the mask away from Fyne's goroutine, after all that was asked for before. If the mask
// changes meanwhile, such as by undo, it is done again.
func (m *maskMode) change(do maskChange) {
	if m.mask == nil { // image 1 is still being read
		return
	}
	m.todo = append(m.todo, do)
	m.next()
}

func (m *maskMode) next() {
	if m.busy || len(m.todo) == 0 || m.mask == nil {
		return
	}
	m.busy = true
	do, from, visit, ctx := m.todo[0], m.mask, m.visit, m.Loop.Closing
	m.Loop.Background(func() func() {
		to, err := do(ctx, from)
		return func() {
			if m.visit != visit {
				return // finish does it
			}
			m.busy = false
			if m.mask == from && len(m.todo) > 0 {
				m.todo = m.todo[1:]
				if err == nil {
					m.put(to)
				}
			}
			m.next()
			m.tellDone()
		}
	})
}

// working says whether something is being done to the mask, or waits for that.
func (m *maskMode) working() bool { return len(m.todo) > 0 || m.tails > 0 }

// tellDone tells the window if nothing is left to do.
func (m *maskMode) tellDone() {
	if !m.working() {
		m.host.maskDone()
	}
}

// finish ends the stroke under way, and does the rest of what was asked for although the mode is left. Nothing comes of
// it if image 1 or its mask is another one by then.
func (m *maskMode) finish() {
	m.layer.release()
	if len(m.todo) == 0 {
		return
	}
	where := m.where()
	todo, mask, of, was, ctx := m.todo, m.mask, m.of, where.mask(m.Desk.Desk()), m.Loop.Closing
	m.tails++
	m.Loop.Background(func() func() {
		var err error
		for _, do := range todo {
			if mask, err = do(ctx, mask); err != nil {
				break
			}
		}
		return func() {
			m.tails--
			d := m.Desk.Desk()
			if now, there := where.picture(d); err == nil && there && now.Same(of) && where.mask(d).Is(was) {
				m.lay(where, mask)
			}
			m.tellDone()
		}
	})
}

// put shows a mask and lays it on the desk.
func (m *maskMode) put(mask *paint.Mask) {
	m.show(mask)
	m.lay(m.where(), mask)
}

// lay lays a mask on the desk, which is a step.
func (m *maskMode) lay(where maskHolder, mask *paint.Mask) {
	m.Desk.Choose(func(d *studio.Desk) { where.lay(d, mask) })
}
