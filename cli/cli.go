// Package cli is the command line. It parses arguments, runs commands on the inference engine, and prints. Results
// (paths of pictures, tables, JSON, scripts) go to standard output; progress, notes and errors go to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/plain"
)

// Exit codes.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2
	exitInterrupt = 130
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

type commands struct {
	Generate generateCommand `cmd:"" help:"Make a picture from a prompt and up to four reference pictures."`
	Serve    serveCommand    `cmd:"" help:"Answer HTTP requests in the formats of the hosted Klein API and of OpenAI's."`
	Upscale  upscaleCommand  `cmd:"" help:"Enlarge pictures with a small network."`
	Models   modelsCommand   `cmd:"" help:"Download, list, verify and remove models."`
	Info     infoCommand     `cmd:"" help:"Show how a picture was made."`
	LoRA     loraCommand     `cmd:"" name:"lora" help:"Show adapters, and how they fit a model."`
	Tokens   tokensCommand   `cmd:"" help:"Show the tokens of a prompt, and which part of it would be cut off."`
	Doctor   doctorCommand   `cmd:"" help:"Check this machine: processor, memory, graphics card, models."`
	Bench    benchCommand    `cmd:"" help:"Tools for measuring."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print a script that lets a shell complete commands, flags and values."`
	Manual     manualCommand     `cmd:"" hidden:"" help:"Print the manual page."`
}

// usageError is a mistake in the arguments. It ends the program with exitUsage, any other error with exitFailure.
type usageError struct{ error }

// Unwrap returns the error that usageError wraps.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exit is the value with which the parser panics after it has printed help, to end the program.
type exit int

// Main runs the command that args name and returns the exit code.
func Main(args []string, streams Streams) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("kleinbild"),
		kong.Description("FLUX.2 [klein] on your own machine: text to image, editing, up to four reference pictures."),
		kong.Writers(streams.Out, streams.Err), // the help is the program's own text and needs no safe writer
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		byteStrings,
		helpTexts,
	)
	if err != nil {
		panic(err) // a mistake in the tags above
	}
	streams = withSafeWriters(streams)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(streams.Err, "kleinbild: %s (see kleinbild --help)\n", oneLine(withRange(err)))
		return exitUsage
	}
	ctx, stop := untilSignal(context.Background())
	defer stop()
	streams.In = newInterruptible(ctx, streams.In)
	e := newEnding()
	k.BindTo(ctx, (*context.Context)(nil))
	k.Bind(parser.Model, e)
	err = e.run(ctx, func() error { return k.Run(streams) })
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(streams.Err, "kleinbild: cancelled")
		return exitInterrupt
	}
	return Failed(streams.Err, err)
}

// Failed prints the error that ends the program, and returns the exit code.
func Failed(w io.Writer, err error) (code int) {
	fmt.Fprintf(messages{w}, "kleinbild: %s\n", oneLine(withFlag(err)))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// withRange adds the values that a flag takes to the parser's error about the flag.
func withRange(err error) error {
	for flag, want := range map[string]string{
		"--seed": inference.FieldSeed.Want(), "--steps": inference.FieldSteps.Want(),
		"--guidance": inference.FieldGuidance.Want(),
		"--count":    countRange, "--max-sequence-length": lengthRange,
		"--strength": inference.FieldStrength.Want(), "--extend": inference.FieldExtend.Want(),
		"--feather": inference.FieldFeather.Want(), "--context": inference.FieldContext.Want(),
		"--area":           inference.FieldArea.Want(),
		"--keep-unchanged": inference.FieldKeepUnchanged.Want(),
	} {
		if strings.HasPrefix(err.Error(), flag+":") {
			return fmt.Errorf("%w; want %s", err, want)
		}
	}
	return err
}

// withFlag adds to an error of the engine the flag that avoids the error.
func withFlag(err error) error {
	switch {
	case errors.Is(err, inference.ErrNoCUDA):
		return fmt.Errorf("%w; use --device cpu or auto", err)
	case errors.Is(err, inference.ErrNoFloat32):
		return fmt.Errorf("%w; use --device cpu", err)
	case errors.Is(err, inference.ErrNoFP8):
		return fmt.Errorf("%w; use --precision int8 or auto", err)
	}
	return err
}

// oneLine returns the text of an error in plain words, on one line even if it has several causes.
func oneLine(err error) string {
	return plain.Printable(strings.ReplaceAll(plain.Text(err), "\n", "; "))
}
