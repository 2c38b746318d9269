package studio

import (
	"strings"
	"testing"
)

func TestFileName(t *testing.T) {
	for _, row := range []struct{ prompt, want string }{
		{"A red fox, in the snow!", "a-red-fox-in-the-snow-7.png"},
		{"", "kleinbild-7.png"},
		{"../../etc/passwd", "etc-passwd-7.png"},
		{"CON", "con-7.png"},
		{"лиса 狐\n\x00", "лиса-狐-7.png"},
		{"!!!", "kleinbild-7.png"},
		{strings.Repeat("word ", 100), "word-word-word-word-word-word-word-word-word-wor-7.png"},
	} {
		if got := FileName(row.prompt, 7); got != row.want {
			t.Errorf("%q: %s, want %s", row.prompt, got, row.want)
		}
	}
}
