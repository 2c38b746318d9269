package inference

import (
	"context"
	"image"
	"path"
	"time"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Reference is a reference picture that has been read. Path is the path of its file, "" if there is none.
type Reference struct {
	Path string
	*picture.Reference
}

// File names the picture's file, for metadata.
func (r Reference) File() picture.ReferenceFile {
	return picture.ReferenceFile{Path: r.Path, SHA256: r.FileSHA256, Arrangement: r.Arrangement}
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
	return OpenArranged(ctx, path, picture.Arrangement{})
}

// OpenArranged reads the picture in a file, arranges it, and prepares what comes of that.
func OpenArranged(ctx context.Context, path string, a picture.Arrangement) (Reference, error) {
	r, err := picture.OpenArranged(ctx, path, a)
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
	loras      []LoRA

	editing  *Editing // nil if there is no edit
	original *picture.Original
	mask     *Mask
	maskFile picture.ReferenceFile // of the mask; "" if it has none
	area     edit.Area             // the part of original that the model works on
}

// Prompt returns the prompt, which may be empty.
func (r Request) Prompt() string { return r.prompt }

// References returns the reference pictures, "image 1" first. They belong to r.
func (r Request) References() []Reference { return r.references }

// Size returns the size at which the model works, in pixels. Without an edit it is the size of the picture.
func (r Request) Size() picture.Size { return r.size }

// PictureSize returns the size of the finished picture in pixels.
func (r Request) PictureSize() picture.Size {
	if r.original != nil {
		return r.original.Size
	}
	return r.size
}

// Editing returns what the request does to image 1; ok is false if it edits nothing.
func (r Request) Editing() (e Editing, ok bool) {
	if r.editing == nil {
		return Editing{}, false
	}
	return *r.editing, true
}

// Original returns image 1 at its full resolution, with what is added around it; nil if nothing is laid into it. It
// belongs to r.
func (r Request) Original() *picture.Original { return r.original }

// Mask returns the mask of the request, nil if it has none. It belongs to r.
func (r Request) Mask() *Mask { return r.mask }

// Seed returns the seed.
func (r Request) Seed() uint64 { return r.seed }

// Steps returns the number of steps, at least 1.
func (r Request) Steps() int { return r.steps }

// Guidance returns the guidance, at least NoGuidance.
func (r Request) Guidance() float64 { return r.guidance }

// Previews says whether the request asks for a preview after each step.
func (r Request) Previews() bool { return r.preview }

// Model returns the digest of the model that the request was resolved for.
func (r Request) Model() string { return r.model }

// Noise returns the noise that replaces that of the seed, nil if there is none. It belongs to r.
func (r Request) Noise() []float32 { return r.noise }

// LoRAs returns the adapters. They belong to r.
func (r Request) LoRAs() []LoRA { return r.loras }

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
	// Image is an opaque *image.RGBA in sRGB, or a *picture.Original with the kind of image 1 if the result was laid into
	// that: bits, channels, transparency, colour space, Exif block. picture.Write and picture.Save take both. Shown is
	// for screens.
	Image image.Image
	// Edited tells what the edit did; nil if there was none.
	Edited   *Edited
	Workflow Workflow
	// Metadata is what picture.Write stores to make the picture again. The caller sets Version.
	Metadata picture.Metadata
	// Truncated is the end of the prompt that the model did not read, "" if it read all of it.
	Truncated string
	// LoRAs say of each adapter of the request how much of it was applied.
	LoRAs   []LoRAInfo
	Timings []Timing
}

// Shown returns the picture in sRGB, opaque, at most of the given size with the same proportions; the zero Size stands
// for its own. The error is ctx's, or that of a colour profile that fails.
func (r *Result) Shown(ctx context.Context, most picture.Size) (*image.RGBA, error) {
	large := most != (picture.Size{}) && (r.Image.Bounds().Dx() > most.Width || r.Image.Bounds().Dy() > most.Height)
	if img, ok := r.Image.(*image.RGBA); ok && !large {
		return img, nil
	}
	original, ok := r.Image.(*picture.Original)
	if !ok {
		var err error
		if original, err = picture.NewOriginal(r.Image); err != nil {
			return nil, err
		}
	}
	size := original.Size
	if large {
		scale := min(float64(most.Width)/float64(size.Width), float64(most.Height)/float64(size.Height))
		size.Width = max(int(float64(size.Width)*scale), 1)
		size.Height = max(int(float64(size.Height)*scale), 1)
	}
	return original.SRGB(ctx, original.Bounds(), size)
}

// Timing is how long one stage took, and an estimate of its arithmetic in multiply-adds.
type Timing struct {
	Stage    Stage
	Duration time.Duration
	Work     float64
}

// guided says whether classifier-free guidance applies to r.
func (e *Engine) guided(r Request) bool {
	return r.guidance > NoGuidance && e.info.Variant.Guided()
}

// Metadata returns what the picture of r carries if the model that info describes makes it, so that a picture can be
// recognised as that of r. Of adapters it has the digests that r names.
func (r Request) Metadata(info Info) picture.Metadata {
	size := r.PictureSize()
	m := picture.Metadata{
		Prompt: r.prompt, Seed: r.seed, Steps: r.steps, Guidance: r.guidance,
		Width: size.Width, Height: size.Height,
		Model: info.Model, ModelDigest: info.Digest, Variant: string(info.Variant),
		Precision: string(info.Precision), Device: info.Device, MaxSequenceLength: info.MaxSequenceLength,
	}
	for _, ref := range r.references {
		m.References = append(m.References, ref.File())
	}
	for _, l := range r.loras {
		m.LoRAs = append(m.LoRAs, picture.LoRAFile{Name: path.Base(l.name()), SHA256: l.Digest, Strength: l.Strength})
	}
	m.Edit = r.EditMetadata()
	return m
}

// metadata returns all that is needed to make the picture of r again, with the digests of the adapters' files.
func (e *Engine) metadata(r Request, loras []appliedLoRA) picture.Metadata {
	m := r.Metadata(e.info)
	for i, l := range loras {
		m.LoRAs[i].SHA256 = l.file.Digest()
	}
	return m
}
