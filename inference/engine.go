// Package inference makes pictures. Open finds and maps a checkpoint, an Ask becomes a Request, and Generate computes
// one picture for it. The package joins the stages (tokenizer, text encoder, transformer, VAE) over a backend. The
// window, the command line and the server use this package, and no stage directly.
package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/lora"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/qwen3"
	"github.com/kleinbild/kleinbild/inference/scheduler"
	"github.com/kleinbild/kleinbild/inference/taef2"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/tokenizer"
	"github.com/kleinbild/kleinbild/inference/vae"
)

// Options say what to open and where to compute.
type Options struct {
	// Model is a Diffusers directory, or single files as a comma list; "" searches the usual places.
	Model string
	// Setting is the model that the user's settings name. It is tried after the environment.
	Setting string
	// VAE replaces the model's VAE, or its decoder alone; "" leaves it. It is a file, or a folder of Diffusers.
	VAE       string
	Device    Device
	Precision Precision
	// Variant overrides what the checkpoint says, or what the name of its file suggests.
	Variant Variant
	// MaxSequenceLength lowers the number of text tokens; 0 leaves the model's.
	MaxSequenceLength int

	// sim is the software device of tests.
	sim *cuda.Options
	// taef2 is the path of the decoder for previews, in tests, which are with models of any latents.
	taef2 string
}

// MaxSequenceLength is the number of text tokens that the models were trained with; the reference takes no more.
const MaxSequenceLength = 512

// Info describes an open engine.
type Info struct {
	Model     string
	Digest    string
	Location  string
	Layout    string
	Family    string // "FLUX.2 [klein] 4B", or the sizes if no published model has them
	Variant   Variant
	Device    string // the name of the device, for people
	Processor bool   // the device is this computer's processor, and not a graphics card
	Precision Precision
	SizeBytes int64
	// Weights names the formats of each network's weights, for people.
	Weights string
	// Closeness says how far the pictures are from those of bf16 weights.
	Closeness Closeness
	// Steps and Guidance are the variant's defaults.
	Steps    int
	Guidance float64
	// NativeSize is the side of the square pictures that the model was trained on.
	NativeSize        int
	MaxSequenceLength int
	// TokenChannels is the number of values of a token, which stands for 16 × 16 pixels.
	TokenChannels int
	// Demo says that this is the demo model, which is part of the program. If it was opened because no other model was
	// found, Missing says where one was searched for.
	Demo    bool
	Missing *NoModelError
	// Remote is the address of the computer that the engine is on, "" for this one.
	Remote string
	// Costs are for estimates of the time that pictures take.
	Costs Costs
	// Notices are sentences for the user, for example that a setting was guessed.
	Notices []string
}

// Engine is an opened model. It serves one Generate at a time.
type Engine struct {
	info   Info
	ckpt   *checkpoint.Checkpoint
	tokens *tokenizer.Tokenizer
	networks

	busy sync.Mutex
	caches
	planner planner
	loras   loras
	base    lora.Base // the transformer, as adapters see it

	previewWeights previewWeights
}

// networks are the stages that hold weights, on one backend.
type networks struct {
	b           backend.Backend
	encoder     *qwen3.Encoder
	transformer *flux2.Transformer
	vae         *vae.VAE
	taef2       *taef2.Decoder // for previews; nil if there is none
}

// ErrBusy is the error of Generate while the same engine makes another picture.
var ErrBusy = errors.New("inference: the engine is busy with another picture")

// UnreadableError is the error of Generate if a file of the model was changed, or its disk was removed. The engine
// makes no more pictures until the file is as it was. The model can be opened again.
type UnreadableError = checkpoint.UnreadableError

// ErrClosed is the error of Generate after Close.
var ErrClosed = errors.New("inference: the engine is closed")

// NoModelError says that no model was found in any of the usual places.
type NoModelError = checkpoint.NotFoundError

