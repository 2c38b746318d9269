package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// scanner reads the tokens of a JSON text that encoding/json has found valid. A vocabulary with its merges has 450,000
// strings, for which encoding/json takes more than a second and scanner a few hundredths.
type scanner struct{ rest string }

// next returns the next token of the JSON text, skipping commas and colons. Its kind is the character itself for a
// brace or bracket, '"' for a string, whose value is returned, '0' for any other value, whose literal is returned, and
// 0 at the end.
func (s *scanner) next() (kind byte, value string) {
	s.rest = strings.TrimLeft(s.rest, " \t\r\n,:")
	if s.rest == "" {
		return 0, ""
	}
	switch c := s.rest[0]; c {
	case '{', '}', '[', ']':
		s.rest = s.rest[1:]
		return c, ""
	case '"':
		end, escaped := 1, false
		for ; s.rest[end] != '"'; end++ {
			if s.rest[end] == '\\' {
				escaped = true
				end++
			}
		}
		literal := s.rest[:end+1]
		s.rest = s.rest[end+1:]
		if !escaped {
			return '"', literal[1:end]
		}
		json.Unmarshal([]byte(literal), &value) // cannot fail: the text is valid
		return '"', value
	}
	end := strings.IndexAny(s.rest, ",]} \t\r\n")
	if end < 0 {
		end = len(s.rest)
	}
	literal := s.rest[:end]
	s.rest = s.rest[end:]
	return '0', literal
}

// entry is an entry of a vocabulary: a token, spelled with byteRunes, and its id.
type entry struct {
	token string
	id    int32
}

// parseVocab parses {"token": id, …} from valid JSON. A key that occurs twice gives two entries. The entries' tokens
// share data's memory, which must not change afterwards.
func parseVocab(data []byte) ([]entry, error) {
	s := scanner{unsafe.String(unsafe.SliceData(data), len(data))}
	if kind, _ := s.next(); kind != '{' {
		return nil, errors.New("want an object of tokens and ids")
	}
	var vocab []entry
	for {
		kind, token := s.next()
		if kind == '}' {
			return vocab, nil
		}
		kind, value := s.next()
		id, err := strconv.ParseInt(value, 10, 32)
		if kind != '0' || err != nil {
			if kind != '0' {
				value = string(kind)
			}
			return nil, fmt.Errorf("id of %.200q: found %.50s, want a number up to %d", token, value, maxID)
		}
		if len(vocab) > maxID {
			return nil, fmt.Errorf("more than %d tokens", maxID+1)
		}
		vocab = append(vocab, entry{token, int32(id)})
	}
}

// parseMerges parses ["a b", …] or, in newer files, [["a", "b"], …] from valid JSON. The tokens share data's memory,
// which must not change afterwards.
func parseMerges(data []byte) ([][2]string, error) {
	s := scanner{unsafe.String(unsafe.SliceData(data), len(data))}
	if kind, _ := s.next(); kind != '[' {
		return nil, errors.New("want a list of pairs")
	}
	var merges [][2]string
	for {
		if len(merges) > maxMerges {
			return nil, fmt.Errorf("more than %d merges", maxMerges)
		}
		kind, line := s.next()
		switch kind {
		case ']':
			return merges, nil
		case '"':
			pair, err := splitMerge(line)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", len(merges), err)
			}
			merges = append(merges, pair)
			continue
		case '[':
			leftKind, left := s.next()
			rightKind, right := s.next()
			if endKind, _ := s.next(); leftKind == '"' && rightKind == '"' && endKind == ']' {
				merges = append(merges, [2]string{left, right})
				continue
			}
		}
		return nil, fmt.Errorf("%d: want two tokens", len(merges))
	}
}

// splitMerge parses "a b". Tokens hold no space, since byteRunes spells it with another character.
func splitMerge(line string) (pair [2]string, err error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(right, " ") {
		return pair, fmt.Errorf("found %.200q, want two tokens with a space between", line)
	}
	return [2]string{left, right}, nil
}
