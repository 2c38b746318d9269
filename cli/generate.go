package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
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
	Prompts  string     `placeholder:"FILE" help:"${prompts_help}"`
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

func (c *generateCommand) Run(ctx context.Context, s Streams) error {
	if folder := c.folder(); c.Prompts != "" || folder >= 0 {
		return c.runList(ctx, s, folder)
	}
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
	if c.Guidance != "" {
		b.tellGuidance(s.Err, info)
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
	b.tellMask(s.Err)
	opened, memory := time.Since(start), ""
	if e, ok := engine.(*inference.Engine); ok {
		if p, err := e.Plan(b.request); err == nil {
			memory = fmt.Sprintf(", %v of graphics memory", p)
		}
	}
	fmt.Fprintf(s.Err, "%s%s; %v, %s, opened in %.2f s\n", describeEngine(info), memory,
		b.request.Size(), inference.WorkflowOf(len(b.request.References())), opened.Seconds())
	for i, seed := range b.seeds {
		b.request = b.request.WithSeed(seed)
		if err := c.makeOne(ctx, s, engine, b, i); err != nil {
			return err
		}
	}
	return nil
}

// describeEngine says on one line which model computes where.
func describeEngine(info inference.Info) string {
	device := info.Device
	if info.Remote != "" {
		device += " of " + info.Remote
	}
	return fmt.Sprintf("%s (%s, %s) on %s, %s", info.Model, info.Family, info.Variant, device, info.Precision)
}

// tellGuidance prints a note if the guidance that was asked for has no effect.
func (b *batch) tellGuidance(w io.Writer, info inference.Info) {
	if b.checked.Guidance() > inference.NoGuidance && !info.Variant.Guided() {
		fmt.Fprintln(w, "note: a distilled model does not use guidance: --guidance has no effect")
	}
}

// tellMask prints a note if the mask of the request has another shape than image 1.
func (b *batch) tellMask(w io.Writer) {
	if m := b.request.Mask(); m != nil && m.Stretched() {
		fmt.Fprintf(w, "note: --mask: found %v for image 1 of %v: it is stretched to that shape\n", m.FileSize(), m.Size())
	}
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

// maxCutShown is how many bytes of the part of a prompt that is cut off are quoted. The tokens command shows all of it.
const maxCutShown = 80

// makeOne makes and writes picture i of b, and says what came of it.
func (c *generateCommand) makeOne(ctx context.Context, s Streams, engine inference.Generator, b *batch, i int) error {
	display := newProgress(s.Err, fmt.Sprintf("picture %d/%d, seed %d", i+1, len(b.seeds), b.request.Seed()))
	m, err := c.produce(ctx, s, engine, b, display, i == 0)
	if err != nil {
		return err
	}
	var stages []string
	for _, t := range m.result.Timings {
		stages = append(stages, fmt.Sprintf("%s %.2f s", t.Stage, t.Duration.Seconds()))
	}
	fmt.Fprintf(s.Err, "seed %d: %.2f s (%s)\n", b.request.Seed(), m.took.Seconds(), strings.Join(stages, ", "))
	if e := m.result.Edited; e != nil {
		fmt.Fprintf(s.Err, "%.1f %% of the pixels are others than those of image 1\n", 100*e.Changed)
	}
	if b.output != standardOutput { // which holds the picture and nothing else
		err = c.tell(s, engine, b, m)
	}
	if m.failed != nil {
		return m.failed
	}
	return err
}

// display shows the progress of a run.
type display interface {
	update(now inference.Progress)
	finish()
}

// made is a picture that was made and written.
type made struct {
	result *inference.Result
	path   string
	failed error // why path is not the one that was asked for, with a text for people; nil if it is
	took   time.Duration
}

// produce makes and writes the picture that b's request asks for. first says that it is the first one of that prompt
// and those references.
func (c *generateCommand) produce(
	ctx context.Context, s Streams, engine inference.Generator, b *batch, show display, first bool,
) (m made, err error) {
	start := time.Now()
	previews := newPreviewFile(c.Preview)
	m.result, err = engine.Generate(ctx, b.request, func(p inference.Progress) {
		show.update(p)
		previews.update(p)
	})
	show.finish()
	if failed := previews.finish(); failed != nil {
		fmt.Fprintf(s.Err, "note: %s\n", oneLine(failed))
	}
	if err != nil {
		return m, err
	}
	if first && m.result.Truncated != "" {
		fmt.Fprintf(s.Err, "note: the prompt is too long for the model; %d bytes are cut off, from %.*q\n",
			len(m.result.Truncated), maxCutShown, m.result.Truncated)
	}
	meta := m.result.Metadata
	meta.Version = Version
	if m.path, m.failed, err = b.write(unwrap(s.Out), m.result.Image, meta); err != nil {
		return m, err
	}
	if m.failed != nil {
		m.failed = fmt.Errorf("%w; the picture is kept as %s", m.failed, m.path)
	}
	if first {
		if err := history.At(HistoryFile(), nil).Remember(meta.Files()); err != nil {
			fmt.Fprintf(s.Err, "note: the paths of the references could not be remembered, "+
				"so that --like will look for them beside the picture: %s\n", oneLine(err))
		}
	}
	m.took = time.Since(start)
	return m, nil
}

// tell prints the path of a picture, or with --json how it was made.
func (c *generateCommand) tell(s Streams, engine inference.Generator, b *batch, m made) error {
	if !c.JSON {
		return s.result(m.path)
	}
	prepared := b.preparations(engine.Info().NativeSize)
	return writeJSON(s.Out, newReport(m.path, m.result, m.took, prepared), "")
}
