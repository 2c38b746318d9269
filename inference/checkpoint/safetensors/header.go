package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"kleinbild/inference/tensor"
)

const (
	// maxHeaderBytes is the reference implementation's limit.
	maxHeaderBytes = 100_000_000
	// maxRank bounds what a hostile header can make us hold; torch's own limit is 64 dimensions.
	maxRank     = 64
	metadataKey = "__metadata__"
)

// entry is what a header says of one tensor. begin and end count from the first byte after the header.
type entry struct {
	dtype      tensor.DType
	shape      []int
	begin, end int64
}

// header is a parsed and checked JSON header.
type header struct {
	metadata map[string]string
	entries  map[string]entry
	// dataBytes is where the last tensor ends: tensors lie end to end from 0, so it is their sum.
	dataBytes int64
}

// parseHeader reads the JSON that opens a file. It refuses what the format forbids: keys given twice, sizes that are not
// shape times dtype, overlaps and holes. It does not know how long the file is; the caller compares dataBytes.
func parseHeader(text []byte) (*header, error) {
	switch {
	case len(text) == 0 || text[0] != '{':
		return nil, errors.New("header does not begin with '{'")
	case !utf8.Valid(text):
		return nil, errors.New("header is not UTF-8")
	}
	// A Decoder alone lets some malformed text through (it stops at the closing brace, for one).
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		return nil, fmt.Errorf("header: byte %d: %w", syntax.Offset, err)
	} else if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}

	h := &header{entries: map[string]entry{}}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err := object(dec, func(name string) (err error) {
		if name == metadataKey {
			h.metadata, err = parseStrings(dec)
			return err
		}
		h.entries[name], err = parseEntry(dec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, h.checkLayout()
}

// object walks the object that comes next in dec and calls value for each key; value consumes what belongs to it.
func object(dec *json.Decoder, value func(key string) error) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return fmt.Errorf("found %v, want an object", t)
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key := t.(string)
		if seen[key] {
			return fmt.Errorf("key %q is there twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	_, err := dec.Token()
	return err
}

// parseStrings reads an object whose values are all strings.
func parseStrings(dec *json.Decoder) (map[string]string, error) {
	list := map[string]string{}
	err := object(dec, func(key string) (err error) {
		list[key], err = stringValue(dec)
		return err
	})
	return list, err
}

func parseEntry(dec *json.Decoder) (entry, error) {
	var e entry
	var offsets []int64
	has := map[string]bool{}
	err := object(dec, func(key string) error {
		has[key] = true
		switch key {
		case "dtype":
			name, err := stringValue(dec)
			if err != nil {
				return err
			}
			e.dtype, err = tensor.ParseDType(name)
			return err
		case "shape":
			shape, err := numbers(dec, maxRank)
			for _, d := range shape {
				e.shape = append(e.shape, int(d))
			}
			return err
		case "data_offsets":
			var err error
			offsets, err = numbers(dec, 2)
			return err
		}
		return errors.New("unknown key, want dtype, shape or data_offsets")
	})
	if err != nil {
		return entry{}, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !has[key] {
			return entry{}, fmt.Errorf("%s is missing", key)
		}
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return entry{}, fmt.Errorf("data_offsets %v, want begin and end", offsets)
	}
	e.begin, e.end = offsets[0], offsets[1]
	want, err := sizeBytes(e.dtype, e.shape)
	if err != nil {
		return entry{}, err
	}
	if found := e.end - e.begin; found != want {
		return entry{}, fmt.Errorf("%d bytes, want %d for %v %v", found, want, e.dtype, e.shape)
	}
	return e, nil
}

// sizeBytes is the product of shape times the size of a value. A shape whose dimensions overflow is refused even when
// another dimension is 0, so that no product of a part of it can overflow later.
func sizeBytes(dtype tensor.DType, shape []int) (int64, error) {
	size, empty := int64(dtype.SizeBytes()), false
	for _, d := range shape {
		switch {
		case d == 0:
			empty = true
		case d < 0 || int64(d) > math.MaxInt64/size:
			return 0, fmt.Errorf("shape %v of %v is larger than any file", shape, dtype)
		default:
			size *= int64(d)
		}
	}
	if empty {
		return 0, nil
	}
	return size, nil
}

func stringValue(dec *json.Decoder) (string, error) {
	t, err := dec.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("found %v, want a string", t)
	}
	return s, nil
}

// numbers reads an array of at most limit whole numbers in [0, 2^63).
func numbers(dec *json.Decoder, limit int) ([]int64, error) {
	if t, err := dec.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('[') {
		return nil, fmt.Errorf("found %v, want an array", t)
	}
	var list []int64
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		n, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("found %v, want a whole number", t)
		}
		v, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("found %.40s, want a whole number from 0 to 2^63-1", n)
		}
		if len(list) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

// checkLayout makes sure that the tensors lie end to end from byte 0, as the format demands.
func (h *header) checkLayout() error {
	names := make([]string, 0, len(h.entries))
	for name := range h.entries {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		ea, eb := h.entries[a], h.entries[b]
		return cmp.Or(cmp.Compare(ea.begin, eb.begin), cmp.Compare(ea.end, eb.end), cmp.Compare(a, b))
	})
	for i, name := range names {
		e := h.entries[name]
		switch {
		case e.begin < h.dataBytes:
			return fmt.Errorf("header: %q begins at byte %d, inside %q which ends at %d", name, e.begin, names[i-1], h.dataBytes)
		case e.begin > h.dataBytes:
			return fmt.Errorf("header: %q begins at byte %d, want %d: bytes between belong to no tensor", name, e.begin, h.dataBytes)
		}
		h.dataBytes = e.end
	}
	return nil
}
