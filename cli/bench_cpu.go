package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/load"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

type benchCPU struct {
	Model   string   `short:"m" placeholder:"DIR" help:"Also make a picture with this model by each path."`
	Size    string   `default:"256x256" placeholder:"WxH" help:"Size of the picture whose shapes are measured."`
	Steps   int      `default:"4" help:"Steps of the picture."`
	Path    []string `placeholder:"NAME" help:"${path_help}"`
	Seconds float64  `default:"0.3" help:"Seconds for each operation and path."`
	Python  string   `placeholder:"PROGRAM" help:"A Python with Diffusers, which makes the same picture for comparison."`
	Script  string   `default:"tools/reference/bench.py" help:"The script that this Python runs."`
	Shapes  bool     `default:"true" negatable:"" help:"Measure each operation."`
	Rates   bool     `default:"true" negatable:"" help:"Print the rates of the paths' kernels."`
}

// busyLoad is the load average above which measured times mean little, because other processes are running.
const busyLoad = 0.5

func (c benchCPU) Run(ctx context.Context, s Streams) error {
	size, err := benchSize(c.Size)
	if err != nil {
		return err
	}
	if !(c.Seconds > 0) || c.Seconds > 60 || c.Steps < 1 || c.Steps > inference.MaxSteps {
		return usagef("--seconds %v, --steps %d, want more than 0 and at most 60 seconds, and 1 to %d steps",
			c.Seconds, c.Steps, inference.MaxSteps)
	}
	if c.Python != "" && c.Model == "" {
		return usagef("--python needs a model, -m")
	}
	for _, path := range c.Path {
		if !inference.HasPath(path) {
			return usagef("--path %q: this processor has no such path, see doctor", path)
		}
	}
	processor, rates, err := inference.Processor()
	if err != nil {
		return err
	}
	if avg, err := load.Avg(); err == nil && avg.Load1 > busyLoad {
		fmt.Fprintf(s.Err, "note: other programs are running (load %.1f): the rates below are too low\n", avg.Load1)
	}
	if c.Rates {
		fmt.Fprintf(s.Out, "%s\n\n| path | kernel, GFLOP/s a thread | |\n|---|---|---|\n", processor)
		for _, r := range rates {
			used := ""
			if r.Used {
				used = "in use"
			}
			fmt.Fprintf(s.Out, "| %s | %.0f | %s |\n", r.Path, r.GFLOPS, used)
		}
	}
	if c.Shapes {
		if err := c.shapes(ctx, s.Out, size); err != nil {
			return err
		}
	}
	if c.Model == "" {
		return nil
	}
	return c.pictures(ctx, s, size)
}

