package studio

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Upscale is what a batch asks for that enlarges a picture, which is the only one on the batch's desk.
type Upscale struct {
	Scale   int    `json:"scale"`             // how many times as long the sides become
	Network string `json:"network,omitempty"` // a path, or the name of one that is found; "" for the first that is found
	// Strength is how much the model may change when it works the enlarged picture over, 0 if it does not.
	Strength float64 `json:"strength,omitempty"`
}

// Refines says whether the model works the enlarged picture over.
func (u Upscale) Refines() bool { return u.Strength != 0 }

// LeastScale and MostScale bound how many times as long an enlargement makes the sides.
const LeastScale, MostScale = 2, 4

// SizeOf returns the size of a picture that is enlarged.
func (u Upscale) SizeOf(of picture.Size) picture.Size {
	return picture.Size{Width: of.Width * u.Scale, Height: of.Height * u.Scale}
}

// Limit is the largest enlargement in pixels: what the history shows, and what the model works over.
func (u Upscale) Limit() int {
	if u.Refines() {
		return inference.MaxRefinePixels
	}
	return picture.MaxPixels
}

// check checks what comes from a file.
func (u Upscale) check() error {
	if u.Scale < LeastScale || u.Scale > MostScale {
		return fmt.Errorf("studio: enlarging %d times, want %d to %d times", u.Scale, LeastScale, MostScale)
	}
	if !(u.Strength >= 0 && u.Strength <= 1) {
		return fmt.Errorf("studio: refining with a strength of %g, want 0 to 1", u.Strength)
	}
	return nil
}

// Upscaler enlarges pictures; inference.Upscaler is one.
type Upscaler interface {
	Info() inference.UpscalerInfo
	// Write enlarges a picture into a file.
	Write(ctx context.Context, path string, o *picture.Original, size picture.Size, meta *picture.Metadata,
		exists picture.OnExist, progress func(inference.Progress)) (string, error)
	// Picture enlarges a picture in memory.
	Picture(ctx context.Context, o *picture.Original, size picture.Size, progress func(inference.Progress),
	) (*picture.Original, error)
	Close() error
}

// Refiner is an Engine that works large pictures over; inference.Engine is one.
type Refiner interface {
	Engine
	Refine(ctx context.Context, img *image.RGBA, how inference.Refinement, progress func(inference.RefineProgress),
	) (*image.RGBA, picture.Metadata, error)
}

// OpenUpscaler opens a network, as inference.OpenUpscaler.
type OpenUpscaler func(context.Context, inference.UpscalerOptions) (Upscaler, error)

// enlargeShare is the part of the progress that enlarging has if the model works the picture over afterwards, which
// takes much longer.
const enlargeShare = 0.1

// NewUpscale returns a batch that enlarges the picture of a file. digest is that of the file, "" if it is not known.
func NewUpscale(path, digest string, u Upscale) Batch {
	return Batch{
		Desk: Desk{Slots: []Slot{{Path: path, Digest: digest}}, Count: 1}, Upscale: &u, Count: 1,
		Seed: inference.RandomSeed(),
	}
}

// NeedsModel says whether the batch can only be made with a model.
func (b Batch) NeedsModel() bool { return b.Upscale == nil || b.Upscale.Refines() }

// readUpscale checks a batch that enlarges and comes from a file.
func (b Batch) readUpscale(store *Store) error {
	if err := b.Upscale.check(); err != nil {
		return err
	}
	if b.Count != 1 || len(b.Desk.Slots) != 1 {
		return errors.New("studio: a batch that enlarges has one picture")
	}
	if slot := b.Desk.Slots[0]; !store.Has(slot) {
		return fmt.Errorf("studio: %s: %w", store.File(slot), fs.ErrNotExist)
	}
	return nil
}

// ErrCannotRefine is the error for a picture that the model of another computer would have to work over.
var ErrCannotRefine = errors.New("only a model on this computer can refine: choose one, or enlarge without refining")

