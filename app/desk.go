package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/inference/picture"
)

// deskState is the desk's undo, and what keeps desk and queue on the disk.
type deskState struct {
	past    studio.History
	steps   int         // counts what was done, undone and redone
	present studio.Desk // as it was last seen
	held    int         // a step is under way, which is recorded as a whole

	desks  *studio.Store // nil where nothing can be kept
	writer deskWriter
	broken []studio.Batch // those of last time whose pictures are gone
	loaded bool           // those of last time are in the queue

	dropped bool // the batch being made is not wanted any more
}

// desk is what the window shows.
func (s *session) desk() studio.Desk {
	return studio.Desk{
		Prompt: s.prompt.entry.Text, Slots: s.slots.shown(),
		Aspect: s.shape.aspect, Size: s.shape.custom, Count: s.shape.count, Seed: s.shape.seedEntry.Text, Locked: s.shape.locked,
		Steps: s.advanced.steps.Text, Guidance: s.advanced.guidance.Text,
	}
}

// showDesk lays a desk out. What is there already stays untouched: a text keeps its cursor, a picture is not read again.
func (s *session) showDesk(d studio.Desk) {
	s.amend(func() {
		if s.prompt.entry.Text != d.Prompt {
			s.prompt.setText(d.Prompt)
		}
		s.slots.lay(d.Slots)
		s.shape.setSeed(d.Seed)
		s.shape.setLocked(d.Locked)
		s.shape.setCount(min(max(d.Count, 1), studio.MaxCount))
		if s.advanced.steps.Text != d.Steps {
			s.advanced.steps.SetText(ui.FirstRunes(d.Steps, ui.MaxFieldRunes))
		}
		if s.advanced.guidance.Text != d.Guidance {
			s.advanced.guidance.SetText(ui.FirstRunes(d.Guidance, ui.MaxFieldRunes))
		}
		if d.Aspect != "" {
			s.shape.choose(d.Aspect)
		} else {
			s.shape.setSize(d.Size)
		}
	})
	s.view.refresh()
	s.requestChanged()
}

// change does one thing to the desk, which undo takes back as a whole, and says whether the desk is another one now.
func (s *session) change(do func()) bool { return s.do(studio.Step{}, do) }

// do is change for a step that changes more than the desk.
func (s *session) do(step studio.Step, do func()) bool {
	if s.held > 0 { // part of a greater step
		do()
		return false
	}
	step.Desk = s.desk()
	s.amend(do)
	if step.Undo == nil && s.present.Same(step.Desk) {
		return false
	}
	step.TextsStay, step.ChoicesStay = s.present.SameTexts(step.Desk), s.present.SameChoices(step.Desk)
	s.past.Do(step)
	s.steps++
	return true
}

// amend changes the desk without a step of its own.
func (s *session) amend(do func()) {
	s.held++
	do()
	s.held--
	if s.held == 0 {
		s.present = s.desk()
		s.keepSoon()
	}
}

// noteDesk records what was chosen by other ways than change: it is called after every choice. What is typed is not a
// step, as texts have an undo of their own; it comes along with the next one.
func (s *session) noteDesk() {
	if s.held > 0 {
		return
	}
	now := s.desk()
	if before := s.present; !now.SameChoices(before) {
		s.past.Do(studio.Step{Desk: before, TextsStay: true})
		s.steps++
	}
	s.present = now
	s.keepSoon()
}

func (s *session) undo() { s.turn(s.past.Undo, func(step studio.Step) func() { return step.Undo }) }
func (s *session) redo() { s.turn(s.past.Redo, func(step studio.Step) func() { return step.Redo }) }

func (s *session) turn(take func(studio.Desk) (studio.Step, bool), more func(studio.Step) func()) {
	present := s.desk()
	step, ok := take(present)
	if !ok {
		return
	}
	s.steps++
	s.showDesk(step.Show(present))
	if do := more(step); do != nil {
		do()
	}
}

// undoText hands undo or redo to a text, and to the desk where the text has nothing to take back.
func (s *session) undoText(e *widget.Entry, shortcut fyne.Shortcut) {
	before := e.Text
	e.TypedShortcut(shortcut)
	if e.Text != before {
		return
	}
	if _, ok := shortcut.(*fyne.ShortcutUndo); ok {
		s.undo()
	} else {
		s.redo()
	}
}

// undoAction is the button of a notice that takes back what was just done.
func (s *session) undoAction() ui.Action {
	steps := s.steps
	return ui.Action{Text: "Undo", Do: func() {
		if s.steps != steps {
			s.notice.Say("More was changed since then: Ctrl + Z takes it back step by step.")
			return
		}
		s.undo()
	}}
}

