package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
)

type benchQuality struct {
	Model     []string `short:"m" required:"" sep:"none" placeholder:"MODEL" help:"${quality_model_help}"`
	Prompt    []string `short:"p" sep:"none" placeholder:"TEXT" help:"${quality_prompt_help}"`
	Size      string   `placeholder:"WxH" help:"${quality_size_help}"`
	Steps     int      `short:"s" placeholder:"N" help:"Steps of the pictures. Default: those of the first model."`
	Device    string   `default:"auto" placeholder:"NAME" help:"${device_help}"`
	Precision []string `default:"auto" placeholder:"NAME" help:"${quality_precision_help}"`
	JSON      bool     `name:"json" help:"Print JSON, a line for each model, with the error of each step."`
}

// shownSteps is the number of steps whose errors are shown one by one.
const shownSteps = 8

func (c benchQuality) Run(ctx context.Context, s Streams) error {
	opts := inference.QualityOptions{Models: c.Model, Prompts: c.Prompt, Steps: c.Steps}
	var err error
	switch {
	case len(c.Model) < 2:
		return usagef("-m %s: one model, want at least two to compare", c.Model[0])
	case c.Steps < 0 || c.Steps > inference.MaxSteps:
		return usagef("--steps %d, want 1 to %d", c.Steps, inference.MaxSteps)
	}
	if c.Size != "" {
		size, err := benchSize(c.Size)
		if err != nil {
			return err
		}
		opts.Size = &size
	}
	if opts.Device, err = inference.ParseDevice(c.Device); err != nil {
		return usageError{err}
	}
	if n := len(c.Precision); n != 1 && n != len(c.Model) {
		return usagef("--precision: %d for %d models, want one, or one for each", n, len(c.Model))
	}
	for _, name := range c.Precision {
		p, err := inference.ParsePrecision(name)
		if err != nil {
			return usageError{err}
		}
		opts.Precisions = append(opts.Precisions, p)
	}
	display := newTransfer(s.Err, "quality")
	defer display.finish()
	var failed error
	index := 0
	err = inference.CompareModels(ctx, opts, func(q inference.Quality) {
		write := writeQualityRow
		if c.JSON {
			write = writeQualityJSON
		}
		failed = errors.Join(failed, write(s, q, index == 0))
		index++
	}, func(model string, done, total int) {
		all := float64(total * len(c.Model))
		display.show(fmt.Sprintf("%s: picture %d of %d", model, min(done+1, total), total), float64(index*total+done)/all)
	})
	return errors.Join(err, failed)
}

// writeQualityRow prints a row of a table, after its head if it is the first one.
func writeQualityRow(s Streams, q inference.Quality, first bool) error {
	if first {
		fmt.Fprintln(s.Out, "| model | precision | transformer, MB | text encoder, MB | embeds | velocity in each step |"+
			" PSNR, dB | least | a picture, s |\n|---|---|---|---|---|---|---|---|---|")
	}
	_, err := fmt.Fprintf(s.Out, "| %s | %s | %.1f | %.1f | %s | %s | %s | %s | %.2f |\n", q.Model, q.Precision,
		float64(q.TransformerBytes)/1e6, float64(q.EncoderBytes)/1e6, percent(q.Embeds), percents(q.Velocities),
		decibels(q.PSNR), decibels(q.LeastPSNR), q.Seconds)
	return err
}

func percent(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

// percents returns the errors of a few steps one by one, and of many steps their range.
func percents(list []float64) string {
	if len(list) > shownSteps {
		least, most := list[0], list[0]
		for _, v := range list {
			least, most = min(least, v), max(most, v)
		}
		return percent(least) + " to " + percent(most)
	}
	var texts []string
	for _, v := range list {
		texts = append(texts, percent(v))
	}
	return strings.Join(texts, ", ")
}

func decibels(v float64) string {
	if math.IsInf(v, 1) {
		return "equal"
	}
	return fmt.Sprintf("%.1f", v)
}

// writeQualityJSON prints a line of JSON. PSNRs of equal pictures are null.
func writeQualityJSON(s Streams, q inference.Quality, _ bool) error {
	finite := func(v float64) *float64 {
		if math.IsInf(v, 1) {
			return nil
		}
		return &v
	}
	return writeJSON(s.Out, struct {
		Model            string    `json:"model"`
		Precision        string    `json:"precision"`
		Weights          string    `json:"weights"`
		SizeBytes        int64     `json:"size_bytes"`
		TransformerBytes int64     `json:"transformer_bytes"`
		EncoderBytes     int64     `json:"text_encoder_bytes"`
		Seconds          float64   `json:"seconds"`
		Embeds           float64   `json:"embeds"`
		Velocities       []float64 `json:"velocities"`
		PSNR             *float64  `json:"psnr"`
		LeastPSNR        *float64  `json:"least_psnr"`
	}{
		q.Model, string(q.Precision), q.Weights, q.SizeBytes, q.TransformerBytes, q.EncoderBytes, q.Seconds, q.Embeds,
		q.Velocities, finite(q.PSNR), finite(q.LeastPSNR),
	}, "")
}
