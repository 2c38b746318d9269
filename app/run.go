package app

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// doubleClick is the time within which a second click counts as part of the first.
const doubleClick = 400 * time.Millisecond

// pressGenerate is what the button and Ctrl + Enter do. A double click counts as one click, and a key that is held
// down as one press.
func (s *session) pressGenerate() {
	again := s.pressed != nil && s.pressed()
	s.pressed = s.Loop.After(doubleClick, func() {})
	if !again {
		s.generate()
	}
}

// generate puts what the desk asks for into the queue, and begins it if nothing is being made.
func (s *session) generate() {
	s.waiting = false
	if s.Model.Engine() == nil && !s.Model.Opening() {
		s.view.refresh()
		s.notice.Say("There is no model to make pictures with yet.")
		return
	}
	if d := s.Desk.Desk(); strings.TrimSpace(d.Prompt) == "" && (len(d.Slots) == 0 || d.EachOf() != nil) {
		s.win.Canvas().Focus(s.prompt.entry)
		text := "Describe the picture first: a few words are enough."
		if d.EachOf() != nil {
			text = "Describe first what is to change in each of the pictures."
		}
		s.notice.Say(text)
		return
	}
	s.mask.layer.release() // a stroke under way counts
	if s.Desk.Desk().Reading() || s.mask.working() || s.board.using != nil {
		s.waiting = true
		s.prompt.refresh()
		return
	}
	if !s.lorasReady() {
		return
	}
	batches, err := s.nextBatches()
	if err != nil {
		s.notice.fail(err)
		return
	}
	s.start.leave()
	s.leaveGallery() // to show what is being made
	s.view.leaveMode()
	if s.Maker.Run() == nil {
		s.view.away = false // what is made now is asked for
	}
	s.Queue.Add(batches...)
	s.Desk.Amend(s.shape.nextSeed)
	s.set.SetPrompt(batches[0].Desk.Prompt)
	s.Maker.Next()
	s.prompt.refresh()
}

// waits says whether Generate was pressed and waits for pictures that are being read.
func (s *session) waits() bool { return s.waiting }

// slotRead goes on with a Generate that waits for a picture, or gives it up if the picture could not be read.
func (s *session) slotRead(ok bool) {
	switch {
	case !ok:
		s.waiting = false
	case s.waiting && !s.Desk.Desk().Reading() && !s.mask.working() && s.board.using == nil:
		s.generate()
	}
}

// maskDone goes on with a Generate that waits for what was asked of the mask.
func (s *session) maskDone() { s.slotRead(true) }

// shownSeed is the seed of the picture on the canvas, which may be the preview of one that is being made.
func (s *session) shownSeed() (seed uint64, ok bool) {
	switch {
	case s.view.previewing && s.Maker.Run() != nil:
		rest, _ := s.Maker.Run().Rest()
		return rest.Seed, true
	case s.view.shown != nil:
		return s.view.shown.Meta.Seed, true
	}
	return 0, false
}

// showProgress shows a preview of the run, if there is one.
func (s *session) showProgress(preview *image.RGBA) {
	if preview != nil && !s.view.occupied() {
		s.view.showPreview(preview, s.Maker.Run().Request.PictureSize())
	}
}

// showMade offers a picture that was made to the canvas.
func (s *session) showMade(m studio.Made) {
	s.view.offer(m.Picture)
	if m.Truncated != "" {
		s.notice.Say("The prompt is longer than the model reads: its end was cut off, from “" +
			shorten(m.Truncated, 60) + "”.")
	}
}

