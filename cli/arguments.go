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

	"github.com/kleinbild/kleinbild/inference"
)

// byteStrings makes kong keep the bytes of string arguments. Kong's own decoder goes through JSON, which puts U+FFFD in
// place of bytes that are not UTF-8, so that a file with such a name could not be opened.
var byteStrings = kong.KindMapper(reflect.String, kong.MapperFunc(decodeBytes))

func decodeBytes(ctx *kong.DecodeContext, target reflect.Value) error {
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
}

// numberFlag is the text of a number, "" if the flag is not given. The engine reads it, so that a bad number gives the
// same error as in the window and the server.
type numberFlag string

// negative matches a negative number, or the numbers of --extend if the first is negative.
var negative = regexp.MustCompile(`^-[.,\-\d]+$`)

// Decode accepts a negative number as the value. The parser alone would read it as flags.
func (s *numberFlag) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Peek()
	if !token.IsValue() && !negative.MatchString(token.String()) {
		return errors.New("found no value")
	}
	*s = numberFlag(ctx.Scan.Pop().String())
	if *s == "" { // as --steps="$STEPS" gives if the variable is not set
		return errors.New("found no value")
	}
	return nil
}

// maxStdinBytes bounds how much of standard input is read for one prompt. The limit of a prompt is much lower.
const maxStdinBytes = 1 << 20

// readPrompt returns the prompt for the value text of --prompt: text itself, or, if text is -, all of standard input
// without the line ends at its end. The prompt is not checked yet.
func readPrompt(text string, in io.Reader) (string, error) {
	if text != standardInput {
		return text, nil
	}
	all, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), maxStdinBytes+1))
	if err != nil {
		return "", fmt.Errorf("prompt: standard input: %w", err)
	}
	if len(all) > maxStdinBytes {
		return "", fmt.Errorf("prompt: standard input: found more than %d bytes, want at most %d",
			maxStdinBytes, inference.MaxPromptBytes)
	}
	text = strings.TrimRight(string(all), "\r\n")
	if strings.TrimSpace(strings.TrimPrefix(text, "\uFEFF")) == "" {
		return "", errors.New("prompt: standard input: found nothing, want a prompt (-p \"\" draws without a prompt)")
	}
	return text, nil
}

// promptError returns the error for a bad prompt. flag is the value of --prompt. A bad prompt on standard input is a
// failure, not a usage error.
func promptError(flag string, err error) error {
	if flag == standardInput {
		return fmt.Errorf("standard input: %w", err)
	}
	return flagError(err)
}
