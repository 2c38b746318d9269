package cli

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// list is what one call of generate makes from a folder of pictures or from a file of prompts: entries, which one
// engine makes one after the other. All of them are checked before the first picture is made. A picture that is there
// already, as its metadata say, is not made again, so that a list that was interrupted is resumed by the same command.
type list struct {
	entries []*entry
	shared  *batch // has the engine, the picture of --like and the notes of all entries
	folder  string // the folder of pictures, "" if there is none
}

// entry is one request of a list, for one picture or for some that differ in their seeds.
type entry struct {
	// The flags, with what the line says, or with the picture of the folder, in their places.
	generateCommand
	where   string                     // for messages: "prompts.jsonl: line 3", or the path of the folder's picture
	name    string                     // for files: that of the folder's picture, or words of the prompt
	number  int                        // of the line, or in the folder
	fields  map[inference.Field]string // the names that the line has for the fields it gives
	sides   [2]string                  // width and height, if the line has them
	batch   *batch
	missing []uint64 // the seeds of the pictures that are not there
}

// maxEntries bounds a list. That many pictures take days on the fastest card.
const maxEntries = 100_000

// folder returns which of the references is a folder, -1 if none is.
func (c *generateCommand) folder() int {
	return slices.IndexFunc(c.Image, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	})
}

// readList checks the flags and reads the list. folder is the reference that is a folder, -1 for none.
func (c *generateCommand) readList(ctx context.Context, s Streams, folder int) (l *list, err error) {
	switch {
	case c.Prompts != "" && folder >= 0:
		return nil, usagef("--prompts and the folder -i %s exclude each other: want one picture in each line, as references",
			c.Image[folder])
	case c.Noise != "":
		return nil, usagef("--noise goes with one picture: want it without --prompts and without a folder")
	case c.Output == standardOutput:
		return nil, usagef("-o -: found a list of pictures, want one picture on standard output")
	case c.Prompts == standardInput && c.Prompt != nil && *c.Prompt == standardInput:
		return nil, usagef("--prompts - and --prompt - would both read standard input, want one of them there")
	case c.Prompts == standardInput && c.TokenFile == standardInput:
		return nil, usagef("--prompts - and --token-file - would both read standard input, want one of them there")
	}
	l = &list{}
	if l.shared, err = c.prepareEngine(s); err != nil {
		return nil, err
	}
	l.shared.names = once(l.shared.names)
	if c.Prompt != nil {
		text, err := readPrompt(*c.Prompt, s.In)
		if err != nil {
			return nil, c.withOrigin(err)
		}
		c.Prompt = &text
	}
	if folder >= 0 {
		err = l.readFolder(c, folder)
	} else {
		err = l.readLines(c, s.In)
	}
	if err != nil {
		return nil, err
	}
	if err := l.check(ctx, c); err != nil {
		return nil, err
	}
	return l, l.plan()
}

// readFolder makes an entry for each picture in the folder that is reference at of c.
func (l *list) readFolder(c *generateCommand, at int) error {
	for _, other := range c.Image[at+1:] {
		if info, err := os.Stat(other); err == nil && info.IsDir() {
			return usagef("--image (-i): found two folders, %s and %s, want one", c.Image[at], other)
		}
	}
	l.folder = c.Image[at]
	pictures, others, err := picture.InFolder(l.folder)
	switch {
	case err != nil:
		return err
	case len(pictures) == 0:
		return usagef("--image (-i): the folder %s: found no picture", l.folder)
	case len(pictures) > maxEntries:
		return usagef("--image (-i): the folder %s: found %d pictures, want at most %d", l.folder, len(pictures), maxEntries)
	}
	l.note("image %d is each of the %d pictures in %s", at+1, len(pictures), l.folder)
	if len(others) > 0 {
		l.note("%s: no pictures, and skipped: %s", l.folder, fewNames(others))
	}
	stems := map[string]int{}
	for _, path := range pictures {
		stems[strings.ToLower(stem(path))]++
	}
	for i, path := range pictures {
		e := &entry{generateCommand: *c, where: path, name: stem(path), number: i + 1}
		if ext := filepath.Ext(path); stems[strings.ToLower(e.name)] > 1 && ext != "" { // house.jpg beside house.png
			e.name += "-" + ext[1:]
		}
		e.Image = slices.Clone(c.Image)
		e.Image[at] = path
		l.entries = append(l.entries, e)
	}
	return nil
}

func (l *list) note(format string, args ...any) {
	l.shared.notes = append(l.shared.notes, fmt.Sprintf(format, args...))
}

