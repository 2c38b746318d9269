package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// maxPromptsBytes bounds a file of prompts: as many lines of a kilobyte as a list may have entries.
const maxPromptsBytes = 1000 * maxEntries

// readLines makes an entry for each line of the file that --prompts names. A line that begins with { is a JSON object,
// another one is a prompt. Lines without text are skipped.
func (l *list) readLines(c *generateCommand, in io.Reader) error {
	file, text := c.Prompts, []byte(nil)
	var err error
	if file == standardInput {
		file = "standard input"
		text, err = io.ReadAll(io.LimitReader(in, maxPromptsBytes+1))
		if err == nil && len(text) > maxPromptsBytes {
			err = fmt.Errorf("found more than %d bytes", maxPromptsBytes)
		}
	} else {
		text, err = atomicfile.Read(file, maxPromptsBytes)
	}
	if err != nil {
		return fmt.Errorf("--prompts: %s: %w", file, err)
	}
	number := 0
	var first error
	bad := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\uFEFF"))) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(l.entries) == maxEntries {
			return usagef("--prompts: %s: found more than %d lines, want at most that", file, maxEntries)
		}
		e := &entry{generateCommand: *c, where: fmt.Sprintf("%s: line %d", file, number), number: number}
		if err := e.readLine(string(bytes.TrimRight(line, "\r\n"))); err != nil {
			if bad++; first == nil {
				first = usageError{fmt.Errorf("%s%w", e.line(), err)}
			}
			continue
		}
		e.name = picture.PromptName(e.promptText())
		l.entries = append(l.entries, e)
	}
	switch {
	case bad > 1:
		return usageError{fmt.Errorf("%w (and %s)", first, countOf(bad-1, "more line", "more lines"))}
	case bad == 1:
		return first
	case len(l.entries) == 0:
		return usagef("--prompts: %s: found no line, want a prompt or a JSON object on each", file)
	}
	return nil
}

// promptText returns the prompt, "" if there is none.
func (e *entry) promptText() string {
	if e.Prompt == nil {
		return ""
	}
	return *e.Prompt
}

// readLine puts what the line says in the place of the flags.
func (e *entry) readLine(line string) error {
	e.fields = map[inference.Field]string{}
	if !utf8.ValidString(line) {
		return errors.New("found bytes that are not UTF-8")
	}
	if !strings.HasPrefix(strings.TrimSpace(line), "{") {
		e.setPrompt(line)
		e.fields[inference.FieldPrompt] = "prompt"
		return nil
	}
	members, err := readObject(line)
	if err != nil {
		return err
	}
	return e.take(members)
}

// setPrompt sets the prompt, which takes the place of --remove.
func (e *entry) setPrompt(text string) { e.Prompt, e.Remove = &text, false }

// member is a name in a JSON object with its value: a string, json.Number, bool, []any or map[string]any.
type member struct {
	name  string
	value any
}

// readObject reads a JSON object. A name that stands there twice is an error, because one of its values would be lost.
// Members that are null are left out.
func readObject(line string) (members []member, err error) {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return nil, jsonError(err)
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, jsonError(err)
		}
		m := member{name: fmt.Sprint(name)}
		if err := d.Decode(&m.value); err != nil {
			return nil, jsonError(err)
		}
		if seen[m.name] {
			return nil, fmt.Errorf("found %q twice", m.name)
		}
		seen[m.name] = true
		if m.value != nil {
			members = append(members, m)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, jsonError(err)
	}
	if rest := strings.TrimSpace(line[d.InputOffset():]); rest != "" {
		return nil, fmt.Errorf("found %.20q behind the JSON object, want one object on each line", rest)
	}
	return members, nil
}

// jsonError says what is wrong with the JSON of a line.
func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("found the beginning of a JSON object, want all of it on one line")
	}
	return fmt.Errorf("no JSON object: %w", err)
}
