package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// modelFlags are the flags that choose the model and the device.
type modelFlags struct {
	Model             string `short:"m" placeholder:"MODEL" help:"${model_help}"`
	VAE               string `name:"vae" placeholder:"FILE" help:"${vae_help}"`
	Variant           string `placeholder:"NAME" help:"distilled, base or kv, if the files do not say it."`
	Device            string `default:"auto" placeholder:"NAME" help:"${device_help}"`
	Precision         string `placeholder:"NAME" help:"${precision_help}"`
	MaxSequenceLength *int   `placeholder:"N" help:"How many tokens of text the model reads, at most 512."`
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
		Model: f.Model, Setting: user.Model, VAE: f.VAE, Variant: variant, MaxSequenceLength: length,
		Device: device, Precision: precision,
	}, nil
}

type generateCommand struct {
	Prompt   *string    `short:"p" placeholder:"TEXT" help:"What to draw; - reads it from standard input."`
	Image    []string   `short:"i" placeholder:"FILE" sep:"none" help:"${image_help}"`
	Aspect   string     `short:"a" placeholder:"NAME" help:"${aspect_help}"`
	Size     string     `placeholder:"WxH" help:"Exact size: each side a multiple of 16 from 64 to 2048."`
	Seed     numberFlag `short:"s" placeholder:"N" help:"${seed_help}"`
	Count    int        `short:"n" default:"1" placeholder:"N" help:"${count_help}"`
	Steps    numberFlag `placeholder:"N" help:"The number of steps. Default: 4 for distilled models, 50 for base models."`
	Guidance numberFlag `placeholder:"X" help:"The strength of guidance, for base models only. Default: 4; 1 means none."`
	Like     string     `placeholder:"FILE" help:"${like_help}"`
	Output   string     `short:"o" placeholder:"FILE" help:"${output_help}"`
	Preview  string     `placeholder:"FILE" help:"${preview_help}"`
	JSON     bool       `name:"json" help:"Print a JSON object for each picture instead of its path."`
	Noise    string     `placeholder:"FILE" help:"${noise_help}"`
	LoRA     []string   `name:"lora" placeholder:"FILE[:STRENGTH]" sep:"none" help:"${lora_help}"`

	Overwrite bool `help:"${overwrite_help}"`
	editFlags
	modelFlags
	remoteFlags
}

// batch is the set of pictures that one call of generate makes. They differ only in their seeds. Everything is checked
// before the model is opened.
type batch struct {
	options inference.Options
	remote  Remote // replaces options if it has an address
	checked inference.Checked
	request inference.Request // set when the model is open; the seed changes from picture to picture
	like    *picture.Metadata // the metadata of the picture of --like, nil if there is none
	seeds   []uint64          // one for each picture
	output  string            // the value of --output
	notes   []string          // printed to standard error when all checks have passed
}

func (c *generateCommand) Run(ctx context.Context, s Streams) error {
	b, err := c.prepare(ctx, s)
	if err != nil {
		return err
	}
	if err := b.checkOutputs(); err != nil {
		return err
	}
	start := time.Now()
	engine, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	info := engine.Info()
	printNotices(s.Err, info)
	for _, note := range b.notes {
		fmt.Fprintln(s.Err, "note:", note)
	}
	b.compare(s.Err, info)
	if err := b.tellLoRAs(ctx, s.Err, engine); err != nil {
		return err
	}
	if c.Guidance != "" && b.checked.Guidance() > inference.NoGuidance && !info.Variant.Guided() {
		fmt.Fprintln(s.Err, "note: a distilled model does not use guidance: --guidance has no effect")
	}
	if err := c.resolve(b, info); err != nil {
		return err
	}
	for i, p := range b.preparations(info.NativeSize) {
		if p.Changed() && (i > 0 || !b.paints()) { // of an edit the model sees a part of image 1

			fmt.Fprintf(s.Err, "note: image %d: %s\n", i+1, p)
		}
	}
	if e, ok := b.request.Editing(); ok {
		fmt.Fprintf(s.Err, "note: %s\n", editNote(e))
	}
	if m := b.request.Mask(); m != nil && m.Stretched() {
		fmt.Fprintf(s.Err, "note: --mask: found %v for image 1 of %v: it is stretched to that shape\n",
			m.FileSize(), m.Size())
	}
	opened, memory := time.Since(start), ""
	if e, ok := engine.(*inference.Engine); ok {
		if p, err := e.Plan(b.request); err == nil {
			memory = fmt.Sprintf(", %v of graphics memory", p)
		}
	}
	device := info.Device
	if info.Remote != "" {
		device += " of " + info.Remote
	}
	fmt.Fprintf(s.Err, "%s (%s, %s) on %s, %s%s; %v, %s, opened in %.2f s\n",
		info.Model, info.Family, info.Variant, device, info.Precision, memory,
		b.request.Size(), inference.WorkflowOf(len(b.request.References())), opened.Seconds())
	for i, seed := range b.seeds {
		b.request = b.request.WithSeed(seed)
		if err := c.makeOne(ctx, s, engine, b, i); err != nil {
			return err
		}
	}
	return nil
}

