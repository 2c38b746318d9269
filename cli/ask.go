package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"sync"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// ask returns what the flags and the picture of --like ask for. It returns an error if a flag cannot be read at all. It
// does not check limits. in is standard input for -p -; if it is nil, the prompt is what c has, even if that is "-".
func (c *generateCommand) ask(b *batch, in io.Reader) (ask inference.Ask, err error) {
	if b.like != nil {
		ask = c.repeat(*b.like)
	}
	switch {
	case c.Remove && c.Prompt == nil:
		ask.Prompt = inference.RemovePrompt
	case c.Prompt == nil && b.like == nil:
		return ask, usagef("no prompt: give -p TEXT (it may be empty), or --like FILE")
	case c.Prompt != nil && in == nil:
		ask.Prompt = *c.Prompt
	case c.Prompt != nil:
		if ask.Prompt, err = readPrompt(*c.Prompt, in); err != nil {
			return ask, err
		}
	}
	if c.Aspect != "" || c.Size != "" {
		ask.Aspect, ask.Size = "", nil
	}
	if c.Aspect != "" {
		if ask.Aspect, err = picture.ParseAspectRatio(c.Aspect); err != nil {
			ask.Aspect = picture.AspectRatio(c.Aspect) // Check says what is wrong with it
		} else if strings.ContainsAny(c.Aspect, ":/") {
			b.notes = append(b.notes, fmt.Sprintf("--aspect %s: %s is the nearest shape", c.Aspect, ask.Aspect))
		}
	}
	if c.Size != "" {
		if ask.Size, err = inference.ParseSize(c.Size); err != nil {
			return ask, err
		}
	}
	if c.Seed != "" {
		if ask.Seed, err = inference.ParseSeed(string(c.Seed)); err != nil {
			return ask, err
		}
	}
	if c.Steps != "" {
		if ask.Steps, err = inference.ParseSteps(string(c.Steps)); err != nil {
			return ask, err
		}
	}
	if c.Guidance != "" {
		if ask.Guidance, err = inference.ParseGuidance(string(c.Guidance)); err != nil {
			return ask, err
		}
	}
	if len(c.Image) > 0 {
		ask.References = nil
		if ask.Edit != nil {
			ask.Edit.Area = nil // that of --like is for another picture
		}
	}
	for _, path := range c.Image {
		ask.References = append(ask.References, referenceFile(path))
	}
	if ask.Edit, err = c.editFlags.edit(ask.Edit); err != nil {
		return ask, err
	}
	if c.Noise != "" {
		if ask.Noise, err = inference.ReadNoise(c.Noise); err != nil {
			return ask, err
		}
		b.notes = append(b.notes,
			"the noise comes from a file: the seed is not used, and --like cannot repeat the picture")
	}
	return ask, nil
}

// repeat returns the Ask for the picture with the given metadata. If its size is beyond the limits, it was matched to
// image 1.
func (c *generateCommand) repeat(meta picture.Metadata) inference.Ask {
	ask := inference.Ask{Prompt: meta.Prompt, Seed: &meta.Seed}
	if meta.Steps != 0 {
		ask.Steps = &meta.Steps
	}
	if meta.Guidance != 0 {
		ask.Guidance = &meta.Guidance
	}
	finder := &referenceFinder{like: c.Like}
	for _, r := range meta.References {
		ask.References = append(ask.References, earlierReference{finder, r})
	}
	if meta.Edit != nil {
		ask.Edit = c.repeatEdit(*meta.Edit, finder)
	}
	size := sizeOf(meta)
	switch {
	case ask.Edit != nil && (ask.Edit.NeedsOriginal() || ask.Edit.Strength != nil): // it has the size of image 1
		ask.Aspect = picture.Match
	case size.Check() != nil && len(meta.References) > 0:
		ask.Aspect = picture.Match
	default:
		ask.Size = &size
	}
	return ask
}

func sizeOf(meta picture.Metadata) picture.Size {
	return picture.Size{Width: meta.Width, Height: meta.Height}
}