// Open maps a checkpoint and checks all of it: configs, the shape of every weight, the tokenizer. It computes nothing
// and reads no weight, so that it takes well under a second for a model of any size.
//
// If no model is found in any of the usual places, Open opens the demo model, and Info.Missing says where a model was
// looked for. When ctx ends, Open returns its cause at once, even if a disk does not answer.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	start := func() (*Engine, error) { return open(ctx, opts) }
	return checkpoint.Interruptible(ctx, start, func(e *Engine) { e.Close() })
}

func open(ctx context.Context, opts Options) (*Engine, error) {
	found, missing, err := find(ctx, opts)
	if err != nil {
		return nil, err
	}
	spec := found.Spec
	ckpt, err := checkpoint.OpenWith(WithRoomOn(ctx, opts.Device), spec, opts.VAE)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(ctx, ckpt, opts)
	if err != nil {
		return nil, errors.Join(err, ckpt.Close())
	}
	e.info.Location, e.info.Missing = spec, missing
	if found.TooLarge != "" {
		e.info.Notices = append(e.info.Notices, found.TooLarge)
	}
	if spec == checkpoint.Demo {
		e.info.Demo, e.info.Location = true, "part of the program"
		e.info.Notices = append(e.info.Notices,
			"demo model: simple drawings only; get the real one with: "+checkpoint.DownloadCommand)
		// Somebody's first picture is made with this model. That it is small, and made without a card where there is no
		// driver, is no surprise then.
		e.info.Notices = slices.DeleteFunc(e.info.Notices, func(notice string) bool {
			return notice == noDriverNotice || notice == nativeSizeNotice(e.info.NativeSize)
		})
	}
	return e, nil
}

// nativeSizeNotice is the notice about a model for pictures that are smaller than usual.
func nativeSizeNotice(native int) string {
	return fmt.Sprintf("the model was trained on pictures of %d×%d: the sizes of aspect ratios are scaled to that area",
		native, native)
}

// FindModel returns the model that Open would open, in the form of Options.Model. If there is none, the error is a
// *NoModelError, though Open would open the demo model.
func FindModel(ctx context.Context, opts Options) (string, error) {
	found, err := choose(ctx, opts)
	return found.Spec, err
}

// choose returns the model that Open would open, preferably one that fits into the device's memory.
func choose(ctx context.Context, opts Options) (checkpoint.Choice, error) {
	return checkpoint.Find(WithRoomOn(ctx, opts.Device), opts.Model, os.Getenv, opts.Setting)
}

// find returns what choose returns, or the demo model if there is no other. In that case missing says where a model was
// searched for.
func find(ctx context.Context, opts Options) (found checkpoint.Choice, missing *NoModelError, err error) {
	found, err = choose(ctx, opts)
	if errors.As(err, &missing) {
		found.Spec = checkpoint.Demo
		return found, missing, nil
	}
	return found, nil, err
}

func newEngine(ctx context.Context, ckpt *checkpoint.Checkpoint, opts Options) (*Engine, error) {
	b, precision, fallBack, err := openBackend(opts, ckpt)
	if err != nil {
		return nil, err
	}
	e := &Engine{ckpt: ckpt, caches: newCaches(b)}
	if e.readPreviewDecoder(ctx, opts); ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), b.Close())
	}
	if err := ckpt.Guard(func() error { return e.loadStages(b) }); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	e.base, e.loras.sets = baseOf(e.transformer), map[string]*loraSet{}
	variant, notices := variantOf(ckpt, opts.Variant)
	notices = slices.Concat(ckpt.Notices, notices, fallBack, e.previewWeights.notices())
	e.info = Info{
		Model: ckpt.Name, Digest: ckpt.Digest, Layout: string(ckpt.Layout), SizeBytes: ckpt.SizeBytes,
		Family: familyOf(e.transformer.Config()), Variant: variant, Device: b.Name(), Precision: precision,
		NativeSize: e.vae.Config().SampleSize, TokenChannels: e.transformer.Config().InChannels, Notices: notices,
		MaxSequenceLength: textTokens(ckpt.Index.MaxSequenceLength, opts.MaxSequenceLength),
		Costs:             e.costs(),
	}
	e.info.Processor = onProcessor(b)
	e.info.Weights = fmt.Sprintf("transformer %s; text encoder %s; VAE %s",
		ckpt.Transformer.Formats(), ckpt.TextEncoder.Formats(), ckpt.VAE.Formats())
	e.info.Closeness = ckpt.Closeness()
	e.info.Steps, e.info.Guidance = variant.defaults()
	if native := e.info.NativeSize; 0 < native && native < picture.NativeSide {
		e.info.Notices = append(e.info.Notices, nativeSizeNotice(native))
	}
	// This also finds out whether the template fits the vocabulary and the length.
	if _, err := e.tokens.Prompt("", e.info.MaxSequenceLength); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return e, nil
}

