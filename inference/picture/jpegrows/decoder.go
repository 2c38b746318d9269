package jpegrows

// block is 8 × 8 coefficients, in natural order.
type block [64]int16

// Coefficients holds the coefficients of a band, which is a number of rows of MCUs.
type Coefficients struct {
	first, rows int // the band's first row of MCUs, and their number
	blocks      [4][]block
	// extent is, for each block, the last index in zigzag order at which a coefficient may differ from 0.
	extent [4][]uint8
}

// Rows returns how many rows of MCUs the band has.
func (c *Coefficients) Rows() int { return c.rows }

// Decoder decodes a picture from top to bottom.
type Decoder struct {
	*Picture
	bandRows int // rows of MCUs in a band
	scans    []scan
	parts    [][]*scan // scans by part, see partsOf
	next     int       // the first row of MCUs of the next band

	planes [4]plane
	made   int // rows of the picture that have been made
}

// NewDecoder returns a decoder whose bands have at least the given number of rows of pixels.
func (p *Picture) NewDecoder(rows int) *Decoder {
	d := &Decoder{Picture: p, bandRows: divideUp(max(rows, 1), 8*p.vMax), scans: make([]scan, len(p.scans))}
	for i := range p.scans {
		header := &p.scans[i]
		d.scans[i] = scan{
			scanHeader: header, picture: p,
			bits: bitReader{data: header.data, cutOff: header.cutOff}, left: header.restart,
		}
	}
	d.parts = partsOf(d.scans)
	for i, c := range p.components {
		d.planes[i] = newPlane(p, c, d.bandRows)
	}
	return d
}

// partsOf groups the scans into parts that share no coefficients, so that parts can be read concurrently. In a
// progressive file these are all DC scans, and the AC scans of each component. In a sequential file each scan is a
// part.
func partsOf(scans []scan) (parts [][]*scan) {
	const dc = -1
	index := map[int]int{}
	for i := range scans {
		s := &scans[i]
		key := s.scanHeader.components[0]
		if s.picture.progressive && s.first == 0 {
			key = dc
		}
		if _, exists := index[key]; !exists {
			index[key] = len(parts)
			parts = append(parts, nil)
		}
		parts[index[key]] = append(parts[index[key]], s)
	}
	return parts
}

// Parts returns the number of parts in which a band is read.
func (d *Decoder) Parts() int { return len(d.parts) }

// NewCoefficients allocates the coefficients of a band.
func (d *Decoder) NewCoefficients() *Coefficients {
	c := &Coefficients{}
	for i, component := range d.components {
		n := d.bandRows * component.v * component.stride
		c.blocks[i], c.extent[i] = make([]block, n), make([]uint8, n)
	}
	return c
}

// Next clears c for the next band, all parts of which must then be read. It returns false at the end of the picture.
func (d *Decoder) Next(c *Coefficients) bool {
	c.first, c.rows = d.next, min(d.bandRows, d.mcuRows-d.next)
	for i := range d.components {
		clear(c.blocks[i])
		clear(c.extent[i])
	}
	d.next += c.rows
	return c.rows > 0
}

// Read decodes one part of a band's coefficients. Its error is io.ErrUnexpectedEOF if the file ends too early, and a
// jpeg.FormatError if the data are damaged.
func (d *Decoder) Read(c *Coefficients, part int) error {
	for row := range c.rows {
		for _, s := range d.parts[part] {
			if err := s.readRow(c, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// Transform computes the samples of one row of MCUs of the band. Several rows may be transformed concurrently, and also
// while the next band is read into other coefficients.
func (d *Decoder) Transform(c *Coefficients, row int) {
	for i := range d.components {
		component := &d.components[i]
		p := &d.planes[i]
		for y := row * component.v; y < (row+1)*component.v; y++ {
			if c.first*component.v+y >= component.high {
				break
			}
			at := y * component.stride
			samples := p.samples[(1+8*y)*p.stride:]
			for x := range component.wide {
				inverseDCT(samples[8*x:], p.stride, &c.blocks[i][at+x], &component.quant, int(c.extent[i][at+x]))
			}
		}
	}
}

// Ready returns the range [first, end) of the picture's rows that can be made once the band is transformed. Unless the
// picture ends with the band, the band's last row is not among them, because the interpolation of halved planes needs
// the next band.
func (d *Decoder) Ready(c *Coefficients) (first, end int) {
	end = (c.first + c.rows) * 8 * d.vMax
	if end >= d.Height {
		return d.made, d.Height
	}
	return d.made, end - 1
}

// Advance keeps the samples of this band that the next band needs. All ready rows must have been made.
func (d *Decoder) Advance(c *Coefficients) {
	_, d.made = d.Ready(c)
	for i := range d.components {
		d.planes[i].advance(c.rows * 8 * d.components[i].v)
	}
}