// withOrigin adds to the error for a bad value where the value comes from: a flag, or the file of --like.
func (c *generateCommand) withOrigin(err error) error {
	var e inference.FieldError
	if !errors.As(err, &e) {
		return err
	}
	given := map[inference.Field]bool{
		inference.FieldPrompt: c.Prompt != nil, inference.FieldReferences: len(c.Image) > 0 || c.Aspect != "",
		inference.FieldAspect: c.Aspect != "", inference.FieldSize: c.Size != "", inference.FieldSeed: c.Seed != "",
		inference.FieldSteps: c.Steps != "", inference.FieldGuidance: c.Guidance != "",
		inference.FieldNoise: c.Noise != "", inference.FieldLoRAs: len(c.LoRA) > 0,
	}
	maps.Copy(given, c.editFlags.given())
	switch {
	case c.Like != "" && !given[e.Field]:
		return fmt.Errorf("%s: %w", c.Like, err)
	case e.Field == inference.FieldPrompt && c.Prompt != nil:
		return promptError(*c.Prompt, err)
	}
	return flagError(err)
}

// flags maps the engine's fields to their flags.
var flags = map[inference.Field]string{
	inference.FieldPrompt: "--prompt", inference.FieldReferences: "--image (-i)", inference.FieldAspect: "--aspect",
	inference.FieldSize: "--size", inference.FieldSeed: "--seed", inference.FieldSteps: "--steps",
	inference.FieldGuidance: "--guidance", inference.FieldNoise: "--noise",
	inference.FieldMask: "--mask", inference.FieldStrength: "--strength", inference.FieldExtend: "--extend",
	inference.FieldFeather: "--feather", inference.FieldContext: "--context",
	inference.FieldArea:         "--area",
	inference.FieldMatchColours: "--match-colours", inference.FieldHidden: "--source",
	inference.FieldKeepUnchanged: "--keep-unchanged",
	inference.FieldLoRAs:         "--lora",
}

// flagError turns a FieldError into a usage error that names the flag. It returns any other error as it is.
func flagError(err error) error {
	var e inference.FieldError
	if !errors.As(err, &e) {
		return err
	}
	want := e.Want
	if e.Field == inference.FieldAspect && e.Want == inference.FieldAspect.Want() {
		want += ", or a ratio near one of theirs, such as 16:9"
	}
	return usageError{reworded{fmt.Sprintf("%s: found %s, want %s", flags[e.Field], e.Got, want), e}}
}

// reworded is an error with a text of its own. It wraps the error that the text describes.
type reworded struct {
	text  string
	cause error
}

func (w reworded) Error() string { return w.text }
func (w reworded) Unwrap() error { return w.cause }

// referenceFile is the path of a reference.
type referenceFile string

// Open reads the picture. The reference has an absolute path, which stays valid in another working directory.
func (f referenceFile) Open(ctx context.Context) (inference.Reference, error) {
	ref, err := inference.OpenReference(ctx, string(f))
	if err == nil {
		ref.Path, err = filepath.Abs(ref.Path)
	}
	return ref, err
}

// OpenOriginal reads the picture also at its full resolution.
func (f referenceFile) OpenOriginal(ctx context.Context) (inference.Reference, *picture.Original, error) {
	ref, original, err := inference.OpenOriginal(ctx, string(f))
	if err == nil {
		ref.Path, err = filepath.Abs(ref.Path)
	}
	return ref, original, err
}

// earlierReference is a reference of the picture of --like.
type earlierReference struct {
	*referenceFinder
	file picture.ReferenceFile
}

// referenceFinder finds the files of references. It searches for one at a time, because each search locks the history.
type referenceFinder struct {
	mu   sync.Mutex
	like string
}

// Open finds the file and reads it.
func (r earlierReference) Open(ctx context.Context) (inference.Reference, error) {
	file, err := r.found(ctx)
	if err != nil {
		return inference.Reference{}, err
	}
	ref, err := inference.OpenArranged(ctx, string(file), r.file.Arrangement)
	if err == nil {
		ref.Path, err = filepath.Abs(ref.Path)
	}
	return ref, err
}

// OpenOriginal finds the file and reads it also at its full resolution.
func (r earlierReference) OpenOriginal(ctx context.Context) (inference.Reference, *picture.Original, error) {
	ref, err := r.Open(ctx)
	if err != nil {
		return ref, nil, err
	}
	return ref.OpenOriginal(ctx)
}

func (r earlierReference) found(ctx context.Context) (referenceFile, error) {
	path, err := r.find(ctx, r.file)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w; give it again with -i", r.like, err)
	}
	return referenceFile(path), err
}

// find searches the history, the folder of the picture of --like, and the working directory.
func (f *referenceFinder) find(ctx context.Context, file picture.ReferenceFile) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return history.At(HistoryFile(), nil).FindReference(ctx, file, filepath.Dir(f.like), ".")
}
