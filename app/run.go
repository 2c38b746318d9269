package app

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"fyne.io/fyne/v2"

	"kleinbild/app/studio"
	"kleinbild/app/ui"
	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// run is a batch on its way. Its fields belong to Fyne's goroutine, except latest and pending.
type run struct {
	s       *session
	batch   studio.Batch
	request inference.Request // of the first picture
	cancel  context.CancelFunc

	done     int // finished pictures
	progress inference.Progress

	latest  atomic.Pointer[inference.Progress]
	preview atomic.Pointer[image.RGBA]
	pending atomic.Bool // an update is on its way to Fyne's goroutine
}

// doubleClick is how long a second click may belong to the first.
const doubleClick = 400 * time.Millisecond

// pressGenerate is the button and Ctrl + Enter. A double click is one click, and a key that is held down one press.
func (s *session) pressGenerate() {
	again := s.pressed != nil && s.pressed()
	s.pressed = s.after(doubleClick, func() {})
	if !again {
		s.generate()
	}
}

// cancelRun gives up the batch that is being made.
func (s *session) cancelRun() {
	if s.run != nil {
		s.run.cancel()
	}
}

// generate starts what the window asks for, or queues it behind what is being made.
func (s *session) generate() {
	s.waiting = false
	if s.engine == nil && !s.opening {
		s.view.refresh()
		s.notice.Say("There is no model to make pictures with yet.")
		return
	}
	if strings.TrimSpace(s.prompt.entry.Text) == "" && s.slots.count() == 0 {
		s.win.Canvas().Focus(s.prompt.entry)
		s.notice.Say("Describe the picture first: a few words are enough.")
		return
	}
	if s.slots.reading() {
		s.waiting = true
		s.prompt.refresh()
		return
	}
	b, err := s.newBatch()
	if err != nil {
		s.notice.fail(err)
		return
	}
	s.start.leave()
	if s.run == nil {
		s.view.away = false // what is made now is asked for
	}
	s.queue.Add(b)
	s.amend(s.shape.nextSeed)
	s.set.setPrompt(b.Desk.Prompt)
	s.next()
}

// newBatch collects what the window shows.
func (s *session) newBatch() (studio.Batch, error) {
	b := studio.Batch{Desk: s.desk(), Count: s.shape.count}
	seed, err := s.shape.seed()
	if err != nil {
		return b, err
	}
	ask, err := s.nextAsk()
	if err != nil {
		return b, err
	}
	checked, err := ask.Check()
	if err != nil {
		return b, err
	}
	b.Seed, b.Steps, b.Guidance = seed, checked.Steps(), checked.Guidance()
	b.Size, _ = checked.Size(s.info())
	return b, nil
}

// nextAsk is what the window asks for, without a seed. Its error is about a text that cannot be read.
func (s *session) nextAsk() (inference.Ask, error) {
	ask := inference.Ask{Prompt: s.prompt.entry.Text, Preview: true}
	for _, r := range s.slots.references() {
		ask.References = append(ask.References, r)
	}
	s.shape.fill(&ask)
	return ask, s.advanced.fill(&ask)
}

// request is that for the next picture, with any seed, to find out what it costs.
func (s *session) request() (inference.Request, error) {
	ask, err := s.nextAsk()
	if err != nil {
		return inference.Request{}, err
	}
	return ask.Resolve(s.info())
}

// info describes the model, as far as one is open.
func (s *session) info() inference.Info {
	if s.engine == nil {
		return inference.Info{}
	}
	return s.engine.Info()
}

// next begins the first batch of the queue if nothing is being made.
func (s *session) next() {
	if s.run != nil || s.engine == nil {
		s.prompt.refresh()
		return
	}
	b, ok := s.queue.Take()
	if !ok {
		s.closeWhenDone()
		return
	}
	request, err := b.Ask(nil).Resolve(s.engine.Info())
	if err != nil {
		s.notice.fail(err)
		s.next()
		return
	}
	ctx, cancel := context.WithCancel(s.closing)
	r := &run{s: s, batch: b, request: request, cancel: cancel}
	s.run = r
	s.notice.Hide()
	s.prompt.refresh()
	work := batchWork{
		engine: s.engine, dir: s.picturesDir(), otherDirs: []string{s.cfg.PicturesDir, os.TempDir()},
		version: s.cfg.Version, store: s.store, unit: s.engine.Work(request),
	}
	s.background(func() func() {
		err := r.make(ctx, work)
		return func() { r.finished(err) }
	})
}

// batchWork is what making a batch needs, apart from the window.
type batchWork struct {
	engine Engine
	dir    string
	// otherDirs take a picture that dir does not take once it is made.
	otherDirs []string
	version   string
	store     *history.Store
	unit      float64
}

