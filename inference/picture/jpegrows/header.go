package jpegrows

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The markers that this package reads.
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
	markerDHT  = 0xc4
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDQT  = 0xdb
	markerDRI  = 0xdd
	markerAPP0 = 0xe0
	markerAPPE = 0xee // Adobe: the meaning of the components
	markerAPPF = 0xef
	markerCOM  = 0xfe
)

// scanHeader is the header of a scan with the tables that are valid where the scan begins.
type scanHeader struct {
	components  []int // indices into Picture.components
	dc, ac      []*huffman
	first, last int // range of coefficients in zigzag order, both included
	high, low   int // bit positions of successive approximation, Ah and Al
	restart     int // MCUs between restart markers, or 0 if there are none
	data        []byte
	cutOff      bool // the file ends with these data, without another marker
}

// headers is the state of the parser between segments.
type headers struct {
	*Picture
	baseline bool
	quant    [4]*[64]int32
	codes    [2][4]*huffmanCodes // for DC and AC coefficients, by the number of the table
	restart  int
	jfif     bool
	adobe    int // the colour transform that the Adobe marker declares; -1 if there is no such marker
}

// New parses the headers of a JPEG file and finds its scans. The result refers to file, which must not change. The
// error is ErrNotRead for a file that is left to image/jpeg, and io.ErrUnexpectedEOF for a file that ends within a
// header.
func New(file []byte) (*Picture, error) {
	if len(file) < 2 || file[0] != 0xff || file[1] != markerSOI {
		return nil, ErrNotRead
	}
	h := &headers{Picture: &Picture{}, adobe: -1}
	var scan *scanHeader // the scan whose data are being skipped
	dataAt := 0
	for at := 2; ; {
		step := bytes.IndexByte(file[at:], 0xff)
		if step < 0 || at+step+1 >= len(file) {
			if scan != nil {
				scan.data, scan.cutOff = file[dataAt:], true
			}
			return h.picture()
		}
		at += step
		marker := file[at+1]
		switch {
		case marker == 0xff: // padding before a marker
			at++
			continue
		case marker == 0 || marker >= markerRST0 && marker <= markerRST7: // part of a scan's data
			at += 2
			continue
		}
		if scan != nil {
			scan.data, scan = file[dataAt:at], nil
		}
		if marker == markerEOI {
			return h.picture()
		}
		at += 2
		if at+2 > len(file) {
			return nil, io.ErrUnexpectedEOF
		}
		length := int(binary.BigEndian.Uint16(file[at:]))
		if length < 2 {
			return nil, ErrNotRead
		}
		if at+length > len(file) {
			return nil, io.ErrUnexpectedEOF
		}
		content := file[at+2 : at+length]
		at += length
		if !h.segment(marker, content) {
			return nil, ErrNotRead
		}
		if marker == markerSOS {
			scan, dataAt = &h.scans[len(h.scans)-1], at
		}
	}
}

// segment parses one segment. It returns false for one that is left to image/jpeg.
func (h *headers) segment(marker byte, content []byte) bool {
	switch {
	case marker >= markerSOF0 && marker <= markerSOF2:
		h.baseline, h.progressive = marker == markerSOF0, marker == markerSOF2
		return h.frame(content)
	case marker == markerDHT:
		return h.huffmanTables(content)
	case marker == markerDQT:
		return h.quantTables(content)
	case marker == markerDRI && len(content) == 2:
		h.restart = int(binary.BigEndian.Uint16(content))
		return true
	case marker == markerSOS:
		return h.scan(content)
	case marker == markerAPP0:
		// A later APP0 segment, such as a thumbnail (JFXX), does not take this back.
		if len(content) >= 14 && string(content[:5]) == "JFIF\x00" {
			h.jfif = true
		}
		return true
	case marker == markerAPPE:
		if len(content) >= 12 && string(content[:5]) == "Adobe" {
			h.adobe = int(content[11])
		}
		return true
	}
	return marker > markerAPP0 && marker <= markerAPPF || marker == markerCOM
}

// frame parses the frame header: precision, height, width, and three bytes for each component.
func (h *headers) frame(content []byte) bool {
	if h.components != nil || len(content) < 6 || content[0] != 8 {
		return false
	}
	n := int(content[5])
	if n != 1 && n != 3 && n != 4 || len(content) != 6+3*n {
		return false
	}
	h.Height, h.Width = int(binary.BigEndian.Uint16(content[1:])), int(binary.BigEndian.Uint16(content[3:]))
	if h.Width == 0 || h.Height == 0 {
		return false
	}
	for rows := content[6:]; len(rows) > 0; rows = rows[3:] {
		c := component{id: rows[0], h: int(rows[1] >> 4), v: int(rows[1] & 15), table: rows[2]}
		for _, other := range h.components {
			if other.id == c.id {
				return false
			}
		}
		if c.h < 1 || c.h > 2 || c.v < 1 || c.v > 2 || c.table > 3 {
			return false
		}
		if n == 1 {
			c.h, c.v = 1, 1 // the factors of a single component have no effect
		}
		h.components = append(h.components, c)
	}
	luma := h.components[0]
	h.hMax, h.vMax = luma.h, luma.v
	if n == 4 {
		// image/jpeg reads two samplings of such pictures: none is halved, or the second and third in both directions.
		if luma.h != luma.v || h.components[3].h != luma.h || h.components[3].v != luma.v ||
			h.components[1].h != 1 || h.components[1].v != 1 {
			return false
		}
	}
	if n > 1 {
		cb, cr := h.components[1], h.components[2]
		if cb.h != cr.h || cb.v != cr.v || luma.h%cb.h != 0 || luma.v%cb.v != 0 {
			return false
		}
	}
	h.mcuCols, h.mcuRows = divideUp(h.Width, 8*h.hMax), divideUp(h.Height, 8*h.vMax)
	for i := range h.components {
		c := &h.components[i]
		c.wide = divideUp(divideUp(h.Width*c.h, h.hMax), 8)
		c.high = divideUp(divideUp(h.Height*c.v, h.vMax), 8)
		c.stride = h.mcuCols * c.h
	}
	return true
}

