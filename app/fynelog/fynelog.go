// Package fynelog filters Go's log in programs with a window. Fyne and GLFW log errors there. The filter drops the
// messages that the program tells the user in a sentence of its own, and those about locales that need no action.
package fynelog

import (
	"bytes"
	"io"
	"log"
	"os"
	"unicode"
)

var messages = &filter{out: os.Stderr}

// Fyne logs while its packages are initialised, before any function of the program runs, so this package has to be
// initialised before them. Go initialises a package after all of its imports; this one imports only the few packages
// that the log itself needs, so its turn comes long before Fyne's.
func init() { log.SetOutput(messages) }

// NoWindow reports whether Fyne failed to create its window. Fyne reports this only in its log.
func NoWindow() bool { return messages.noWindow }

// filter writes messages to out, except the dropped ones.
type filter struct {
	out      io.Writer
	dropping bool // whether the last message was dropped: the lines that continue it are dropped too
	noWindow bool // whether a message said that the window could not be created
}

// Texts in the first lines of the messages that are dropped. A locale such as C is not an error: many systems start
// programs with it.
var (
	windowFailed = []byte("Fyne error:  window creation error")
	dropped      = [][]byte{
		windowFailed,
		[]byte("Fyne error:  failed to initialise GLFW"),
		[]byte("Fyne error:  Error parsing user locale"),
		[]byte("Fyne error:  Failed to look up user locale"),
		[]byte("Fyne error:  Failed to load user locales"),
		[]byte("PlatformError: "),
	}
	// Texts in the lines that continue a message of Fyne's.
	continued = [][]byte{[]byte("  Cause:"), []byte("  At: ")}
)

// Write takes one line of the log, as the package log writes them.
func (l *filter) Write(line []byte) (int, error) {
	l.noWindow = l.noWindow || bytes.Contains(line, windowFailed)
	if !containsAny(line, continued) {
		l.dropping = containsAny(line, dropped)
	}
	if l.dropping {
		return len(line), nil
	}
	if _, err := l.out.Write(printable(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// printable replaces the characters that control a terminal or change the direction of text, because messages quote the
// names of files that may come from strangers. The line's end stays. The function stands in for plain.Printable,
// because this package must not import others: see init.
func printable(line []byte) []byte {
	text, end := bytes.CutSuffix(line, []byte("\n"))
	text = bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
			r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if end {
		text = append(text, '\n')
	}
	return text
}

func containsAny(line []byte, parts [][]byte) bool {
	for _, part := range parts {
		if bytes.Contains(line, part) {
			return true
		}
	}
	return false
}
