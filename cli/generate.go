package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// modelFlags choose a model and where it computes.
type modelFlags struct {
	Model             string `short:"m" placeholder:"MODEL" help:"A folder, files or folders separated by commas, a name that models list shows, an id of the hub (OWNER/NAME) in its cache, or demo for the built-in toy. Default: $$KLEINBILD_MODEL, then the usual places."`
	Variant           string `placeholder:"NAME" help:"distilled or base, where the files do not tell."`
	Device            string `default:"auto" placeholder:"NAME" help:"auto, cpu or cuda; sim is cuda in software, for tests."`
	Precision         string `placeholder:"NAME" help:"auto, float32 (exact) or bf16 (as models usually run). Default: auto."`
	MaxSequenceLength *int   `placeholder:"N" help:"Text tokens, at most the model's 512."`
}

// What the numbers may be.
const (
	maxCount    = 1000
	maxGuidance = 100
)

var (
	countRange    = fmt.Sprintf("1 to %d", maxCount)
	stepsRange    = fmt.Sprintf("1 to %d", inference.MaxSteps)
	guidanceRange = fmt.Sprintf("0 to %d", maxGuidance)
	lengthRange   = fmt.Sprintf("1 to %d", inference.MaxSequenceLength)
)

// sequenceLength is the value of --max-sequence-length, 0 where it is not given.
func sequenceLength(flag *int) (int, error) {
	switch {
	case flag == nil:
		return 0, nil
	case *flag < 1 || *flag > inference.MaxSequenceLength:
		return 0, usagef("--max-sequence-length %d, want %s", *flag, lengthRange)
	}
	return *flag, nil
}

func (f modelFlags) options() (inference.Options, error) {
	variant, err := inference.ParseVariant(f.Variant)
	if err != nil {
		return inference.Options{}, usageError{err}
	}
	device, err := inference.ParseDevice(f.Device)
	if err != nil {
		return inference.Options{}, usageError{err}
	}
	precision, err := inference.ParsePrecision(f.Precision)
	if err != nil {
		return inference.Options{}, usageError{err}
	}
	length, err := sequenceLength(f.MaxSequenceLength)
	if err != nil {
		return inference.Options{}, err
	}
	user, err := readSettings()
	if err != nil {
		return inference.Options{}, err
	}
	return inference.Options{
		Model: f.Model, Setting: user.Model, Variant: variant, MaxSequenceLength: length, Device: device, Precision: precision,
	}, nil
}

type generateCommand struct {
	Prompt   *string  `short:"p" placeholder:"TEXT" help:"What to draw; - reads it from standard input."`
	Image    []string `short:"i" placeholder:"FILE" sep:"none" help:"A reference picture; up to four, in order."`
	Aspect   string   `short:"a" placeholder:"NAME" help:"square, landscape (default), portrait, photo, photo_v, standard, standard_v, wide, a ratio such as 16:9 for the nearest of them, or match for the size of image 1."`
	Size     string   `placeholder:"WxH" help:"Exact size: multiples of 16, 64 to 2048 a side."`
	Seed     seedFlag `short:"s" placeholder:"N" help:"The same seed gives the same picture; -1 is random. Default: random."`
	Count    int      `short:"n" default:"1" placeholder:"N" help:"How many pictures, with seeds counting up."`
	Steps    *int     `placeholder:"N" help:"Default: 4 for distilled models, 50 for base models."`
	Guidance *float64 `placeholder:"X" help:"Base models only. Default: 4; 1 is none."`
	Like     string   `placeholder:"FILE" help:"Repeat a picture made by Kleinbild; other flags change what they name."`
	Output   string   `short:"o" placeholder:"FILE" help:"Where to write the picture: .png, .jpg, .webp, or - for a PNG on standard output. Default: kleinbild-SEED.png, numbered where that exists."`
	JSON     bool     `name:"json" help:"Print a JSON object for each picture instead of its path."`
	Noise    string   `placeholder:"FILE" help:"Start from the tensor called noise of a safetensors file (for tests)."`
	modelFlags
}

// job is what generate was asked to do, settled before anything heavy starts.
type job struct {
	options inference.Options
	request inference.Request
	aspect  picture.AspectRatio // where the request has no size yet
	like    *picture.Metadata
	seeds   []uint64
	output  string
	notes   []string // for standard error, once nothing is wrong
}

