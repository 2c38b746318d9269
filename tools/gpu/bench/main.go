// Command bench measures a graphics card: kernels at the shapes of FLUX.2 [klein] 4B, the upload of weights, and whole
// pictures. It prints one JSON object a line, which ../bench.py compares with PyTorch.
//
//	bench [-device cuda|sim] kernels
//	bench [-device cuda|sim] upload
//	bench [-device cuda|sim] [-size 1024x1024] pictures CHECKPOINT
//
// On the software device the shapes are tiny and the times are meaningless; it only shows that the commands run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

func main() {
	b := bench{out: json.NewEncoder(os.Stdout)}
	flag.StringVar(&b.device, "device", "cuda", "cuda or sim")
	flag.StringVar(&b.size, "size", "1024x1024", "size of pictures")
	flag.DurationVar(&b.time, "time", 300*time.Millisecond, "time for each kernel")
	flag.IntVar(&b.pictures, "pictures", 5, "warm pictures")
	flag.IntVar(&b.steps, "steps", 4, "steps a picture")
	flag.Parse()
	if err := b.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	device, size    string
	time            time.Duration
	pictures, steps int
	out             *json.Encoder
}

func (b bench) run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "kernels":
		return b.kernels()
	case len(args) == 1 && args[0] == "upload":
		return b.upload()
	case len(args) == 2 && args[0] == "pictures":
		return b.wholePictures(args[1])
	}
	return fmt.Errorf("%q: want kernels, upload, or pictures CHECKPOINT", strings.Join(args, " "))
}

func (b bench) open() (cu.Context, error) {
	switch b.device {
	case "sim":
		return cuda.OpenSoftware()
	case "cuda":
		return cuda.OpenGPU()
	}
	return nil, fmt.Errorf("device %q, want cuda or sim", b.device)
}

// row is one measurement.
type row struct {
	Kind    string  `json:"kind"`
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// FLOP counts the floating-point operations that were timed, and Bytes the bytes that were moved.
	FLOP  float64 `json:"flop,omitempty"`
	Bytes int64   `json:"bytes,omitempty"`
	// Shape is what PyTorch needs to compute the same.
	Shape map[string]int `json:"shape,omitempty"`
}

func (b bench) print(r row) error { return b.out.Encode(r) }

// wholePictures opens a checkpoint and makes a first picture, for which the weights are loaded, and then warm pictures
// with other prompts.
func (b bench) wholePictures(checkpoint string) error {
	size, err := picture.ParseSize(b.size)
	if err != nil {
		return err
	}
	idle := deviceBytes()
	start := time.Now()
	options := inference.Options{Model: checkpoint, Device: inference.Device(b.device)}
	e, err := inference.Open(context.Background(), options)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := b.print(row{Kind: "open", Name: e.Info().Family, Seconds: time.Since(start).Seconds()}); err != nil {
		return err
	}
	context0 := deviceBytes()
	dir, err := os.MkdirTemp("", "kleinbild-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i := range b.pictures + 1 {
		seed := uint64(i + 1)
		req, err := inference.Ask{
			Prompt: fmt.Sprintf("picture %d of a red fox in the snow", i), Size: &size, Seed: &seed, Steps: &b.steps,
		}.Resolve(e.Info())
		if err != nil {
			return err
		}
		plan, err := e.Plan(req)
		if err != nil {
			return err
		}
		kind := "warm"
		if i == 0 {
			kind = "cold"
		}
		start := time.Now()
		result, err := e.Generate(context.Background(), req, nil)
		if err != nil {
			return err
		}
		generated := time.Since(start)
		path := filepath.Join(dir, "picture.png")
		if _, err := picture.Write(path, result.Image, result.Metadata, picture.Replace); err != nil {
			return err
		}
		whole := time.Since(start)
		rows := []row{
			{Kind: kind, Name: "whole, PNG included", Seconds: whole.Seconds()},
			{Kind: kind, Name: "PNG", Seconds: (whole - generated).Seconds()},
		}
		for _, t := range result.Timings {
			r := row{Kind: kind, Name: string(t.Stage), Seconds: t.Duration.Seconds()}
			if t.Stage == inference.StageSteps {
				r.Name, r.Seconds = "a step", r.Seconds/float64(b.steps)
			}
			rows = append(rows, r)
		}
		if i == 0 {
			rows = append(rows, row{Kind: "memory", Name: "planned", Bytes: plan.PeakBytes},
				row{Kind: "memory", Name: "used in addition to the context", Bytes: deviceBytes() - context0},
				row{Kind: "memory", Name: "the context", Bytes: context0 - idle})
		}
		for _, r := range rows {
			if err := b.print(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// deviceBytes returns the memory in use on the first GPU, or 0 if nvidia-smi cannot be run.
func deviceBytes() int64 {
	text, err := exec.Command("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0").Output()
	if err != nil {
		return 0
	}
	mib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return mib << 20
}