// upscale enlarges the picture of the batch, away from the loop's goroutine. engine may be nil unless the model works
// the result over.
func (r *Run) upscale(ctx context.Context, engine Engine, dir string, spare []string) error {
	u, out, start := *r.Batch.Upscale, r.maker.output, time.Now()
	if err := u.check(); err != nil {
		return err
	}
	refiner, ok := engine.(Refiner)
	if u.Refines() && !ok {
		return ErrCannotRefine
	}
	slot := r.Batch.Desk.Slots[0]
	o, err := r.source(ctx, slot, u)
	if err != nil {
		return err
	}
	if err := PrepareDir(dir); err != nil {
		return SaveError{err, ""}
	}
	network, err := out.OpenUpscaler(ctx, inference.UpscalerOptions{Model: u.Network, Device: out.Device()})
	if err != nil {
		return err
	}
	defer network.Close()

	made := &enlargement{run: r, network: network, from: o, size: u.SizeOf(o.Size)}
	made.meta, made.known = completeMetadata(slot.Path)
	path := enlargedPath(dir, slot.Path, u.Scale)
	p := &Picture{}
	var elsewhere error
	if u.Refines() {
		p.Path, elsewhere, err = made.refine(ctx, refiner, u.Strength, path, spare)
	} else {
		p.Path, err = made.write(ctx, path)
	}
	if err != nil {
		return err
	}
	digest := slot.Digest
	if digest == "" {
		digest = o.FileSHA256
	}
	entry := out.Store.Add(history.Entry{
		Path: p.Path, Made: time.Now(), Took: time.Since(start), Picture: made.meta,
		Enlarged: &picture.ReferenceFile{Path: slot.Path, SHA256: digest},
	})
	p.ID, p.Meta = entry.ID, made.meta
	if err := p.lookEnlarged(context.WithoutCancel(ctx), o); err != nil {
		return err
	}
	r.maker.loop.Post(func() { r.made(Made{Picture: p, Entry: &entry}) })
	if elsewhere != nil {
		return SaveError{elsewhere, p.Path}
	}
	return nil
}

// source reads the picture to be enlarged. Its file must still have the digest of the slot.
func (r *Run) source(ctx context.Context, slot Slot, u Upscale) (*picture.Original, error) {
	o, err := picture.OpenAnySize(ctx, slot.Path)
	if err != nil {
		return nil, err
	}
	if err := slot.unchanged(o.FileSHA256); err != nil {
		return nil, err
	}
	if size, most := u.SizeOf(o.Size), u.Limit(); size.Width > most/size.Height {
		return nil, fmt.Errorf("studio: enlarged %d times, %s has %v pixels, want at most %d megapixels", u.Scale, slot.Path,
			size, most/1_000_000)
	}
	if u.Refines() && !o.Opaque() {
		return nil, fmt.Errorf("studio: %s has transparent parts, which the model does not know: enlarge it without refining",
			slot.Path)
	}
	return o, nil
}

// completeMetadata returns what a file says of how its picture was made, with the mask of an edit; known is false if it
// says nothing.
func completeMetadata(path string) (meta picture.Metadata, known bool) {
	meta, err := picture.ReadMetadataFile(path)
	if err != nil {
		return picture.Metadata{}, false
	}
	return (&Picture{Meta: meta, Path: path}).Complete(), true
}

// enlargedPath returns the name of an enlarged picture: "fox ×4.png" for fox.png.
func enlargedPath(dir, from string, scale int) string {
	stem := strings.TrimSuffix(filepath.Base(from), filepath.Ext(from))
	path := filepath.Join(dir, fmt.Sprintf("%s ×%d.png", stem, scale))
	if picture.CheckWritable(path, picture.Number) != nil { // it is too long, say
		path = filepath.Join(dir, fmt.Sprintf("enlarged ×%d.png", scale))
	}
	return path
}

// enlargement is a picture that is being enlarged.
type enlargement struct {
	run     *Run
	network Upscaler
	from    *picture.Original
	size    picture.Size
	meta    picture.Metadata // of the source, then of the result
	known   bool             // the source has metadata
}