func (c *generateCommand) Run(ctx context.Context, s Streams) error {
	j, err := c.settle(ctx, s)
	if err != nil {
		return err
	}
	if err := j.checkOutputs(); err != nil {
		return err
	}
	start := time.Now()
	engine, err := inference.Open(ctx, j.options)
	if err != nil {
		return err
	}
	defer engine.Close()
	info := engine.Info()
	if info.Missing != nil {
		fmt.Fprintln(s.Err, "note:", info.Missing.Search())
	}
	for _, notice := range info.Notices {
		fmt.Fprintln(s.Err, "note:", notice)
	}
	for _, note := range j.notes {
		fmt.Fprintln(s.Err, "note:", note)
	}
	j.compare(s.Err, info)
	if c.Guidance != nil && *c.Guidance > 1 && info.Variant == inference.Distilled {
		fmt.Fprintln(s.Err, "note: a distilled model knows no guidance: --guidance changes nothing")
	}
	if err := j.settleSize(info.NativeSize); err != nil {
		return usageError{err}
	}
	for i, p := range j.preparations(info.NativeSize) {
		if p.Changed() {
			fmt.Fprintf(s.Err, "note: image %d: %s\n", i+1, p)
		}
	}
	opened, memory := time.Since(start), ""
	if p, err := engine.Plan(j.request); err == nil {
		memory = fmt.Sprintf(", %v of graphics memory", p)
	}
	fmt.Fprintf(s.Err, "%s (%s, %s) on %s, %s%s; %v, %s, opened in %.2f s\n", info.Model, info.Family, info.Variant, info.Device,
		info.Precision, memory, j.request.Size, inference.WorkflowOf(len(j.request.References)), opened.Seconds())
	for i, seed := range j.seeds {
		j.request.Seed = seed
		if err := c.one(ctx, s, engine, j, i); err != nil {
			return err
		}
	}
	return nil
}

// maxCutShown bounds what is quoted of a prompt's end; the tokens command shows all of it.
const maxCutShown = 80

// one makes and writes one picture.
func (c *generateCommand) one(ctx context.Context, s Streams, engine *inference.Engine, j *job, i int) error {
	start := time.Now()
	display := newProgress(s.Err, fmt.Sprintf("picture %d/%d, seed %d", i+1, len(j.seeds), j.request.Seed))
	result, err := engine.Generate(ctx, j.request, display.update)
	display.finish()
	if err != nil {
		return err
	}
	if i == 0 && result.Truncated != "" {
		fmt.Fprintf(s.Err, "note: the prompt is too long for the model; %d bytes are cut off, from %.*q\n", len(result.Truncated), maxCutShown, result.Truncated)
	}
	meta := result.Metadata
	meta.Version = Version
	path, failed, err := j.write(behind(s.Out), result.Image, meta)
	if err != nil {
		return err
	}
	if failed != nil {
		failed = fmt.Errorf("%w; the picture is kept as %s", failed, path)
	}
	if i == 0 {
		if err := history.At(HistoryFile(), nil).Remember(meta.References); err != nil {
			fmt.Fprintf(s.Err, "note: where the references lie could not be remembered, so that --like will look beside the picture: %s\n", oneLine(err))
		}
	}
	var stages []string
	for _, t := range result.Timings {
		stages = append(stages, fmt.Sprintf("%s %.2f s", t.Stage, t.Duration.Seconds()))
	}
	fmt.Fprintf(s.Err, "seed %d: %.2f s (%s)\n", meta.Seed, time.Since(start).Seconds(), strings.Join(stages, ", "))
	if j.output == standardOutput {
		return failed // the picture is all that stands there
	}
	if c.JSON {
		err = writeJSON(s.Out, newReport(path, result, time.Since(start), j.preparations(engine.Info().NativeSize)), "")
	} else {
		err = s.result(path)
	}
	if failed != nil {
		return failed
	}
	return err
}

// settle reads the arguments and opens the references.
func (c *generateCommand) settle(ctx context.Context, s Streams) (*job, error) {
	j := &job{output: c.Output}
	if c.Like != "" {
		meta, err := picture.ReadMetadataFile(c.Like)
		if errors.Is(err, picture.ErrNoMetadata) {
			if origin, other := picture.ReadOriginFile(c.Like); other == nil {
				return nil, fmt.Errorf("%w: it says how %s made it, which kleinbild info shows", err, origin.Program)
			}
		}
		if err != nil {
			return nil, err
		}
		j.repeat(meta)
		if c.Precision == "" {
			c.Precision = meta.Precision
		}
		if c.Variant == "" {
			c.Variant = meta.Variant
		}
		if c.MaxSequenceLength == nil && meta.MaxSequenceLength != 0 {
			c.MaxSequenceLength = &meta.MaxSequenceLength
		}
	}
	if err := c.checkStandardOutput(behind(s.Out)); err != nil {
		return nil, err
	}
	var err error
	if j.options, err = c.modelFlags.options(); err != nil {
		return nil, err
	}
	if err := c.settlePrompt(j, s.In); err != nil {
		return nil, err
	}
	if err := c.settleNumbers(j); err != nil {
		return nil, err
	}
	if err := c.settleReferences(ctx, j); err != nil {
		return nil, err
	}
	if c.Noise != "" {
		if j.request.Noise, err = inference.ReadNoise(c.Noise); err != nil {
			return nil, err
		}
		fmt.Fprintln(s.Err, "note: the noise comes from a file: the seed is not used, and --like cannot repeat the picture")
	}
	return j, nil
}

// repeat takes over the settings of an earlier picture.
func (j *job) repeat(meta picture.Metadata) {
	j.like = &meta
	j.request.Prompt, j.request.Steps, j.request.Guidance = meta.Prompt, meta.Steps, meta.Guidance
	j.request.Size = picture.Size{Width: meta.Width, Height: meta.Height}
}

