package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"kleinbild/inference/picture"
)

// MaxReferences is the number of reference pictures that the model was trained for.
const MaxReferences = 4

// Reference is a prepared reference picture and where it came from ("" where there is no file).
type Reference struct {
	Path string
	*picture.Reference
}

// OpenReference prepares the picture in a file.
func OpenReference(ctx context.Context, path string) (Reference, error) {
	r, err := picture.Open(ctx, path)
	return Reference{path, r}, err
}

// openedAtOnce is how many references are read at a time: a decoder has one thread, and two of the largest files take 2 GB.
const openedAtOnce = 2

// OpenReferences prepares the pictures in files, in their order. The error is that of the first file in this order that
// cannot be read.
func OpenReferences(ctx context.Context, paths []string) ([]Reference, error) {
	refs, errs := make([]Reference, len(paths)), make([]error, len(paths))
	var group errgroup.Group
	group.SetLimit(openedAtOnce)
	for i, path := range paths {
		group.Go(func() error {
			refs[i], errs[i] = OpenReference(ctx, path)
			return nil
		})
	}
	_ = group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// Request asks for one picture.
type Request struct {
	Prompt     string // may be empty: the unconditional prompt
	References []Reference
	Size       picture.Size
	Seed       uint64
	// Steps and Guidance are the variant's defaults where 0. Guidance of 1 or less is none; distilled models
	// know no guidance and ignore it.
	Steps    int
	Guidance float64
	// Noise replaces the seed's: [token channels, height/16, width/16], row-major.
	Noise []float32
	// Preview asks for a small picture after each step.
	Preview bool
}

// Workflow says how many references a picture was made from.
type Workflow string

const (
	TextToImage    Workflow = "t2i"
	ImageToImage   Workflow = "i2i"
	MultiReference Workflow = "multi-ref"
)

// WorkflowOf returns the workflow for a number of references.
func WorkflowOf(references int) Workflow {
	switch references {
	case 0:
		return TextToImage
	case 1:
		return ImageToImage
	}
	return MultiReference
}

// Result is a finished picture.
type Result struct {
	Image    *image.RGBA
	Workflow Workflow
	// Metadata is what picture.Write stores to make the picture again; Version is the caller's to set.
	Metadata picture.Metadata
	// Truncated is the end of the prompt that did not fit, "" where all did.
	Truncated string
	Timings   []Timing
}

// Timing is how long one stage took, and an estimate of its arithmetic in multiply-adds.
type Timing struct {
	Stage    Stage
	Duration time.Duration
	Work     float64
}

// MaxSteps bounds a request.
const MaxSteps = 1000

// complete fills in defaults and refuses what cannot be computed.
func (e *Engine) complete(req Request) (Request, error) {
	if req.Steps == 0 {
		req.Steps = e.info.Steps
	}
	if req.Guidance == 0 {
		req.Guidance = e.info.Guidance
	}
	switch n := len(req.References); {
	case n > MaxReferences:
		return req, fmt.Errorf("inference: %d reference pictures, want at most %d", n, MaxReferences)
	case req.Steps < 1 || req.Steps > MaxSteps:
		return req, fmt.Errorf("inference: %d steps, want 1 to %d", req.Steps, MaxSteps)
	case math.IsNaN(req.Guidance) || req.Guidance < 0 || req.Guidance > 100:
		return req, fmt.Errorf("inference: guidance %v, want 0 to 100", req.Guidance)
	}
	// The size of a wide reference may be matched though nobody could ask for it.
	matched := len(req.References) > 0 && req.Size == req.References[0].SizeFor(e.info.NativeSize)
	if err := req.Size.Check(); err != nil && !matched {
		return req, err
	}
	if err := e.metadata(req).Check(); err != nil {
		return req, err
	}
	if want := e.grid(req.Size).Tokens() * e.transformer.Config().InChannels; req.Noise != nil && len(req.Noise) != want {
		return req, fmt.Errorf("inference: noise of %d values, want %d for %v", len(req.Noise), want, req.Size)
	}
	for _, v := range req.Noise {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return req, errors.New("inference: noise is not finite")
		}
	}
	return req, nil
}

// forModel returns refs as the model sees them.
func (e *Engine) forModel(refs []Reference) []Reference {
	var list []Reference
	for _, r := range refs {
		list = append(list, Reference{r.Path, r.For(e.info.NativeSize)})
	}
	return list
}

// guided says whether classifier-free guidance applies.
func (e *Engine) guided(req Request) bool { return req.Guidance > 1 && e.info.Variant != Distilled }

func (e *Engine) metadata(req Request) picture.Metadata {
	m := picture.Metadata{
		Prompt: req.Prompt, Seed: req.Seed, Steps: req.Steps, Guidance: req.Guidance,
		Width: req.Size.Width, Height: req.Size.Height,
		Model: e.info.Model, ModelDigest: e.info.Digest, Variant: string(e.info.Variant),
		Precision: string(e.info.Precision), Device: e.info.Device, MaxSequenceLength: e.info.MaxSequenceLength,
	}
	for _, r := range req.References {
		m.References = append(m.References, picture.ReferenceFile{Path: r.Path, SHA256: r.FileSHA256})
	}
	return m
}