// write enlarges the picture straight into its file.
func (e *enlargement) write(ctx context.Context, path string) (string, error) {
	report := e.report(inference.StageUpscale, 0, 1)
	path, err := e.network.Write(ctx, path, e.from, e.size, e.before(), picture.Number, report)
	if err != nil {
		if ctx.Err() == nil && ofOutput(err) {
			return "", SaveError{err, ""}
		}
		return "", err
	}
	if !e.known {
		e.meta.Width, e.meta.Height = e.from.Size.Width, e.from.Size.Height
	}
	e.meta.Upscale = e.network.Info().Enlarged(e.size)
	return path, nil
}

// ofOutput says whether an error of Upscaler.Write is that of the file that is written. All else has been read before,
// so that no other file is open then.
func ofOutput(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	var errno syscall.Errno
	return errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &errno)
}

// refine enlarges the picture in memory, has the model work it over, and saves it, as Run.make does.
func (e *enlargement) refine(
	ctx context.Context, engine Refiner, strength float64, path string, spare []string,
) (saved string, elsewhere, err error) {
	large, err := e.network.Picture(ctx, e.from, e.size, e.report(inference.StageUpscale, 0, enlargeShare))
	if err != nil {
		return "", nil, err
	}
	img, err := large.Screen(ctx)
	if err != nil {
		return "", nil, err
	}
	report := e.report(inference.StageRefine, enlargeShare, 1)
	refined, meta, err := engine.Refine(ctx, img, inference.Refinement{
		Strength: &strength, Seed: new(e.run.Batch.Seed),
	}, func(p inference.RefineProgress) {
		report(p.Progress())
	})
	if err != nil {
		return "", nil, err
	}
	e.meta = e.network.Info().Refined(e.before(), e.from.Size, e.size, meta)
	e.meta.Version = e.run.maker.output.Version
	saved, elsewhere, err = picture.Save(path, refined, e.meta, picture.Number, spare...)
	if err != nil {
		return "", nil, SaveError{err, ""}
	}
	return saved, elsewhere, nil
}

// before returns the metadata of the source, nil if it has none.
func (e *enlargement) before() *picture.Metadata {
	if !e.known {
		return nil
	}
	meta := e.meta
	return &meta
}

// report returns what takes the progress of a stage, which is the part of the run from one fraction to another. How
// long is left is known in the last stage only.
func (e *enlargement) report(stage inference.Stage, from, to float64) func(inference.Progress) {
	return func(p inference.Progress) {
		p.Stage = stage
		p.Fraction = from + (to-from)*p.Fraction
		if to < 1 {
			p.Remaining = 0
		}
		e.run.report(p)
	}
}

// lookEnlarged sets Image and Before of a picture that was enlarged.
func (p *Picture) lookEnlarged(ctx context.Context, from *picture.Original) error {
	result, err := picture.OpenAnySize(ctx, p.Path)
	if err == nil {
		p.Image, err = View(ctx, result)
	}
	if err == nil {
		p.Before, err = View(ctx, from)
	}
	return err
}

// Enlarged returns how long the last enlargement took that was made as u asks, of a picture with so many pixels; 0 if
// there is none. digest is that of the model, of which only refining needs one.
func (a *Album) Enlarged(network string, u Upscale, size picture.Size, digest string) time.Duration {
	for _, e := range a.entries {
		made := e.Picture.Upscale
		if made == nil || e.Enlarged == nil || made.Model != network || made.Width*made.Height == 0 {
			continue
		}
		if (made.Refine != nil) != u.Refines() ||
			made.Refine != nil && (made.Refine.Strength != u.Strength || made.Refine.ModelDigest != digest) {
			continue
		}
		large := u.SizeOf(size)
		return time.Duration(float64(e.Took) * float64(large.Width*large.Height) / float64(made.Width*made.Height))
	}
	return 0
}
