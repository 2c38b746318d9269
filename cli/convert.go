package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
)

type modelsConvert struct {
	Model    string `short:"m" placeholder:"MODEL" help:"${convert_model_help}"`
	To       string `required:"" placeholder:"KIND" help:"${to_help}"`
	Part     string `default:"transformer" enum:"transformer,text-encoder" help:"transformer (default) or text-encoder."`
	Plain    bool   `xor:"scales" help:"Compute scales by the plain formulas. Default for Q4_0."`
	Weighted bool   `xor:"scales" help:"${weighted_help}"`
	File     string `arg:"" help:"The file to write, .gguf or .safetensors. It must not exist."`
}

func (c modelsConvert) Run(ctx context.Context, s Streams) error {
	extension, err := inference.ConvertExtension(c.To)
	switch {
	case err != nil:
		return usagef("--to: %w", err)
	case !strings.HasSuffix(strings.ToLower(c.File), extension):
		return usagef("%s: want a name that ends in %s, for --to %s", c.File, extension, c.To)
	case (c.Plain || c.Weighted) && !inference.HasWeightedKind(c.To):
		return usagef("--plain and --weighted: %s has one formula only", c.To)
	}
	model := c.Model
	if model == "" {
		if model, err = modelPath(ctx, ""); err != nil {
			return err
		}
	}
	scales := inference.BetterScales
	switch {
	case c.Plain:
		scales = inference.PlainScales
	case c.Weighted:
		scales = inference.WeightedScales
	}
	display := newTransfer(s.Err, "convert")
	start := time.Now()
	opts := inference.ConvertOptions{
		Model: model, Kind: c.To, TextEncoder: c.Part == "text-encoder", Scales: scales, Path: c.File,
	}
	err = inference.Convert(ctx, opts, func(done, total int64) {
		fraction := float64(done) / float64(total)
		left := time.Duration(float64(time.Since(start)) * (1 - fraction) / max(fraction, 1e-9))
		display.show(fmt.Sprintf("convert: %.0f %%, %v left", 100*fraction, left.Round(time.Second)), fraction)
	})
	display.finish()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(s.Err, "nothing was written to %s\n", c.File)
		return err
	case err != nil:
		return err
	}
	if info, err := os.Stat(c.File); err == nil {
		use := "in place of the " + strings.ReplaceAll(c.Part, "-", " ")
		if spec, ok := inference.UseConverted(ctx, opts); ok {
			use = "with: -m " + spec
		}
		fmt.Fprintf(s.Err, "%.1f MB in %v; use it %s\n", float64(info.Size())/1e6,
			time.Since(start).Round(100*time.Millisecond), use)
	}
	return s.result(c.File)
}
