package jpegrows

import "io"

// scan decodes a scan of a file, a row of MCUs at a time.
type scan struct {
	*scanHeader
	picture *Picture
	bits    bitReader
	dcs     [4]int // the last DC coefficient of each component
	empty   int    // how many of the next blocks have no more coefficients in this scan
	left    int    // how many MCUs come before the next restart marker
	marker  byte   // the number of that marker
}

// readRow decodes the row of MCUs with that number in the band.
func (s *scan) readRow(c *Coefficients, row int) error {
	var err error
	if len(s.components) > 1 {
		err = s.readMCUs(c, row)
	} else {
		err = s.readBlocks(c, row)
	}
	if s.bits.beyond() {
		if s.bits.cutOff {
			return io.ErrUnexpectedEOF
		}
		return formatError("short Huffman data")
	}
	return err
}

// readMCUs reads a row of a scan of several components: of each MCU the blocks of the first, then those of the others.
func (s *scan) readMCUs(c *Coefficients, row int) error {
	for x := range s.picture.mcuWide {
		if err := s.restarted(); err != nil {
			return err
		}
		for i, index := range s.scanHeader.components {
			component := &s.picture.components[index]
			for y := range component.v {
				at := (row*component.v+y)*component.stride + x*component.h
				for end := at + component.h; at < end; at++ {
					if err := s.readBlock(c, i, index, at); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// readBlocks reads a row of a scan of one component, which has the blocks in the picture only, row by row.
func (s *scan) readBlocks(c *Coefficients, row int) error {
	index := s.scanHeader.components[0]
	component := &s.picture.components[index]
	for y := row * component.v; y < (row+1)*component.v; y++ {
		if c.first*component.v+y >= component.high {
			break
		}
		for x := range component.wide {
			if err := s.restarted(); err != nil {
				return err
			}
			if err := s.readBlock(c, 0, index, y*component.stride+x); err != nil {
				return err
			}
		}
	}
	return nil
}

// restarted passes the restart marker that is due before an MCU.
func (s *scan) restarted() error {
	if s.restart == 0 {
		return nil
	}
	if s.left > 0 {
		s.left--
		return nil
	}
	if s.bits.beyond() {
		return formatError("short Huffman data")
	}
	if !s.bits.restart(s.marker) {
		return formatError("bad RST marker")
	}
	s.marker = (s.marker + 1) % 8
	s.left = s.restart - 1
	s.dcs, s.empty = [4]int{}, 0
	return nil
}

// readBlock reads what the scan has of a block: of the component with that place in the scan and that index in the
// picture, at that place in the band.
func (s *scan) readBlock(c *Coefficients, place, index, at int) error {
	b, extent := &c.blocks[index][at], &c.extent[index][at]
	ok := true
	switch {
	case !s.picture.progressive:
		ok = s.readSequential(b, extent, place)
	case s.first == 0 && s.high == 0:
		ok = s.readDC(b, s.dc[place], place)
	case s.first == 0:
		b[0] |= int16(s.bits.bit() << s.low)
	case s.high == 0:
		ok = s.readAC(b, extent, s.ac[place])
	default:
		return s.refineAC(b, extent, s.ac[place])
	}
	if !ok {
		return formatError("bad Huffman code")
	}
	return nil
}

// readDC reads a block's DC coefficient: the difference from that of the block before.
func (s *scan) readDC(b *block, t *huffman, place int) bool {
	n, ok := s.bits.value(t)
	s.dcs[place] += s.bits.coefficient(n)
	b[0] = int16(s.dcs[place] << s.low)
	return ok
}

// readSequential reads a whole block.
func (s *scan) readSequential(b *block, extent *uint8, place int) bool {
	if !s.readDC(b, s.dc[place], place) {
		return false
	}
	t, bits := s.ac[place], &s.bits
	last := 0
	for at := 1; at < 64; at++ {
		if bits.count < 32 { // enough for a code and a coefficient
			bits.fill()
		}
		if whole := t.whole[bits.next>>(64-lookBits)]; whole != 0 && at+int(whole>>8&0xff) < 64 {
			at += int(whole >> 8 & 0xff)
			bits.next <<= whole & 0xff
			bits.count -= int(whole & 0xff)
			last = at
			b[natural[at&63]] = int16(whole >> 16)
			continue
		}
		value, ok := bits.value(t)
		if !ok {
			return false
		}
		run, n := value>>4, value&15
		if n == 0 && run != 15 {
			break
		}
		at += run
		if n == 0 {
			continue
		}
		if at > 63 {
			break
		}
		last = at
		b[natural[at&63]] = int16(bits.coefficient(n))
	}
	*extent = uint8(last)
	return true
}

// readAC reads the upper bits of a block's AC coefficients, in a progressive file.
func (s *scan) readAC(b *block, extent *uint8, t *huffman) bool {
	if s.empty > 0 {
		s.empty--
		return true
	}
	for at := s.scanHeader.first; at <= s.scanHeader.last; at++ {
		value, ok := s.bits.value(t)
		if !ok {
			return false
		}
		run, n := value>>4, value&15
		if n == 0 {
			if run != 15 {
				s.empty = 1<<run + s.bits.take(run) - 1
				break
			}
			at += run
			continue
		}
		at += run
		if at > s.scanHeader.last {
			break
		}
		b[natural[at&63]] = int16(s.bits.coefficient(n) << s.low)
		*extent = max(*extent, uint8(at))
	}
	return true
}

// refineAC reads one more bit of a block's AC coefficients, in a progressive file: of those that are not 0 so far, and
// which of the others become one.
func (s *scan) refineAC(b *block, extent *uint8, t *huffman) error {
	at := s.scanHeader.first
	if s.empty == 0 {
		for ; at <= s.scanHeader.last; at++ {
			value, ok := s.bits.value(t)
			if !ok {
				return formatError("bad Huffman code")
			}
			run, n := value>>4, value&15
			one := 0
			switch {
			case n > 1:
				return formatError("unexpected Huffman code")
			case n == 1:
				one = 2*s.bits.take(1) - 1
			case run != 15:
				s.empty = 1<<run + s.bits.take(run)
			}
			if s.empty > 0 {
				break
			}
			at = s.refine(b, at, run)
			if at > s.scanHeader.last {
				return formatError("too many coefficients")
			}
			if one != 0 {
				b[natural[at&63]] = int16(one << s.low)
				*extent = max(*extent, uint8(at))
			}
		}
	}
	if s.empty > 0 {
		s.empty--
		s.refine(b, at, 64)
	}
	return nil
}

// refine reads a bit for each coefficient from at on that is not 0, passes over so many that are, and returns the place
// of the next one that is, or the place behind the last.
func (s *scan) refine(b *block, at, zeros int) int {
	bits := &s.bits
	for ; at <= s.scanHeader.last; at++ {
		v := &b[natural[at&63]]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		switch {
		case bits.bit() == 0:
		case *v > 0:
			*v += int16(1 << s.low)
		default:
			*v -= int16(1 << s.low)
		}
	}
	return at
}
