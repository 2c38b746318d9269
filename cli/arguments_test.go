package cli

import (
	"strings"
	"testing"
)

// TestStandardInputIsRefused: what is no prompt never becomes a picture.
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
		for _, args := range [][]string{small(t, "-p", "-", "-o", "x.png"), {"tokens", "-p", "-", "-m", model(t, "distilled")}} {
			got := call(row.in, args...)
			if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, "standard input") || !strings.Contains(line, row.want) {
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
