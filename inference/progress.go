package inference

import (
	"image"
	"time"

	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/qwen3"
	"github.com/kleinbild/kleinbild/inference/vae"
)

// Stage is a part of a run.
type Stage string

const (
	StagePrompt     Stage = "prompt"
	StageReferences Stage = "references"
	StageSteps      Stage = "steps"
	StageDecode     Stage = "decode"
	// StageQueue is reported by engines on other computers only, before the first stage. The request waits until other
	// people's pictures are made: Total of them, or an unknown number if it is 0.
	StageQueue Stage = "queue"
	// StageStitch lays the picture into image 1, or matches its colours. Only edits have it.
	StageStitch Stage = "stitch"
	// StageUpscale is the only stage of an Upscaler. Its parts are tiles.
	StageUpscale Stage = "upscale"
	// StageRefine is the stage of Engine.Refine where that is a part of a run. Its parts are tiles.
	StageRefine Stage = "refine"
)

// Progress tells how far a run is. The goroutine that computes reports it when a stage begins and after every layer, so
// the callback must not block. A graphics card is given the layers of up to one step before it computes them, so that
// within a step the reported progress is ahead of the card.
type Progress struct {
	Stage Stage
	// Step is how many parts of the stage are finished: layers, references, steps or levels. Total is 0 when a stage has
	// just begun.
	Step, Total int
	// Fraction is the part of the whole run's arithmetic that is done, 0 … 1.
	Fraction float64
	Elapsed  time.Duration
	// Remaining is an estimate. It is 0 until there is something to estimate it from.
	Remaining time.Duration
	// Preview is the picture that the model expects at the end: at its size if TAEF2 is there, else at a fraction of it.
	// In an edit with a mask it is laid into image 1, and has the proportions of that. It is set once after each step
	// but the last, if the request asks for previews.
	Preview *image.RGBA
}

// tracker makes Progress and Timings from the stages' counts.
type tracker struct {
	report  func(Progress)
	start   time.Time
	timings []Timing

	total, done float64 // work of the whole run and of its finished parts
	stage       Stage
	stageStart  time.Time
	stageWork   float64
}

// begin starts a stage that takes the given work.
func (t *tracker) begin(stage Stage, work float64) {
	t.stage, t.stageStart, t.stageWork = stage, time.Now(), work
	t.update(0, 0, 0, nil)
}

// update reports that step parts out of total are finished, and which fraction of the stage's work that is.
func (t *tracker) update(step, total int, fraction float64, preview *image.RGBA) {
	p := Progress{Stage: t.stage, Step: step, Total: total, Elapsed: time.Since(t.start), Preview: preview}
	p.Fraction = min((t.done+fraction*t.stageWork)/t.total, 1)
	if p.Fraction > 0 {
		p.Remaining = time.Duration(float64(p.Elapsed) * (1 - p.Fraction) / p.Fraction)
	}
	t.report(p)
}

// counter is the progress callback of a stage whose parts take equal work.
func (t *tracker) counter(step, total int) { t.update(step, total, float64(step)/float64(total), nil) }

// end ends the stage and records how long it took.
func (t *tracker) end() {
	t.done += t.stageWork
	t.timings = append(t.timings, Timing{t.stage, time.Since(t.stageStart), t.stageWork})
}

// The following functions estimate work in multiply-adds.

// promptWork returns the work of encoding one prompt with a number of tokens.
func promptWork(c qwen3.Config, tokens int) float64 {
	perToken := float64(c.HiddenSize) * float64(2*(c.Heads+c.KVHeads)*c.HeadDim+3*c.IntermediateSize)
	return float64(qwen3.HiddenStates[2]) * float64(tokens) * perToken
}

// stepWork returns the work of one pass of the transformer over a number of tokens: text, picture and references.
func stepWork(c flux2.Config, tokens int) float64 {
	d, mlp, n := float64(c.Hidden()), float64(c.MLPHidden()), float64(tokens)
	return float64(c.DoubleBlocks+c.SingleBlocks) * n * (4*d*d + 3*d*mlp + 2*n*d)
}

// The convolutions of the published VAE (128 channels at full size) take 5 million multiply-adds a pixel to decode
// and half of that to encode.
const decodeWorkPerPixel, encodeWorkPerPixel = 5e6, 2.5e6

func decodeWork(c vae.Config, size picture.Size) float64 {
	width := float64(c.DecoderWidths[0]) / 128
	return decodeWorkPerPixel * width * width * float64(size.Width*size.Height)
}

// stitchWorkPerPixel is what laying a pixel into image 1 costs beside the networks.
const stitchWorkPerPixel = 1e3

func stitchWork(size picture.Size) float64 {
	return stitchWorkPerPixel * float64(size.Width*size.Height)
}

func encodeWork(c vae.Config, size picture.Size) float64 {
	width := float64(c.EncoderWidths[0]) / 128
	return encodeWorkPerPixel * width * width * float64(size.Width*size.Height)
}
