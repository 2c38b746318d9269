// Command speed measures this machine and writes the results into docs/speed.md:
//
//	speed [-model DIR] [-python PROGRAM] [-sizes 256x256,512x512] [-out docs/speed.md] KLEINBILD
//
// It runs `KLEINBILD bench cpu`, which measures the processor's code paths, and compares operations with OpenBLAS, if
// that is installed, and whole pictures with Diffusers, if a model and a Python with Diffusers are given. Then it times
// the reading and writing of pictures. All competitors in a table run alternately within one call, so that their ratios
// are meaningful on a noisy machine.
//
// The file has one section for each machine, between two comments. Only the section of this machine is replaced.
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

	"github.com/kleinbild/kleinbild/atomicfile"
)

func main() {
	model := flag.String("model", "",
		"a checkpoint of the 4B model for whole pictures, as kleinbild bench checkpoint DIR writes it")
	python := flag.String("python", "", "a Python that has Diffusers")
	sizes := flag.String("sizes", "256x256,512x512", "the sizes of whole pictures")
	out := flag.String("out", "docs/speed.md", "the file to which this machine's section is written")
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

// run measures everything and replaces this machine's section in the file out.
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
	fmt.Fprintf(&text, "Measured on %s with %s on %s, revision %s.",
		time.Now().Format(time.DateOnly), runtime.Version(), runtime.GOOS, revision(ctx))
	if avg, err := load.Avg(); err == nil && avg.Load1 > busyLoad {
		fmt.Fprintf(&text, " Other programs were at work (load %.1f).", avg.Load1)
	}
	text.WriteString("\n\n### Operations of a 256×256 picture\n\n")
	if err := bench(ctx, &text, program, "--size", "256x256"); err != nil {
		return err
	}
	if model != "" {
		text.WriteString("\n### Whole pictures\n\nFrom the opening of the checkpoint to the picture; " +
			"Diffusers from the start of its process.\n")
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

// busyLoad is the number of running or waiting processes above which times are unreliable.
const busyLoad = 0.5

// bench appends the output of `program bench cpu args` to text.
func bench(ctx context.Context, text io.Writer, program string, args ...string) error {
	command := exec.CommandContext(ctx, program, append([]string{"bench", "cpu"}, args...)...)
	command.Stdout, command.Stderr = io.MultiWriter(text, os.Stdout), os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(command.Args, " "), err)
	}
	return nil
}

// machineName returns the name of the processor with its family and model, because cloud processors hide their trade
// names.
func machineName() (string, error) {
	infos, err := cpu.Info()
	if err == nil && len(infos) == 0 {
		err = errors.New("the system lists no processor")
	}
	if err != nil {
		return "", fmt.Errorf("the processor's name cannot be read: %w", err)
	}
	i := infos[0]
	return fmt.Sprintf("%s (family %s, model %s), threads: %d",
		strings.TrimSpace(i.ModelName), i.Family, i.Model, runtime.GOMAXPROCS(0)), nil
}

// revision returns the commit that is measured, marked if files differ from it.
func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=9").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
