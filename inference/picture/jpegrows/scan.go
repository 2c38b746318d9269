package jpegrows

import "io"

// scan decodes a scan of a file, one row of MCUs at a time.
type scan struct {
	*scanHeader
	picture *Picture
	bits    bitReader
	lastDC  [4]int // the last DC coefficient of each component
	eobRun  int    // the number of next blocks in which this scan has no more coefficients
	left    int    // MCUs before the next restart marker
	marker  byte   // the number of that marker
}

// readRow decodes one row of MCUs of the band.
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

// readMCUs decodes a row of MCUs of a scan with several components: in each MCU the blocks of one component after
// another.
func (s *scan) readMCUs(c *Coefficients, row int) error {
	for x := range s.picture.mcuCols {
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

// readBlocks decodes a row of a scan with one component. Such a scan has only blocks within the picture, row by row.
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

// restarted reads the restart marker, if one is due before the next MCU.
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
	s.lastDC, s.eobRun = [4]int{}, 0
	return nil
}

// readBlock decodes what the scan contains of one block. place is the index of the component in the scan, index that in
// the picture, and at the index of the block in the band.
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

// readDC decodes a block's DC coefficient, which is stored as the difference from the one before.
func (s *scan) readDC(b *block, t *huffman, place int) bool {
	n, ok := s.bits.value(t)
	s.lastDC[place] += s.bits.coefficient(n)
	b[0] = int16(s.lastDC[place] << s.low)
	return ok
}

// readSequential decodes all coefficients of a block of a sequential file.
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

// readAC decodes the upper bits of a block's AC coefficients in a progressive file.
func (s *scan) readAC(b *block, extent *uint8, t *huffman) bool {
	if s.eobRun > 0 {
		s.eobRun--
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
				s.eobRun = 1<<run + s.bits.take(run) - 1
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

// refineAC decodes one more bit of a block's AC coefficients in a progressive file. It refines the coefficients that
// are not 0, and finds those that become ±1 in this bit.
func (s *scan) refineAC(b *block, extent *uint8, t *huffman) error {
	at := s.scanHeader.first
	if s.eobRun == 0 {
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
				s.eobRun = 1<<run + s.bits.take(run)
			}
			if s.eobRun > 0 {
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
	if s.eobRun > 0 {
		s.eobRun--
		s.refine(b, at, 64)
	}
	return nil
}

// refine reads a bit for each coefficient from at on that is not 0, and skips the given number of coefficients that are
// 0. It returns the index of the next coefficient that is 0, or the index after the scan's last coefficient.
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
