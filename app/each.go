package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// place fills slots with files: that of a number and free ones, or free ones for 0. If there are more files than slots,
// it asks whether one instruction is for all of them; if they all fit, it offers that.
func (s *session) place(number int, files []string) {
	places := inference.MaxReferences - s.slots.count()
	if 0 < number && number <= s.slots.count() {
		places++ // the slot's own picture is replaced
	}
	if len(files) > max(places, 1) {
		s.offerEach(number, places, files)
		return
	}
	s.slots.add(number, files)
	if len(files) > 1 {
		text := pictureCount(len(files)) + " are references of one picture now."
		s.notice.Say(text, ui.Action{Text: eachText(len(files)), Do: func() { s.layEach(files) }})
	}
}

// eachText is the offer of one instruction for n pictures.
func eachText(n int) string { return fmt.Sprintf("One instruction for all %d", n) }

// offerEach asks what to do with more files than there are places: one instruction can be for all of them, or the first
// ones become references, from the slot of a number on.
func (s *session) offerEach(number, places int, files []string) {
	text := pictureCount(len(files)) + ". The prompt can change each of them, one after the other."
	all := files
	if len(all) > studio.MaxEach {
		text = fmt.Sprintf("%d pictures are too many for one instruction: the first %d can be changed by the prompt.",
			len(all), studio.MaxEach)
		all = all[:studio.MaxEach]
	}
	actions := []ui.Action{{Text: eachText(len(all)), Do: func() { s.layEach(all) }}}
	if use := min(places, len(files)); use > 0 {
		text := fmt.Sprintf("Use the first %d as references", use)
		switch use {
		case len(files):
			text = "Use them as references"
		case 1:
			text = "Use the first as a reference"
		}
		actions = append(actions, ui.Action{Text: text, Do: func() { s.slots.add(number, files[:use]) }})
	}
	s.notice.Ask(text, actions...)
}

// layEach puts files on the desk for one instruction, which Generate then gives to each of them.
func (s *session) layEach(files []string) {
	before := s.Desk.Desk()
	s.Desk.Change(func() {
		s.Desk.Choose(func(d *studio.Desk) { d.SetEach(files) })
		s.advanced.edit.lay(s.Desk.Desk())
	})
	text := fmt.Sprintf("The prompt is for each of the %d pictures now; image 1 shows the first.", len(files))
	if len(before.Slots) > 0 {
		s.notice.Say(text, s.undoAction())
	} else {
		s.notice.Say(text)
	}
	s.focus(s.prompt.entry)
}

// nextBatches returns what Generate puts into the queue.
func (s *session) nextBatches() ([]studio.Batch, error) {
	d := s.Desk.Desk()
	if d.EachOf() == nil {
		b, err := s.NextBatch()
		return []studio.Batch{b}, err
	}
	batches, err := s.NextEach()
	if err == nil && !d.Edit.Mask.None() {
		s.notice.Say("The mask is for image 1 alone: the instruction for all pictures goes without it.")
	}
	return batches, err
}

// cancelRun gives up the picture that is being made, and all others of its instruction, which undo puts back.
func (s *session) cancelRun() {
	run := s.Maker.Run()
	if run == nil {
		return
	}
	if n := s.queued.removeEach(run.Batch.Each); n > 0 {
		s.notice.Say(fmt.Sprintf("Cancelled, with the %s of the instruction that waited.", pictureCount(n)), s.undoAction())
	} else if run.Batch.Each != 0 {
		s.notice.Say("Cancelled.")
	}
	s.Maker.Cancel()
}

// eachRuns follows the groups of batches that one instruction over several files has made, to say at the end which
// files failed.
type eachRuns map[uint64]*eachRun

type eachRun struct {
	done   int      // batches that ended, whatever came of them
	failed []string // names of files
	why    error    // the last failure
}

// ended notes how a run of a group ended, and says at the end of the group, in a sentence, what failed. It returns ""
// if there is nothing to say. left are the batches that still wait.
func (r eachRuns) ended(e studio.Ended, cancelled bool, left []studio.Batch) string {
	each := e.Run.Batch.Each
	run := r[each]
	if run == nil { // the first of the group, or of what is left of it since the last start
		run = &eachRun{}
		r[each] = run
	}
	run.done++
	if e.Err != nil && !cancelled {
		run.failed = append(run.failed, e.Run.Batch.Desk.Slots[0].Name())
		run.why = e.Err
	}
	if slices.ContainsFunc(left, func(b studio.Batch) bool { return b.Each == each }) {
		return ""
	}
	delete(r, each)
	switch n := len(run.failed); {
	case n == 0:
		return ""
	case n == 1:
		return fmt.Sprintf("%d of %d files failed: %s. %s", n, run.done, run.failed[0], explain(run.why))
	default:
		return fmt.Sprintf("%d of %d files failed: %s. The last one: %s",
			n, run.done, someOf(run.failed), explain(run.why))
	}
}

// someOf names the first few of many.
func someOf(names []string) string {
	const few = 8
	list := make([]string, 0, few)
	for _, n := range names[:min(len(names), few)] {
		list = append(list, shorten(n, 40))
	}
	text := strings.Join(list, ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d others", more)
	}
	return text
}
