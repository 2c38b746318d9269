package inference

import (
	"context"
	"image"
	"time"

	"kleinbild/inference/picture"
)

// Reference is a reference picture that has been read. Path is the path of its file, "" if there is none.
type Reference struct {
	Path string
	*picture.Reference
}

// Open returns r, which is read already.
func (r Reference) Open(context.Context) (Reference, error) { return r, nil }

// asRead returns source as a Reference. read is false if it has not been read.
func asRead(source Source) (ref Reference, read bool) {
	ref, read = source.(Reference)
	return ref, read && ref.Reference != nil
}

// OpenReference reads and prepares the picture in a file.
func OpenReference(ctx context.Context, path string) (Reference, error) {
	r, err := picture.Open(ctx, path)
	return Reference{path, r}, err
}

// Request asks one model for one picture. Only Checked.Resolve makes one, so that all fields are set and within their
// limits. Generate refuses the zero value.
type Request struct {
	model      string // the digest of the model that it was resolved for
	prompt     string
	references []Reference
	size       picture.Size
	seed       uint64
	steps      int
	guidance   float64
	noise      []float32 // nil if the seed gives it
	preview    bool
}

// Prompt returns the prompt, which may be empty.
func (r Request) Prompt() string { return r.prompt }

// References returns the reference pictures, "image 1" first. They belong to r.
func (r Request) References() []Reference { return r.references }

// Size returns the size of the picture in pixels.
func (r Request) Size() picture.Size { return r.size }

// Seed returns the seed.
func (r Request) Seed() uint64 { return r.seed }

// Steps returns the number of steps, at least 1.
func (r Request) Steps() int { return r.steps }

// Guidance returns the guidance, at least NoGuidance.
func (r Request) Guidance() float64 { return r.guidance }

// Previews says whether the request asks for a small picture after each step.
func (r Request) Previews() bool { return r.preview }

// Model returns the digest of the model that the request was resolved for.
func (r Request) Model() string { return r.model }

// Noise returns the noise that replaces that of the seed, nil if there is none. It belongs to r.
func (r Request) Noise() []float32 { return r.noise }

// WithSeed returns r with another seed.
func (r Request) WithSeed(seed uint64) Request {
	r.seed = seed
	return r
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
	// Metadata is what picture.Write stores to make the picture again. The caller sets Version.
	Metadata picture.Metadata
	// Truncated is the end of the prompt that the model did not read, "" if it read all of it.
	Truncated string
	Timings   []Timing
}

// Timing is how long one stage took, and an estimate of its arithmetic in multiply-adds.
type Timing struct {
	Stage    Stage
	Duration time.Duration
	Work     float64
}

// guided says whether classifier-free guidance applies to r.
func (e *Engine) guided(r Request) bool {
	return r.guidance > NoGuidance && e.info.Variant != Distilled
}

// metadata returns all that is needed to make the picture of r again.
func (e *Engine) metadata(r Request) picture.Metadata {
	m := picture.Metadata{
		Prompt: r.prompt, Seed: r.seed, Steps: r.steps, Guidance: r.guidance,
		Width: r.size.Width, Height: r.size.Height,
		Model: e.info.Model, ModelDigest: e.info.Digest, Variant: string(e.info.Variant),
		Precision: string(e.info.Precision), Device: e.info.Device, MaxSequenceLength: e.info.MaxSequenceLength,
	}
	for _, ref := range r.references {
		m.References = append(m.References, picture.ReferenceFile{Path: ref.Path, SHA256: ref.FileSHA256})
	}
	return m
}
