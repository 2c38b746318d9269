package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"kleinbild/inference"
)

// asGiven decodes strings byte by byte. Kong's own decoder goes through JSON, which puts U+FFFD in place of bytes that are
// not UTF-8: a file so called could not be named.
var asGiven = kong.KindMapper(reflect.String, kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	text, ok := token.Value.(string)
	if !ok {
		text = fmt.Sprint(token.Value)
	}
	target.SetString(text)
	return nil
}))

// seedFlag is the text of a seed, which may begin with a minus: -1 is random.
type seedFlag string

var negative = regexp.MustCompile(`^-\d+$`)

// Decode takes a negative number for a value, where the parser would see flags.
func (s *seedFlag) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Peek()
	if !token.IsValue() && !negative.MatchString(token.String()) {
		return errors.New("found no value")
	}
	*s = seedFlag(ctx.Scan.Pop().String())
	return nil
}

// maxStdinBytes bounds what is read of standard input for one prompt; a prompt may be far shorter.
const maxStdinBytes = 1 << 20

// parsePrompt reads the value of --prompt: the prompt itself, or - for all of standard input, whose line ends at the end go.
func parsePrompt(text string, in io.Reader) (string, error) {
	if text != "-" {
		prompt, err := inference.ParsePrompt(text)
		if err != nil {
			return "", usageError{err}
		}
		return prompt, nil
	}
	all, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), maxStdinBytes+1))
	if err != nil {
		return "", fmt.Errorf("prompt: standard input: %w", err)
	}
	if len(all) > maxStdinBytes {
		return "", fmt.Errorf("prompt: standard input: found more than %d bytes, want at most %d", maxStdinBytes, inference.MaxPromptBytes)
	}
	prompt, err := inference.ParsePrompt(strings.TrimRight(string(all), "\r\n"))
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	if strings.TrimSpace(prompt) == "" {
		return "", errors.New("prompt: standard input: found nothing, want a prompt (-p \"\" draws without one)")
	}
	return prompt, nil
}
