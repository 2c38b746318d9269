package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// scanner reads the little-endian values of a header. It never reads past end.
type scanner struct {
	r    io.ReaderAt // of the file; not used if all bytes are in read
	read []byte      // what has been read, from the beginning of the file on
	at   int64       // the offset of the next byte
	end  int64
	size int64 // of the file, for messages
}

var errIncomplete = errors.New("the file is incomplete, download it again")

// need returns an error unless n bytes are left.
func (s *scanner) need(n uint64) error {
	if left := uint64(s.end - s.at); n > left {
		if s.end < s.size {
			return fmt.Errorf("byte %d: %d bytes, want at most %d: a header has at most %d", s.at, n, left, s.end)
		}
		return fmt.Errorf("byte %d: found %d bytes, want %d: %w", s.at, left, n, errIncomplete)
	}
	return nil
}

// firstRead is the number of bytes that are read first. It is enough for a transformer's header. Each further read
// doubles what has been read.
const firstRead = 256 << 10

// next returns the next n bytes.
func (s *scanner) next(n uint64) ([]byte, error) {
	if err := s.need(n); err != nil {
		return nil, err
	}
	begin := s.at
	s.at += int64(n)
	for int64(len(s.read)) < s.at {
		have := len(s.read)
		more := min(max(firstRead, have), int(s.end)-have)
		s.read = append(s.read, make([]byte, more)...)
		n, err := s.r.ReadAt(s.read[have:], int64(have))
		if errors.Is(err, io.EOF) {
			err = errIncomplete // the file was cut short after its size was read
		}
		if n < more {
			return nil, fmt.Errorf("byte %d: found %d bytes, want %d: %w", have, n, more, err)
		}
	}
	return s.read[begin:s.at], nil
}

func (s *scanner) uint32() (uint32, error) {
	b, err := s.next(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (s *scanner) uint64() (uint64, error) {
	b, err := s.next(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a number of things, of which there are at most limit.
func (s *scanner) count(what string, limit uint64) (int, error) {
	n, err := s.uint64()
	if err == nil && n > limit {
		err = fmt.Errorf("%d %s, want at most %d", n, what, limit)
	}
	return int(min(n, limit)), err
}

// length reads the length of a string of at most limit bytes.
func (s *scanner) length(limit uint64) (uint64, error) {
	n, err := s.uint64()
	if err != nil {
		return 0, err
	}
	if n > limit {
		return 0, fmt.Errorf("byte %d: a text of %d bytes, want at most %d", s.at, n, limit)
	}
	return n, s.need(n)
}

// text reads a string of at most limit bytes.
func (s *scanner) text(limit uint64) (string, error) {
	n, err := s.length(limit)
	if err != nil {
		return "", err
	}
	b, err := s.next(n)
	return string(b), err
}

// The types of values in the metadata.
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// sizes holds the bytes of a value of each type, or 0 for strings and arrays.
var sizes = [...]int{
	typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeUint32: 4, typeInt32: 4, typeFloat32: 4, typeBool: 1,
	typeUint64: 8, typeInt64: 8, typeFloat64: 8,
}

// array describes an array of the metadata, whose elements begin at offset at of the file.
type array struct {
	kind  uint32
	count uint64
	at    int64
}

// value reads a value: a float64 for a number or a bool, a string, or an array, whose elements are skipped.
func (s *scanner) value(kind uint32) (any, error) {
	switch {
	case kind == typeString:
		return s.text(maxTextBytes)
	case kind == typeArray:
		return s.array()
	case kind < uint32(len(sizes)):
		return s.number(kind)
	}
	return nil, fmt.Errorf("a value of type %d, want 0 to %d", kind, len(sizes)-1)
}

// number reads a number of a type as float64, which is exact for the numbers of real files.
func (s *scanner) number(kind uint32) (float64, error) {
	b, err := s.next(uint64(sizes[kind]))
	if err != nil {
		return 0, err
	}
	var word [8]byte
	copy(word[:], b)
	return convert(kind, binary.LittleEndian.Uint64(word[:])), nil
}

// convert converts the bits of a number of a type.
func convert(kind uint32, word uint64) float64 {
	switch kind {
	case typeUint8, typeBool:
		return float64(uint8(word))
	case typeInt8:
		return float64(int8(word))
	case typeUint16:
		return float64(uint16(word))
	case typeInt16:
		return float64(int16(word))
	case typeUint32:
		return float64(uint32(word))
	case typeInt32:
		return float64(int32(word))
	case typeFloat32:
		return float64(math.Float32frombits(uint32(word)))
	case typeUint64:
		return float64(word)
	case typeInt64:
		return float64(int64(word))
	}
	return math.Float64frombits(word)
}

// array reads an array's type and length, and skips its elements.
func (s *scanner) array() (a array, err error) {
	if a.kind, err = s.uint32(); err != nil {
		return a, err
	}
	if a.count, err = s.uint64(); err != nil {
		return a, err
	}
	a.at = s.at
	if a.kind == typeString {
		for i := uint64(0); i < a.count; i++ {
			n, err := s.length(maxTextBytes)
			if err == nil {
				_, err = s.next(n)
			}
			if err != nil {
				return a, fmt.Errorf("element %d of %d: %w", i, a.count, err)
			}
		}
		return a, nil
	}
	if a.kind >= uint32(len(sizes)) || sizes[a.kind] == 0 {
		return a, fmt.Errorf("an array of type %d, want numbers or texts", a.kind)
	}
	size := uint64(sizes[a.kind])
	if a.count > math.MaxInt64/size {
		return a, fmt.Errorf("an array of %d elements, want at most %d bytes", a.count, maxHeaderBytes)
	}
	_, err = s.next(a.count * size)
	return a, err
}
