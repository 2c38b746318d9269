package app

import (
	"image"
	"os"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// session is one window: what the artist works with, and the panels that show it. All of it belongs to Fyne's
// goroutine.
type session struct {
	common
	app fyne.App
	win fyne.Window
	cfg Config

	panels
	frame *frame

	finishing bool        // the window closes once nothing waits any more
	pressed   func() bool // ends the time in which a second press of Generate is ignored; false if it was over
	each      eachRuns    // of one instruction over several files
	waiting   bool        // Generate was pressed while pictures were being read
	modal     *ui.Modal   // in front of the window, nil for none
	loraList  *loraList   // the last list of adapters, nil for none
	keyList   *ui.Modal   // the page with all keys, nil for none
	savePanel *savePanel  // the last one, nil for none
	upscaling upscaling
	focusLost bool // another window is in front
	picking   bool // a dialog of the system is open
}

// New fills w with the window's content. The caller shows it and runs the app.
func New(a fyne.App, w fyne.Window, cfg Config) {
	newSession(a, w, cfg, studio.NewLoop(fyne.Do, func(f func()) { go f() }))
}

// newSession opens a window in four steps, each of which needs the ones before it: the state; what all panels work with
// (theme, keys, notices) and the frame, which says how low the window is; the panels; and then what joins them. Only
// when that is done may anything be told or shown.
func newSession(a fyne.App, w fyne.Window, cfg Config, loop *studio.Loop) *session {
	s := &session{app: a, win: w, cfg: cfg, each: eachRuns{}}
	s.set = newSettings(a.Preferences())
	s.Studio = studio.New(loop, s.studioConfig())

	a.Settings().SetTheme(ui.NewTheme(s.set.theme()))
	s.keys = &ui.Keys{Shortcut: s.shortcut, Typed: s.typed, Undo: s.undoText}
	s.notice = notices{ui.NewNotices()}
	s.frame = newFrame(s.set.windowSize(cfg.room), s.notice.Notices)

	s.panels = newPanels(s.common, s)
	s.frame.fill(s.panels)

	s.notice.After = func(d time.Duration, do func()) func() bool { return loop.After(d, do) }
	s.tips.After = s.notice.After
	s.notice.Away = func() bool { return s.focusLost }
	s.notice.OnResized = s.frame.placeNotices
	s.subscribe()
	s.view.refresh()
	w.SetTitle("Kleinbild")
	w.SetPadded(false)
	w.SetContent(s.frame.content)
	w.Resize(s.set.windowSize(cfg.room))
	w.SetOnDropped(s.drop)
	w.SetCloseIntercept(s.leave)
	a.Lifecycle().SetOnStopped(s.remember) // also where the system ends the program
	a.Lifecycle().SetOnExitedForeground(func() {
		s.focusLost = true
		s.comparison.rest()
	})
	a.Lifecycle().SetOnEnteredForeground(func() {
		s.focusLost = false
		s.comparison.takeTurn()
		s.rescaled()
	})
	a.Lifecycle().SetOnStarted(s.rescaled)
	s.addShortcuts()
	w.Canvas().Focus(s.prompt.entry)
	s.openDesk()
	s.Album.Open()
	s.openModel(inference.Options{})
	if len(cfg.Dropped) > 0 {
		s.receive(0, cfg.Dropped)
	}
	return s
}

// studioConfig is what the studio gets of the window's configuration.
func (s *session) studioConfig() studio.Config {
	bin := studio.Bin{Throw: shell.Bin}
	if shell.CanUnbin {
		bin.TakeBack = shell.Unbin
	}
	return studio.Config{
		Version: s.cfg.Version, Preferences: s.app.Preferences(), Open: s.cfg.Open, HistoryFile: s.cfg.HistoryFile, Bin: bin,
		PicturesDir: s.cfg.PicturesDir,
		SpareDirs:   func() []string { return []string{s.cfg.PicturesDir, os.TempDir()} }, OpenUpscaler: s.cfg.OpenUpscaler,
	}
}

// subscribe has the window as a whole follow what happens in the studio. Each panel subscribes by itself to what it
// shows.
func (s *session) subscribe() {
	s.Model.Opened.Subscribe(s.opened)
	s.Maker.Began.Subscribe(func(*studio.Run) { s.notice.Hide() })
	s.Maker.Progress.Subscribe(s.showProgress)
	s.Maker.Made.Subscribe(s.showMade)
	s.Maker.Ended.Subscribe(s.showEnded)
	s.Maker.Idle.Subscribe(s.closeWhenDone)
	s.Album.News.Subscribe(s.historyNews)
	s.Reader.Read.Subscribe(func(studio.ReadPicture) { s.slotRead(true) })
	s.Reader.Failed.Subscribe(func(studio.UnreadPicture) { s.slotRead(false) })
	s.Reader.MaskRead.Subscribe(func(err error) { s.slotRead(err == nil) })
	s.LoRAs.Changed.Subscribe(s.lorasChanged)
	s.Album.Reloaded.Subscribe(s.renumber)
	s.Album.Removed.Subscribe(s.removed)
	s.Keeper.Failed.Subscribe(func(err error) {
		s.notice.Say("What is on the desk may not be there the next time: " + explain(err))
	})
}

// resized lays the window out anew: a panel has another height.
func (s *session) resized() { s.frame.content.Refresh() }

// rescaled lays the window out anew if the screen has another scale.
func (s *session) rescaled() { s.frame.rescaled(s.win.Canvas().Scale()) }

// low says whether the window is low.
func (s *session) low() bool { return s.frame.low() }

// unfolded lays the right column out anew.
func (s *session) unfolded() { s.frame.right.Refresh() }

// infoOpened follows the user, who has opened or closed the panel about the picture on show.
func (s *session) infoOpened() {
	s.frame.right.Refresh()
	if s.info.open {
		s.frame.reveal(s.info.content)
	}
	s.view.refreshTools()
}

// toggleInfo opens or closes the panel about the picture on show.
func (s *session) toggleInfo() { s.info.toggle() }

// infoOpen says whether it is open.
func (s *session) infoOpen() bool { return s.info.open }

// slotThumb returns the picture of a slot in small, nil while there is none.
func (s *session) slotThumb(number int) *image.RGBA { return s.slots.slots[number-1].thumb }

// dropInPrompt puts "image 2" into the prompt where the drag of a slot has ended there.
func (s *session) dropInPrompt(number int) { s.prompt.dropImage(number, s.drag.Pos) }

// insertImage puts "image 2" into the prompt.
func (s *session) insertImage(number int) { s.prompt.insertImage(number) }

// step opens an entry of the history: the next older one with 1, the next newer one with -1.
func (s *session) step(by int) { s.strip.step(by) }

// pictureShown frames the picture on show in the history. Its seed is what Lock locks then.
func (s *session) pictureShown(id uint64) {
	s.shape.asked = false
	s.strip.mark(id)
}

// redraw draws the canvas anew.
func (s *session) redraw() { s.view.draw() }

// cropSlot puts the picture of a slot on the canvas, to be cropped and turned.
func (s *session) cropSlot(number int) {
	s.leaveGallery()
	s.leaveMode()
	s.crop.number = number
	s.view.toggleMode(s.crop)
}

// cropKey crops the picture of the slot that has the keyboard, or image 1, or ends that.
func (s *session) cropKey() {
	if c, ok := s.win.Canvas().Focused().(*slot); ok && !c.empty() {
		s.cropSlot(c.number)
		return
	}
	s.view.modeKey(fyne.KeyC)
}

// boardChanged lays the canvas out anew: the board has other tools.
func (s *session) boardChanged() { s.view.layout() }

// shownFile is the file of the finished picture on show, without a path if it lies in no file yet, which it says.
func (s *session) shownFile() (file studio.Slot, size picture.Size) {
	if !s.finishedShown() {
		return file, size
	}
	shown := s.view.shown
	if shown.Path == "" {
		s.saveFirst()
		return file, size
	}
	file.Path = shown.Path
	if e, ok := s.Album.Find(shown.ID); ok {
		file.Digest = e.SHA256
	}
	return file, picture.Size{Width: shown.Image.Rect.Dx(), Height: shown.Image.Rect.Dy()}
}

// boardUsed goes on with a Generate that waits for the board to become image 1, or gives it up.
func (s *session) boardUsed(ok bool) {
	s.slotRead(ok)
	s.prompt.refresh()
}

// toPrompt goes to the prompt.
func (s *session) toPrompt() { s.focus(s.prompt.entry) }

// leaveMode leaves the mode that the canvas is in.
func (s *session) leaveMode() { s.view.leaveMode() }

// canvasChanged brings what is said of the picture on show up to date.
func (s *session) canvasChanged() {
	s.shape.showShown()
	if shown := s.view.shown; s.view.previewing {
		s.info.show(nil)
	} else {
		s.info.show(shown)
	}
	s.frame.placeNotices()
}

func (s *session) focus(o fyne.Focusable) { s.win.Canvas().Focus(o) }

// focusWithin says whether something in the area of an object has the keyboard.
func (s *session) focusWithin(o fyne.CanvasObject) bool {
	f, ok := s.win.Canvas().Focused().(fyne.CanvasObject)
	return ok && ui.Within(o, fyne.CurrentApp().Driver().AbsolutePositionForObject(f))
}

// unfocus takes the keyboard from whatever has it: keys are the window's then.
func (s *session) unfocus() { s.win.Canvas().Unfocus() }
