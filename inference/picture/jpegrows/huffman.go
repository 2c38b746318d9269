package jpegrows

// huffmanCodes is what a file says of a table: how many codes there are of each length, and what they stand for.
type huffmanCodes struct {
	counts [16]byte // of codes of 1 to 16 bits
	values []byte
	built  *huffman // made when a scan first uses the table: a file may hold a hundred thousand that none uses
	kind   tableKind
}

// newHuffmanCodes reads the codes at the beginning of content. It returns nil if there is no valid table. No code may
// begin with another one, so all codes together have to fit in 16 bits.
func newHuffmanCodes(content []byte) (codes *huffmanCodes, rest []byte) {
	if len(content) < 16 {
		return nil, nil
	}
	codes = &huffmanCodes{counts: [16]byte(content)}
	total, space := 0, 0
	for i, count := range codes.counts {
		total += int(count)
		space += int(count) << (15 - i)
	}
	if total == 0 || total > 256 || space > 1<<16 || len(content) < 16+total {
		return nil, nil
	}
	codes.values = content[16 : 16+total]
	return codes, content[16+total:]
}

// tableKind is what the values of a table stand for.
type tableKind int

const (
	isDC            tableKind = iota // a number of bits
	isSequentialAC                   // a run of zeros in the upper four bits, a number of bits in the lower
	isProgressiveAC                  // the same; without bits also the size of a run of empty blocks
)

// lookBits is how many bits are looked up at once. Nearly all codes of usual files are that short; the tables of a scan
// stay in the first cache.
const lookBits = 10

// huffman is a table to decode with.
type huffman struct {
	// look has, for the next bits, the length of the code that they begin with in the upper byte and its value in the
	// lower; 0 for a longer code.
	look [1 << lookBits]uint16
	// whole has, for bits that begin with a code and all bits of its coefficient: the coefficient in the upper 16 bits,
	// the run of zeros before it in the next 8, the number of all bits in the lowest 8; 0 for others.
	whole [1 << lookBits]int32
	// Of longer codes: end is behind the last code of a length, as 16 bits; a code's value is at first plus the code.
	end    [17]int
	first  [17]int
	values []byte
}

// table returns the table of a kind. It returns nil if there are no codes, or values that have no meaning for that kind.
func (c *huffmanCodes) table(kind tableKind) *huffman {
	if c == nil {
		return nil
	}
	if c.built != nil && c.kind == kind {
		return c.built
	}
	for _, value := range c.values {
		run, bits := value>>4, value&15
		if kind == isDC && value > 16 || kind == isSequentialAC && bits == 0 && run != 0 && run != 15 {
			return nil
		}
	}
	t := &huffman{values: c.values}
	code, place := 0, 0
	for length := 1; length <= 16; length++ {
		count := int(c.counts[length-1])
		t.first[length] = place - code
		for range count {
			if length <= lookBits {
				spread := 1 << (lookBits - length)
				for i := range spread {
					t.look[code*spread+i] = uint16(length)<<8 | uint16(c.values[place])
				}
			}
			code++
			place++
		}
		t.end[length] = code << (16 - length)
		code <<= 1
	}
	if kind == isSequentialAC {
		t.addWhole()
	}
	c.built, c.kind = t, kind
	return t
}

// addWhole fills whole from look.
func (t *huffman) addWhole() {
	for i, entry := range t.look {
		length, run, bits := int(entry>>8), int(entry>>4&15), int(entry&15)
		if bits == 0 || length+bits > lookBits {
			continue
		}
		coefficient := i >> (lookBits - length - bits) & (1<<bits - 1)
		if coefficient < 1<<(bits-1) {
			coefficient -= 1<<bits - 1
		}
		t.whole[i] = int32(coefficient<<16 | run<<8 | (length + bits))
	}
}

// long decodes a code of more than lookBits bits from the next 16 bits; the length is 0 if there is none.
func (t *huffman) long(next int) (value, length int) {
	for length = lookBits + 1; length <= 16; length++ {
		if next < t.end[length] {
			return int(t.values[t.first[length]+next>>(16-length)]), length
		}
	}
	return 0, 0
}
