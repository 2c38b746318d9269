package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// modelFlags choose a model and the device that computes.
type modelFlags struct {
	Model             string `short:"m" placeholder:"MODEL" help:"A folder, files or folders separated by commas, a name that models list shows, an id of the hub (OWNER/NAME) in its cache, or demo for the built-in toy. Default: $$KLEINBILD_MODEL, then the usual places."`
	Variant           string `placeholder:"NAME" help:"distilled or base, where the files do not tell."`
	Device            string `default:"auto" placeholder:"NAME" help:"auto, cpu or cuda; sim is cuda in software, for tests."`
	Precision         string `placeholder:"NAME" help:"auto, float32 (exact) or bf16 (as models usually run). Default: auto."`
	MaxSequenceLength *int   `placeholder:"N" help:"Text tokens, at most the model's 512."`
}

// maxCount bounds --count.
const maxCount = 1000

var (
	countRange  = fmt.Sprintf("1 to %d", maxCount)
	lengthRange = fmt.Sprintf("1 to %d", inference.MaxSequenceLength)
)

// sequenceLength returns the value of --max-sequence-length, 0 if it is not given.
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
		Model: f.Model, Setting: user.Model, Variant: variant, MaxSequenceLength: length,
		Device: device, Precision: precision,
	}, nil
}

type generateCommand struct {
	Prompt   *string    `short:"p" placeholder:"TEXT" help:"What to draw; - reads it from standard input."`
	Image    []string   `short:"i" placeholder:"FILE" sep:"none" help:"A reference picture; up to four, in order."`
	Aspect   string     `short:"a" placeholder:"NAME" help:"square, landscape (default), portrait, photo, photo_v, standard, standard_v, wide, a ratio such as 16:9 for the nearest of them, or match for the size of image 1."`
	Size     string     `placeholder:"WxH" help:"Exact size: multiples of 16, 64 to 2048 a side."`
	Seed     numberFlag `short:"s" placeholder:"N" help:"The same seed gives the same picture; -1 is random. Default: random."`
	Count    int        `short:"n" default:"1" placeholder:"N" help:"How many pictures, with seeds counting up."`
	Steps    numberFlag `placeholder:"N" help:"Default: 4 for distilled models, 50 for base models."`
	Guidance numberFlag `placeholder:"X" help:"Base models only. Default: 4; 1 is none."`
	Like     string     `placeholder:"FILE" help:"Repeat a picture made by Kleinbild; other flags change what they name."`
	Output   string     `short:"o" placeholder:"FILE" help:"Where to write the picture: .png, .jpg, .webp, or - for a PNG on standard output. Default: kleinbild-SEED.png, numbered where that exists."`
	JSON     bool       `name:"json" help:"Print a JSON object for each picture instead of its path."`
	Noise    string     `placeholder:"FILE" help:"Start from the tensor called noise of a safetensors file (for tests)."`
	modelFlags
}