// loadStages builds the networks on b and checks that they belong together. If b has a rehearsal, it also builds them
// on that.
func (e *Engine) loadStages(b backend.Backend) error {
	c := e.ckpt
	if c.SchedulerConfig != nil {
		if err := scheduler.CheckConfig(c.SchedulerConfig); err != nil {
			root := filepath.Dir(folderOf(c.Transformer))
			return fmt.Errorf("%s: %w", filepath.Join(root, "scheduler", "scheduler_config.json"), err)
		}
	}
	textConfig, err := configOf(c.TextEncoder, qwen3.ParseConfig, qwen3.InferConfig)
	if err != nil {
		return err
	}
	fluxConfig, err := configOf(c.Transformer, flux2.ParseConfig, flux2.InferConfig)
	if err != nil {
		return err
	}
	vaeConfig, err := configOf(c.VAE, vae.ParseConfig, vae.InferConfig)
	if err == nil && c.VAE.Decoder != "" {
		vaeConfig, err = vaeConfig.WithDecoder(c.VAE.Source)
	}
	if err != nil {
		return err
	}
	if have, want := textConfig.EmbedDim(), fluxConfig.ContextDim; have != want {
		return fmt.Errorf(
			"%s: the text encoder gives embeds of %d, the transformer in %s wants %d: they belong to different models",
			c.TextEncoder.Files[0], have, c.Transformer.Files[0], want)
	}
	if have, want := vaeConfig.TokenChannels(), fluxConfig.InChannels; have != want {
		return fmt.Errorf(
			"%s: the VAE gives tokens of %d channels, the transformer in %s wants %d: they belong to different models",
			c.VAE.Files[0], have, c.Transformer.Files[0], want)
	}

	if e.tokens, err = openTokenizer(c); err != nil {
		return err
	}
	if have, want := e.tokens.VocabSize(), textConfig.VocabSize; have > want {
		which := c.Tokenizer
		if which == "" {
			which = "that of the text encoder's file, or the built-in Qwen3 tokenizer"
		}
		return fmt.Errorf(
			"tokenizer: %s: %d ids, want at most the %d rows of %s's embedding: it belongs to another model",
			which, have, want, filepath.Base(c.TextEncoder.Files[0]))
	}

	build := func(b backend.Backend) (n networks, err error) {
		// Networks are built in the order in which a run uses them: references are encoded before the first step.
		n.b = b
		b.Network("text encoder")
		if n.encoder, err = qwen3.New(b, textConfig, c.TextEncoder.Source); err != nil {
			return n, err
		}
		b.Network("VAE")
		if n.vae, err = vae.New(b, vaeConfig, c.VAE.Source); err != nil {
			return n, err
		}
		b.Network("transformer")
		if n.transformer, err = flux2.New(b, fluxConfig, c.Transformer.Source); err != nil {
			return n, err
		}
		n.taef2 = e.previewWeights.decoder(b)
		return n, nil
	}
	if e.networks, err = build(b); err != nil {
		return err
	}
	if device, ok := b.(backend.Planned); ok {
		e.planner.device, e.planner.rehearsal = device, device.Rehearsal()
		e.planner.networks, err = build(e.planner.rehearsal)
	}
	return err
}

