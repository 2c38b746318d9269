package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// scanner reads the little-endian values of a header. It never reads past end.
type scanner struct {
	r   *bufio.Reader
	at  int64 // the offset of the next byte in the file
	end int64
	// size is the file's size, for messages.
	size int64
	hash hash.Hash // of all bytes that were read; may be nil
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

// read fills b.
func (s *scanner) read(b []byte) error {
	if err := s.need(uint64(len(b))); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		return fmt.Errorf("byte %d: %w", s.at, err)
	}
	s.at += int64(len(b))
	if s.hash != nil {
		s.hash.Write(b)
	}
	return nil
}

func (s *scanner) uint32() (uint32, error) {
	var b [4]byte
	err := s.read(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func (s *scanner) uint64() (uint64, error) {
	var b [8]byte
	err := s.read(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// count reads a number of things, of which there are at most limit.
func (s *scanner) count(what string, limit uint64) (int, error) {
	n, err := s.uint64()
	if err == nil && n > limit {
		err = fmt.Errorf("%d %s, want at most %d", n, what, limit)
	}
	return int(min(n, limit)), err
}

// text reads a string of at most limit bytes.
func (s *scanner) text(limit uint64) (string, error) {
	n, err := s.uint64()
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("byte %d: a text of %d bytes, want at most %d", s.at, n, limit)
	}
	if err := s.need(n); err != nil {
		return "", err
	}
	b := make([]byte, n)
	err = s.read(b)
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
		var b [8]byte
		if err := s.read(b[:sizes[kind]]); err != nil {
			return nil, err
		}
		return number(kind, b[:]), nil
	}
	return nil, fmt.Errorf("a value of type %d, want 0 to %d", kind, len(sizes)-1)
}

// number converts a number of a type to float64, which is exact for the numbers of real files.
func number(kind uint32, b []byte) float64 {
	word := binary.LittleEndian.Uint64(b)
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
			if _, err := s.text(maxTextBytes); err != nil {
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
	return a, s.skip(a.count * size)
}

// skip reads n bytes and forgets them.
func (s *scanner) skip(n uint64) error {
	if err := s.need(n); err != nil {
		return err
	}
	var b [4096]byte
	for n > 0 {
		part := b[:min(n, uint64(len(b)))]
		if err := s.read(part); err != nil {
			return err
		}
		n -= uint64(len(part))
	}
	return nil
}
