package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"kleinbild/plain"
)

// File names, what pictures and models say of themselves, and what servers answer may be anybody's, and hold what drives a
// terminal: a new title, a text for the clipboard, a line that looks like one of the program's. All that commands print goes
// through the writers of this file, which show such characters instead (plain.Printable).

// withDoors returns streams with the writers of this file before them.
func withDoors(s Streams) Streams {
	if isTerminal(s.Out) {
		s.Out = screen{s.Out}
	}
	s.Err = messages{s.Err}
	return s
}

// messages is standard error, on a terminal or in a file that will be looked at on one. A call of Write is one message: a
// line end inside comes from what the message quotes.
type messages struct{ io.Writer }

func (m messages) Write(p []byte) (int, error) {
	text, end := bytes.CutSuffix(p, []byte("\n"))
	line := plain.Printable(string(text))
	if end {
		line += "\n"
	}
	if _, err := m.Writer.Write([]byte(line)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Complain prints an error of the window's start as commands print theirs.
func Complain(w io.Writer, err error) { fmt.Fprintf(messages{w}, "kleinbild: %s\n", oneLine(err)) }

// screen is standard output where it is a terminal; elsewhere results are written as they are. Lines and columns stay.
type screen struct{ io.Writer }

func (s screen) Write(p []byte) (int, error) {
	var b strings.Builder
	for piece := range bytes.SplitAfterSeq(p, []byte("\n")) {
		for i, cell := range strings.Split(strings.TrimSuffix(string(piece), "\n"), "\t") {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(plain.Printable(cell))
		}
		if bytes.HasSuffix(piece, []byte("\n")) {
			b.WriteByte('\n')
		}
	}
	if _, err := s.Writer.Write([]byte(b.String())); err != nil {
		return 0, err
	}
	return len(p), nil
}

// behind is the writer behind a door: for a picture on standard output, and for bars, which drive a terminal.
func behind(w io.Writer) io.Writer {
	switch w := w.(type) {
	case messages:
		return w.Writer
	case screen:
		return w.Writer
	}
	return w
}

// isTerminal also looks behind doors.
func isTerminal(w io.Writer) bool {
	file, ok := behind(w).(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// result prints a path that was asked for: as it is for programs, in one line on a terminal.
func (s Streams) result(path string) error {
	if isTerminal(s.Out) {
		path = plain.Printable(path)
	}
	_, err := fmt.Fprintln(s.Out, path)
	return err
}

// writeJSON prints v, with indent where that is not "". Every reader of JSON gets the strings exactly; characters that drive
// a terminal are written as JSON's escapes.
func writeJSON(w io.Writer, v any, indent string) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := escapedJSON{w}.Write(text.Bytes())
	return err
}

// escapedJSON writes JSON with escapes for what encoding/json leaves as it is: DEL, the controls of Latin-1, and marks that
// turn the direction of text. Outside of strings JSON has none of them.
type escapedJSON struct{ io.Writer }

func (e escapedJSON) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r != '\n' && plain.DrivesTerminal(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(rest[:size])
		}
		rest = rest[size:]
	}
	if _, err := e.Writer.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