// stem returns the name of a file without its extension.
func stem(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// fewNames names the first files of many, without their folder.
func fewNames(paths []string) string {
	const few = 5
	var names []string
	for _, p := range paths[:min(few, len(paths))] {
		names = append(names, filepath.Base(p))
	}
	text := strings.Join(names, ", ")
	if more := len(paths) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// check reads what each entry asks for and compares it with its limits. The error is that of the first entry that
// cannot be made, and counts the others.
func (l *list) check(ctx context.Context, c *generateCommand) error {
	var first error
	more := 0
	seen := map[string]int{} // how many entries without a seed of their own have the same prompt
	for _, e := range l.entries {
		err := e.check(ctx, l, seen)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
		case first == nil:
			first = err
		default:
			more++
		}
	}
	if c.Prompts == "" || more == 0 {
		return first // of a folder all entries have the same flags
	}
	return usageError{fmt.Errorf("%w (and %s)", first, countOf(more, "more line", "more lines"))}
}

func (e *entry) check(ctx context.Context, l *list, seen map[string]int) error {
	e.batch = &batch{remote: l.shared.remote, like: l.shared.like, names: l.shared.names}
	e.setSeed(l.folder == "", seen)
	err := e.request(ctx, e.batch, nil)
	if err == nil {
		err = e.checkFiles()
	}
	if err != nil {
		return e.withOrigin(err)
	}
	for _, note := range e.batch.notes {
		if note = strings.TrimPrefix(e.line()+note, ": "); !slices.Contains(l.shared.notes, note) {
			l.shared.notes = append(l.shared.notes, note)
		}
	}
	return nil
}

// once returns a function that asks for the adapters when it is first called, and remembers them.
func once(
	ask func(context.Context) (inference.LoRANames, error),
) func(context.Context) (inference.LoRANames, error) {
	var names inference.LoRANames
	asked := false
	return func(ctx context.Context) (inference.LoRANames, error) {
		var err error
		if !asked {
			names, err = ask(ctx)
			asked = err == nil
		}
		return names, err
	}
}

// setSeed gives an entry a seed if neither it nor --like has one. It follows from the prompt, so that the same list
// gives the same pictures; lines with the same prompt get different seeds, pictures of a folder the same.
func (e *entry) setSeed(line bool, seen map[string]int) {
	if e.Seed != "" || e.batch.like != nil {
		return
	}
	prompt := inference.RemovePrompt
	if e.Prompt != nil {
		prompt = *e.Prompt
	}
	times := 0
	if line {
		times = seen[prompt]
		seen[prompt]++
	}
	sum := sha256.Sum256([]byte(prompt + "\x00" + strconv.Itoa(times)))
	e.Seed = numberFlag(strconv.FormatUint(uint64(binary.BigEndian.Uint32(sum[:])), 10)) // as RandomSeed, of 32 bits
}

// checkFiles checks what request does not: that the seed is a number, because it could not be told whether a picture
// with a random one is there, and that the files of pictures are there.
func (e *entry) checkFiles() error {
	if strings.TrimSpace(string(e.Seed)) == "-1" {
		return inference.FieldError{Field: inference.FieldSeed, Got: "-1", Want: "a number: a picture with a random seed " +
			"would be made again each time; without a seed it follows from the prompt"}
	}
	files := slices.Clone(e.Image)
	if e.Mask != "" && e.Mask != maskAlpha {
		files = append(files, e.Mask)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return fmt.Errorf("%s: found a folder, want a picture; -i FOLDER takes each picture in a folder", path)
		}
	}
	return nil
}

// line returns the beginning of a message about a line, "" for a picture of a folder, whose flags are those of all.
func (e *entry) line() string {
	if e.fields == nil {
		return ""
	}
	return e.where + ": "
}

// withOrigin adds to the error for a bad value where it comes from: a field of the line, a flag, or the picture of
// --like.
func (e *entry) withOrigin(err error) error {
	var bad inference.FieldError
	if !errors.As(err, &bad) {
		return usageError{fmt.Errorf("%s%w", e.line(), err)}
	}
	if name, ok := e.fields[bad.Field]; ok {
		text := fmt.Sprintf("%s%s: found %s, want %s", e.line(), name, bad.Got, bad.Want)
		return usageError{reworded{text, bad}}
	}
	return usageError{fmt.Errorf("%s%w", e.line(), e.generateCommand.withOrigin(err))}
}

// countOf counts things in words.
func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
