package plain

import "testing"

func TestPrintable(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"plain", `a fox — 狐狸, שועל, 🦊`, `a fox — 狐狸, שועל, 🦊`},
		{"empty", "", ""},
		{"clipboard (OSC 52)", "\x1b]52;c;cm0gLXJm\a", `\x1b]52;c;cm0gLXJm\a`},
		{"link (OSC 8)", "\x1b]8;;http://x\x1b\\", `\x1b]8;;http://x\x1b\`},
		{"title in C1", "\u009d0;title\u009c", `\u009d0;title\u009c`},
		{"another line", "a\nkleinbild: done\r", `a\nkleinbild: done\r`},
		{"DEL and NUL", "a\x7fb\x00", `a\x7fb\x00`},
		{"text direction", "a\u202egnp.exe\u202c\u2066x\u2069", `a\u202egnp.exe\u202c\u2066x\u2069`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"not UTF-8", "\x9b2J\xff\uFFFD", `\x9b2J\xff` + "\uFFFD"},
		{"half a character at the end", "a\xe2\x80", `a\xe2\x80`},
	} {
		if got := Printable(row.text); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