// showEnded says how a run ended, unless its pictures show it.
func (s *session) showEnded(e studio.Ended) {
	cancelled := errors.Is(e.Err, context.Canceled)
	if e.Err != nil && !cancelled {
		s.finishing = false // the user has to see it
	}
	s.view.dropPreview()
	var save studio.SaveError
	again := errors.As(e.Err, &save) || inference.Retryable(e.Err) // what is left waits in the queue
	if e.Run.Batch.Each != 0 && !again {
		if said := s.each.ended(e, cancelled, s.Queue.Batches()); said != "" {
			s.notice.Ask(said)
			return
		}
	}
	switch {
	case cancelled:
		if e.Run.Done == 0 && e.Run.Batch.Each == 0 { // else cancelRun has said it
			s.notice.Say("Cancelled.")
		}
	case errors.As(e.Err, &save):
		s.notSaved(save)
	case s.upscaleFailed(e):
	case inference.Retryable(e.Err):
		s.notice.Ask(explain(e.Err), ui.Action{Text: "Try again", Do: s.tryAgain})
	case e.Err != nil && e.Run.Batch.Each == 0: // files that fail are named at the end
		s.notice.fail(e.Err)
	case s.focusLost && s.Queue.Empty():
		b := e.Run.Batch
		s.app.SendNotification(fyne.NewNotification("Kleinbild", doneText(b.Count*max(b.Of, 1), b.Desk.Prompt)))
	}
}

// notSaved says that a picture could not be saved in its folder, where it lies instead, and offers another folder.
func (s *session) notSaved(save studio.SaveError) {
	actions := []ui.Action{{Text: "Choose another folder…", Do: s.choosePicturesDir}}
	text := "Pictures cannot be saved in " + s.PicturesDir() + ". " + explain(save.Err)
	switch {
	case save.Kept != "":
		text += " The last one is kept as " + save.Kept + "."
		actions = append(actions, ui.Action{Text: "Show in folder", Do: func() { s.reveal(save.Kept) }})
	case s.view.shown != nil && s.view.shown.Path == "":
		text = "The picture could not be saved. " + explain(save.Err)
		actions = append(actions, ui.Action{Text: "Save as…", Do: s.saveCopy})
	}
	s.notice.Ask(text, actions...)
}

func doneText(count int, prompt string) string {
	what := "Your picture is ready"
	if count > 1 {
		what = fmt.Sprintf("Your %d pictures are ready", count)
	}
	if prompt == "" {
		return what + "."
	}
	return what + ": " + shorten(prompt, 60) + "."
}

// eachStatus is runStatus for a batch of one instruction for many pictures: which of them it is, and about how long it
// and the pictures that wait take, if each takes as long as this one.
func eachStatus(r *studio.Run, wait int) string {
	text := fmt.Sprintf("%d of %d", r.Batch.Nth, r.Batch.Of)
	if p := r.Progress; p.Remaining > 0 && p.Fraction > 0.02 {
		rest := time.Duration(wait + r.Batch.Count - r.Done - 1)
		text += " · " + roughly(p.Remaining+rest*(p.Elapsed+p.Remaining))
	}
	return text
}

// runStatus returns the second line of the button while a batch is made: stage, step and time left.
func runStatus(r *studio.Run) string {
	p := r.Progress
	text := "starting…"
	switch p.Stage {
	case inference.StageQueue:
		text = "waiting for the other computer"
		if p.Total > 0 {
			text = pictureCount(p.Total) + " of others first"
		}
	case inference.StagePrompt:
		text = "reading the prompt"
	case inference.StageReferences:
		text = "reading pictures"
	case inference.StageSteps:
		text = fmt.Sprintf("step %d of %d", min(p.Step+1, max(p.Total, 1)), max(p.Total, 1))
		if p.Total == 0 {
			text = "step 1"
		}
	case inference.StageDecode:
		text = "finishing"
	case inference.StageUpscale:
		text = tileText("enlarging", p)
	case inference.StageRefine:
		text = tileText("refining", p)
	}
	if p.Remaining > 0 && p.Fraction > 0.02 {
		text += " · " + roughly(p.Remaining)
	}
	if r.Batch.Count > 1 {
		text = fmt.Sprintf("%d/%d · %s", min(r.Done+1, r.Batch.Count), r.Batch.Count, text)
	}
	return text
}
