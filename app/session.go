package app

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"

	"kleinbild/app/shell"
	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/plain"
)

// session is one window: what the artist works with, and the panels that show it. All of it belongs to Fyne's goroutine.
type session struct {
	*studio.Studio
	app fyne.App
	win fyne.Window
	cfg Config
	set settings

	thumbnails *history.Thumbnails

	keys     *ui.Keys
	slots    *slotsPanel
	prompt   *promptPanel
	shape    *shapePanel
	advanced *advancedPanel
	cost     *costPanel
	view     *canvasPanel
	notice   notices
	queued   *queuePanel
	strip    *historyPanel
	start    *startPage
	drag     *ui.DragLayer
	frame    *frame

	finishing bool            // the window closes once nothing waits any more
	shown     *studio.Picture // what the canvas shows, nil when it is empty
	pressed   func() bool     // stops the clock of the last press of Generate; false once it has run out
	waiting   bool            // Generate was pressed while pictures were being read
	modal     *ui.Modal       // in front of the window, nil for none
	focusLost bool            // another window is in front
	picking   bool            // a native dialog is open
}

// New fills w with the window's content. The caller shows it and runs the app.
func New(a fyne.App, w fyne.Window, cfg Config) {
	newSession(a, w, cfg, studio.NewLoop(fyne.Do, func(f func()) { go f() }))
}

