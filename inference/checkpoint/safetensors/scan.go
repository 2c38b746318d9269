package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// scanner reads the tokens of a JSON text that checkJSON has accepted. For a header of 8 MB it takes a few hundredths
// of a second, and the Decoder of encoding/json several seconds. Its strings share the text's memory unless they have
// escapes.
type scanner struct {
	text string
	at   int // the offset of the next byte
}

// token is a token of the JSON text. Its kind is the character itself for a bracket or brace, '"' for a string, '0' for
// another value, whose literal is value, and 0 for the end of the text.
type token struct {
	kind  byte
	value string
}

// String returns the token as errors print it.
func (t token) String() string {
	switch t.kind {
	case 0:
		return "the end"
	case '"', '0':
		return fmt.Sprintf("%.40s", t.value)
	}
	return string(t.kind)
}

// checkJSON returns an error if text is not JSON in UTF-8. A syntax error comes with its byte offset.
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

// next returns the next token. It skips commas and colons, since the text is valid.
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

// stringAt reads the string whose opening quote comes next.
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
	_ = json.Unmarshal([]byte(s.text[begin:s.at]), &value) // cannot fail: the text is valid
	return value
}

// object reads the object that comes next and calls value for each key; value must read the key's value. It returns an
// error if there are more than limit keys.
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

// strings reads the object that comes next, whose values must be strings. It returns an error if there are more than
// limit keys.
func (s *scanner) strings(limit int) (map[string]string, error) {
	list := map[string]string{}
	err := s.object(limit, func(key string) error {
		if _, duplicate := list[key]; duplicate {
			return errDuplicate
		}
		value, err := s.string()
		list[key] = value
		return err
	})
	return list, err
}

var errDuplicate = errors.New("duplicate key")

// errUnprintable is the error for a tensor's name. The scanner puts the name, quoted, before it.
var errUnprintable = errors.New("a name with characters that cannot be printed")

// string reads the string that comes next.
func (s *scanner) string() (string, error) {
	t := s.next()
	if t.kind != '"' {
		return "", fmt.Errorf("found %v, want a string", t)
	}
	return t.value, nil
}

// skip skips the value that comes next, of any depth.
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
