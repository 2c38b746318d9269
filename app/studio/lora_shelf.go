package studio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
)

// LoRAShelf knows which adapters there are, and how those on the desk fit the model that is open. It reads files in the
// background.
type LoRAShelf struct {
	Changed Signal // other names, or an adapter of the desk was read

	loop   *Loop
	model  *OpenModel
	desk   *Workspace
	names  inference.LoRANames
	fits   map[loraFile]LoRAFit
	fitted Engine // that the fits are of
}

// loraFile identifies what is read of an adapter: a file, or a name on another computer.
type loraFile struct{ name, path, digest string }

// LoRAFit is how an adapter fits the model.
type LoRAFit struct {
	Info    inference.LoRAInfo
	Err     error // in one line, why it cannot be used
	Reading bool  // nothing is known yet
}

// inspector is an engine that can look into many files.
type inspector interface {
	InspectLoRA(ctx context.Context, l inference.LoRA) (inference.LoRAInfo, error)
}

var errTakesNoLoRA = errors.New("the model that is open takes no LoRAs")

// NewLoRAShelf returns a shelf that follows a desk and a model.
func NewLoRAShelf(loop *Loop, model *OpenModel, desk *Workspace) *LoRAShelf {
	s := &LoRAShelf{loop: loop, model: model, desk: desk, fits: map[loraFile]LoRAFit{}}
	desk.Chosen.Subscribe(s.read)
	model.Changed.Subscribe(func() {
		if s.fitted != model.Engine() {
			s.fitted = model.Engine()
			clear(s.fits)
			s.Refresh()
			s.read()
		}
	})
	return s
}

// Names returns the adapters that can be named. The caller must not change them.
func (s *LoRAShelf) Names() inference.LoRANames { return s.names }

// Refresh looks again which adapters there are: in the folders of this computer, or on the one that makes the pictures.
func (s *LoRAShelf) Refresh() {
	engine, ctx := s.model.Engine(), s.loop.Closing
	s.loop.Background(func() func() {
		names, err := listLoRAs(ctx, engine)
		return func() {
			if err == nil && engine == s.model.Engine() {
				s.names = names
				s.Changed.tell()
			}
		}
	})
}

func listLoRAs(ctx context.Context, engine Engine) (inference.LoRANames, error) {
	if e, ok := engine.(inference.Adapting); ok {
		return e.LoRAs(ctx)
	}
	if engine != nil {
		return nil, nil
	}
	return inference.ListLoRAs(ctx)
}

func (l LoRA) file() loraFile { return loraFile{l.Name, l.Path, l.Digest} }

// Fit says how an adapter of the desk fits the model.
func (s *LoRAShelf) Fit(l LoRA) LoRAFit {
	if f, ok := s.fits[l.file()]; ok {
		return f
	}
	return LoRAFit{Reading: s.model.Engine() != nil || s.model.Opening()}
}

// Ready says whether the adapters of a desk that are on can be used. If it has to wait for one, wait is true. The error
// names the first that cannot be used.
func (s *LoRAShelf) Ready(d Desk) (wait bool, err error) { return s.usable(d.activeLoRAs()) }

// Prepare is Ready for a picture that is asked for: it also reads the adapters that the prompt names.
func (s *LoRAShelf) Prepare(d Desk) (wait bool, err error) {
	tags := tagged(d.Prompt, s.names)
	s.readAll(tags)
	if wait, err = s.usable(append(d.activeLoRAs(), tags...)); err != nil {
		s.forget(tags)
	}
	return wait, err
}

func (s *LoRAShelf) usable(list []LoRA) (wait bool, err error) {
	for _, l := range list {
		switch f := s.Fit(l); {
		case f.Err != nil:
			return false, fmt.Errorf("the LoRA %s cannot be used: %w", l.Name, f.Err)
		case f.Reading:
			wait = true
		}
	}
	return wait, nil
}

// tagged returns the adapters that a prompt names.
func tagged(prompt string, names inference.LoRANames) (list []LoRA) {
	for _, n := range tagsOf(prompt, names) {
		list = append(list, LoRA{Name: n.Name, Path: n.Path, Strength: 1})
	}
	return list
}

