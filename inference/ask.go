package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Ask is what a person asks for. A field that is left out is nil or empty. Check compares all fields with their limits;
// Checked.Resolve adds the defaults of a model.
//
// To add a field, add it here and to Checked, with a row in rules and its text in Field.Want. If the model decides
// about it, Checked.Resolve uses it.
type Ask struct {
	// Prompt holds the bytes as they came, in whatever encoding; see ParsePrompt. It may be empty.
	Prompt string
	// References are pictures that the model looks at, "image 1" first.
	References []Source
	// Edit changes image 1 instead of making a new picture after it; nil if there is no edit.
	Edit *Edit
	// Aspect and Size exclude each other. If both are left out, the picture has picture.DefaultAspectRatio. An edit whose
	// result is laid into image 1, or starts from it, takes neither; picture.Match may be given.
	Aspect picture.AspectRatio
	Size   *picture.Size // in pixels
	Seed   *uint64       // nil for a random one
	// If Steps or Guidance is nil, the model's default is used. A guidance from 0 to 1 means none; distilled models ignore
	// it.
	Steps    *int
	Guidance *float64
	// Noise replaces the noise that the seed gives: [token channels, height/16, width/16], row-major.
	Noise []float32
	// Preview asks for a preview of the picture after each step.
	Preview bool
	// LoRAs are adapters of the transformer. Their order has no meaning.
	LoRAs []LoRA
}

// Source is a reference picture, which may not have been read yet. A Reference is one that has been read.
type Source interface {
	// Open reads and prepares the picture.
	Open(ctx context.Context) (Reference, error)
}

// Checked is an Ask whose fields are all within their limits. Only Ask.Check makes one, so that nothing is checked
// again.
type Checked struct {
	prompt     string
	references []Source
	aspect     picture.AspectRatio // "" if size is set
	size       picture.Size
	seed       uint64
	steps      int     // 0 for the model's own
	guidance   float64 // NoGuidance to MaxGuidance, 0 for the model's own
	noise      []float32
	preview    bool
	loras      []LoRA

	edit *checkedEdit // nil if there is no edit
	// original and mask are set by Read. They are nil if the edit needs none.
	original *picture.Original
	mask     *Mask
	maskFile picture.ReferenceFile // of the mask, see NamedMask
	margins  Margins               // by which original has grown
}

// rules are the checks of an Ask, in the order in which they are made. Each returns a FieldError or sets its field of
// the Checked.
var rules = []func(a Ask, c *Checked) error{
	func(a Ask, c *Checked) (err error) {
		c.prompt, err = ParsePrompt(a.Prompt)
		return err
	},
	func(a Ask, c *Checked) error {
		if n := len(a.References); n > MaxReferences {
			return FieldError{FieldReferences, fmt.Sprintf("%d reference pictures", n), FieldReferences.Want()}
		}
		c.references = slices.Clone(a.References)
		return nil
	},
	checkEdit,
	checkSize,
	func(a Ask, c *Checked) error {
		if a.Seed == nil {
			c.seed = RandomSeed()
		} else {
			c.seed = *a.Seed
		}
		return nil
	},
	func(a Ask, c *Checked) error {
		if a.Steps == nil {
			return nil
		}
		if c.steps = *a.Steps; c.steps < 1 || c.steps > MaxSteps {
			return FieldError{FieldSteps, strconv.Itoa(c.steps), FieldSteps.Want()}
		}
		return nil
	},
	func(a Ask, c *Checked) error {
		if a.Guidance == nil {
			return nil
		}
		if g := *a.Guidance; !(g >= MinGuidance && g <= MaxGuidance) { // written so that NaN is refused too
			return FieldError{FieldGuidance, strconv.FormatFloat(g, 'g', -1, 64), FieldGuidance.Want()}
		}
		c.guidance = max(*a.Guidance, NoGuidance)
		return nil
	},
	func(a Ask, c *Checked) error {
		for i, v := range a.Noise {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return FieldError{FieldNoise, fmt.Sprintf("%v at %d", v, i), FieldNoise.Want()}
			}
		}
		c.noise = a.Noise
		return nil
	},
	func(a Ask, c *Checked) error {
		c.preview = a.Preview
		return nil
	},
	checkLoRAs,
}