// open opens the engine on this computer or another one.
func (b *batch) open(ctx context.Context) (inference.Generator, error) {
	if b.remote.Address != "" {
		return OpenRemote(ctx, b.remote)
	}
	e, err := inference.Open(ctx, b.options)
	if err != nil {
		return nil, err // not e, which would be an interface that holds a nil pointer
	}
	return e, nil
}

// checkRemote returns an error if a flag about the model on this computer is given together with --server, or if the
// token and the prompt would come from the same place.
func (c *generateCommand) checkRemote() error {
	for _, flag := range []struct {
		name  string
		given bool
	}{
		{"--model", c.Model != ""}, {"--vae", c.VAE != ""}, {"--variant", c.Variant != ""},
		{"--device", c.Device != string(inference.DeviceAuto)},
		{"--precision", c.Precision != ""}, {"--max-sequence-length", c.MaxSequenceLength != nil},
		{"--noise", c.Noise != ""},
	} {
		if c.Server != "" && flag.given {
			return usagef("--server and %s exclude each other: the other computer has a model and a device of its own",
				flag.name)
		}
	}
	if c.TokenFile == standardInput && c.Prompt != nil && *c.Prompt == standardInput {
		return usagef("--token-file - and --prompt - would both read standard input, want one of them there")
	}
	return nil
}

// maxCutShown is how many bytes of the part of a prompt that is cut off are quoted. The tokens command shows all of it.
const maxCutShown = 80

// makeOne makes and writes picture i of b.
func (c *generateCommand) makeOne(ctx context.Context, s Streams, engine inference.Generator, b *batch, i int) error {
	start := time.Now()
	display := newProgress(s.Err, fmt.Sprintf("picture %d/%d, seed %d", i+1, len(b.seeds), b.request.Seed()))
	previews := newPreviewFile(c.Preview)
	result, err := engine.Generate(ctx, b.request, func(p inference.Progress) {
		display.update(p)
		previews.update(p)
	})
	display.finish()
	if failed := previews.finish(); failed != nil {
		fmt.Fprintf(s.Err, "note: %s\n", oneLine(failed))
	}
	if err != nil {
		return err
	}
	if i == 0 && result.Truncated != "" {
		fmt.Fprintf(s.Err, "note: the prompt is too long for the model; %d bytes are cut off, from %.*q\n",
			len(result.Truncated), maxCutShown, result.Truncated)
	}
	meta := result.Metadata
	meta.Version = Version
	path, failed, err := b.write(unwrap(s.Out), result.Image, meta)
	if err != nil {
		return err
	}
	if failed != nil {
		failed = fmt.Errorf("%w; the picture is kept as %s", failed, path)
	}
	if i == 0 {
		if err := history.At(HistoryFile(), nil).Remember(meta.Files()); err != nil {
			fmt.Fprintf(s.Err, "note: the paths of the references could not be remembered, "+
				"so that --like will look for them beside the picture: %s\n", oneLine(err))
		}
	}
	var stages []string
	for _, t := range result.Timings {
		stages = append(stages, fmt.Sprintf("%s %.2f s", t.Stage, t.Duration.Seconds()))
	}
	fmt.Fprintf(s.Err, "seed %d: %.2f s (%s)\n", meta.Seed, time.Since(start).Seconds(), strings.Join(stages, ", "))
	if e := result.Edited; e != nil {
		fmt.Fprintf(s.Err, "%.1f %% of the pixels are others than those of image 1\n", 100*e.Changed)
	}
	if b.output == standardOutput {
		return failed // standard output holds the picture and nothing else
	}
	if c.JSON {
		prepared := b.preparations(engine.Info().NativeSize)
		err = writeJSON(s.Out, newReport(path, result, time.Since(start), prepared), "")
	} else {
		err = s.result(path)
	}
	if failed != nil {
		return failed
	}
	return err
}

