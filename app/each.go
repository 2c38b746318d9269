package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// offerEach asks what to do with more files than the slots take: each of them can be edited by the prompt, or the first
// ones become references.
func (s *session) offerEach(files []string) {
	text := pictureCount(len(files)) + ". The prompt can change each of them, one after the other."
	if len(files) > studio.MaxEach {
		text = fmt.Sprintf("%d pictures are too many for one instruction: the first %d can be changed by the prompt.",
			len(files), studio.MaxEach)
		files = files[:studio.MaxEach]
	}
	all := fmt.Sprintf("Edit all %d with this prompt", len(files))
	actions := []ui.Action{{Text: all, Do: func() { s.editEach(files) }}}
	if free := min(inference.MaxReferences-s.slots.count(), len(files)); free > 0 {
		use := fmt.Sprintf("Use the first %d as references", free)
		switch free {
		case len(files):
			use = "Use them as references"
		case 1:
			use = "Use the first as a reference"
		}
		actions = append(actions, ui.Action{Text: use, Do: func() { s.slots.add(0, files[:free]) }})
	}
	s.notice.Ask(text, actions...)
}

// editEach puts the files into the queue, each to be edited as the desk says. It waits for adapters that are read.
func (s *session) editEach(files []string) {
	s.waiting, s.waitingFor = false, nil
	s.view.refresh()
	if s.Model.Engine() == nil && !s.Model.Opening() {
		s.notice.Say("There is no model to make pictures with yet.")
		return
	}
	if strings.TrimSpace(s.Desk.Desk().Prompt) == "" {
		s.focus(s.prompt.entry)
		s.offerEach(files)
		s.notice.Say("Describe first what is to change in each of the pictures.")
		return
	}
	wait, err := s.LoRAs.Prepare(s.Desk.Desk())
	switch {
	case err != nil:
		s.offerEach(files)
		s.notice.fail(err)
		s.lora.unfold()
		return
	case wait: // slotRead goes on
		s.waiting, s.waitingFor = true, files
		s.prompt.refresh()
		return
	}
	batches, err := s.NextEach(files)
	if err != nil {
		s.offerEach(files)
		s.notice.fail(err)
		return
	}
	s.start.leave()
	s.view.leaveMode() // to show what is being made
	if s.Maker.Run() == nil {
		s.view.away = false // what is made now is asked for
	}
	s.each.begin(batches)
	s.Queue.Add(batches...)
	s.Desk.Amend(s.shape.nextSeed)
	s.set.SetPrompt(s.Desk.Desk().Prompt)
	s.Maker.Next()
	s.prompt.refresh()
}

// eachRuns follows the groups of batches that one instruction over several files has made, to say at the end which
// files failed.
type eachRuns map[uint64]*eachRun

type eachRun struct {
	done   int      // batches that ended, whatever came of them
	failed []string // names of files
	why    error    // the last failure
}

// begin follows a group.
func (r eachRuns) begin(batches []studio.Batch) { r[batches[0].Each] = &eachRun{} }

// ended notes how a run of a group ended, and says at the end of the group, in a sentence, what failed. It returns ""
// if there is nothing to say. left are the batches that still wait.
func (r eachRuns) ended(e studio.Ended, cancelled bool, left []studio.Batch) string {
	each := e.Run.Batch.Each
	run := r[each]
	if run == nil { // it waited when the program ended
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
