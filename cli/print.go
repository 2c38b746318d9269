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

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/plain"
)

// File names, the metadata of pictures and models, and the answers of servers come from strangers. They may contain
// characters that drive a terminal: that change its title, write to the clipboard, or add a line that looks like one of
// the program's. All that commands print goes through the writers of this file, which replace such characters by
// escapes that can be seen (plain.Printable).

// withSafeWriters returns streams that write through the writers of this file.
func withSafeWriters(s Streams) Streams {
	if isTerminal(s.Out) {
		s.Out = screen{s.Out}
	}
	s.Err = messages{s.Err}
	return s
}

// messages writes to standard error: a terminal, or a file that somebody will show on a terminal. Each call of Write is
// one message of one line: a line end inside it comes from quoted text, and is escaped.
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

// PrintError prints an error to w as commands print their errors. main uses it for errors of the window.
func PrintError(w io.Writer, err error) { fmt.Fprintf(messages{w}, "kleinbild: %s\n", oneLine(err)) }

// screen writes to standard output if that is a terminal; otherwise results are written unchanged. Line ends and tabs
// stay.
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

// unwrap returns the writer below a writer of this file. It is used for a picture on standard output, and for progress
// bars, which must drive the terminal.
func unwrap(w io.Writer) io.Writer {
	switch w := w.(type) {
	case messages:
		return w.Writer
	case screen:
		return w.Writer
	}
	return w
}

// isTerminal says whether w, without a writer of this file, is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := unwrap(w).(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// result prints the path of a result: unchanged for programs, with escapes on a terminal, so that it takes one line.
func (s Streams) result(path string) error {
	if isTerminal(s.Out) {
		path = plain.Printable(path)
	}
	_, err := fmt.Fprintln(s.Out, path)
	return err
}

// Invocation is what the user typed to start the program, "kleinbild" if that is not known. In a checkout it is a path,
// and a command that begins with "kleinbild" would not be found.
var Invocation = "kleinbild"

// printNotices prints what the user should know about a model that was opened. If it is the demo model because no other
// was found, it also prints which models were found and cannot be used.
func printNotices(w io.Writer, info inference.Info) {
	if info.Missing != nil {
		for _, p := range info.Missing.Tried {
			if !p.Empty() {
				fmt.Fprintf(w, "note: no model in %s: %s\n", p.Where, p.Reason)
			}
		}
	}
	for _, notice := range info.Notices {
		if info.Remote != "" {
			fmt.Fprintln(w, "note:", info.Remote+":", notice)
			continue
		}
		fmt.Fprintln(w, "note:", strings.Replace(notice, ": kleinbild models", ": "+Invocation+" models", 1))
	}
}

// writeJSON prints v as JSON, indented by indent. Characters that drive a terminal are written as JSON's escapes, so
// that programs get the exact strings.
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

// escapedJSON writes JSON with escapes for the characters that drive a terminal and that encoding/json does not escape:
// DEL, the control characters of Latin-1, and marks that change the direction of text. Outside of strings JSON has none
// of them.
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