// checkSize checks the aspect ratio or the size, whichever is given. It does not limit the size that Match takes from
// image 1: a picture of 8:1 may be wider than any size that a person may ask for.
func checkSize(a Ask, c *Checked) error {
	const sizeOfFirst = "none: an edit has the size of image 1"
	switch fixed := a.Edit != nil && a.Edit.fixesSize(); {
	case fixed && a.Size != nil:
		return FieldError{FieldSize, a.Size.String(), sizeOfFirst}
	case fixed && a.Aspect != "" && a.Aspect != picture.Match:
		return FieldError{FieldAspect, found(string(a.Aspect)), sizeOfFirst}
	case fixed:
		c.aspect = picture.Match
		return nil
	case a.Size != nil && a.Aspect != "":
		return FieldError{FieldSize, "an aspect ratio as well", "one of both"}
	case a.Size != nil && a.Size.Check() != nil:
		want := fmt.Sprintf("each side %s; the nearest size is %v", picture.OutputSides(), a.Size.Nearest())
		return FieldError{FieldSize, a.Size.String(), want}
	case a.Size != nil:
		c.size = *a.Size
		return nil
	case a.Aspect == "":
		c.aspect = picture.DefaultAspectRatio
		return nil
	case !slices.Contains(picture.AspectRatios(), a.Aspect):
		return Unreadable(FieldAspect, string(a.Aspect))
	case a.Aspect == picture.Match && len(a.References) == 0:
		return FieldError{FieldReferences, "none", "at least one to match the size of"}
	}
	c.aspect = a.Aspect
	return nil
}

// Check compares all fields with their limits. It reads no reference and needs no model. The error is a FieldError, the
// first in the order of rules.
func (a Ask) Check() (Checked, error) {
	var c Checked
	for _, rule := range rules {
		if err := rule(a, &c); err != nil {
			return Checked{}, err
		}
	}
	return c, nil
}

// Resolve calls Check and then Checked.Resolve, for a model that is open and references that have been read.
func (a Ask) Resolve(info Info) (Request, error) {
	c, err := a.Check()
	if err != nil {
		return Request{}, err
	}
	return c.Resolve(info)
}

// Prompt returns the prompt in UTF-8, with "\n" for all line ends.
func (c Checked) Prompt() string { return c.prompt }

// References returns the reference pictures; after Read each is a Reference.
func (c Checked) References() []Source { return slices.Clone(c.references) }

// Seed returns the seed, which was drawn if the Ask had none.
func (c Checked) Seed() uint64 { return c.seed }

// Steps returns the number of steps, 0 for the model's own.
func (c Checked) Steps() int { return c.steps }

// Guidance returns the guidance, 0 for the model's own.
func (c Checked) Guidance() float64 { return c.guidance }

// Mask returns the mask that Read has read, nil if there is none. It belongs to c.
func (c Checked) Mask() *Mask { return c.mask }

// LoRAs returns the adapters.
func (c Checked) LoRAs() []LoRA { return slices.Clone(c.loras) }

// WithSeed returns c with another seed.
func (c Checked) WithSeed(seed uint64) Checked {
	c.seed = seed
	return c
}

// WithPreviews returns c with a preview after each step.
func (c Checked) WithPreviews() Checked {
	c.preview = true
	return c
}

// ReadAtOnce is how many references a caller should read at a time: a decoder has one thread, and two of the largest
// files take 2 GB.
const ReadAtOnce = 2

