package safetensors

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

const metadataKey = "__metadata__"

// entry describes one tensor. begin and end are byte offsets from the end of the header.
type entry struct {
	dtype      tensor.DType
	shape      []int
	begin, end int64
}

// header is a parsed and checked JSON header.
type header struct {
	text     string // the JSON text as it is in the file
	metadata map[string]string
	entries  map[string]entry
	// dataBytes is the size of all tensors, which is the end of the last one.
	dataBytes int64
}

// parseHeader parses the JSON header of a file. It returns an error for duplicate keys, sizes that do not match shape
// and dtype, overlaps and gaps. It does not know the file's size, which the caller must compare with dataBytes.
func parseHeader(text []byte) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("header does not begin with '{'")
	}
	if err := checkJSON(text); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	h := &header{text: string(text), entries: map[string]entry{}}
	s := &scanner{text: h.text}
	err := s.object(maxTensors+1, func(name string) (err error) { // one more key for the metadata
		if name == metadataKey {
			if h.metadata != nil {
				return errDuplicate
			}
			h.metadata, err = s.strings(maxMetadataKeys)
			return err
		}
		if len(name) > maxNameBytes {
			return fmt.Errorf("a name of %d bytes, want at most %d", len(name), maxNameBytes)
		}
		if !tensor.Printable(name) {
			return errUnprintable
		}
		if _, duplicate := h.entries[name]; duplicate {
			return errDuplicate
		}
		h.entries[name], err = s.entry()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, h.checkLayout()
}

// The keys of a tensor's description.
const (
	keyDType   = "dtype"
	keyShape   = "shape"
	keyOffsets = "data_offsets"
)

// entry parses the description of a tensor, which comes next.
func (s *scanner) entry() (entry, error) {
	var e entry
	var offsets [2]int64
	var bounds int
	var hasDType, hasShape, hasOffsets bool
	once := func(has *bool) error {
		if *has {
			return errDuplicate
		}
		*has = true
		return nil
	}
	err := s.object(4, func(key string) error {
		switch key {
		case keyDType:
			if err := once(&hasDType); err != nil {
				return err
			}
			name, err := s.string()
			if err != nil {
				return err
			}
			e.dtype, err = tensor.ParseDType(name[:min(len(name), 40)]) // shortened, since the error repeats the name
			return err
		case keyShape:
			if err := once(&hasShape); err != nil {
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
			if err := once(&hasOffsets); err != nil {
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
	}{{hasDType, keyDType}, {hasShape, keyShape}, {hasOffsets, keyOffsets}} {
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

// sizeBytes returns the product of shape and the size of a value. It returns an error if the product overflows, even if
// another dimension is 0: later products of some of the dimensions must not overflow either.
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

// numbers parses an array of whole numbers in [0, 2^63), which comes next, into list and returns its length. It returns
// an error if the array is longer than list.
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

// checkLayout sets dataBytes. It returns an error if tensors overlap or leave a gap, which the format forbids.
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
			return fmt.Errorf("header: %q begins at byte %d, inside %q which ends at %d",
				s.name, s.begin, spans[i-1].name, h.dataBytes)
		case s.begin > h.dataBytes:
			return fmt.Errorf("header: %q begins at byte %d, want %d: the bytes between belong to no tensor",
				s.name, s.begin, h.dataBytes)
		}
		h.dataBytes = s.end
	}
	return nil
}
