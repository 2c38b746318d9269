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

	"github.com/kleinbild/kleinbild/inference"
)

// addURIs reads image_uris, a JSON array of data URIs and URLs. It decodes the base64 of data URIs while it arrives, so
// that the text is never in memory. An error in the array is stored in f.urisErr: a path that has no such field gives
// another error for it.
func (f *form) addURIs(part *multipart.Part) error {
	_, repeated := f.values[fieldImageURIs]
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
	v := value{name: fieldImageURIs, repeated: repeated, text: "[…]"}
	if empty {
		v.text = ""
	}
	f.values[fieldImageURIs] = v
	return nil
}

var errNoURIs = invalid(fieldImageURIs, "want a JSON array of data URIs or URLs")

// readURIs reads the array. empty says that it has no elements, or that there is no text at all.
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
			return false, invalid(fieldImageURIs, "more than %d reference pictures, want at most that", inference.MaxReferences)
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

// readURI reads one string of the array. The caller has read its opening quote.
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

// jsonText reads JSON piece by piece, without keeping it in memory. Between strings, next returns the characters that
// are not white space. Inside a string, which the caller marks by open, it is an io.Reader of the string's value, with
// escapes replaced by their characters, that ends at the closing quote.
type jsonText struct {
	in     *bufio.Reader
	open   bool   // the position is inside a string
	rest   []byte // bytes of an escaped character that were not returned yet
	bytes  [utf8.UTFMax]byte
	failed error // the error of in, unless it is io.EOF
}

func (t *jsonText) byte() (byte, error) {
	c, err := t.in.ReadByte()
	if err != nil && err != io.EOF {
		t.failed = err
	}
	return c, err
}

// next returns the next character that is not white space.
func (t *jsonText) next() (byte, error) {
	for {
		c, err := t.byte()
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, err
		}
	}
}

// end checks that only white space follows.
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

// run copies buffered bytes up to the next quote, backslash or control character. It returns how many it has copied.
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

// noStop is a stop for until that never matches, so that it reads to the end of the string.
const noStop = -1

// until returns the open string up to and including the character stop, or the rest of it if stop does not occur. It
// returns an error if that has more than most bytes.
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

// character returns the next byte of the open string's value. It returns io.EOF at the closing quote.
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

// escape reads an escape after its backslash. It returns the first byte of the character, and stores the others in
// t.rest.
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

// unit reads the four digits of a \u escape: one UTF-16 code unit.
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
