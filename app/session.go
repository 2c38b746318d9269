package app

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/inference/picture"
	"kleinbild/plain"
)

// session is one window: its panels and what they share. All of it belongs to Fyne's goroutine.
type session struct {
	app fyne.App
	win fyne.Window
	cfg Config
	set settings

	// post runs a function on Fyne's goroutine: the only way back from another one.
	post func(func())
	// spawn runs a function on a goroutine of its own.
	spawn func(func())
	// after runs a function on Fyne's goroutine once a time has passed, unless it is stopped before.
	after func(d time.Duration, do func()) (stop func() bool)
	// closing ends when the window closes.
	closing context.Context
	close   context.CancelFunc

	engine  Engine // nil until a model is open
	opening bool
	// stopOpening ends the opening under way.
	stopOpening context.CancelFunc
	openError   error

	store      *history.Store
	thumbnails *history.Thumbnails

	keys     *ui.Keys
	slots    *slotsPanel
	prompt   *promptPanel
	shape    *shapePanel
	advanced *advancedPanel
	cost     *costPanel
	view     *canvasPanel
	notice   notices
	queue    *studio.Queue
	queued   *queuePanel
	strip    *historyPanel
	start    *startPage
	drag     *ui.DragLayer
	frame    *frame

	deskState
	finishing bool // the window closes once nothing waits any more

	run       *run        // the batch being made, nil between batches
	shown     *shown      // what the canvas shows, nil when it is empty
	pressed   func() bool // stops the clock of the last press of Generate; false once it has run out
	waiting   bool        // Generate was pressed while pictures were being read
	modal     *ui.Modal   // in front of the window, nil for none
	focusLost bool        // another window is in front
	picking   bool        // a native dialog is open
}

// shown is a picture on the canvas.
type shown struct {
	image  *image.RGBA
	meta   picture.Metadata
	path   string      // "" while it lies nowhere but in memory
	id     uint64      // in the history, 0 where it is not there
	before *image.RGBA // reference 1, nil where there is none or it is gone
}

// New fills w with the window's content. The caller shows it and runs the app.
func New(a fyne.App, w fyne.Window, cfg Config) {
	newSession(a, w, cfg, fyne.Do, func(f func()) { go f() })
}

func newSession(a fyne.App, w fyne.Window, cfg Config, post, spawn func(func())) *session {
	s := &session{app: a, win: w, cfg: cfg, post: post, spawn: spawn, set: settings{a.Preferences()}, thumbnails: history.NewThumbnails(cfg.ThumbnailDir)}
	s.after = func(d time.Duration, do func()) func() bool { return time.AfterFunc(d, func() { post(do) }).Stop }
	s.closing, s.close = context.WithCancel(context.Background())
	a.Settings().SetTheme(ui.NewTheme(s.set.theme()))
	s.keys = &ui.Keys{Shortcut: s.shortcut, Escape: s.escape, Undo: s.undoText}
	s.notice = notices{ui.NewNotices()}
	s.notice.After = func(d time.Duration, do func()) func() bool { return s.after(d, do) }
	s.notice.Away = func() bool { return s.focusLost }
	s.notice.OnResized = func() { s.view.layout() }
	s.slots = newSlotsPanel(s)
	s.prompt = newPromptPanel(s)
	s.shape = newShapePanel(s)
	s.advanced = newAdvancedPanel(s)
	s.cost = newCostPanel(s)
	s.queue = &studio.Queue{}
	s.queued = newQueuePanel(s, s.queue)
	s.start = newStartPage(s)
	s.view = newCanvasPanel(s)
	s.strip = newHistoryPanel(s)
	s.drag = ui.NewDragLayer(s.slots.target)
	s.frame = newFrame(s)
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
	s.openHistory()
	s.openModel(inference.Options{})
	if len(cfg.Dropped) > 0 {
		s.receive(0, cfg.Dropped)
	}
	return s
}

// background runs work away from Fyne's goroutine, and what it returns on it. work touches no widget and no field
// of the session: what it needs, it was given.
func (s *session) background(work func() (done func())) {
	s.spawn(func() {
		if done := work(); done != nil && s.closing.Err() == nil {
			s.post(done)
		}
	})
}

// openModel opens the model that opts and the settings name, instead of one that is being opened. A run under way goes on
// with the old one until it ends.
func (s *session) openModel(opts inference.Options) {
	if s.opening {
		s.stopOpening()
	}
	ctx, cancel := context.WithCancel(s.closing)
	s.stopOpening = cancel
	opts.Setting = s.cfg.ModelSetting
	opts.Device = inference.Device(s.set.device())
	old := s.engine
	s.engine, s.opening, s.openError = nil, true, nil
	s.engineChanged()
	open := s.cfg.Open
	s.background(func() func() {
		var e Engine
		var err error
		if old != nil {
			err = old.Close()
		}
		if err == nil {
			e, err = open(ctx, opts)
		}
		return func() {
			if ctx.Err() == nil {
				s.opened(e, err)
			} else if e != nil { // another one is being opened
				s.background(func() func() { _ = e.Close(); return nil })
			}
			cancel()
		}
	})
}

func (s *session) opened(e Engine, err error) {
	s.opening, s.engine, s.openError = false, e, err
	if s.onlyDemo() && !s.set.demoTried() {
		s.start.asked = true
	}
	s.engineChanged()
	if err == nil {
		var sentences []string
		for _, notice := range slices.Concat(e.Info().Notices, []string{s.tightMemory(e.Info())}) {
			sentences = append(sentences, sentence(notice))
		}
		if e.Info().Demo {
			if !s.start.asked {
				s.sayDemo()
			}
		} else if text := strings.TrimSpace(strings.Join(sentences, " ")); text != "" {
			s.notice.Say(text)
		}
		s.next()
	}
}

// onlyDemo says that the demo model serves because there is no other.
func (s *session) onlyDemo() bool { return s.engine != nil && s.engine.Info().Missing != nil }

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
	s.noteDesk()
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
