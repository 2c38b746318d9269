package inference

import (
	"image"
	"time"

	"kleinbild/inference/flux2"
	"kleinbild/inference/qwen3"
	"kleinbild/inference/vae"
)

// Stage is a part of a run.
type Stage string

const (
	StagePrompt     Stage = "prompt"
	StageReferences Stage = "references"
	StageSteps      Stage = "steps"
	StageDecode     Stage = "decode"
)

// Progress tells how far a run is. It comes when a stage begins and after every layer, from the goroutine that computes: what handles it
// must not block. A graphics card is handed layers before it computes them, a step's at most: within a step, progress runs ahead.
type Progress struct {
	Stage Stage
	// Step counts finished parts of the stage: layers, references, steps, levels. Total is 0 where a stage has just begun.
	Step, Total int
	// Fraction of the whole run's arithmetic that is done, 0 … 1.
	Fraction float64
	Elapsed  time.Duration
	// Remaining is an estimate, 0 while there is nothing to estimate from.
	Remaining time.Duration
	// Preview is set once after each step where the request asks for it: the picture as the model expects it to
	// become, at a fraction of its size.
	Preview *image.RGBA
}

// tracker turns the stages' counts into Progress and Timings.
type tracker struct {
	report  func(Progress)
	start   time.Time
	timings []Timing

	total, done float64 // work of the whole run and of its finished parts
	stage       Stage
	stageStart  time.Time
	stageWork   float64
}

// begin starts a stage of the given work.
func (t *tracker) begin(stage Stage, work float64) {
	t.stage, t.stageStart, t.stageWork = stage, time.Now(), work
	t.update(0, 0, 0, nil)
}

// update reports step of total of the stage, of whose work fraction is done.
func (t *tracker) update(step, total int, fraction float64, preview *image.RGBA) {
	p := Progress{Stage: t.stage, Step: step, Total: total, Elapsed: time.Since(t.start), Preview: preview}
	p.Fraction = min((t.done+fraction*t.stageWork)/t.total, 1)
	if p.Fraction > 0 {
		p.Remaining = time.Duration(float64(p.Elapsed) * (1 - p.Fraction) / p.Fraction)
	}
	t.report(p)
}

// counter is a stage's progress callback.
func (t *tracker) counter(step, total int) { t.update(step, total, float64(step)/float64(total), nil) }

func (t *tracker) end() {
	t.done += t.stageWork
	t.timings = append(t.timings, Timing{t.stage, time.Since(t.stageStart), t.stageWork})
}

// The following estimate work in multiply-adds, for the share of each stage in a run.

func promptWork(c qwen3.Config, tokens int) float64 {
	perToken := float64(c.HiddenSize) * float64(2*(c.Heads+c.KVHeads)*c.HeadDim+3*c.IntermediateSize)
	return float64(qwen3.HiddenStates[2]) * float64(tokens) * perToken
}

func stepWork(c flux2.Config, tokens int) float64 {
	d, mlp, n := float64(c.Hidden()), float64(c.MLPHidden()), float64(tokens)
	return float64(c.DoubleBlocks+c.SingleBlocks) * n * (4*d*d + 3*d*mlp + 2*n*d)
}

// The convolutions of the published VAE (128 channels at full size) take 5 million multiply-adds a pixel to decode
// and half of that to encode.
const decodeWorkPerPixel, encodeWorkPerPixel = 5e6, 2.5e6

func decodeWork(c vae.Config, pixels int) float64 {
	width := float64(c.DecoderWidths[0]) / 128
	return decodeWorkPerPixel * width * width * float64(pixels)
}

func encodeWork(c vae.Config, pixels int) float64 {
	width := float64(c.EncoderWidths[0]) / 128
	return encodeWorkPerPixel * width * width * float64(pixels)
}
