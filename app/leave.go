package app

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// showModal shows a modal in the place of the one that is open.
func (s *session) showModal(body fyne.CanvasObject, answers ...ui.Action) *ui.Modal {
	if s.modal.IsOpen() {
		s.modal.Close()
	}
	s.modal = ui.ShowModal(s.win.Canvas(), body, answers...)
	return s.modal
}

// ask shows a question with its answers.
func (s *session) ask(text string, answers ...ui.Action) *ui.Modal {
	l := widget.NewLabel(text)
	l.Wrapping = fyne.TextWrapWord
	return s.showModal(l, answers...)
}

// leave closes the window. If the picture on the canvas lies on no disk, it asks first.
func (s *session) leave() {
	if s.view.shown != nil && s.view.shown.Path == "" && s.Maker.Run() == nil {
		s.ask("The picture on the canvas is not saved, and is gone when the window closes.",
			ui.Action{Text: "Close without it", Do: s.leaveQueue}, ui.Action{Text: "Save as…", Do: s.saveCopy})
		return
	}
	s.leaveQueue()
}

// leaveQueue closes the window. If pictures are being made or wait, it asks what to do with them.
func (s *session) leaveQueue() {
	waiting := 0
	r := s.Maker.Run()
	if r != nil {
		waiting = r.Batch.Count - r.Done
	}
	if r != nil || !s.Queue.Paused() { // a paused queue by itself is kept without a question
		waiting += s.Queue.Pictures()
	}
	if waiting == 0 {
		s.quit()
		return
	}
	answers := []ui.Action{{Text: "Discard", Do: s.discard}}
	if s.Keeper.Store() != nil {
		answers = append(answers, ui.Action{Text: "Keep for next time", Do: s.quit})
	}
	if s.canFinish() {
		answers = append(answers, ui.Action{Text: "Finish", Do: s.finish})
	}
	s.ask(waitText(waiting)+". Finish before the window closes, keep for next time, or discard?", answers...)
}

// canFinish says whether what waits can be made: it needs no model, or there is one.
func (s *session) canFinish() bool {
	return s.Model.Engine() != nil || s.Model.Opening() || !slices.ContainsFunc(s.Queue.Batches(), studio.Batch.NeedsModel)
}

// finish closes the window once all pictures are made.
func (s *session) finish() {
	s.finishing = true
	stay := ui.Action{Text: "Stay open", Do: func() { s.finishing = false }}
	s.notice.Ask("The window closes when the pictures are made.", stay)
	s.Maker.GoOn()
}

// closeWhenDone closes the window that was asked to close, once nothing waits.
func (s *session) closeWhenDone() {
	if s.finishing && s.Maker.Run() == nil && s.Queue.Empty() {
		s.quit()
	}
}

// discard closes the window and forgets what waits.
func (s *session) discard() {
	s.Keeper.Discard()
	s.quit()
}

// quit closes the window. Batches that wait are kept, and what is left of the one being made, which is given up.
func (s *session) quit() {
	s.remember()
	s.tips.Forget()
	s.Loop.Close()
	s.Maker.Cancel()
	s.win.Close()
}

// remember stores what is not stored at each change. It runs when the window closes or the system ends the program.
func (s *session) remember() {
	if !s.win.FullScreen() {
		s.set.setWindowSize(s.win.Canvas().Size())
	}
	s.set.SetPrompt(s.Desk.Desk().Prompt)
	s.Album.Store().Settle()
	s.Keeper.Last()
	// Last, because it may take long: the bin may ask the user, and another program may hold the history.
	s.Album.WriteNow()
	s.Album.ThrowNow()
	s.Album.Store().Settle()
}
