package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text with each character for which DrivesTerminal is true, and each byte that is not UTF-8, as an
// escape of Go (\x1b, \u202e). The result is one line that cannot control a terminal or change the order of its
// characters. It is for file names, and for texts from files and servers of strangers.
func Printable(text string) string {
	mayNeedEscape := func(r rune) bool { return r == utf8.RuneError || DrivesTerminal(r) }
	if !strings.ContainsFunc(text, mayNeedEscape) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case DrivesTerminal(r):
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// DrivesTerminal reports whether a character controls the terminal or the text instead of being shown: control
// characters (ESC, line ends, DEL, the C1 set), line and paragraph separators, and the Unicode characters that change
// the direction of text, which can make a file gnp.exe appear as exe.png.
func DrivesTerminal(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
		r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}
