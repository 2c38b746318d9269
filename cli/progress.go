package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/plain"
)

// progress shows the progress of a run: a bar if w is a terminal, otherwise a line for each stage and step.
type progress struct {
	w     io.Writer
	title string
	bar   *progressbar.ProgressBar
	last  inference.Progress
}

// barUnits is the maximum of a progress bar.
const barUnits = 1000

func newProgress(w io.Writer, title string) *progress {
	p := &progress{w: w, title: title}
	if isTerminal(w) {
		p.bar = newBar(w, title)
	}
	return p
}

// newBar returns a bar for a terminal. It disappears at its end.
func newBar(w io.Writer, title string) *progressbar.ProgressBar {
	return progressbar.NewOptions(barUnits,
		progressbar.OptionSetWriter(unwrap(w)),
		progressbar.OptionSetDescription(plain.Printable(title)),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

func (p *progress) update(now inference.Progress) {
	if p.bar != nil {
		text := fmt.Sprintf("%s: %s", p.title, stageText(now))
		if now.Total > 0 && now.Stage != inference.StageQueue {
			text += fmt.Sprintf(" %d/%d, %s left", now.Step, now.Total, now.Remaining.Round(time.Second))
		}
		p.bar.Describe(text)
		_ = p.bar.Set(int(now.Fraction * barUnits))
		return
	}
	// Only the steps get lines of their own: layers of the text encoder and levels of the VAE would be too many.
	step := now.Stage == inference.StageSteps && now.Step != p.last.Step && now.Step > 0
	if now.Stage != p.last.Stage || stageText(now) != stageText(p.last) {
		fmt.Fprintf(p.w, "%s: %s\n", p.title, stageText(now))
	}
	if now.Stage == inference.StageRefine && now.Step != p.last.Step {
		fmt.Fprintf(p.w, "%s: tile %d/%d, %s left\n", p.title, now.Step+1, now.Total, now.Remaining.Round(time.Second))
	}
	if step {
		fmt.Fprintf(p.w, "%s: step %d/%d, %.1f s, %s left\n",
			p.title, now.Step, now.Total, now.Elapsed.Seconds(), now.Remaining.Round(time.Second))
	}
	p.last = now
}

// stageText names the stage of a run for people.
func stageText(p inference.Progress) string {
	switch {
	case p.Stage != inference.StageQueue:
		return string(p.Stage)
	case p.Total == 1:
		return "waiting, 1 picture comes first"
	case p.Total > 0:
		return fmt.Sprintf("waiting, %d pictures come first", p.Total)
	}
	return "waiting for the other computer"
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
