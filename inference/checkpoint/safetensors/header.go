package safetensors

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"kleinbild/inference/tensor"
)

const metadataKey = "__metadata__"

// entry is what a header says of one tensor. begin and end count from the first byte after the header.
type entry struct {
	dtype      tensor.DType
	shape      []int
	begin, end int64
}

// header is a parsed and checked JSON header.
type header struct {
	text     string // as it lies in the file
	metadata map[string]string
	entries  map[string]entry
	// dataBytes is where the last tensor ends: tensors lie end to end from 0, so it is their sum.
	dataBytes int64
}

// parseHeader reads the JSON that opens a file. It refuses what the format forbids: keys given twice, sizes that are not
// shape times dtype, overlaps and holes. It does not know how long the file is; the caller compares dataBytes.
func parseHeader(text []byte) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("header does not begin with '{'")
	}
	if err := checkJSON(text); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	h := &header{text: string(text), entries: map[string]entry{}}
	s := &scanner{text: h.text}
	err := s.object(maxTensors+1, func(name string) (err error) { // and the metadata
		if name == metadataKey {
			if h.metadata != nil {
				return errTwice
			}
			h.metadata, err = s.strings(maxMetadataKeys)
			return err
		}
		if len(name) > maxNameBytes {
			return fmt.Errorf("a name of %d bytes, want at most %d", len(name), maxNameBytes)
		}
		if _, twice := h.entries[name]; twice {
			return errTwice
		}
		h.entries[name], err = s.entry()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, h.checkLayout()
}

// The keys of a tensor.
const (
	keyDType   = "dtype"
	keyShape   = "shape"
	keyOffsets = "data_offsets"
)

func (s *scanner) entry() (entry, error) {
	var e entry
	var offsets [2]int64
	var bounds int
	var dtype, shape, ends bool
	once := func(has *bool) error {
		if *has {
			return errTwice
		}
		*has = true
		return nil
	}
	err := s.object(4, func(key string) error {
		switch key {
		case keyDType:
			if err := once(&dtype); err != nil {
				return err
			}
			name, err := s.string()
			if err != nil {
				return err
			}
			e.dtype, err = tensor.ParseDType(name[:min(len(name), 40)]) // its error repeats it
			return err
		case keyShape:
			if err := once(&shape); err != nil {
				return err
			}
			var list [maxRank]int64
			n, err := s.numbers(list[:])
			e.shape = make([]int, n)
			for i, d := range list[:n] {
				e.shape[i] = int(d)
			}
			return err
		case keyOffsets:
			if err := once(&ends); err != nil {
				return err
			}
			var err error
			bounds, err = s.numbers(offsets[:])
			return err
		}
		return errors.New("unknown key, want dtype, shape or data_offsets")
	})
	if err != nil {
		return entry{}, err
	}
	for _, row := range []struct {
		has bool
		key string
	}{{dtype, keyDType}, {shape, keyShape}, {ends, keyOffsets}} {
		if !row.has {
			return entry{}, fmt.Errorf("%s is missing", row.key)
		}
	}
	if bounds != 2 || offsets[0] > offsets[1] {
		return entry{}, fmt.Errorf("data_offsets %v, want begin and end", offsets[:bounds])
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

// numbers reads an array of whole numbers in [0, 2^63) into list and returns how many there were; list must hold them all.
func (s *scanner) numbers(list []int64) (n int, err error) {
	if t := s.next(); t.kind != '[' {
		return 0, fmt.Errorf("found %v, want an array", t)
	}
	for ; ; n++ {
		t := s.next()
		switch t.kind {
		case ']':
			return n, nil
		case '0':
		default:
			return n, fmt.Errorf("found %v, want a whole number", t)
		}
		v, err := strconv.ParseInt(t.value, 10, 64)
		if err != nil || v < 0 {
			return n, fmt.Errorf("found %v, want a whole number from 0 to 2^63-1", t)
		}
		if n == len(list) {
			return n, fmt.Errorf("more than %d numbers", len(list))
		}
		list[n] = v
	}
}

// checkLayout makes sure that the tensors lie end to end from byte 0, as the format demands.
func (h *header) checkLayout() error {
	type span struct {
		name       string
		begin, end int64
	}
	spans := make([]span, 0, len(h.entries))
	for name, e := range h.entries {
		spans = append(spans, span{name, e.begin, e.end})
	}
	slices.SortFunc(spans, func(a, b span) int {
		if c := cmp.Compare(a.begin, b.begin); c != 0 {
			return c
		}
		if c := cmp.Compare(a.end, b.end); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	for i, s := range spans {
		switch {
		case s.begin < h.dataBytes:
			return fmt.Errorf("header: %q begins at byte %d, inside %q which ends at %d", s.name, s.begin, spans[i-1].name, h.dataBytes)
		case s.begin > h.dataBytes:
			return fmt.Errorf("header: %q begins at byte %d, want %d: bytes between belong to no tensor", s.name, s.begin, h.dataBytes)
		}
		h.dataBytes = s.end
	}
	return nil
}
