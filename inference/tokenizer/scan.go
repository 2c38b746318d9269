package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// scanner walks over the values of a JSON text that encoding/json has found valid. A vocabulary and its merges are 450,000 strings:
// encoding/json takes over a second for them, this some hundredths.
type scanner struct{ rest string }

// next returns the next bracket or brace as its own kind, a string as kind '"' with its value, and any other value as kind '0' with
// its literal; kind 0 is the end.
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
		json.Unmarshal([]byte(literal), &value) // valid, as the whole text is
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

// entry is one line of a vocabulary: a token in the spelling of byteRunes.
type entry struct {
	token string
	id    int32
}

// parseVocab reads {"token": id, …} from valid JSON, keys that occur twice included.
func parseVocab(data []byte) ([]entry, error) {
	s := scanner{unsafe.String(unsafe.SliceData(data), len(data))} // nobody writes to it any more
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

// parseMerges reads ["a b", …] or, as newer files have it, [["a", "b"], …] from valid JSON.
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

// splitMerge reads "a b"; no token holds a space, as byteRunes has another character for it.
func splitMerge(line string) (pair [2]string, err error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(right, " ") {
		return pair, fmt.Errorf("found %.200q, want two tokens with a space between", line)
	}
	return [2]string{left, right}, nil
}