// make makes the pictures, away from Fyne's goroutine. A picture is shown as done once it and its entry are on the
// disk.
func (r *run) make(ctx context.Context, w batchWork) error {
	if err := prepareDir(w.dir); err != nil {
		return saveError{err, ""}
	}
	for i := range r.batch.Count {
		req := r.request.WithSeed(r.batch.After(i).Seed)
		start := time.Now()
		result, err := w.engine.Generate(ctx, req, r.report)
		if err != nil {
			return err
		}
		result.Metadata.Version = w.version
		entry := history.Entry{Made: time.Now(), Took: time.Since(start), Work: w.unit, Picture: result.Metadata}
		p := &shown{image: result.Image, meta: result.Metadata}
		if refs := req.References(); len(refs) > 0 {
			p.before = refs[0].Image
		}
		path := filepath.Join(w.dir, fileName(result.Metadata.Prompt, req.Seed()))
		if picture.CheckWritable(path, picture.Number) != nil { // prepareDir has found that others can be
			path = filepath.Join(w.dir, fileName("", req.Seed()))
		}
		var failed error
		p.path, failed, err = picture.Save(path, result.Image, result.Metadata, picture.Number, w.otherDirs...)
		if err != nil {
			r.s.post(func() { r.show(p, nil) })
			return saveError{err, ""}
		}
		entry.Path = p.path
		entry = w.store.Add(entry)
		p.id = entry.ID
		r.s.post(func() {
			r.show(p, &entry)
			if result.Truncated != "" {
				r.s.notice.Say("The prompt is longer than the model reads: its end was cut off, from “" + shorten(result.Truncated, 60) + "”.")
			}
		})
		if failed != nil {
			return saveError{failed, p.path}
		}
	}
	return nil
}

// saveError is a failure to write the picture where it was to go, as against one to make it. kept is where it lies
// then, "" for nowhere.
type saveError struct {
	error
	kept string
}

func (e saveError) Unwrap() error { return e.error }

// report takes progress from the goroutine that computes: it keeps the newest and never waits.
func (r *run) report(p inference.Progress) {
	if p.Preview != nil {
		r.preview.Store(p.Preview)
	}
	r.latest.Store(&p)
	if r.pending.CompareAndSwap(false, true) {
		r.s.post(r.update)
	}
}

// update shows the newest progress.
func (r *run) update() {
	r.pending.Store(false)
	if r.s.run != r {
		return
	}
	r.progress = *r.latest.Load()
	if preview := r.preview.Swap(nil); preview != nil && !r.s.view.occupied() {
		r.s.view.showPreview(preview, r.request.Size())
	}
	r.s.prompt.refreshButton()
}

// show offers a finished picture to the canvas; entry is nil where it is not in the history.
func (r *run) show(p *shown, entry *history.Entry) {
	r.done++
	r.s.keepSoon()
	r.progress = inference.Progress{}
	if entry != nil {
		r.s.strip.added(*entry)
	}
	r.s.view.offer(p)
}

func (r *run) finished(err error) {
	s := r.s
	r.cancel()
	s.run = nil
	s.keepSoon()
	if err != nil && !errors.Is(err, context.Canceled) {
		s.finishing = false // the user has to see it
	}
	s.view.dropPreview()
	var save saveError
	switch {
	case errors.Is(err, context.Canceled):
		if r.done == 0 {
			s.notice.Say("Cancelled.")
		}
	case errors.As(err, &save):
		if rest := r.batch.After(r.done); rest.Count > 0 { // it waits on, with what waits
			s.queue.Insert(0, rest)
		}
		s.queue.Pause()
		actions := []ui.Action{{Text: "Choose another folder…", Do: s.choosePicturesDir}}
		text := "Pictures cannot be saved in " + s.picturesDir() + ". " + explain(save.error)
		switch {
		case save.kept != "":
			text += " The last one is kept as " + save.kept + "."
			actions = append(actions, ui.Action{Text: "Show in folder", Do: func() { s.reveal(save.kept) }})
		case s.shown != nil && s.shown.path == "":
			text = "The picture could not be saved. " + explain(save.error)
			actions = append(actions, ui.Action{Text: "Save as…", Do: s.saveCopy})
		}
		s.notice.Ask(text, actions...)
	case err != nil:
		s.notice.fail(err)
	case s.focusLost && s.queue.Empty():
		s.app.SendNotification(fyne.NewNotification("Kleinbild", doneText(r.batch.Count, r.batch.Desk.Prompt)))
	}
	s.requestChanged()
	s.next()
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

// status is the second line of the button while a batch is made: stage, step and time left.
func (r *run) status() string {
	p := r.progress
	text := "starting…"
	switch p.Stage {
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
	}
	if p.Remaining > 0 && p.Fraction > 0.02 {
		text += " · " + roughly(p.Remaining)
	}
	if r.batch.Count > 1 {
		text = fmt.Sprintf("%d/%d · %s", min(r.done+1, r.batch.Count), r.batch.Count, text)
	}
	return text
}

// fraction of the whole batch that is done.
func (r *run) fraction() float32 {
	return (float32(r.done) + float32(r.progress.Fraction)) / float32(r.batch.Count)
}

// estimate says how long the next batch will take, from the last run of the same model on the same device; 0 is not
// known.
func (s *session) estimate() time.Duration {
	if s.engine == nil {
		return 0
	}
	req, err := s.request()
	if err != nil {
		return 0
	}
	work, info := s.engine.Work(req), s.engine.Info()
	for _, e := range s.strip.all {
		p := e.Picture
		if e.Work > 0 && p.ModelDigest == info.Digest && p.Device == info.Device && p.Precision == string(info.Precision) {
			return time.Duration(float64(e.Took) * work / e.Work * float64(s.shape.count))
		}
	}
	return 0
}
