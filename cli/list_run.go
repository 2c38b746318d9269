package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kleinbild/kleinbild/inference"
)

// runList makes the pictures of a list that are not there. A picture that cannot be made is reported, and the others
// are made; the error then counts those that failed.
func (c *generateCommand) runList(ctx context.Context, s Streams, folder int) error {
	l, err := c.readList(ctx, s, folder)
	if err != nil {
		return err
	}
	start := time.Now()
	engine, err := l.shared.open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	info := engine.Info()
	printNotices(s.Err, info)
	for _, note := range l.shared.notes {
		fmt.Fprintln(s.Err, "note:", note)
	}
	l.shared.compare(s.Err, info)
	if err := l.checkLoRAs(ctx, s, engine); err != nil {
		return err
	}
	if i := slices.IndexFunc(l.entries, func(e *entry) bool { return e.Guidance != "" }); i >= 0 {
		l.entries[i].batch.tellGuidance(s.Err, info)
	}
	if err := l.findMissing(ctx, info); err != nil {
		return err
	}
	if err := l.prepareFolders(); err != nil {
		return err
	}
	run := &listRun{list: l, Streams: s, engine: engine, start: start}
	total := 0
	for _, e := range l.entries {
		total += len(e.batch.seeds)
		run.todo += len(e.missing)
	}
	run.there = total - run.todo
	fmt.Fprintf(s.Err, "%s; %s, %d of them already there, opened in %.2f s\n",
		describeEngine(info), countOf(total, "picture", "pictures"), run.there, time.Since(start).Seconds())
	run.progress = newListProgress(s.Err, total, run.todo)
	err = run.all(ctx)
	run.summary()
	switch {
	case err != nil:
		return err
	case len(run.failed) > 0:
		return fmt.Errorf("%d of %s failed: %s; the same command tries them again",
			run.lost, countOf(total, "picture", "pictures"), fewNames(run.failed))
	}
	return nil
}

// checkLoRAs checks that the adapters of all entries fit the model, says how, and fixes their digests, by which a
// picture that is there is recognised.
func (l *list) checkLoRAs(ctx context.Context, s Streams, engine inference.Generator) error {
	e, ok := engine.(inference.Adapting)
	if !ok {
		return nil
	}
	known := map[inference.LoRA]inference.LoRAInfo{} // by adapters of strength 0
	for _, entry := range l.entries {
		b := entry.batch
		for i, a := range b.ask.LoRAs {
			key := a
			key.Strength = 0
			described, ok := known[key]
			if !ok {
				var err error
				if described, err = e.LoRA(ctx, a); err != nil {
					return entry.withOrigin(err)
				}
				known[key] = described
				fmt.Fprintf(s.Err, "LoRA %s: %v\n", described.Name, described)
			}
			b.ask.LoRAs[i].Digest = described.Digest
		}
		if len(b.ask.LoRAs) == 0 {
			continue
		}
		checked, err := b.ask.Check()
		if err != nil {
			return entry.withOrigin(err)
		}
		b.checked = checked
	}
	return nil
}