func (c *generateCommand) settlePrompt(j *job, in io.Reader) (err error) {
	switch {
	case c.Prompt == nil && j.like == nil:
		return usagef("no prompt: give -p TEXT (it may be empty), or --like FILE")
	case c.Prompt != nil:
		j.request.Prompt, err = parsePrompt(*c.Prompt, in)
	default:
		if j.request.Prompt, err = inference.ParsePrompt(j.like.Prompt); err != nil {
			err = fmt.Errorf("%s: %w", c.Like, err)
		}
	}
	return err
}

func (c *generateCommand) settleNumbers(j *job) error {
	switch {
	case c.Count < 1 || c.Count > maxCount:
		return usagef("--count %d, want %s", c.Count, countRange)
	case c.Steps != nil && (*c.Steps < 1 || *c.Steps > inference.MaxSteps):
		return usagef("--steps %d, want %s", *c.Steps, stepsRange)
	case c.Guidance != nil && !(*c.Guidance >= 0 && *c.Guidance <= maxGuidance):
		return usagef("--guidance %v, want %s", *c.Guidance, guidanceRange)
	case c.Aspect != "" && c.Size != "":
		return usagef("--aspect and --size exclude each other")
	}
	if c.Steps != nil {
		j.request.Steps = *c.Steps
	}
	if c.Guidance != nil {
		// To the engine 0 means the default; 1 is as little guidance as 0.
		j.request.Guidance = max(*c.Guidance, 1)
	}
	var err error
	switch {
	case c.Size != "":
		if j.request.Size, err = picture.ParseSize(c.Size); err != nil {
			return usageError{err}
		}
	case c.Aspect != "":
		j.request.Size = picture.Size{}
		if j.aspect, err = picture.ParseAspectRatio(c.Aspect); err != nil {
			return usageError{err}
		}
		if strings.ContainsAny(c.Aspect, ":/") {
			j.notes = append(j.notes, fmt.Sprintf("--aspect %s: %s is the nearest shape", c.Aspect, j.aspect))
		}
	case j.like == nil:
		j.aspect = picture.DefaultAspectRatio
	}
	first := inference.RandomSeed()
	if j.like != nil {
		first = j.like.Seed
	}
	if c.Seed != "" {
		if first, err = inference.ParseSeed(string(c.Seed)); err != nil {
			return usageError{fmt.Errorf("--seed: %w", err)}
		}
	}
	for i := range uint64(c.Count) {
		j.seeds = append(j.seeds, first+i)
	}
	return nil
}

func (c *generateCommand) settleReferences(ctx context.Context, j *job) error {
	paths := c.Image
	if len(paths) == 0 && j.like != nil {
		if n := len(j.like.References); n > inference.MaxReferences {
			return usagef("%d reference pictures, want at most %d", n, inference.MaxReferences)
		}
		for _, r := range j.like.References {
			// Beside the picture, and where the program was started.
			path, err := history.At(HistoryFile(), nil).FindReference(ctx, r, filepath.Dir(c.Like), ".")
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%s: %w; give it again with -i", c.Like, err)
			}
			if err != nil {
				return err
			}
			paths = append(paths, path)
		}
	}
	if len(paths) > inference.MaxReferences {
		return usagef("%d reference pictures, want at most %d", len(paths), inference.MaxReferences)
	}
	refs, err := inference.OpenReferences(ctx, paths)
	if err != nil {
		return err
	}
	for i := range refs {
		// What is remembered of it outlives the working directory.
		if refs[i].Path, err = filepath.Abs(refs[i].Path); err != nil {
			return err
		}
	}
	j.request.References = refs
	if j.aspect == picture.Match && len(j.request.References) == 0 {
		return usagef("--aspect match needs a reference picture (-i)")
	}
	for _, seed := range j.seeds {
		output, exists := j.outputFor(seed)
		for _, r := range j.request.References {
			if exists == picture.Replace && sameFile(r.Path, output) {
				return usagef("output %s is also a reference picture; it is not overwritten", output)
			}
		}
	}
	return nil
}

// preparations say what became of the references for a model whose native picture is native × native pixels.
func (j *job) preparations(native int) (list []picture.Preparation) {
	for _, r := range j.request.References {
		list = append(list, r.Preparation(native))
	}
	return list
}

// settleSize turns an aspect ratio into pixels; a model trained on smaller pictures has smaller ones.
func (j *job) settleSize(native int) (err error) {
	if j.aspect == "" {
		return nil
	}
	var refs []picture.Size
	for _, r := range j.request.References {
		refs = append(refs, r.Reference.Size)
	}
	j.request.Size, err = j.aspect.SizeFor(native, refs...)
	return err
}

// compare says why a repetition may differ from its model.
func (j *job) compare(w io.Writer, info inference.Info) {
	if j.like == nil {
		return
	}
	for _, row := range []struct{ what, then, now string }{
		{"model", j.like.Model + " " + j.like.ModelDigest, info.Model + " " + info.Digest},
		{"device", j.like.Device, info.Device},
		{"version", j.like.Version, Version},
	} {
		if row.then != row.now {
			fmt.Fprintf(w, "note: made with %s %s, now %s: the picture may differ\n", row.what, row.then, row.now)
		}
	}
}