// prepare checks the arguments and reads the references.
func (c *generateCommand) prepare(ctx context.Context, s Streams) (*batch, error) {
	b := &batch{output: c.Output}
	if err := c.checkRemote(); err != nil {
		return nil, err
	}
	if err := c.readLike(b); err != nil {
		return nil, err
	}
	if err := c.checkStandardOutput(unwrap(s.Out)); err != nil {
		return nil, err
	}
	var err error
	if b.remote, err = c.remoteFlags.remote(s); err != nil {
		return nil, err
	}
	if b.remote.Address == "" {
		if b.options, err = c.modelFlags.options(); err != nil {
			return nil, err
		}
	}
	if c.Count < 1 || c.Count > maxCount {
		return nil, usagef("--count %d, want %s", c.Count, countRange)
	}
	ask, err := c.ask(b, s.In)
	if err == nil {
		ask.Preview = c.Preview != ""
		err = c.checkRemove(ask.Edit)
	}
	if err == nil {
		err = c.loras(ctx, b, &ask)
	}
	if err == nil {
		b.checked, err = ask.Check()
	}
	if err != nil {
		return nil, c.withOrigin(err)
	}
	for i := range uint64(c.Count) {
		b.seeds = append(b.seeds, b.checked.Seed()+i)
	}
	if b.checked, err = b.checked.Read(ctx, inference.ReadAtOnce); err != nil {
		return nil, c.withOrigin(err)
	}
	if err := c.checkPreview(b); err != nil {
		return nil, err
	}
	if c.Overwrite {
		return b, nil
	}
	return b, c.checkOverwriting(b)
}

// readLike reads the metadata of the picture of --like. Its precision, variant and number of text tokens replace the
// flags for them that are not given.
func (c *generateCommand) readLike(b *batch) error {
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
	b.like = &meta
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
func (c *generateCommand) resolve(b *batch, info inference.Info) (err error) {
	if b.request, err = b.checked.Resolve(info); err != nil {
		return c.withOrigin(err)
	}
	if b.like == nil || c.Aspect != "" || c.Size != "" || c.changesSize() {
		return nil
	}
	// repeat takes a size beyond the limits for the size of image 1. If it is not that, the picture cannot be repeated.
	if want := sizeOf(*b.like); b.request.PictureSize() != want {
		_, err := inference.Ask{Size: &want}.Check()
		return c.withOrigin(err)
	}
	return nil
}

// checkOverwriting returns an error if an output file is also a reference or the mask, which --overwrite allows.
func (c *generateCommand) checkOverwriting(b *batch) error {
	for _, seed := range b.seeds {
		output, exists := b.outputFor(seed)
		for _, source := range b.checked.References() {
			if r, ok := source.(inference.Reference); ok && exists == picture.Replace && sameFile(r.Path, output) {
				return usagef("output %s is also a reference picture; it is not overwritten without --overwrite", output)
			}
		}
		if exists == picture.Replace && (c.Mask != "" && sameFile(c.Mask, output) || c.isEarlierMask(b, output)) {
			return usagef("output %s is also the mask; it is not overwritten without --overwrite", output)
		}
	}
	return nil
}

// preparations returns how each reference was changed for a model whose native pictures have native × native pixels.
func (b *batch) preparations(native int) (list []picture.Preparation) {
	for _, r := range b.request.References() {
		list = append(list, r.Preparation(native))
	}
	return list
}

// compare prints a note for each difference because of which the new picture may differ from that of --like.
func (b *batch) compare(w io.Writer, info inference.Info) {
	if b.like == nil {
		return
	}
	for _, row := range []struct{ what, then, now string }{
		{"model", b.like.Model + " " + b.like.ModelDigest, info.Model + " " + info.Digest},
		{"device", b.like.Device, info.Device},
		{"version", b.like.Version, Version},
	} {
		if row.then != row.now {
			fmt.Fprintf(w, "note: made with %s %s, now %s: the picture may differ\n", row.what, row.then, row.now)
		}
	}
}
