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

// text is a named text in a picture file.
type text struct{ keyword, value string }

// textKeywords are the names of texts that a dialect knows.
var textKeywords = []string{keyword, keywordParameters, keywordPrompt, keywordWorkflow, keywordInvokeAI, keywordSDMetadata, keywordDream}

const maxKeywordBytes = 79 // the format's own limit

// pngTexts returns the texts with known names in chunks tEXt, zTXt and iTXt, wherever they lie: programs that save a picture
// again move them and change their kind. It ends with one called Kleinbild's, and else reads to the end. A text of
// Kleinbild's that is damaged or too long is an error, another's is passed over. The texts found before an error come with it.
func pngTexts(r io.Reader) (texts []text, err error) {
	chunks, err := newChunkReader(r)
	if err != nil {
		return nil, err
	}
	left := 2 * maxMetadataBytes // of all texts, so that many of them are no more than one
	for {
		if err := chunks.next(); err == io.EOF {
			return texts, nil
		} else if err != nil {
			return texts, err
		}
		if chunks.kind != "tEXt" && chunks.kind != "zTXt" && chunks.kind != "iTXt" {
			continue
		}
		head, err := chunks.read(maxKeywordBytes + 1)
		if err != nil {
			return texts, err
		}
		name, _, found := bytes.Cut(head, []byte{0})
		if !found || !slices.Contains(textKeywords, string(name)) {
			continue
		}
		own := string(name) == keyword
		if chunks.left > maxMetadataBytes && !own {
			continue
		}
		rest, err := chunks.data(maxMetadataBytes + 64) // 64: the fields before the text
		if err != nil {
			return texts, err
		}
		value, err := textOf(chunks.kind, append(head, rest...)[len(name)+1:])
		switch {
		case err != nil && own:
			return texts, fmt.Errorf("PNG: metadata: %w", err)
		case err != nil || len(value) > left:
			continue
		}
		left -= len(value)
		texts = append(texts, text{string(name), value})
		if own {
			return texts, nil
		}
	}
}

// textOf reads the data of a text chunk behind the keyword and its NUL.
func textOf(kind string, data []byte) (string, error) {
	switch kind {
	case "tEXt":
		return latin1(data), nil
	case "zTXt":
		if len(data) < 1 || data[0] != 0 {
			return "", errors.New("zTXt with an unknown compression, want zlib")
		}
		plain, err := inflate(data[1:])
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
		if plain, err = inflate(plain); err != nil {
			return "", err
		}
	}
	return string(plain), nil
}

// inflate unpacks a text of at most maxMetadataBytes; a few kilobytes could hold gigabytes.
func inflate(data []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("compressed text: %w", err)
	}
	defer r.Close()
	plain, err := io.ReadAll(io.LimitReader(r, maxMetadataBytes+1))
	if err != nil {
		return nil, fmt.Errorf("compressed text: %w", err)
	}
	if len(plain) > maxMetadataBytes {
		return nil, fmt.Errorf("compressed text of more than %d bytes, want at most that", maxMetadataBytes)
	}
	return plain, nil
}

// latin1 decodes what the format says is Latin-1. Some programs write UTF-8 there; Latin-1 that happens to be UTF-8 makes
// no sense in any language.
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