// TakeTags returns the adapters that a prompt names, with the digests of their files at the last Prepare. They are read
// again at the next one: a file that was replaced is another adapter then.
func (s *LoRAShelf) TakeTags(prompt string) (tags inference.LoRANames) {
	list := tagged(prompt, s.names)
	for _, l := range list {
		tags = append(tags, inference.NamedLoRA{Name: l.Name, Path: l.Path, Digest: strings.ToLower(s.Fit(l).Info.Digest)})
	}
	s.forget(list)
	return tags
}

// forget drops what is known of adapters, except of those that are being read.
func (s *LoRAShelf) forget(list []LoRA) {
	for _, l := range list {
		if !s.fits[l.file()].Reading {
			delete(s.fits, l.file())
		}
	}
}

// read reads the adapters of the desk that are not known yet.
func (s *LoRAShelf) read() { s.readAll(s.desk.Desk().LoRAs) }

// readAll reads the adapters of a list that are not known yet.
func (s *LoRAShelf) readAll(list []LoRA) {
	engine := s.model.Engine()
	if engine == nil {
		return
	}
	for _, l := range list {
		key := l.file()
		if _, known := s.fits[key]; known {
			continue
		}
		s.fits[key] = LoRAFit{Reading: true}
		ctx := s.loop.Closing
		s.loop.Background(func() func() {
			found, info, err := describe(ctx, engine, l)
			return func() {
				if engine == s.model.Engine() {
					s.described(key, found, LoRAFit{Info: info, Err: err})
				}
			}
		})
	}
}

// described notes how the adapter of key fits. found is where it was found, with its digest.
func (s *LoRAShelf) described(key loraFile, found LoRA, fit LoRAFit) {
	s.fits[key], s.fits[found.file()] = fit, fit
	if found.file() != key {
		s.desk.Amend(func() {
			for i, l := range s.desk.Desk().LoRAs {
				if l.file() == key {
					s.desk.Choose(func(d *Desk) {
						d.SetLoRA(i, func(l *LoRA) { l.Name, l.Path, l.Digest = found.Name, found.Path, found.Digest })
					})
				}
			}
		})
	}
	s.Changed.tell()
}

// describe opens an adapter. If it is not where the desk says, but its digest is known, it is searched among all that
// have names, and in the folder where it was. On another computer it is searched among those with its name.
func describe(ctx context.Context, engine Engine, l LoRA) (found LoRA, info inference.LoRAInfo, err error) {
	e, ok := engine.(inference.Adapting)
	if !ok {
		return l, info, errTakesNoLoRA
	}
	remote := engine.Info().Remote != ""
	missing := l.Path == "" && !remote
	if !missing {
		info, err = e.LoRA(ctx, l.Ask())
		missing = errors.Is(err, fs.ErrNotExist)
	}
	if (missing || err != nil) && l.Digest != "" && ctx.Err() == nil {
		names, _ := e.LoRAs(ctx)
		if other, fit, ok := search(ctx, e, names, l, remote); ok {
			return other, fit, nil
		}
	}
	if missing {
		err = notFound(l)
	}
	if err == nil {
		l.Digest = strings.ToLower(info.Digest)
	}
	return l, info, aboutFile(err, l.Path)
}

// findMoved returns the adapters of a batch, which may have waited for long, with the files that have their digests
// now. moved says whether one of them is not where it was. One that is not found stays as it is: whoever opens it says
// what is wrong. On another computer the adapters are found there.
func findMoved(ctx context.Context, engine Engine, list []inference.LoRA) (found []inference.LoRA, moved bool) {
	found = slices.Clone(list)
	if engine.Info().Remote != "" {
		return found, false
	}
	for i, l := range list {
		if l.Digest == "" {
			continue
		}
		if now, _, err := describe(ctx, engine, LoRAOf(l)); err == nil && now.Path != l.Path {
			found[i], moved = now.Ask(), true
		}
	}
	return found, moved
}

// fileError is what is wrong with a file that people know already: its text has no path.
type fileError struct {
	error
	text string
}