// findMissing finds out which pictures are there, by the metadata in their files. A file that is there and was made for
// another request is an error, unless it may be overwritten: it is nobody's wish that it is lost, or taken for what was
// asked for.
func (l *list) findMissing(ctx context.Context, info inference.Info) error {
	problems := make([]error, len(l.entries))
	var group errgroup.Group
	group.SetLimit(inference.ReadAtOnce)
	for i, e := range l.entries {
		group.Go(func() error {
			if ctx.Err() == nil {
				problems[i] = e.findMissing(ctx, info)
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	problems = slices.DeleteFunc(problems, func(err error) bool { return err == nil })
	switch n := len(problems); n {
	case 0:
		return nil
	case 1:
		return usageError{problems[0]}
	default:
		return usageError{fmt.Errorf("%w (and %s)", problems[0], countOf(n-1, "more file", "more files"))}
	}
}

func (e *entry) findMissing(ctx context.Context, info inference.Info) error {
	b := *e.batch // a copy, which holds what is read only until this returns
	read := false
	for _, seed := range b.seeds {
		path := b.planned[seed]
		there, err := metadataAt(path)
		if there == nil && err == nil {
			e.missing = append(e.missing, seed)
			continue
		}
		var differs string
		switch {
		case err != nil:
			differs = "it is no picture of Kleinbild"
		case there.Prompt != b.checked.Prompt() || there.Seed != seed: // which can be seen without reading the references
			differs = "it was made for another prompt or seed"
		default:
			if !read {
				checked, err := b.checked.Read(ctx, 1)
				if err == nil {
					b.checked = checked
					err = e.resolve(&b, info)
				}
				if err != nil { // it is told when its turn comes
					e.missing = append(e.missing, seed)
					continue
				}
				read = true
			}
			if what := b.request.WithSeed(seed).Metadata(info).Differs(*there); what != "" {
				differs = "it was made with another " + what
			}
		}
		switch {
		case differs == "":
		case e.Overwrite:
			e.missing = append(e.missing, seed)
		default:
			return fmt.Errorf("%s: found a file that is not the picture of %s, because %s: want another -o, or --overwrite",
				path, e.where, differs)
		}
	}
	return nil
}

// listRun is the making of a list.
type listRun struct {
	*list
	Streams
	engine   inference.Generator
	progress *listProgress
	start    time.Time
	there    int      // pictures that were there
	todo     int      // pictures that were not
	made     int      // of them, in this run
	lost     int      // of them, that failed
	failed   []string // what they are of
}

// turn is an entry with its pictures read, or the error of reading them.
type turn struct {
	*entry
	checked inference.Checked
	err     error
}

// readAhead reads the pictures of the entries that have something to be made, one entry ahead of the one that is
// being made. An original at full resolution is read when its turn comes, because two of them may take too much memory.
func (r *listRun) readAhead(ctx context.Context) <-chan turn {
	turns := make(chan turn)
	go func() {
		defer close(turns)
		for _, e := range r.entries {
			if len(e.missing) == 0 {
				continue
			}
			t := turn{entry: e, checked: e.batch.checked}
			if edit := e.batch.ask.Edit; edit == nil || !edit.NeedsOriginal() {
				t.checked, t.err = t.checked.Read(ctx, inference.ReadAtOnce)
			}
			select {
			case turns <- t:
			case <-ctx.Done():
				return
			}
		}
	}()
	return turns
}

// all makes what is missing. The error is one that ends the list: what follows would meet it, too.
func (r *listRun) all(ctx context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	for t := range r.readAhead(reading) {
		if err := r.entry(ctx, t); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// entry makes the pictures of an entry. An error of the entry alone is told, and nil is returned.
func (r *listRun) entry(ctx context.Context, t turn) error {
	b := *t.batch // a copy, which holds what was read only until this returns
	b.checked = t.checked
	err := t.err
	if err == nil { // it reads what was not read ahead
		b.checked, err = b.checked.Read(ctx, inference.ReadAtOnce)
	}
	if err == nil {
		err = t.resolve(&b, r.engine.Info())
	}
	if err != nil {
		return r.fail(ctx, t.entry, len(t.missing), err)
	}
	b.tellMask(r.Err)
	for i, seed := range t.missing {
		b.request = b.request.WithSeed(seed)
		m, err := r.try(ctx, t.entry, &b, i == 0)
		switch {
		case err != nil && m.result != nil: // it could be written nowhere, and nor could the next one
			return err
		case err != nil:
			return r.fail(ctx, t.entry, len(t.missing)-i, err)
		}
		position := r.progress.position()
		r.made++
		fmt.Fprintf(r.Err, "%s: %s, %.1f s%s\n", position, t.where, m.took.Seconds(), r.progress.ended(m.took))
		if err := t.tell(r.Streams, r.engine, &b, m); err != nil {
			return err
		}
		if m.failed != nil {
			return m.failed
		}
	}
	return nil
}

// retries is how often a picture is tried again after a fault that passes, such as a connection that was cut.
const retries = 3

// retryAfter is the time before the first of these tries; each further one waits twice as long.
var retryAfter = 10 * time.Second

// try makes a picture, and tries again after a fault that passes.
func (r *listRun) try(ctx context.Context, e *entry, b *batch, first bool) (made, error) {
	wait := retryAfter
	for n := 0; ; n++ {
		m, err := e.produce(ctx, r.Streams, r.engine, b, r.progress.begin(e.where), first)
		if err == nil || n == retries || ctx.Err() != nil || !inference.Retryable(err) {
			return m, err
		}
		fmt.Fprintf(r.Err, "note: %s; trying again in %v\n", oneLine(err), wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return m, context.Cause(ctx)
		}
		wait *= 2
	}
}

// fail tells why n pictures of an entry were not made. It returns the error if it ends the list: the program is to end,
// or the fault is one of the engine or the disk.
func (r *listRun) fail(ctx context.Context, e *entry, n int, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var unreadable *inference.UnreadableError
	if inference.Retryable(err) || errors.As(err, &unreadable) || errors.Is(err, inference.ErrClosed) {
		return err
	}
	position := r.progress.position()
	left := ""
	for range n {
		r.lost++
		left = r.progress.ended(0)
	}
	r.failed = append(r.failed, filepath.Base(e.where))
	fmt.Fprintf(r.Err, "%s: %s failed: %s%s\n", position, e.where, oneLine(err), left)
	return nil
}

// summary says at the end what came of the list.
func (r *listRun) summary() {
	text := fmt.Sprintf("%s made in %s", countOf(r.made, "picture", "pictures"), spent(time.Since(r.start)))
	if r.there > 0 {
		text += fmt.Sprintf(", %d already there", r.there)
	}
	if r.lost > 0 {
		text += fmt.Sprintf(", %d failed", r.lost)
	}
	if left := r.todo - r.made - r.lost; left > 0 {
		text += fmt.Sprintf(", %d left: the same command goes on with them", left)
	}
	fmt.Fprintln(r.Err, text)
}

// spent says how long something took.
func spent(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
