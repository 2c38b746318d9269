package inference

import (
	"strings"
	"testing"
)

func TestParsePrompt(t *testing.T) {
	for _, row := range []struct{ name, text, want, problem string }{
		{"empty", "", "", ""},
		{"plain", "a fox, 狐 and a 🦊", "a fox, 狐 and a 🦊", ""},
		{"byte order mark", "\uFEFFa fox", "a fox", ""},
		{"only a byte order mark", "\uFEFF", "", ""},
		{"byte order mark within", "a\uFEFFfox", "a\uFEFFfox", ""},
		{"Windows' line ends", "a fox\r\nin snow\r\n", "a fox\nin snow\n", ""},
		{"old line ends", "a fox\rin snow", "a fox\nin snow", ""},
		{"the replacement character itself", "a \uFFFD fox", "a \uFFFD fox", ""},
		{"UTF-16, little endian", "\xff\xfea\x00", "", "UTF-16"},
		{"UTF-16, big endian", "\xfe\xff\x00a", "", "UTF-16"},
		{"UTF-16 without a mark", "a\x00b\x00", "", "NUL at byte 1"},
		{"Latin-1", "caf\xe9 at night", "", "byte 0xe9 at byte 3"},
		{"cut in a character", "caf\xc3", "", "byte 0xc3 at byte 3"},
		{"NUL", "a fox\x00", "", "NUL at byte 5"},
		{"longest", strings.Repeat("x", MaxPromptBytes), strings.Repeat("x", MaxPromptBytes), ""},
		{"too long", strings.Repeat("x", MaxPromptBytes+1), "", "found 65537 bytes, want at most 65536"},
	} {
		got, err := ParsePrompt(row.text)
		if row.problem == "" {
			if err != nil || got != row.want {
				t.Errorf("%s: got %.40q and %v, want %.40q", row.name, got, err, row.want)
			}
		} else if err == nil || !strings.Contains(err.Error(), row.problem) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.problem)
		}
	}
}
