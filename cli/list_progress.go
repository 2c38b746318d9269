package cli

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/kleinbild/kleinbild/inference"
)

// listProgress tells how far a list is: how many of its pictures are done, and about how long the others take, from
// the times of those that were made. A terminal gets a bar for each picture; otherwise there is a line for each
// picture, and one from time to time while it is made.
type listProgress struct {
	w     io.Writer
	total int // pictures of the list
	done  int // of them, made now or before, or given up
	left  int // to be made, the one under way included
	made  int // in this run
	spent time.Duration
	every time.Duration // between lines while a picture is made
	now   func() time.Time
}

// quiet is how long a plain log may stay without a line while a picture is made.
const quiet = 10 * time.Second

func newListProgress(w io.Writer, total, left int) *listProgress {
	return &listProgress{w: w, total: total, done: total - left, left: left, every: quiet, now: time.Now}
}

// position says which picture is under way.
func (p *listProgress) position() string { return fmt.Sprintf("%d of %d", p.done+1, p.total) }

// remaining says about how long the list takes from now on, "" if that is not known. now is the progress of the
// picture under way, the zero value if none is.
func (p *listProgress) remaining(now inference.Progress) string {
	var each time.Duration
	switch {
	case p.made > 0:
		each = p.spent / time.Duration(p.made)
	case now.Remaining > 0:
		each = now.Elapsed + now.Remaining
	default:
		return ""
	}
	current := each
	if now.Remaining > 0 {
		current = now.Remaining
	}
	return aboutLeft(current + time.Duration(max(p.left-1, 0))*each)
}

// aboutLeft says a time that is left, in words.
func aboutLeft(d time.Duration) string {
	switch minutes := int(math.Round(d.Minutes())); {
	case d < 90*time.Second:
		return fmt.Sprintf("about %d s left", max(int(math.Round(d.Seconds())), 1))
	case minutes < 90:
		return fmt.Sprintf("about %d min left", minutes)
	default:
		return fmt.Sprintf("about %d h %02d min left", minutes/60, minutes%60)
	}
}

// begin returns the display for the next picture. what names it.
func (p *listProgress) begin(what string) *listDisplay {
	d := &listDisplay{p: p, what: what, told: p.now()}
	if isTerminal(p.w) {
		d.bar = newBar(p.w, p.position())
		d.show(inference.Progress{})
	}
	return d
}

// ended notes that the picture under way took so long, or was given up if that is 0, and returns what its line ends
// with: the time that is left.
func (p *listProgress) ended(took time.Duration) string {
	p.done++
	p.left--
	if took > 0 {
		p.made++
		p.spent += took
	}
	if p.left == 0 {
		return ""
	}
	if text := p.remaining(inference.Progress{}); text != "" {
		return "; " + text
	}
	return ""
}

// listDisplay shows the progress of one picture of a list.
type listDisplay struct {
	p    *listProgress
	what string
	bar  *progressbar.ProgressBar
	told time.Time
}

func (d *listDisplay) update(now inference.Progress) {
	p := d.p
	if d.bar == nil && p.now().Sub(d.told) < p.every {
		return
	}
	text := p.position()
	if left := p.remaining(now); left != "" {
		text += ", " + left
	}
	stage := stageText(now)
	if now.Total > 0 && now.Stage != inference.StageQueue {
		stage += fmt.Sprintf(" %d/%d", now.Step, now.Total)
	}
	if d.bar != nil { // which has to fit the terminal, so that it goes without the name
		d.bar.Describe(text + ": " + stage)
		d.show(now)
		return
	}
	d.told = p.now()
	fmt.Fprintf(p.w, "%s: %s: %s\n", text, d.what, stage)
}

// show shows how much of the list is done.
func (d *listDisplay) show(now inference.Progress) {
	_ = d.bar.Set(int((float64(d.p.done) + now.Fraction) / float64(d.p.total) * barUnits))
}

func (d *listDisplay) finish() {
	if d.bar != nil {
		_ = d.bar.Finish()
	}
}
