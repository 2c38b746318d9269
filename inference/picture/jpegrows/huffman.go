package jpegrows

// huffmanCodes holds a Huffman table as a file declares it: the number of codes of each length, and their values.
type huffmanCodes struct {
	counts [16]byte // of codes of 1 to 16 bits
	values []byte
	built  *huffman // cached by table, because a file may declare a hundred thousand tables and use a few
	kind   tableKind
}

// newHuffmanCodes parses the codes at the beginning of content. It returns nil if they are invalid. No code may be the
// prefix of another one, so the codes of all lengths together must fit into 16 bits.
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

// tableKind says what the values of a table mean.
type tableKind int

const (
	isDC            tableKind = iota // the value is a number of bits
	isSequentialAC                   // a run of zeros in the upper four bits, a number of bits in the lower four
	isProgressiveAC                  // the same; if the number of bits is 0, the run declares a run of empty blocks
)

// lookBits is the number of bits by which codes are looked up. In usual files nearly all codes are that short, and the
// tables of a scan fit into the level-1 cache.
const lookBits = 10

// huffman is a Huffman table in the form that decodes fast.
type huffman struct {
	// look is indexed by the next bits. It has the length of the code with which they begin in the upper byte and the
	// code's value in the lower byte, or 0 if the code is longer than lookBits.
	look [1 << lookBits]uint16
	// whole is indexed by the next bits. If these begin with a code and all bits of its coefficient, it has the
	// coefficient in the upper 16 bits, the run of zeros before it in the next 8, and the number of all these bits in the
	// lowest 8; else 0.
	whole [1 << lookBits]int32
	// For codes longer than lookBits, by their length: end is the first 16-bit value after the last code of that length,
	// and first plus the code is the index of its value in values.
	end    [17]int
	first  [17]int
	values []byte
}

// table returns the table for decoding values of the given kind. It returns nil if c is nil or a value is invalid.
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

// addWhole computes whole from look.
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

// long decodes a code that is longer than lookBits from the next 16 bits. The length is 0 if no code matches.
func (t *huffman) long(next int) (value, length int) {
	for length = lookBits + 1; length <= 16; length++ {
		if next < t.end[length] {
			return int(t.values[t.first[length]+next>>(16-length)]), length
		}
	}
	return 0, 0
}
