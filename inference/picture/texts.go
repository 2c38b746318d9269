package picture

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// text is a text in a picture file under the keyword of PNG's text chunks.
type text struct {
	keyword, value string
	problem        error // wraps ErrTooLong if the text is too long; value is then empty
}

// textKeywords holds the keywords of all dialects.
var textKeywords = []string{
	keyword, keywordParameters, keywordPrompt, keywordWorkflow, keywordInvokeAI, keywordSDMetadata, keywordDream,
}

// ErrTooLong is wrapped by the error for a picture that contains more text than is read.
var ErrTooLong = errors.New("the text is too long")

// maxTextBytes returns the limit of a text with the given keyword.
func maxTextBytes(name string) int {
	switch name {
	case keyword:
		return maxMetadataBytes
	case keywordPrompt, keywordWorkflow:
		return maxGraphBytes
	}
	return maxForeignBytes
}

// textList collects the texts of a file and enforces their limits.
type textList struct {
	texts []text
	taken int // bytes of these texts, and of those that were read and then refused
}

// room returns how many bytes of a text with the given keyword may still be read.
func (l *textList) room(name string) int {
	if name == keyword { // Kleinbild's own text is always read, and only once
		return maxMetadataBytes
	}
	return min(maxTextBytes(name), max(maxTextsBytes-l.taken, 0))
}

// add adds a text, or an entry that says that it is too long. Only the first of Kleinbild's own texts is added.
func (l *textList) add(name, value string) {
	if name == keyword && slices.ContainsFunc(l.texts, func(t text) bool { return t.keyword == keyword }) {
		return
	}
	if len(value) > l.room(name) || len(l.texts) >= maxTexts && name != keyword {
		l.tooLong(name)
		return
	}
	l.taken += len(value)
	l.texts = append(l.texts, text{keyword: name, value: value})
}

// tooLong adds an entry that says that a text was too long, once for each keyword.
func (l *textList) tooLong(name string) {
	if !slices.ContainsFunc(l.texts, func(t text) bool { return t.keyword == name && t.problem != nil }) {
		l.texts = append(l.texts, text{keyword: name, problem: &longText{name, maxTextBytes(name)}})
	}
}

// longText is the error for a text that was not read.
type longText struct {
	name string
	most int
}

func (e *longText) Error() string {
	return fmt.Sprintf("its text %q is longer than %d KiB, or follows many others, and was not read", e.name, e.most>>10)
}

func (e *longText) Unwrap() error { return ErrTooLong }

// pngTexts returns the texts with known keywords in chunks tEXt, zTXt and iTXt, before and after the pixels, because
// programs that save a picture again move such chunks and change their kind. It stops after Kleinbild's own text, and
// otherwise reads the whole file. If Kleinbild's own text is damaged or too long, it returns an error. Damaged texts of
// other programs are left out. Texts found before an error are returned with it.
func pngTexts(r io.Reader) ([]text, error) {
	chunks, err := newChunkReader(r)
	if err != nil {
		return nil, err
	}
	var list textList
	for {
		if err := chunks.next(); err == io.EOF {
			return list.texts, nil
		} else if err != nil {
			return list.texts, err
		}
		if chunks.kind != "tEXt" && chunks.kind != "zTXt" && chunks.kind != "iTXt" {
			continue
		}
		head, err := chunks.read(maxKeywordBytes + 1)
		if err != nil {
			return list.texts, err
		}
		before, _, found := bytes.Cut(head, []byte{0})
		name := string(before)
		if !found || !slices.Contains(textKeywords, name) {
			continue
		}
		const fields = 64 // bytes before the text
		room := list.room(name)
		if chunks.left > room+fields && name != keyword {
			list.tooLong(name)
			continue
		}
		rest, err := chunks.data(room + fields)
		if err != nil {
			return list.texts, err
		}
		value, err := textOf(chunks.kind, append(head, rest...)[len(name)+1:], room)
		switch {
		case err != nil && name == keyword:
			return list.texts, fmt.Errorf("PNG: metadata: %w", err)
		case errors.Is(err, ErrTooLong):
			list.taken += room
			list.tooLong(name)
		case err != nil:
			list.taken += len(rest)
		default:
			list.add(name, value)
		}
		if name == keyword {
			return list.texts, nil
		}
	}
}

// textOf decodes the data of a text chunk after the keyword and its NUL. A compressed text may have at most most bytes.
func textOf(kind string, data []byte, most int) (string, error) {
	switch kind {
	case "tEXt":
		return latin1(data), nil
	case "zTXt":
		if len(data) < 1 || data[0] != 0 {
			return "", errors.New("zTXt with an unknown compression, want zlib")
		}
		plain, err := inflate(data[1:], most)
		return latin1(plain), err
	}
	if len(data) < 2 || data[0] > 1 || data[0] == 1 && data[1] != 0 {
		return "", errors.New("iTXt with an unknown compression, want none or zlib")
	}
	_, rest, language := bytes.Cut(data[2:], []byte{0})
	_, plain, translated := bytes.Cut(rest, []byte{0})
	if !language || !translated {
		return "", errors.New("iTXt has no text")
	}
	if data[0] == 1 {
		var err error
		if plain, err = inflate(plain, most); err != nil {
			return "", err
		}
	}
	return string(plain), nil
}

// inflate decompresses a text of at most most bytes.
func inflate(data []byte, most int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("compressed text: %w", err)
	}
	defer r.Close()
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("compressed text: %w", err)
	}
	if len(plain) > most {
		return nil, fmt.Errorf("compressed text of more than %d bytes, want at most that: %w", most, ErrTooLong)
	}
	return plain, nil
}

// latin1 decodes text that should be Latin-1 by the specification. Some programs write UTF-8 instead, so valid UTF-8 is
// returned unchanged: Latin-1 text that is also valid UTF-8 makes no sense in any language.
func latin1(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	var s strings.Builder
	for _, b := range data {
		s.WriteRune(rune(b))
	}
	return s.String()
}
