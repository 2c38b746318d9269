package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text in one line that drives neither a terminal nor the order of what is read: characters for which
// DrivesTerminal holds, and bytes that are not UTF-8, are shown as Go's escapes, so that a name can be found again by what is
// shown. It is for names of files, and for what files and servers of strangers say.
func Printable(text string) string {
	clean := func(r rune) bool { return r == utf8.RuneError || DrivesTerminal(r) }
	if !strings.ContainsFunc(text, clean) {
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

// DrivesTerminal says whether a character does something instead of being shown: control characters (ESC, line ends, DEL,
// the C1 set), line and paragraph separators, and the marks that turn the direction of what follows, with which gnp.exe
// reads exe.png.
func DrivesTerminal(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}
