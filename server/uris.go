package server

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"kleinbild/inference"
)

// addURIs reads image_uris, a JSON array of data URIs and URLs. The pictures of data URIs are decoded as they arrive,
// so that their text is never in memory. What is wrong with the array is kept: a path that knows no such field has its
// own words for that.
func (f *form) addURIs(part *multipart.Part) error {
	_, twice := f.values[fieldImageURIs]
	text := &jsonText{in: bufio.NewReader(part)}
	empty, err := f.readURIs(text)
	if text.failed != nil {
		return malformed("multipart", text.failed)
	}
	if err != nil {
		f.uris, f.urisErr = nil, err
		if _, err := io.Copy(io.Discard, text.in); err != nil {
			return malformed("multipart", err)
		}
	}
	v := value{name: fieldImageURIs, twice: twice, text: "[…]"}
	if empty {
		v.text = ""
	}
	f.values[fieldImageURIs] = v
	return nil
}

var errNoURIs = invalid(fieldImageURIs, "want a JSON array of data URIs or URLs")

// readURIs reads the array and says whether it holds nothing.
func (f *form) readURIs(text *jsonText) (empty bool, err error) {
	switch c, err := text.next(); {
	case err == io.EOF:
		return true, nil
	case err != nil || c != '[':
		return false, errNoURIs
	}
	c, err := text.next()
	if err == nil && c == ']' {
		return text.end()
	}
	for n := 0; ; n++ {
		if err != nil || c != '"' {
			return false, errNoURIs
		}
		if n == inference.MaxReferences {
			return false, invalid(fieldImageURIs, "more than %d reference pictures", inference.MaxReferences)
		}
		src, err := readURI(fmt.Sprintf("%s[%d]", fieldImageURIs, n), text)
		if err != nil {
			return false, err
		}
		f.uris = append(f.uris, src)
		if c, err = text.next(); err != nil {
			return false, errNoURIs
		}
		if c == ']' {
			_, err := text.end()
			return false, err
		}
		if c != ',' {
			return false, errNoURIs
		}
		if c, err = text.next(); err != nil {
			return false, errNoURIs
		}
	}
}

// readURI reads one string, whose opening quote was read.
func readURI(field string, text *jsonText) (*source, error) {
	text.open = true
	head, err := text.until(',', maxURLBytes)
	if err != nil {
		return nil, err
	}
	scheme, kind, ok := strings.Cut(head, ":")
	if !ok || !strings.EqualFold(scheme, "data") {
		rest, err := text.until(noStop, maxURLBytes-len(head))
		if err != nil {
			return nil, err
		}
		return parseURL(field, head+rest)
	}
	if !strings.HasSuffix(strings.ToLower(kind), ";base64,") {
		return nil, invalid(field, "want data:image/…;base64,…")
	}
	src := &source{field: field}
	_, err = src.data.ReadFrom(base64.NewDecoder(base64.StdEncoding, text))
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) && text.failed == nil:
		return nil, invalid(field, "is not valid base64")
	case err != nil:
		return nil, err
	}
	return src, nil
}

// jsonText reads JSON without holding it. Between strings next returns what is no white space; a string that is open is
// read without its escapes, as an io.Reader that ends with its closing quote.
type jsonText struct {
	in     *bufio.Reader
	open   bool
	rest   []byte // of a character that an escape stood for
	bytes  [utf8.UTFMax]byte
	failed error // of the reader beneath
}

func (t *jsonText) byte() (byte, error) {
	c, err := t.in.ReadByte()
	if err != nil && err != io.EOF {
		t.failed = err
	}
	return c, err
}

func (t *jsonText) next() (byte, error) {
	for {
		c, err := t.byte()
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, err
		}
	}
}

// end refuses anything but white space.
func (t *jsonText) end() (empty bool, err error) {
	if _, err := t.next(); err != io.EOF {
		return false, errNoURIs
	}
	return true, nil
}

// Read returns bytes of the open string.
func (t *jsonText) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if k := t.run(p[n:]); k > 0 {
			n += k
			continue
		}
		c, err := t.character()
		if err != nil {
			return n, err
		}
		p[n] = c
		n++
	}
	return n, nil
}

// run copies what lies in the buffer up to the next character that means something.
func (t *jsonText) run(p []byte) (n int) {
	if len(t.rest) > 0 || !t.open {
		return 0
	}
	buffered, _ := t.in.Peek(min(t.in.Buffered(), len(p)))
	for n < len(buffered) && buffered[n] >= ' ' && buffered[n] != '"' && buffered[n] != '\\' {
		n++
	}
	n = copy(p, buffered[:n])
	_, _ = t.in.Discard(n)
	return n
}

// noStop lets until read to the string's end.
const noStop = -1

// until returns the open string up to and with the character stop, or all of it.
func (t *jsonText) until(stop, most int) (string, error) {
	var text strings.Builder
	for {
		c, err := t.character()
		switch {
		case err == io.EOF && t.failed == nil:
			return text.String(), nil
		case err != nil:
			return "", err
		case text.Len() >= most:
			return "", invalid(fieldImageURIs, "found an address of more than %d bytes, want at most that", maxURLBytes)
		}
		text.WriteByte(c)
		if int(c) == stop {
			return text.String(), nil
		}
	}
}

// character returns the next byte of the open string, io.EOF after its closing quote.
func (t *jsonText) character() (byte, error) {
	if len(t.rest) > 0 {
		c := t.rest[0]
		t.rest = t.rest[1:]
		return c, nil
	}
	if !t.open {
		return 0, io.EOF
	}
	c, err := t.byte()
	switch {
	case err != nil || c < ' ':
		return 0, errNoURIs
	case c == '"':
		t.open = false
		return 0, io.EOF
	case c != '\\':
		return c, nil
	}
	return t.escape()
}

// escape returns the first byte of what an escape stands for, and keeps the rest.
func (t *jsonText) escape() (byte, error) {
	c, err := t.byte()
	if err != nil {
		return 0, errNoURIs
	}
	if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
		return "\"\\/\b\f\n\r\t"[at], nil
	}
	if c != 'u' {
		return 0, errNoURIs
	}
	r, err := t.unit()
	if err != nil {
		return 0, err
	}
	if utf16.IsSurrogate(r) {
		if pair, err := t.in.Peek(2); err == nil && string(pair) == `\u` {
			_, _ = t.in.Discard(2)
			low, err := t.unit()
			if err != nil {
				return 0, err
			}
			r = utf16.DecodeRune(r, low)
		} else {
			r = utf8.RuneError
		}
	}
	n := utf8.EncodeRune(t.bytes[:], r)
	t.rest = t.bytes[1:n]
	return t.bytes[0], nil
}

// unit reads the four digits of a \u escape.
func (t *jsonText) unit() (rune, error) {
	var digits [4]byte
	for i := range digits {
		c, err := t.byte()
		if err != nil {
			return 0, errNoURIs
		}
		digits[i] = c
	}
	x, err := strconv.ParseUint(string(digits[:]), 16, 16)
	if err != nil {
		return 0, errNoURIs
	}
	return rune(x), nil
}
