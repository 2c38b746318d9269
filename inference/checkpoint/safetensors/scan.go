package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// scanner walks over a JSON text that checkJSON accepted. The Decoder of encoding/json takes seconds for a header of 8 MB,
// this some hundredths; and the strings that it gives are parts of the text, not copies.
type scanner struct {
	text string
	at   int
}

// token is a bracket or brace as its own kind, a string as kind '"', another value as kind '0' with its literal, or the end of
// the text as kind 0.
type token struct {
	kind  byte
	value string
}

// String is what errors call a token that is not the expected one.
func (t token) String() string {
	switch t.kind {
	case 0:
		return "the end"
	case '"', '0':
		return fmt.Sprintf("%.40s", t.value)
	}
	return string(t.kind)
}

// checkJSON returns why text is no JSON, with the byte at which that shows.
func checkJSON(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if json.Valid(text) {
		return nil
	}
	err := json.Unmarshal(text, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	}
	return err
}

// next returns the next token; commas and colons, which the grammar settles, are passed over.
func (s *scanner) next() token {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
		case '{', '}', '[', ']':
			s.at++
			return token{kind: c}
		case '"':
			return token{'"', s.stringAt()}
		default:
			begin := s.at
			for s.at++; s.at < len(s.text) && !strings.ContainsRune(",]} \t\r\n", rune(s.text[s.at])); s.at++ {
			}
			return token{'0', s.text[begin:s.at]}
		}
	}
	return token{}
}

// stringAt reads the string whose quote is next.
func (s *scanner) stringAt() (value string) {
	begin, escaped := s.at, false
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	if !escaped {
		return s.text[begin+1 : s.at-1]
	}
	_ = json.Unmarshal([]byte(s.text[begin:s.at]), &value) // valid, as the whole text is
	return value
}

// object walks the object that comes next and calls value for each of its keys; value consumes what belongs to it. More than
// limit keys are refused.
func (s *scanner) object(limit int, value func(key string) error) error {
	if t := s.next(); t.kind != '{' {
		return fmt.Errorf("found %v, want an object", t)
	}
	for n := 0; ; n++ {
		t := s.next()
		if t.kind == '}' {
			return nil
		}
		if n == limit {
			return fmt.Errorf("more than %d keys", limit)
		}
		if err := value(t.value); err != nil {
			return fmt.Errorf("%.200q: %w", t.value, err)
		}
	}
}

// strings reads an object whose values are all strings.
func (s *scanner) strings(limit int) (map[string]string, error) {
	list := map[string]string{}
	err := s.object(limit, func(key string) error {
		if _, twice := list[key]; twice {
			return errTwice
		}
		value, err := s.string()
		list[key] = value
		return err
	})
	return list, err
}

var errTwice = errors.New("this key is there twice")

func (s *scanner) string() (string, error) {
	t := s.next()
	if t.kind != '"' {
		return "", fmt.Errorf("found %v, want a string", t)
	}
	return t.value, nil
}

// skip passes over the value that comes next, however deep it is.
func (s *scanner) skip() {
	for depth := 0; ; {
		switch s.next().kind {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case 0:
			return
		}
		if depth == 0 {
			return
		}
	}
}
