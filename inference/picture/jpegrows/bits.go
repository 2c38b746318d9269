package jpegrows

import "encoding/binary"

// bitReader reads the bits of a scan's data without the zero bytes that follow bytes of 0xff. After the end of the data
// it returns zeros, so that inner loops need no check; the caller checks beyond once for each row.
type bitReader struct {
	next   uint64 // the next bits, from the most significant one
	count  int    // valid bits in next; bits below them are not valid, and fill reads them again
	zeros  int    // zero bits that were added after the end of the data
	data   []byte // what is not yet in next; at the end it is empty or begins with a marker
	cutOff bool   // the file ends with the data
}

// fill reads data until at least 56 bits are valid.
func (b *bitReader) fill() {
	if len(b.data) >= 8 {
		v := binary.BigEndian.Uint64(b.data)
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		if (^v-ones)&v&tops == 0 { // no byte is 0xff
			b.next |= v >> b.count
			b.data = b.data[(63-b.count)>>3:]
			b.count |= 56
			return
		}
	}
	for b.count <= 56 {
		var v byte
		switch {
		case len(b.data) >= 2 && b.data[0] == 0xff && b.data[1] == 0:
			v, b.data = 0xff, b.data[2:]
		case len(b.data) >= 1 && b.data[0] != 0xff:
			v, b.data = b.data[0], b.data[1:]
		default:
			// No data follow, so the bits below the valid ones must be zeros.
			b.next &^= 1<<(64-b.count) - 1
			b.zeros += 8
		}
		b.next |= uint64(v) << (56 - b.count)
		b.count += 8
	}
}

// beyond reports whether more bits were taken than the data have.
func (b *bitReader) beyond() bool { return b.zeros > b.count }

// take returns the next n bits; n is at most 16, and at least n bits must be valid.
func (b *bitReader) take(n int) int {
	v := int(b.next >> 1 >> (63 - n))
	b.next <<= n
	b.count -= n
	return v
}

// bit returns the next bit. It fills the reader if necessary.
func (b *bitReader) bit() int {
	if b.count == 0 {
		b.fill()
	}
	return b.take(1)
}

// coefficient returns the signed number that the next n bits encode: if the first bit is 0, the number is negative. n
// is at most 16, and at least n bits must be valid.
func (b *bitReader) coefficient(n int) int {
	negative := int(^(int64(b.next) >> 63))
	return b.take(n) + negative&(-1<<n+1)
}

// value decodes a Huffman code; ok is false if no code matches. Afterwards at least 40 bits are valid.
func (b *bitReader) value(t *huffman) (value int, ok bool) {
	if b.count < 56 {
		b.fill()
	}
	entry := t.look[b.next>>(64-lookBits)]
	length, value := int(entry>>8), int(entry&0xff)
	if length == 0 {
		if value, length = t.long(int(b.next >> 48)); length == 0 {
			return 0, false
		}
	}
	b.next <<= length
	b.count -= length
	return value, true
}

// restart skips to the data after the restart marker with that number. It returns false if another marker or the end of
// the data comes first.
func (b *bitReader) restart(number byte) bool {
	for at := 0; at+1 < len(b.data); at++ {
		if b.data[at] != 0xff || b.data[at+1] == 0 || b.data[at+1] == 0xff {
			continue
		}
		if b.data[at+1] != markerRST0+number {
			return false
		}
		*b = bitReader{data: b.data[at+2:], cutOff: b.cutOff}
		return true
	}
	b.zeros, b.count = 1, 0 // beyond now reports true
	return false
}
