// Command speed measures this machine and writes what it found into docs/speed.md:
//
//	speed [-model DIR] [-python PROGRAM] [-sizes 256x256,512x512] [-out docs/speed.md] KLEINBILD
//
// It runs `KLEINBILD bench cpu`: the processor's paths, its operations beside OpenBLAS if that is installed and, with a
// model, whole pictures beside Diffusers if the Python has it. Then it times the reading and writing of pictures. All
// competitors of a table run in turn within one call, so that their ratios mean something on a noisy machine.
//
// The file has one section a machine between two comments. The section of this machine is replaced; those of other
// machines and all text between the sections stay as they are.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/load"

	"kleinbild/atomicfile"
)

func main() {
	model := flag.String("model", "", "a checkpoint of the 4B model, to make whole pictures with: kleinbild bench checkpoint DIR writes one")
	python := flag.String("python", "", "a Python that has Diffusers")
	sizes := flag.String("sizes", "256x256,512x512", "the sizes of whole pictures")
	out := flag.String("out", "docs/speed.md", "the file whose section of this machine is written")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: speed [-model DIR] [-python PROGRAM] [-sizes WxH,WxH] [-out FILE] KLEINBILD")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Arg(0), *model, *python, strings.Split(*sizes, ","), *out); err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, model, python string, sizes []string, out string) error {
	machine, err := machineName()
	if err != nil {
		return err
	}
	page, err := os.ReadFile(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "Measured on %s with %s on %s, revision %s.", time.Now().Format(time.DateOnly), runtime.Version(), runtime.GOOS, revision(ctx))
	if avg, err := load.Avg(); err == nil && avg.Load1 > busyLoad {
		fmt.Fprintf(&text, " Other programs were at work (load %.1f).", avg.Load1)
	}
	text.WriteString("\n\n### Operations of a 256×256 picture\n\n")
	if err := bench(ctx, &text, program, "--size", "256x256"); err != nil {
		return err
	}
	if model != "" {
		text.WriteString("\n### Whole pictures\n\nFrom the opening of the checkpoint to the picture; Diffusers from the start of its process.\n")
	}
	for _, size := range sizes {
		if model == "" {
			break
		}
		args := []string{"--no-shapes", "--no-rates", "-m", model, "--size", size}
		if python != "" {
			args = append(args, "--python", python)
		}
		if err := bench(ctx, &text, program, args...); err != nil {
			return err
		}
	}
	text.WriteString("\n### Pictures in and out\n\n")
	if err := pictures(ctx, &text); err != nil {
		return err
	}
	page = replaceSection(page, machine, text.Bytes())
	return atomicfile.Write(out, page, 0o644)
}

// busyLoad is the number of running or waiting processes above which times mean little.
const busyLoad = 0.5

// bench appends what `program bench cpu args` prints.
func bench(ctx context.Context, text io.Writer, program string, args ...string) error {
	command := exec.CommandContext(ctx, program, append([]string{"bench", "cpu"}, args...)...)
	command.Stdout, command.Stderr = io.MultiWriter(text, os.Stdout), os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(command.Args, " "), err)
	}
	return nil
}

// machineName names the processor with family and model, because cloud processors hide their trade names.
func machineName() (string, error) {
	infos, err := cpu.Info()
	if err != nil || len(infos) == 0 {
		return "", fmt.Errorf("the processor's name cannot be read: %w", err)
	}
	i := infos[0]
	return fmt.Sprintf("%s (family %s, model %s), threads: %d", strings.TrimSpace(i.ModelName), i.Family, i.Model, runtime.GOMAXPROCS(0)), nil
}

// revision is the commit that is measured, with a mark if files differ from it.
func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=9").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