// overwrite is change for what takes the place of the desk: where something of the user's went, the notice offers it.
func (s *session) overwrite(text string, do func()) {
	before := s.desk()
	if !s.change(do) {
		return
	}
	unfinished := strings.TrimSpace(before.Prompt) != "" && !slices.Contains(s.strip.prompts(), before.Prompt)
	if unfinished || len(before.Slots) > 0 {
		s.notice.Say(text, s.undoAction())
	}
}

// openDesk brings back the desk and the queue of the last time, or the last prompt where no desk was kept.
func (s *session) openDesk() {
	var desk studio.Desk
	var ok bool
	store, err := openStore(s.cfg.DeskDir)
	if store != nil {
		s.desks = store
		desk, ok, err = store.LoadDesk()
	}
	if err != nil {
		s.notice.Say("What is on the desk may not be there the next time: " + explain(err))
	}
	s.amend(func() {
		switch {
		case !ok:
			s.prompt.setText(s.set.prompt())
		default:
			if desk.Aspect != "" {
				if _, err := picture.ParseAspectRatio(string(desk.Aspect)); err != nil {
					desk.Aspect = s.shape.aspect
				}
			} else if desk.Size.Check() != nil {
				desk.Aspect = s.shape.aspect
			}
			s.showDesk(desk)
		}
	})
	s.openQueue(desk)
}

func openStore(dir string) (*studio.Store, error) {
	if dir == "" {
		return nil, nil
	}
	return studio.Open(dir)
}

// openQueue reads what waited last time. It waits on, paused, until the user lets it go on: a start is not the moment to
// compute unasked.
func (s *session) openQueue(desk studio.Desk) {
	store, dir, closing := s.desks, s.cfg.DeskDir, s.closing
	if store == nil {
		return
	}
	s.background(func() func() {
		err := store.Adopt(dir)
		kept, failed := store.LoadQueue()
		if err == nil {
			err = failed
		}
		if pruned := store.Prune([]studio.Desk{desk}, kept, false); err == nil {
			err = pruned
		}
		var batches, broken []studio.Batch
		var why error
		for _, k := range kept {
			b, err := k.Read(closing, store)
			if err != nil {
				broken, why = append(broken, k), err
				continue
			}
			batches = append(batches, b)
		}
		return func() {
			s.loaded, s.broken = true, broken
			s.offerBatches(s.queue.BringBack(batches))
			switch {
			case err != nil:
				s.notice.Say("What waited last time could not be read: " + explain(err))
			case len(broken) > 0:
				s.sayBroken(why)
			}
			s.keepSoon()
		}
	})
}

// sayBroken offers the desks of batches whose pictures are gone.
func (s *session) sayBroken(why error) {
	text := fmt.Sprintf("%d of the pictures that wait cannot be made. %s", len(s.broken), explain(why))
	s.notice.Say(text, ui.Action{Text: "Put it on the desk", Do: func() {
		k := s.broken[0]
		s.broken = s.broken[1:]
		k.Desk.Seed, k.Desk.Count = fmt.Sprint(k.Seed), k.Count
		s.change(func() { s.showDesk(k.Desk) })
		s.keepSoon()
	}}, ui.Action{Text: "Discard", Do: func() {
		s.broken = nil
		s.keepSoon()
	}})
}

// keepPause is how long the desk rests before it is written.
const keepPause = 400 * time.Millisecond

// keepSoon writes desk and queue once nothing changes for a moment.
func (s *session) keepSoon() {
	if s.desks == nil {
		return
	}
	if s.writer.timer != nil {
		s.writer.timer.Stop()
	}
	s.writer.timer = time.AfterFunc(keepPause, func() { s.post(s.keep) })
}

// keep writes desk and queue in the background.
func (s *session) keep() {
	if s.desks == nil || s.closing.Err() != nil {
		return
	}
	if s.writer.busy {
		s.writer.again = true
		return
	}
	s.writer.busy = true
	write := s.writing()
	s.background(func() func() {
		err := write()
		return func() {
			s.writer.busy = false
			if err != nil && !s.writer.failed {
				s.writer.failed = true // once: it would come with every change
				s.notice.Say("What is on the desk may not be there the next time: " + explain(err))
			}
			if err == nil {
				s.writer.failed = false
			}
			if s.writer.again {
				s.writer.again = false
				s.keep()
			}
		}
	})
}
