package jpegrows

// block is 8 × 8 coefficients, in natural order.
type block [64]int16

// Coefficients are those of a band: some rows of MCUs.
type Coefficients struct {
	first, rows int // rows of MCUs
	blocks      [4][]block
	// extent is the last place in zigzag order, of each block, at which a coefficient may be other than 0.
	extent [4][]uint8
}

// Rows returns how many rows of MCUs the band has.
func (c *Coefficients) Rows() int { return c.rows }

// Decoder decodes one picture, from top to bottom.
type Decoder struct {
	*Picture
	bandRows int // rows of MCUs in a band
	scans    []scan
	parts    [][]*scan
	next     int // row of MCUs

	planes [4]plane
	made   int // rows of pixels
}

// NewDecoder returns a decoder for bands of at least so many rows of pixels.
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

// partsOf divides the scans into parts that have no coefficient in common: those of DC, and those of the AC
// coefficients of each component. Of a sequential file each scan is a part.
func partsOf(scans []scan) (parts [][]*scan) {
	const dc = -1
	of := map[int]int{}
	for i := range scans {
		s := &scans[i]
		key := s.scanHeader.components[0]
		if s.picture.progressive && s.first == 0 {
			key = dc
		}
		if _, begun := of[key]; !begun {
			of[key] = len(parts)
			parts = append(parts, nil)
		}
		parts[of[key]] = append(parts[of[key]], s)
	}
	return parts
}

// Parts returns how many parts a band is read in.
func (d *Decoder) Parts() int { return len(d.parts) }

// NewCoefficients returns memory for a band.
func (d *Decoder) NewCoefficients() *Coefficients {
	c := &Coefficients{}
	for i, component := range d.components {
		n := d.bandRows * component.v * component.stride
		c.blocks[i], c.extent[i] = make([]block, n), make([]uint8, n)
	}
	return c
}

// Next makes c ready for the next band, all parts of which have to be read; false at the end of the picture.
func (d *Decoder) Next(c *Coefficients) bool {
	c.first, c.rows = d.next, min(d.bandRows, d.mcuHi-d.next)
	for i := range d.components {
		clear(c.blocks[i])
		clear(c.extent[i])
	}
	d.next += c.rows
	return c.rows > 0
}

// Read decodes a part of a band's coefficients. The error is io.ErrUnexpectedEOF for a file that ends too early, and a
// jpeg.FormatError for one that is damaged.
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

// Transform makes samples of the row of MCUs with that number in the band. Rows may be transformed at the same time,
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

// Ready returns the rows of the picture that can be made, from first to before end, when the band is transformed. Of
// halved planes the last row waits for the next band.
func (d *Decoder) Ready(c *Coefficients) (first, end int) {
	end = (c.first + c.rows) * 8 * d.vMax
	if end >= d.Height {
		return d.made, d.Height
	}
	return d.made, end - 1
}

// Advance keeps what the next band needs of this one, whose rows have been made.
func (d *Decoder) Advance(c *Coefficients) {
	_, d.made = d.Ready(c)
	for i := range d.components {
		d.planes[i].advance(c.rows * 8 * d.components[i].v)
	}
}