// job is what generate was asked to do. All of it is checked before the model is opened.
type job struct {
	options inference.Options
	checked inference.Checked
	request inference.Request // once the model is open
	like    *picture.Metadata // of the picture to repeat, nil if there is none
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
	if c.Guidance != "" && j.checked.Guidance() > inference.NoGuidance && info.Variant == inference.Distilled {
		fmt.Fprintln(s.Err, "note: a distilled model knows no guidance: --guidance changes nothing")
	}
	if err := c.resolve(j, info); err != nil {
		return err
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
	fmt.Fprintf(s.Err, "%s (%s, %s) on %s, %s%s; %v, %s, opened in %.2f s\n",
		info.Model, info.Family, info.Variant, info.Device, info.Precision, memory,
		j.request.Size(), inference.WorkflowOf(len(j.request.References())), opened.Seconds())
	for i, seed := range j.seeds {
		j.request = j.request.WithSeed(seed)
		if err := c.one(ctx, s, engine, j, i); err != nil {
			return err
		}
	}
	return nil
}

// maxCutShown is how many bytes of a prompt's cut-off end are quoted; the tokens command shows all of it.
const maxCutShown = 80

// one makes and writes one picture.
func (c *generateCommand) one(ctx context.Context, s Streams, engine *inference.Engine, j *job, i int) error {
	start := time.Now()
	display := newProgress(s.Err, fmt.Sprintf("picture %d/%d, seed %d", i+1, len(j.seeds), j.request.Seed()))
	result, err := engine.Generate(ctx, j.request, display.update)
	display.finish()
	if err != nil {
		return err
	}
	if i == 0 && result.Truncated != "" {
		fmt.Fprintf(s.Err, "note: the prompt is too long for the model; %d bytes are cut off, from %.*q\n",
			len(result.Truncated), maxCutShown, result.Truncated)
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
			fmt.Fprintf(s.Err, "note: the places of the references could not be remembered, "+
				"so that --like will look beside the picture: %s\n", oneLine(err))
		}
	}
	var stages []string
	for _, t := range result.Timings {
		stages = append(stages, fmt.Sprintf("%s %.2f s", t.Stage, t.Duration.Seconds()))
	}
	fmt.Fprintf(s.Err, "seed %d: %.2f s (%s)\n", meta.Seed, time.Since(start).Seconds(), strings.Join(stages, ", "))
	if j.output == standardOutput {
		return failed // standard output holds the picture and nothing else
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

// settle reads the arguments, checks them and reads the references.
func (c *generateCommand) settle(ctx context.Context, s Streams) (*job, error) {
	j := &job{output: c.Output}
	if err := c.readLike(j); err != nil {
		return nil, err
	}
	if err := c.checkStandardOutput(behind(s.Out)); err != nil {
		return nil, err
	}
	var err error
	if j.options, err = c.modelFlags.options(); err != nil {
		return nil, err
	}
	if c.Count < 1 || c.Count > maxCount {
		return nil, usagef("--count %d, want %s", c.Count, countRange)
	}
	ask, err := c.ask(j, s.In)
	if err == nil {
		j.checked, err = ask.Check()
	}
	if err != nil {
		return nil, c.refuse(err)
	}
	for i := range uint64(c.Count) {
		j.seeds = append(j.seeds, j.checked.Seed()+i)
	}
	if j.checked, err = j.checked.Read(ctx, inference.ReadAtOnce); err != nil {
		return nil, err
	}
	return j, c.checkOverwriting(j)
}

// readLike reads the picture of --like. Flags that are not given take its values.
func (c *generateCommand) readLike(j *job) error {
	if c.Like == "" {
		return nil
	}
	meta, err := picture.ReadMetadataFile(c.Like)
	if errors.Is(err, picture.ErrNoMetadata) {
		if origin, other := picture.ReadOriginFile(c.Like); other == nil {
			return fmt.Errorf("%w: it says how %s made it, which kleinbild info shows", err, origin.Program)
		}
	}
	if err != nil {
		return err
	}
	j.like = &meta
	if c.Precision == "" {
		c.Precision = meta.Precision
	}
	if c.Variant == "" {
		c.Variant = meta.Variant
	}
	if c.MaxSequenceLength == nil && meta.MaxSequenceLength != 0 {
		c.MaxSequenceLength = &meta.MaxSequenceLength
	}
	return nil
}

// resolve makes the request for the model that info describes.
func (c *generateCommand) resolve(j *job, info inference.Info) (err error) {
	if j.request, err = j.checked.Resolve(info); err != nil {
		return c.refuse(err)
	}
	if j.like == nil || c.Aspect != "" || c.Size != "" {
		return nil
	}
	if want := sizeOf(*j.like); j.request.Size() != want { // it is beyond the limits, and no match of image 1 either
		_, err := inference.Ask{Size: &want}.Check()
		return c.refuse(err)
	}
	return nil
}

// checkOverwriting refuses an output that is also a reference.
func (c *generateCommand) checkOverwriting(j *job) error {
	for _, seed := range j.seeds {
		output, exists := j.outputFor(seed)
		for _, source := range j.checked.References() {
			if r, ok := source.(inference.Reference); ok && exists == picture.Replace && sameFile(r.Path, output) {
				return usagef("output %s is also a reference picture; it is not overwritten", output)
			}
		}
	}
	return nil
}

// preparations returns what became of each reference for a model whose native picture is native × native pixels.
func (j *job) preparations(native int) (list []picture.Preparation) {
	for _, r := range j.request.References() {
		list = append(list, r.Preparation(native))
	}
	return list
}

// compare says why the new picture may differ from that of --like.
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