func (e fileError) Error() string { return e.text }
func (e fileError) Unwrap() error { return e.error }

// aboutFile returns err without the path and the names of packages before it.
func aboutFile(err error, path string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, room := range []string{"inference: ", "lora: ", "safetensors: "} {
		text = strings.TrimPrefix(text, room)
	}
	if path != "" {
		text = strings.ReplaceAll(text, path+": ", "")
	}
	return fileError{err, text}
}

// search finds an adapter with l's digest among names. The digests of another computer's adapters are known there: only
// those that the name may mean are asked for.
func search(
	ctx context.Context, e inference.Adapting, names inference.LoRANames, l LoRA, remote bool,
) (found LoRA, info inference.LoRAInfo, ok bool) {
	var candidates []inference.LoRA
	if remote {
		candidates = names.FindAll(l.Name)
	} else {
		beside := ""
		if l.Path != "" {
			beside = filepath.Dir(l.Path)
		}
		if n, ok := names.FindDigest(ctx, l.Digest, beside); ok {
			candidates = []inference.LoRA{{Name: n.Name, Path: n.Path}}
		}
	}
	for _, c := range candidates {
		found = l
		found.Name, found.Path = c.Name, c.Path
		if info, err := e.LoRA(ctx, found.Ask()); err == nil {
			found.Digest = strings.ToLower(info.Digest)
			return found, info, true
		}
	}
	return l, info, false
}

// notFound says of an adapter without a file where it was looked for.
func notFound(l LoRA) error {
	where := inference.LoRASearch()
	if l.Path != "" {
		where = "at " + l.Path + ", nor under another name " + where
	} else if l.Digest != "" {
		where += ", nor under another name"
	}
	return fmt.Errorf("its file was not found %s: add it again, or switch it off", where)
}

// Look describes an adapter that is not on the desk, on any goroutine, without reading all of it. ok is false if the
// engine cannot do that; the error says why the adapter cannot be used.
func (s *LoRAShelf) Look() func(inference.NamedLoRA) (info inference.LoRAInfo, ok bool, err error) {
	engine, ctx := s.model.Engine(), s.loop.Closing
	return func(n inference.NamedLoRA) (info inference.LoRAInfo, ok bool, err error) {
		e, ok := engine.(inspector)
		if !ok || n.Path == "" {
			return info, false, nil
		}
		info, err = e.InspectLoRA(ctx, inference.LoRA{Name: n.Name, Path: n.Path})
		return info, true, aboutFile(err, n.Path)
	}
}

// Open reads a file that is to come on the desk, in the background. done gets the adapter, or the error.
func (s *LoRAShelf) Open(path string, done func(LoRA, error)) {
	engine, ctx := s.model.Engine(), s.loop.Closing
	s.loop.Background(func() func() {
		l := LoRA{Path: path, Strength: 1}
		info, err := inference.DescribeLoRA(ctx, l.Ask()) // says of a file that is no adapter what it is
		if err == nil && engine != nil {
			l.Name = info.Name
			var fit inference.LoRAInfo
			if _, fit, err = describe(ctx, engine, l); err == nil {
				info = fit
			}
		}
		err = aboutFile(err, path)
		l.Name, l.Digest = info.Name, strings.ToLower(info.Digest)
		return func() {
			if err == nil && engine == s.model.Engine() && engine != nil {
				s.fits[l.file()] = LoRAFit{Info: info}
			}
			done(l, err)
		}
	})
}

// Tags returns the adapters that a prompt names as <lora:NAME:STRENGTH>, and the tags that stay text because nothing
// has their names.
func (s *LoRAShelf) Tags(prompt string) (found []inference.LoRA, left []string) {
	if !inference.HasLoRATags(prompt) {
		return nil, nil
	}
	_, found, left = inference.TakeLoRATags(prompt, s.names)
	return found, left
}

// WithoutTags returns a prompt without the adapters that it names.
func (s *LoRAShelf) WithoutTags(prompt string) string {
	rest, _, _ := inference.TakeLoRATags(prompt, s.names)
	return rest
}