// shapes prints a line for each operation: the rate of each path, and its share of the peak measured at the same time.
func (c benchCPU) shapes(ctx context.Context, out io.Writer, size picture.Size) error {
	var failed error
	first := true
	each := time.Duration(c.Seconds * float64(time.Second))
	blas, err := inference.BenchProcessor(ctx, size.Width, size.Height, c.Path, each, func(r inference.ShapeRates) {
		if first {
			first = false
			head, rule := "\n| rows×columns×depth |", "|---|"
			for _, p := range r.Paths {
				head, rule = head+" "+p.Path+", GFLOP/s | of peak |", rule+"---|---|"
			}
			fmt.Fprintf(out, "%s OpenBLAS float32 |\n%s---|\n", head, rule)
		}
		line := "| " + r.Shape.String() + " |"
		for _, p := range r.Paths {
			if p.Peak == 0 {
				line += " – | – |"
				continue
			}
			line += fmt.Sprintf(" %.0f | %.0f %% |", p.GFLOPS, 100*p.GFLOPS/p.Peak)
		}
		theirs := "–"
		if r.OpenBLAS > 0 {
			theirs = fmt.Sprintf("%.0f", r.OpenBLAS)
		}
		if _, err := fmt.Fprintf(out, "%s %s |\n", line, theirs); err != nil && failed == nil {
			failed = err
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nOpenBLAS: %s\n", oneLine(errors.New(blas)))
	return err
}

// pictures prints a table of whole pictures: for each path the time of each stage and its share of the peak, and the
// times of Diffusers for the same picture.
func (c benchCPU) pictures(ctx context.Context, s Streams, size picture.Size) error {
	var theirs diffusersRun
	if c.Python != "" {
		var err error
		if theirs, err = c.diffusers(ctx, s, size); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.Out, "\n| %v, steps: %d, by | precision | prompt, s | of peak | steps, s | of peak |", size, c.Steps)
	fmt.Fprintln(s.Out, " decode, s | of peak | whole, s | ratio | peak resident, GB |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|")
	if c.Python != "" {
		fmt.Fprintf(s.Out, "| Diffusers %s, torch %s | %s | %.1f | | %.1f | | %.1f | | %.1f | 1 | %.1f |\n",
			theirs.Diffusers, theirs.Torch,
			theirs.DType, sum(theirs.Encode), sum(theirs.Step), sum(theirs.Decode), theirs.Whole, theirs.Resident/1e9)
	}
	return inference.BenchPaths(ctx, inference.Options{Model: c.Model}, size, c.Steps, c.Path, func(r inference.PathRun) {
		line := fmt.Sprintf("| Kleinbild, %s | %s |", r.Path, r.Precision)
		for _, t := range r.Timings {
			if t.Stage == inference.StageReferences {
				continue
			}
			rate := 2e-9 * t.Work / t.Duration.Seconds()
			line += fmt.Sprintf(" %.1f | %.0f %% |", t.Duration.Seconds(), 100*rate/r.Peak)
		}
		ratio, resident := "–", "–"
		if theirs.Whole > 0 {
			ratio = fmt.Sprintf("%.2f", r.Whole.Seconds()/theirs.Whole)
		}
		if r.PeakResidentBytes > 0 {
			resident = fmt.Sprintf("%.1f", float64(r.PeakResidentBytes)/1e9)
		}
		fmt.Fprintf(s.Out, "%s %.1f | %s | %s |\n", line, r.Whole.Seconds(), ratio, resident)
	})
}

// diffusersRun is the JSON that tools/reference/bench.py prints: times in seconds, and Resident in bytes.
type diffusersRun struct {
	Diffusers, Torch, DType string
	Encode, Step, Decode    []float64
	Whole, Resident         float64
}

// diffusers makes the picture with Diffusers.
func (c benchCPU) diffusers(ctx context.Context, s Streams, size picture.Size) (r diffusersRun, err error) {
	python := exec.CommandContext(ctx, c.Python, c.Script, c.Model, "--size",
		fmt.Sprintf("%dx%d", size.Width, size.Height),
		"--steps", strconv.Itoa(c.Steps), "--threads", strconv.Itoa(runtime.GOMAXPROCS(0)))
	python.Stderr = s.Err
	text, err := python.Output()
	if err == nil && json.Unmarshal(text, &r) != nil {
		err = errors.New("printed something else than the JSON of its measurements")
	}
	if err == nil && !(r.Whole > 0) {
		err = errors.New("printed no time for the whole picture")
	}
	if err != nil {
		return r, fmt.Errorf("bench: %s %s: %w", c.Python, c.Script, err)
	}
	return r, nil
}

func sum(seconds []float64) (total float64) {
	for _, s := range seconds {
		total += s
	}
	return total
}

// benchSize reads WxH.
func benchSize(text string) (size picture.Size, err error) {
	w, h, ok := strings.Cut(text, "x")
	if ok {
		size.Width, _ = strconv.Atoi(w)
		size.Height, _ = strconv.Atoi(h)
	}
	if min(size.Width, size.Height) < 64 || max(size.Width, size.Height) > 2048 || size.Width%16 != 0 ||
		size.Height%16 != 0 {
		return size, usagef("size %q, want WIDTHxHEIGHT, multiples of 16 from 64 to 2048", text)
	}
	return size, nil
}