func newSession(a fyne.App, w fyne.Window, cfg Config, loop *studio.Loop) *session {
	s := &session{app: a, win: w, cfg: cfg, set: newSettings(a.Preferences()), thumbnails: history.NewThumbnails(cfg.ThumbnailDir)}
	bin := studio.Bin{Throw: shell.Bin}
	if shell.CanUnbin {
		bin.TakeBack = shell.Unbin
	}
	s.Studio = studio.New(loop, studio.Config{
		Version: cfg.Version, Preferences: a.Preferences(), Open: cfg.Open, HistoryFile: cfg.HistoryFile, Bin: bin,
		PicturesDir: cfg.PicturesDir, SpareDirs: func() []string { return []string{s.cfg.PicturesDir, os.TempDir()} },
	})
	a.Settings().SetTheme(ui.NewTheme(s.set.theme()))
	s.keys = &ui.Keys{Shortcut: s.shortcut, Escape: s.escape, Undo: s.undoText}
	s.notice = notices{ui.NewNotices()}
	s.notice.After = func(d time.Duration, do func()) func() bool { return loop.After(d, do) }
	s.notice.Away = func() bool { return s.focusLost }
	s.notice.OnResized = func() { s.view.layout() }
	s.slots = newSlotsPanel(s)
	s.prompt = newPromptPanel(s)
	s.shape = newShapePanel(s)
	s.advanced = newAdvancedPanel(s)
	s.cost = newCostPanel(s)
	s.queued = newQueuePanel(s)
	s.start = newStartPage(s)
	s.view = newCanvasPanel(s)
	s.strip = newHistoryPanel(s)
	s.drag = ui.NewDragLayer(s.slots.target)
	s.frame = newFrame(s)
	s.subscribe()
	w.SetTitle("Kleinbild")
	w.SetPadded(false)
	w.SetContent(s.frame.content)
	w.Resize(s.set.windowSize(cfg.room))
	w.SetOnDropped(s.drop)
	w.SetCloseIntercept(s.leave)
	a.Lifecycle().SetOnStopped(s.remember) // also where the system ends the program
	a.Lifecycle().SetOnExitedForeground(func() { s.focusLost = true })
	a.Lifecycle().SetOnEnteredForeground(func() {
		s.focusLost = false
		s.frame.rescaled()
	})
	a.Lifecycle().SetOnStarted(s.frame.rescaled)
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

// subscribe joins what happens in the studio with what the window says and shows of it as a whole.
func (s *session) subscribe() {
	s.Desk.Chosen.Subscribe(s.requestChanged)
	s.Model.Changed.Subscribe(s.engineChanged)
	s.Model.Opened.Subscribe(s.opened)
	s.Maker.Began.Subscribe(func(*studio.Run) { s.notice.Hide(); s.prompt.refresh() })
	s.Maker.Progress.Subscribe(s.showProgress)
	s.Maker.Made.Subscribe(s.showMade)
	s.Maker.Ended.Subscribe(s.showEnded)
	s.Maker.Idle.Subscribe(s.closeWhenDone)
	s.Album.News.Subscribe(s.historyNews)
	s.Album.Reloaded.Subscribe(func() { s.renumber(); s.prompt.refresh() }) // the estimate comes from there
	s.Album.Removed.Subscribe(s.removed)
	s.Keeper.Failed.Subscribe(func(err error) {
		s.notice.Say("What is on the desk may not be there the next time: " + explain(err))
	})
}

// openModel opens the model that opts and the settings name, instead of the one that is open or being opened.
func (s *session) openModel(opts inference.Options) {
	opts.Setting = s.cfg.ModelSetting
	opts.Device = s.set.Device()
	s.Model.Open(opts)
}

// opened says what became of opening a model.
func (s *session) opened(err error) {
	if s.Model.OnlyDemo() && !s.set.DemoTried() {
		s.start.asked = true
	}
	s.engineChanged()
	if err != nil {
		return
	}
	info, _ := s.Model.Info()
	var sentences []string
	for _, notice := range slices.Concat(info.Notices, []string{s.tightMemory(info)}) {
		sentences = append(sentences, sentence(notice))
	}
	if info.Demo {
		if !s.start.asked {
			s.sayDemo()
		}
	} else if text := strings.TrimSpace(strings.Join(sentences, " ")); text != "" {
		s.notice.Say(text)
	}
	s.Maker.Next()
}

// sayDemo names the demo model for what it is.
func (s *session) sayDemo() {
	s.notice.Say("Demo model: simple drawings only.", ui.Action{Text: "Get the real one…", Do: s.chooseModel})
}

// engineChanged brings everything up to date that depends on the model.
func (s *session) engineChanged() {
	s.slots.refresh()
	s.shape.refresh()
	s.advanced.refresh()
	s.prompt.refresh()
	s.prompt.countTokens()
	s.view.refresh()
	if s.start.content.Visible() {
		s.start.refresh()
	}
	s.requestChanged()
}

// requestChanged brings up to date what tells about the next picture.
func (s *session) requestChanged() {
	s.shape.refresh()
	s.prompt.refresh()
	s.cost.refresh()
}

// explain says an error in one sentence for the user.
func explain(err error) string {
	if err == nil {
		return ""
	}
	var field inference.FieldError
	if errors.As(err, &field) {
		return sentence(fieldText(field))
	}
	text := plain.Text(err)
	if plain.Full(err) {
		text = "the disk is full: free some space, then try again"
	}
	for _, room := range []string{"picture: ", "inference: ", "checkpoint: ", "history: ", "thumbnail: ", "studio: ", "bin: ", "clipboard: ", "dialog: "} {
		text = strings.ReplaceAll(text, room, "")
	}
	return sentence(ui.FirstRunes(strings.ReplaceAll(text, "\n", "; "), maxExplained))
}

// fieldText says in the window's words what is wrong with a field.
func fieldText(e inference.FieldError) string {
	switch e.Field {
	case inference.FieldPrompt: // the notice says what it is
		return fmt.Sprintf("found %s, want %s", e.Got, e.Want)
	case inference.FieldSeed:
		return fmt.Sprintf("the seed has to be a whole number such as 42, %s is none: the dice draw one", e.Got)
	}
	return fmt.Sprintf("the %s: found %s, want %s", e.Field, e.Got, e.Want)
}

// maxExplained bounds what a notice says: an error may hold a list of files.
const maxExplained = 1500

// sentence gives a text its capital and full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	r := []rune(text)
	// A path keeps its case.
	if !strings.ContainsAny(strings.Fields(text + " ")[0], `/\.`) {
		r[0] = []rune(strings.ToUpper(string(r[0])))[0]
	}
	if last := r[len(r)-1]; last != '.' && last != '!' && last != '?' {
		r = append(r, '.')
	}
	return string(r)
}
