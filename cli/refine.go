package cli

import (
	"context"
	"fmt"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// refineFlags have a model of FLUX.2 work an enlarged picture over.
type refineFlags struct {
	Refine      bool       `help:"${refine_help}"`
	Prompt      *string    `short:"p" placeholder:"TEXT" help:"${refine_prompt_help}"`
	Strength    numberFlag `placeholder:"S" help:"${refine_strength_help}"`
	Steps       numberFlag `placeholder:"N" help:"With --refine: the number of steps. Default: the model's own."`
	Seed        numberFlag `short:"s" placeholder:"N" help:"With --refine: the seed. Default: random."`
	RefineModel string     `placeholder:"MODEL" help:"${refine_model_help}"`
}

// asked returns what the flags ask for, within the limits. Without --refine none of the others may be given.
func (f refineFlags) asked(s Streams) (how inference.Refinement, err error) {
	if !f.Refine {
		for _, flag := range []struct {
			name  string
			given bool
		}{
			{"--prompt", f.Prompt != nil}, {"--strength", f.Strength != ""}, {"--steps", f.Steps != ""},
			{"--seed", f.Seed != ""}, {"--refine-model", f.RefineModel != ""},
		} {
			if flag.given {
				return how, usagef("%s without --refine, which it belongs to", flag.name)
			}
		}
		return how, nil
	}
	if f.Prompt != nil {
		if how.Prompt, err = readPrompt(*f.Prompt, s.In); err != nil {
			return how, err
		}
	}
	if f.Strength != "" {
		if how.Strength, err = inference.ParseStrength(string(f.Strength)); err != nil {
			return how, flagError(err)
		}
	}
	if f.Steps != "" {
		if how.Steps, err = inference.ParseSteps(string(f.Steps)); err != nil {
			return how, flagError(err)
		}
	}
	if f.Seed != "" {
		if how.Seed, err = inference.ParseSeed(string(f.Seed)); err != nil {
			return how, flagError(err)
		}
	}
	return how, flagError(how.Check())
}

// refiner is a model that works enlarged pictures over.
type refiner struct {
	engine *inference.Engine
	how    inference.Refinement
}

// openRefiner opens the model for --refine, and returns nil without that flag.
func (c upscaleCommand) openRefiner(
	ctx context.Context, s Streams, how inference.Refinement, device inference.Device, precision inference.Precision,
) (*refiner, error) {
	if !c.Refine {
		return nil, nil
	}
	user, err := readSettings()
	if err != nil {
		return nil, err
	}
	engine, err := inference.Open(ctx, inference.Options{
		Model: c.RefineModel, Setting: user.Model, Device: device, Precision: precision,
	})
	if err != nil {
		return nil, err
	}
	printNotices(s.Err, engine.Info())
	return &refiner{engine, how}, nil
}

// check returns an error if an enlarged picture cannot be worked over, before it is enlarged.
func (r *refiner) check(e enlargement, o *picture.Original, size picture.Size) error {
	switch {
	case r == nil:
		return nil
	case size.Width > inference.MaxRefinePixels/size.Height:
		return fmt.Errorf("refine: enlarged, %s has %v pixels, want at most %d megapixels", e.from, size,
			int(inference.MaxRefinePixels/1e6))
	case min(size.Width, size.Height) < picture.MinSide:
		return fmt.Errorf("refine: enlarged, %s has %v pixels, want at least %d a side", e.from, size, picture.MinSide)
	case !o.Opaque():
		return fmt.Errorf("refine: %s has transparent parts, which the model does not know: want an opaque picture", e.from)
	}
	return nil
}

// write enlarges o, works the result over and writes it, as Upscaler.Write does without the model.
func (r *refiner) write(
	ctx context.Context, upscaler *inference.Upscaler, e enlargement, o *picture.Original, size picture.Size,
	meta *picture.Metadata, progress func(inference.Progress),
) (string, error) {
	large, err := upscaler.Picture(ctx, o, size, progress)
	if err != nil {
		return "", err
	}
	img, err := large.Screen(ctx)
	if err != nil {
		return "", err
	}
	img, refined, err := r.engine.Refine(ctx, img, r.how, func(p inference.RefineProgress) { progress(p.Progress()) })
	if err != nil {
		return "", flagError(err)
	}
	said := upscaler.Info().Refined(meta, o.Size, size, refined)
	said.Version = Version
	return picture.Write(e.to, img, said, e.exists)
}