// Read reads those references that have not been read, atOnce at a time, and then the mask. The error is that of the
// first reference that cannot be read, as its Source returned it, or that of the mask's source. It is a FieldError if
// the edit does not fit image 1, for example if the mask is black.
func (c Checked) Read(ctx context.Context, atOnce int) (Checked, error) {
	read, errs := make([]Source, len(c.references)), make([]error, len(c.references))
	var original *picture.Original
	panics := make([]any, len(c.references))
	var mutex sync.Mutex
	failed := len(c.references) // the first reference that is known to have failed
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, source := range c.references {
		group.Go(func() error {
			mutex.Lock()
			skip := failed < i
			mutex.Unlock()
			if skip {
				return nil
			}
			// A panic goes to the caller's goroutine, which may recover from it. Here it would end the program.
			defer func() {
				panics[i] = recover()
				if panics[i] != nil || errs[i] != nil {
					mutex.Lock()
					failed = min(failed, i)
					mutex.Unlock()
				}
			}()
			if i == 0 && c.edit != nil && c.edit.needsOriginal && c.original == nil {
				read[i], original, errs[i] = openOriginal(ctx, source)
			} else {
				read[i], errs[i] = source.Open(ctx)
			}
			return nil
		})
	}
	_ = group.Wait()
	if failed < len(c.references) {
		if p := panics[failed]; p != nil {
			panic(p)
		}
		return Checked{}, errs[failed]
	}
	c.references = read
	if original != nil {
		c.original = original
		return c.readMask(ctx)
	}
	return c, nil
}

// Size returns the size at which a model works, in pixels. It is the size of the picture, unless that is laid into
// image 1, see Editing. known is false if it follows from a reference that has not been read.
func (c Checked) Size(info Info) (size picture.Size, known bool) {
	if c.edit != nil && c.edit.needsOriginal {
		if c.original == nil {
			return picture.Size{}, false
		}
		return c.area(info).Size(), true
	}
	if c.aspect == "" {
		return c.size, true
	}
	var first []picture.Size
	if c.aspect == picture.Match {
		ref, read := asRead(c.references[0])
		if !read {
			return picture.Size{}, false
		}
		first = []picture.Size{ref.Size}
	}
	size, err := c.aspect.SizeFor(info.NativeSize, first...)
	return size, err == nil
}

// Resolve adds what the model decides: the size in pixels, and the defaults of steps and guidance. All references must
// have been read. The error is a FieldError if the noise does not have the size at which the model works, or if the
// strength leaves no step.
func (c Checked) Resolve(info Info) (Request, error) {
	r := Request{
		model: info.Digest, prompt: c.prompt, seed: c.seed, steps: c.steps, guidance: c.guidance, noise: c.noise,
		preview: c.preview, loras: c.loras,
	}
	for i, source := range c.references {
		ref, read := asRead(source)
		if !read {
			return Request{}, fmt.Errorf("inference: reference %d has not been read", i+1)
		}
		r.references = append(r.references, ref)
	}
	if c.edit != nil && c.edit.needsOriginal && c.original == nil {
		return Request{}, errors.New("inference: image 1 has not been read at its full resolution")
	}
	if r.size, _ = c.Size(info); r.size == (picture.Size{}) {
		return Request{}, errors.New("inference: a request without a size, want one that Ask.Check has made")
	}
	if r.steps == 0 {
		r.steps = info.Steps
	}
	if r.guidance == 0 {
		r.guidance = info.Guidance
	}
	if c.edit != nil {
		var err error
		if r.editing, err = c.editing(info, r.steps); err != nil {
			return Request{}, err
		}
		r.editing.Work, r.editing.Scale, r.original, r.mask = r.size, 1, c.original, c.mask
		r.maskFile = c.maskFile
		if c.original != nil {
			r.area = c.area(info)
			r.editing.Scale = r.area.Scale()
		}
	}
	if want := gridOf(r.size).Tokens() * info.TokenChannels; r.noise != nil && len(r.noise) != want {
		got := fmt.Sprintf("%d values", len(r.noise))
		return Request{}, FieldError{FieldNoise, got, fmt.Sprintf("%d for %v", want, r.size)}
	}
	return r, nil
}
