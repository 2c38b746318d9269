package jpegrows

import "encoding/binary"

// bitReader reads the bits of a scan's data, from which it takes out the zeros behind bytes of 0xff. After the data's
// end come zeros, so that loops need no check; who reads looks at beyond now and then.
type bitReader struct {
	next   uint64 // the next bits, from the top
	count  int    // of bits in next; what lies below them is no bit, or one that fill brings again
	zeros  int    // zeros that were put behind the data's end
	data   []byte // what is not yet in next; at the end of the data it begins with a marker or is empty
	cutOff bool   // the file ends with the data
}

// fill makes 56 bits or more ready.
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
			// What the fast way brought beyond the bits is none.
			b.next &^= 1<<(64-b.count) - 1
			b.zeros += 8
		}
		b.next |= uint64(v) << (56 - b.count)
		b.count += 8
	}
}

// beyond says whether bits were read that the data do not have.
func (b *bitReader) beyond() bool { return b.zeros > b.count }

// take returns the next n bits, at most 16. At least as many have to be ready.
func (b *bitReader) take(n int) int {
	v := int(b.next >> 1 >> (63 - n))
	b.next <<= n
	b.count -= n
	return v
}

// bit returns the next bit.
func (b *bitReader) bit() int {
	if b.count == 0 {
		b.fill()
	}
	return b.take(1)
}

// coefficient returns the number that the next n bits, at most 16, stand for: those that begin with 0 are negative. At
// least as many have to be ready.
func (b *bitReader) coefficient(n int) int {
	negative := ^(int(b.next) >> 63)
	return b.take(n) + negative&(-1<<n+1)
}

// value decodes a code; false if there is none. Afterwards 40 bits are ready.
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

// restart goes on behind the restart marker of that number; false if another marker or the end comes first.
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
	b.zeros, b.count = 1, 0 // the data end
	return false
}