// divideUp returns n/by, rounded up.
func divideUp(n, by int) int { return (n + by - 1) / by }

// quantTables parses quantisation tables. Their values are in zigzag order, with 8 or 16 bits each.
func (h *headers) quantTables(content []byte) bool {
	for len(content) > 0 {
		wide, number := int(content[0]>>4), content[0]&15
		if wide > 1 || number > 3 || len(content) < 1+64*(1+wide) {
			return false
		}
		table := new([64]int32)
		for i, place := range natural {
			if wide == 1 {
				table[place] = int32(binary.BigEndian.Uint16(content[1+2*i:]))
			} else {
				table[place] = int32(content[1+i])
			}
		}
		h.quant[number] = table
		content = content[1+64*(1+wide):]
	}
	return true
}

// huffmanTables parses Huffman tables.
func (h *headers) huffmanTables(content []byte) bool {
	for len(content) > 0 {
		class, number := content[0]>>4, content[0]&15
		if class > 1 || number > 3 || h.baseline && number > 1 {
			return false
		}
		codes, rest := newHuffmanCodes(content[1:])
		if codes == nil {
			return false
		}
		h.codes[class][number] = codes
		content = rest
	}
	return true
}

// scan parses the header of a scan: its components with the numbers of their tables, the range of its coefficients, and
// their bits.
func (h *headers) scan(content []byte) bool {
	if h.components == nil || len(h.scans) == maxScans || len(content) == 0 {
		return false
	}
	n := int(content[0])
	if n < 1 || n > len(h.components) || len(content) != 4+2*n {
		return false
	}
	s := scanHeader{last: 63, restart: h.restart}
	if h.progressive {
		end := content[1+2*n:]
		s.first, s.last, s.high, s.low = int(end[0]), int(end[1]), int(end[2]>>4), int(end[2]&15)
		switch {
		case s.first == 0 && s.last != 0, s.first > s.last, s.last > 63, s.first > 0 && n > 1,
			s.high != 0 && s.high != s.low+1, s.low > 13:
			return false
		}
	}
	blocks := 0
	for rows := content[1 : 1+2*n]; len(rows) > 0; rows = rows[2:] {
		index := -1
		for i, c := range h.components {
			if c.id == rows[0] {
				index = i
			}
		}
		if index < 0 {
			return false
		}
		for _, other := range s.components {
			if other == index {
				return false
			}
		}
		c := &h.components[index]
		blocks += c.h * c.v
		dc, ac := rows[1]>>4, rows[1]&15
		if dc > 3 || ac > 3 || h.baseline && (dc > 1 || ac > 1) {
			return false
		}
		s.components = append(s.components, index)
		s.dc, s.ac = append(s.dc, nil), append(s.ac, nil)
		last := len(s.components) - 1
		if s.first == 0 && s.high == 0 {
			if s.dc[last] = h.codes[0][dc].table(isDC); s.dc[last] == nil {
				return false
			}
		}
		if s.last > 0 {
			kind := isSequentialAC
			if h.progressive {
				kind = isProgressiveAC
			}
			if s.ac[last] = h.codes[1][ac].table(kind); s.ac[last] == nil {
				return false
			}
		}
		// A component has the table that is valid at its first scan, also if the file defines another one later.
		if (!h.progressive || s.first == 0 && s.high == 0) && !h.quantise(c) {
			return false
		}
	}
	const mostBlocks = 10 // in an MCU, by the standard
	if len(h.components) > 1 && blocks > mostBlocks {
		return false
	}
	h.scans = append(h.scans, s)
	return true
}

// quantise stores the current quantisation table in a component. It returns false if there is none.
func (h *headers) quantise(c *component) bool {
	table := h.quant[c.table]
	if table == nil {
		return false
	}
	c.quant = *table
	return true
}

// picture checks that the scans make a complete picture. In a sequential file each component must have one scan. In a
// progressive file the first scan of each component must contain the upper bits of its DC coefficients.
func (h *headers) picture() (*Picture, error) {
	begun := make([]bool, len(h.components))
	for _, s := range h.scans {
		for _, i := range s.components {
			begins := s.first == 0 && s.high == 0
			if begun[i] == begins {
				return nil, ErrNotRead
			}
			begun[i] = true
		}
	}
	for i := range begun {
		if !begun[i] {
			return nil, ErrNotRead
		}
	}
	switch len(h.components) {
	case 0:
		return nil, ErrNotRead
	case 1:
		h.Kind = Gray
	case 3:
		c := h.components
		named := c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
		h.Kind, h.toRGB = RGB, h.jfif || h.adobe > 0 || h.adobe < 0 && !named
	case 4:
		h.Kind, h.toRGB = CMYK, h.adobe > 0
	}
	return h.Picture, nil
}

// natural gives, for an index in zigzag order, the index in natural order, which is row by row.
var natural = func() (places [64]int) {
	x, y := 0, 0
	for i := range places {
		places[i] = 8*y + x
		switch up := (x+y)%2 == 0; {
		case up && x == 7, !up && y != 7 && x == 0:
			y++
		case up && y == 0, !up && y == 7:
			x++
		case up:
			x, y = x+1, y-1
		default:
			x, y = x-1, y+1
		}
	}
	return places
}()