// configOf reads a component's config, or infers it from the tensors of a single file.
func configOf[C any](
	c checkpoint.Component, parse func([]byte) (C, error), infer func(tensor.Source) (C, error),
) (cfg C, err error) {
	file := c.Files[0]
	if c.ConfigJSON != nil {
		file = c.ConfigPath
		cfg, err = parse(c.ConfigJSON)
	} else {
		cfg, err = infer(c.Source)
	}
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", file, err)
	}
	return cfg, nil
}

func folderOf(c checkpoint.Component) string { return filepath.Dir(c.Files[0]) }

// Info describes the engine.
func (e *Engine) Info() Info { return e.info }

// CountTokens returns how many tokens a prompt takes with the template around it, and how many the model reads: it cuts
// off the rest. It may be called while a picture is being made.
func (e *Engine) CountTokens(prompt string) (count, limit int, err error) {
	limit = e.info.MaxSequenceLength
	enc, err := e.tokens.Prompt(prompt, limit)
	return enc.Total, limit, err
}

// Close waits until Generate has returned and frees everything.
func (e *Engine) Close() error {
	e.busy.Lock()
	defer e.busy.Unlock()
	if e.ckpt == nil {
		return nil
	}
	e.planner.close()
	e.loras.close()
	err := errors.Join(e.b.Close(), e.ckpt.Close())
	// If the caller keeps the engine, it holds no caches, no widened weights and no views of unmapped files. The
	// tokenizer stays, since CountTokens reads it without a lock.
	e.ckpt, e.networks, e.caches = nil, networks{}, caches{}
	return err
}

// OpenTokenizer opens the tokenizer of a model without the rest of the model. opts.Model may also be a tokenizer.json,
// or a folder that holds one. maxLength is the model's number of text tokens.
func OpenTokenizer(ctx context.Context, opts Options) (t *tokenizer.Tokenizer, maxLength int, err error) {
	type result struct {
		t         *tokenizer.Tokenizer
		maxLength int
	}
	r, err := checkpoint.Interruptible(ctx, func() (r result, err error) {
		r.t, r.maxLength, err = tokenizerOf(ctx, opts)
		return r, err
	}, func(result) {})
	return r.t, r.maxLength, err
}

func tokenizerOf(ctx context.Context, opts Options) (t *tokenizer.Tokenizer, maxLength int, err error) {
	opts.Model = checkpoint.ExpandHome(opts.Model)
	for _, path := range []string{opts.Model, filepath.Join(opts.Model, "tokenizer")} {
		if _, err := os.Stat(filepath.Join(opts.Model, "model_index.json")); opts.Model == "" || err == nil {
			break // this is a whole model, which may lower the number of tokens
		}
		if t, err = tokenizer.Open(path); !errors.Is(err, fs.ErrNotExist) {
			return t, textTokens(opts.MaxSequenceLength), err
		}
	}
	found, _, err := find(ctx, opts)
	if err != nil {
		return nil, 0, err
	}
	ckpt, err := checkpoint.Open(WithRoomOn(ctx, opts.Device), found.Spec)
	if err != nil {
		return nil, 0, err
	}
	defer ckpt.Close()
	t, err = openTokenizer(ckpt)
	return t, textTokens(ckpt.Index.MaxSequenceLength, opts.MaxSequenceLength), err
}

func openTokenizer(c *checkpoint.Checkpoint) (*tokenizer.Tokenizer, error) {
	switch {
	case c.TokenizerFiles != nil:
		return tokenizer.OpenFS(c.TokenizerFiles)
	case c.Tokenizer != "":
		return tokenizer.Open(c.Tokenizer)
	}
	v, err := c.Vocabulary()
	switch {
	case err != nil:
		return nil, err
	case v == nil:
		return tokenizer.Embedded()
	}
	return tokenizer.FromVocabulary(v.Path, v.Tokens, v.Types, v.Merges)
}

// textTokens returns MaxSequenceLength, or the least of limits that is not 0.
func textTokens(limits ...int) int {
	n := MaxSequenceLength
	for _, limit := range limits {
		if limit != 0 {
			n = min(n, limit)
		}
	}
	return n
}
