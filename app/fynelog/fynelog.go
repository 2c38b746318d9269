// Package fynelog is the output of Go's log in programs with a window. Fyne and GLFW log what went wrong in lines of their
// own; those that say what the user is told in a sentence, or needs not know, are left out.
package fynelog

import (
	"bytes"
	"io"
	"log"
	"os"
	"unicode"
)

var messages = &filter{out: os.Stderr}

// Fyne logs when it is initialised, before any function of the program runs. Packages without dependencies of their own are
// initialised first, so this one imports nothing but the few packages that the log itself needs.
func init() { log.SetOutput(messages) }

// NoWindow says that the window could not be made, which Fyne says in its log alone.
func NoWindow() bool { return messages.noWindow }

// filter writes what is not left out.
type filter struct {
	out     io.Writer
	leaving bool // the lines that follow belong to a message that is left out
	// noWindow says that the window could not be made, which Fyne says in its log alone.
	noWindow bool
}

// What begins the messages that are left out. A locale such as C, which many systems start programs with, is no fault.
var (
	windowFailed = []byte("Fyne error:  window creation error")
	leftOut      = [][]byte{
		windowFailed,
		[]byte("Fyne error:  failed to initialise GLFW"),
		[]byte("Fyne error:  Error parsing user locale"),
		[]byte("Fyne error:  Failed to look up user locale"),
		[]byte("Fyne error:  Failed to load user locales"),
		[]byte("PlatformError: "),
	}
	// What goes on with Fyne's messages.
	goesOn = [][]byte{[]byte("  Cause:"), []byte("  At: ")}
)

// Write takes a line of the log.
func (l *filter) Write(line []byte) (int, error) {
	l.noWindow = l.noWindow || bytes.Contains(line, windowFailed)
	if !containsAny(line, goesOn) {
		l.leaving = containsAny(line, leftOut)
	}
	if l.leaving {
		return len(line), nil
	}
	if _, err := l.out.Write(printable(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// printable takes out what drives a terminal, as plain.Printable does, which this package may not import: messages name
// files, which may be anybody's. A message ends in its line's end.
func printable(line []byte) []byte {
	text, end := bytes.CutSuffix(line, []byte("\n"))
	text = bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069' {
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
