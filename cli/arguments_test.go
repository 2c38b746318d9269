package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/asktest"
)

// TestStandardInputIsRefused checks that bad text on standard input is an error, never a prompt.
func TestStandardInputIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct{ name, in, want string }{
		{"nothing", "", "found nothing"},
		{"line ends alone", "\r\n\n", "found nothing"},
		{"a byte order mark alone", "\uFEFF", "found nothing"},
		{"UTF-16", "\xff\xfea\x00", "UTF-16"},
		{"UTF-16 without a mark", "a\x00\n\x00", "NUL at byte 1"},
		{"Latin-1", "caf\xe9\n", "byte 0xe9 at byte 3"},
		{"NUL", "a fox\x00\n", "NUL at byte 5"},
		{"too long", strings.Repeat("x", 65537), "at most 65536"},
		{"a film", strings.Repeat("x", 2<<20), "more than"},
	} {
		for _, args := range [][]string{small(t, "-p", "-", "-o", "x.png"),
			{"tokens", "-p", "-", "-m", model(t, "distilled")}} {
			got := call(row.in, args...)
			if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, "standard input") ||
				!strings.Contains(line, row.want) {
				t.Errorf("%s, %s: exit code %d: %s, want %q", row.name, args[0], got.code, line, row.want)
			}
		}
	}
	if left := names(t); len(left) != 0 {
		t.Errorf("files %v", left)
	}
}

func TestRandomSeeds(t *testing.T) {
	t.Chdir(t.TempDir())
	seen := map[string]bool{}
	for _, args := range [][]string{{"-s", "-1"}, {"-s-1"}, {"--seed=-1"}, {"--seed", "-1"}, nil} {
		seen[mustMake(t, small(t, append([]string{"-p", "x"}, args...)...)...).out] = true
	}
	if len(seen) != 5 {
		t.Errorf("%v, want five seeds", seen)
	}
}

// TestBadAsks checks that the command line gives the engine's error for each value that no face accepts.
func TestBadAsks(t *testing.T) {
	for _, bad := range asktest.Cases() {
		c := generateCommand{
			Prompt: new("a fox"), Count: 1, Aspect: bad.Aspect, Size: bad.Size,
			Seed: numberFlag(bad.Seed), Steps: numberFlag(bad.Steps), Guidance: numberFlag(bad.Guidance),
		}
		if bad.Prompt != "" {
			c.Prompt = &bad.Prompt
		}
		for range bad.Pictures() {
			c.Image = append(c.Image, "gone.png")
		}
		c.editFlags = editFlags{
			Mask: bad.Mask, Strength: numberFlag(bad.Strength), Extend: numberFlag(bad.Extend),
			Feather: numberFlag(bad.Feather), Context: numberFlag(bad.Context),
			Area:          numberFlag(bad.Area),
			KeepUnchanged: numberFlag(bad.KeepUnchanged),
		}
		_, err := c.prepare(t.Context(), Streams{In: strings.NewReader("")})
		var usage usageError
		var field inference.FieldError
		if !errors.As(err, &usage) || !errors.As(err, &field) || field != bad.Want ||
			!strings.HasPrefix(err.Error(), flags[field.Field]+": found ") {
			t.Errorf("%s: %v, want a usage error and %+v", bad.Name, err, bad.Want)
		}
	}
}

// TestEmptyNumbers checks that a number without a value is refused, as --steps="$STEPS" gives if STEPS is not set.
func TestEmptyNumbers(t *testing.T) {
	for _, flag := range []string{"--steps=", "--guidance=", "--seed="} {
		got := call("", "generate", "-m", "demo", "-p", "x", flag)
		if got.code != exitUsage || !strings.Contains(got.err, "found no value") {
			t.Errorf("%s: %+v, want a mistake of usage", flag, got)
		}
	}
}
