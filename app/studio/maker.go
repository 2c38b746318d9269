package studio

import (
	"context"
	"errors"
	"image"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Maker makes the batches of a queue, one after the other, with the model that is open. A picture is done when its
// file and its entry in the history are on the disk.
type Maker struct {
	Began    Event[*Run]
	Progress Event[*image.RGBA] // Run().Progress has changed; the preview that came with it, nil for none
	Made     Event[Made]
	Ended    Event[Ended]
	Idle     Signal // nothing is being made, and the queue gives nothing out

	loop   *Loop
	queue  *Queue
	model  *OpenModel
	output Output
	run    *Run
}

// Output says where pictures go.
type Output struct {
	Version   string          // of the program, for the pictures' metadata
	Dir       func() string   // the folder of pictures
	SpareDirs func() []string // tried in order if a picture that was made cannot be written to Dir
	Store     *history.Store
	Kept      func() *Store // has the pasted pictures and masks of batches; nil for nowhere

	OpenUpscaler OpenUpscaler            // may be nil if no batch enlarges
	Device       func() inference.Device // on which networks that enlarge compute
}

// Run is a batch that is being made. Its exported fields may be read on the loop's goroutine.
type Run struct {
	Batch    Batch
	Request  inference.Request // for the first picture; of an edit or an unread file, once that has been read
	Done     int               // finished pictures
	Progress inference.Progress

	maker   *Maker
	cancel  context.CancelFunc
	latest  atomic.Pointer[inference.Progress]
	preview atomic.Pointer[image.RGBA]
	pending atomic.Bool // an update is on its way to the loop's goroutine
}

// Made is a picture that has just been made.
type Made struct {
	Picture   *Picture
	Entry     *history.Entry // nil if the picture could not be saved
	Truncated string         // the end of the prompt that the model did not read
}

// Ended is how a run ended: Err is nil if all pictures are made, context.Canceled if it was cancelled, or else why not.
type Ended struct {
	Run *Run
	Err error
}

// SaveError is the error of a run whose pictures cannot be saved in their folder. That may be found out before the
// first one is made.
type SaveError struct {
	Err  error
	Kept string // where the last picture lies instead, "" if it lies nowhere
}

func (e SaveError) Error() string { return e.Err.Error() }
func (e SaveError) Unwrap() error { return e.Err }

// NewMaker returns a maker that makes nothing before Next is called.
func NewMaker(loop *Loop, queue *Queue, model *OpenModel, output Output) *Maker {
	return &Maker{loop: loop, queue: queue, model: model, output: output}
}

// Run returns the run under way, nil for none.
func (m *Maker) Run() *Run { return m.run }

// Cancel gives up the run under way, if there is one.
func (m *Maker) Cancel() {
	if m.run != nil {
		m.run.cancel()
	}
}

// GoOn lets a paused queue go on.
func (m *Maker) GoOn() {
	m.queue.GoOn()
	m.Next()
}

// Next begins the next batch of the queue, unless something is being made or the batch needs a model and none is open.
// Whoever adds a batch, opens a model or lets the queue go on calls it; the maker itself calls it when a run has ended.
func (m *Maker) Next() {
	engine := m.model.Engine()
	next, waits := m.queue.First()
	if m.run != nil || waits && next.NeedsModel() && engine == nil {
		return
	}
	b, ok := m.queue.Take()
	if !ok {
		m.Idle.tell()
		return
	}
	ctx, cancel := context.WithCancel(m.loop.Closing)
	r := &Run{Batch: b, maker: m, cancel: cancel}
	m.run = r
	if b.Upscale != nil {
		m.Began.tell(r)
		dir, spare := m.output.Dir(), m.output.SpareDirs()
		m.loop.Background(func() func() {
			err := r.upscale(ctx, engine, dir, spare)
			return func() { m.ended(r, err) }
		})
		return
	}
	ask, checked, err := r.check()
	reads := b.Desk.Edits() || b.Desk.Reading()
	if err == nil && !reads {
		r.Request, err = checked.Resolve(engine.Info())
	}
	if err != nil {
		m.ended(r, err)
		return
	}
	m.Began.tell(r)
	dir, spare, request := m.output.Dir(), m.output.SpareDirs(), r.Request
	m.loop.Background(func() func() {
		var err error
		if list, moved := findMoved(ctx, engine, ask.LoRAs); moved {
			ask.LoRAs = list
			if checked, err = ask.Check(); err == nil && !reads {
				request, err = r.resolve(engine, checked)
			}
		}
		if err == nil && reads {
			request, err = r.read(ctx, engine, checked)
		}
		if err == nil {
			err = r.make(ctx, engine, request, dir, spare)
		}
		return func() { m.ended(r, err) }
	})
}

// check returns what the batch asks for, also within its limits.
func (r *Run) check() (ask inference.Ask, checked inference.Checked, err error) {
	var store *Store
	if kept := r.maker.output.Kept; kept != nil {
		store = kept()
	}
	if ask, err = r.Batch.Ask(store); err == nil {
		checked, err = ask.Check()
	}
	return ask, checked, err
}

// read reads what was not read before: image 1 of an edit at its full resolution, the mask, and the file of a batch
// that has waited for it. It runs away from the loop's goroutine.
func (r *Run) read(ctx context.Context, engine Engine, checked inference.Checked) (inference.Request, error) {
	checked, err := checked.Read(ctx, 1)
	if err != nil {
		return inference.Request{}, err
	}
	return r.resolve(engine, checked)
}

// resolve makes the request and tells it the loop's goroutine, away from which it runs.
func (r *Run) resolve(engine Engine, checked inference.Checked) (inference.Request, error) {
	request, err := checked.Resolve(engine.Info())
	if err == nil {
		r.maker.loop.Post(func() { r.Request = request })
	}
	return request, err
}

// make makes the pictures of request, away from the loop's goroutine.
func (r *Run) make(ctx context.Context, engine Engine, request inference.Request, dir string, spare []string) error {
	out, work := r.maker.output, engine.Work(request)
	if err := PrepareDir(dir); err != nil {
		return SaveError{err, ""}
	}
	for i := range r.Batch.Count {
		req := request.WithSeed(r.Batch.After(i).Seed)
		start := time.Now()
		result, err := engine.Generate(ctx, req, r.report)
		if err != nil {
			return err
		}
		result.Metadata.Version = out.Version
		entry := history.Entry{Made: time.Now(), Took: time.Since(start), Work: work, Picture: result.Metadata,
			Batch: r.Batch.Group, Composed: r.Batch.Desk.composed()}
		p := &Picture{Full: result.Image, Meta: result.Metadata}
		path := filepath.Join(dir, FileName(result.Metadata.Prompt, req.Seed()))
		if picture.CheckWritable(path, picture.Number) != nil { // but PrepareDir could: it is the name that cannot be used
			path = filepath.Join(dir, FileName("", req.Seed()))
		}
		var elsewhere error // why the picture is not in dir
		p.Path, elsewhere, err = picture.Save(path, result.Image, result.Metadata, picture.Number, spare...)
		unseen := p.look(context.WithoutCancel(ctx), req)
		if err != nil {
			if unseen == nil {
				r.maker.loop.Post(func() { r.made(Made{Picture: p}) })
			}
			return SaveError{err, ""}
		}
		entry.Path = p.Path
		entry = out.Store.Add(entry)
		if unseen != nil {
			return unseen
		}
		p.ID = entry.ID
		r.maker.loop.Post(func() { r.made(Made{p, &entry, result.Truncated}) })
		if elsewhere != nil {
			return SaveError{elsewhere, p.Path}
		}
	}
	return nil
}

// report takes progress from the goroutine that computes: it keeps the newest and never waits.
func (r *Run) report(p inference.Progress) {
	if p.Preview != nil {
		r.preview.Store(p.Preview)
	}
	r.latest.Store(&p)
	if r.pending.CompareAndSwap(false, true) {
		r.maker.loop.Post(r.update)
	}
}

// update tells the subscribers about the newest progress.
func (r *Run) update() {
	r.pending.Store(false)
	if r.maker.run == r {
		r.Progress = *r.latest.Load()
		r.maker.Progress.tell(r.preview.Swap(nil))
	}
}

func (r *Run) made(m Made) {
	r.Done++
	r.Progress = inference.Progress{}
	r.maker.Made.tell(m)
}

// Rest returns what is left of the batch; ok is false if nothing is.
func (r *Run) Rest() (rest Batch, ok bool) {
	rest = r.Batch.After(r.Done)
	return rest, rest.Count > 0
}

// Fraction returns how much of the batch is done, from 0 to 1.
func (r *Run) Fraction() float64 {
	return (float64(r.Done) + r.Progress.Fraction) / float64(r.Batch.Count)
}

func (m *Maker) ended(r *Run, err error) {
	r.cancel()
	m.run = nil
	// What follows could not be saved either, or would meet the same fault.
	if save := (SaveError{}); errors.As(err, &save) || inference.Retryable(err) {
		if rest, ok := r.Rest(); ok { // it goes back to the front of the queue
			m.queue.Insert(0, rest)
		}
		m.queue.Pause()
	}
	m.Ended.tell(Ended{r, err})
	m.Next()
}
