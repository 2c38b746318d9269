package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kleinbild/kleinbild/inference"
)

type tokensCommand struct {
	Prompt            *string `short:"p" placeholder:"TEXT" help:"The prompt; - reads it from standard input."`
	Model             string  `short:"m" placeholder:"PATH" help:"A model, or a folder that has only a tokenizer."`
	MaxSequenceLength *int    `placeholder:"N" help:"How many tokens of text the model reads, at most 512."`
	JSON              bool    `name:"json" help:"${tokens_json_help}"`
	Raw               bool    `help:"Add neither the chat template nor padding."`
}

// tokenLine is one line of the output of --json.
type tokenLine struct {
	IDs       []int32 `json:"ids"`
	Count     int     `json:"count"`
	Truncated bool    `json:"truncated"`
}

// maxLineBytes bounds a line of standard input with --json.
const maxLineBytes = 64 << 20

func (c tokensCommand) Run(ctx context.Context, s Streams) error {
	if c.Prompt == nil && !c.JSON {
		return usagef("no prompt: give -p TEXT, or --json to read prompts from standard input")
	}
	length, err := sequenceLength(c.MaxSequenceLength)
	if err != nil {
		return err
	}
	user, err := readSettings()
	if err != nil {
		return err
	}
	opts := inference.Options{Model: c.Model, Setting: user.Model, MaxSequenceLength: length}
	t, maxLength, err := inference.OpenTokenizer(ctx, opts)
	if err != nil {
		return err
	}
	encode := func(prompt string) (tokenLine, string, error) {
		if c.Raw {
			ids := t.Encode(prompt)
			return tokenLine{IDs: ids, Count: len(ids)}, "", nil
		}
		e, err := t.Prompt(prompt, maxLength)
		return tokenLine{e.IDs, e.Count, e.Truncated()}, e.Cut, err
	}
	if c.JSON && c.Prompt == nil {
		return tokenLines(s, encode)
	}
	text, err := readPrompt(*c.Prompt, s.In)
	if err != nil {
		return err
	}
	prompt, err := inference.ParsePrompt(text)
	if err != nil {
		return promptError(*c.Prompt, err)
	}
	line, cut, err := encode(prompt)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeTokenLine(s.Out, line)
	}
	fmt.Fprintln(s.Out, strings.Trim(fmt.Sprint(line.IDs[:line.Count]), "[]"))
	if !c.Raw {
		fmt.Fprintf(s.Out, "%d of %d tokens\n", line.Count, maxLength)
	}
	if line.Truncated {
		fmt.Fprintf(s.Out, "cut off: %q\n", cut)
	}
	return nil
}

// tokenLines writes one line of JSON for each line of JSON on standard input. It encodes prompts unchanged, even with
// carriage returns and NULs, which JSON can express, because it serves to test the tokenizer.
func tokenLines(s Streams, encode func(string) (tokenLine, string, error)) error {
	out := bufio.NewWriter(s.Out)
	defer out.Flush()
	in := bufio.NewScanner(s.In)
	in.Buffer(nil, maxLineBytes)
	for n := 1; in.Scan(); n++ {
		line := in.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if !utf8.Valid(line) { // encoding/json would replace bytes that are not UTF-8 by U+FFFD
			return fmt.Errorf("tokens: line %d: found text that is not UTF-8, want UTF-8", n)
		}
		var request struct {
			Prompt *string `json:"prompt"`
		}
		if err := json.Unmarshal(line, &request); err != nil {
			return fmt.Errorf("tokens: line %d: %w, want {\"prompt\": …}", n, err)
		}
		if request.Prompt == nil {
			return fmt.Errorf("tokens: line %d: no prompt, want {\"prompt\": …}", n)
		}
		answer, _, err := encode(*request.Prompt)
		if err != nil {
			return err
		}
		if err := writeTokenLine(out, answer); err != nil {
			return err
		}
	}
	return in.Err()
}

func writeTokenLine(w io.Writer, line tokenLine) error {
	if line.IDs == nil {
		line.IDs = []int32{}
	}
	return writeJSON(w, line, "")
}
