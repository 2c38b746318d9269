// Package jpegtest writes JPEG files of any size and kind for tests. Package image/jpeg writes only sequential files
// with 4:2:0 chroma. The caller gives the coefficients; the package returns the file.
package jpegtest

import "encoding/binary"

// File describes a JPEG file to be written.
type File struct {
	Width, Height int
	Factors       []byte // sampling factors of each component: horizontal in the upper four bits, vertical in the lower
	Progressive   bool   // in the scans that libjpeg makes, with three steps of successive approximation
	Separate      bool   // a sequential file with a scan for each component
	Restart       int    // MCUs between restart markers, or 0 for none
	Repeat        bool   // repeat the first row of MCUs; the height must be a multiple of an MCU's, and Restart 0
	Segments      string // complete segments after the start marker, such as Adobe(1)

	// Coefficients sets the coefficients of the block in column x and row y of a component, in zigzag order. They are 0
	// before the call.
	Coefficients func(component, x, y int, b *[64]int)
}

// Adobe returns the segment that declares the meaning of the components: 0 for RGB or CMYK, 1 for YCbCr, 2 for YCCK.
func Adobe(transform byte) string {
	return segment(0xee, []byte{'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, transform})
}

func segment(marker byte, content []byte) string {
	return string(append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(content))), content...))
}

// scan describes the coefficients and bits of a scan.
type scan struct {
	components             []int
	first, last, high, low int
}

// Encode returns the JPEG file.
func (f File) Encode() []byte {
	w := &writer{File: f, ac: acCodes}
	if f.Progressive {
		w.ac = progressiveCodes
	}
	w.bytes = append(w.bytes, "\xff\xd8"+f.Segments...)
	for table := range byte(2) {
		content := []byte{table}
		for i := range 64 {
			content = append(content, []byte{byte(2 + i/4), byte(3 + i/2)}[table])
		}
		w.segment(0xdb, content)
	}
	frame := binary.BigEndian.AppendUint16([]byte{8}, uint16(f.Height))
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(f.Width)), byte(len(f.Factors)))
	for i, factors := range f.Factors {
		frame = append(frame, byte(1+i), factors, byte(min(i, 1)))
		w.wide, w.high = max(w.wide, int(factors>>4)), max(w.high, int(factors&15))
	}
	marker := byte(0xc1)
	if f.Progressive {
		marker = 0xc2
	}
	w.segment(marker, frame)
	w.segment(0xc4, dcCodes.segment(0x00))
	w.segment(0xc4, w.ac.segment(0x10))
	if f.Restart > 0 {
		w.segment(0xdd, binary.BigEndian.AppendUint16(nil, uint16(f.Restart)))
	}
	for _, s := range f.scans() {
		w.scan(s)
	}
	return append(w.bytes, 0xff, 0xd9)
}

func (f File) scans() (list []scan) {
	var all []int
	for i := range f.Factors {
		all = append(all, i)
	}
	switch {
	case f.Progressive:
		list = append(list, scan{all, 0, 0, 0, 1})
		for _, i := range all {
			list = append(list, scan{[]int{i}, 1, 5, 0, 2}, scan{[]int{i}, 6, 63, 0, 2}, scan{[]int{i}, 1, 63, 2, 1})
		}
		list = append(list, scan{all, 0, 0, 1, 0})
		for _, i := range all {
			list = append(list, scan{[]int{i}, 1, 63, 1, 0})
		}
	case f.Separate:
		for _, i := range all {
			list = append(list, scan{[]int{i}, 0, 63, 0, 0})
		}
	default:
		list = append(list, scan{all, 0, 63, 0, 0})
	}
	return list
}

// writer writes a JPEG file.
type writer struct {
	File
	ac         *codes
	wide, high int // the largest sampling factors
	bytes      []byte
	bits       uint64
	count      int

	current scan
	lastDC  [4]int
	eobRun  int    // blocks without more coefficients that are not yet written
	later   []byte // refinement bits of these blocks
}

func (w *writer) segment(marker byte, content []byte) {
	w.bytes = append(w.bytes, segment(marker, content)...)
}

func divideUp(n, by int) int { return (n + by - 1) / by }

func (w *writer) scan(s scan) {
	w.current = s
	content := []byte{byte(len(s.components))}
	for _, i := range s.components {
		content = append(content, byte(1+i), 0)
	}
	if w.Repeat {
		w.repeated(append(content, byte(s.first), byte(s.last), byte(s.high<<4|s.low)))
		return
	}
	w.segment(0xda, append(content, byte(s.first), byte(s.last), byte(s.high<<4|s.low)))
	w.data(w.Height)
}

// repeated writes a scan in which every row of MCUs is a copy of the first one, with a restart marker between the rows.
func (w *writer) repeated(header []byte) {
	interval := divideUp(w.Width, 8*w.wide)
	if s := w.current; len(s.components) == 1 {
		h, v := int(w.Factors[s.components[0]]>>4), int(w.Factors[s.components[0]]&15)
		interval = divideUp(divideUp(w.Width*h, w.wide), 8) * v
	}
	w.segment(0xdd, binary.BigEndian.AppendUint16(nil, uint16(interval)))
	w.segment(0xda, header)
	begin := len(w.bytes)
	w.data(8 * w.high)
	row := w.bytes[begin:]
	for i := range w.Height/(8*w.high) - 1 {
		w.bytes = append(append(w.bytes, 0xff, byte(0xd0+i%8)), row...)
	}
}

// data writes the data of a scan for a picture of the given height in pixels.
func (w *writer) data(height int) {
	s := w.current
	w.lastDC = [4]int{}
	mcus, restarts := 0, 0
	mcu := func(blocks func()) {
		if w.Restart > 0 && mcus > 0 && mcus%w.Restart == 0 {
			w.flush()
			w.bytes = append(w.bytes, 0xff, byte(0xd0+restarts%8))
			restarts++
			w.lastDC = [4]int{}
		}
		mcus++
		blocks()
	}
	if len(s.components) == 1 {
		i := s.components[0]
		h, v := int(w.Factors[i]>>4), int(w.Factors[i]&15)
		for y := range divideUp(divideUp(height*v, w.high), 8) {
			for x := range divideUp(divideUp(w.Width*h, w.wide), 8) {
				mcu(func() { w.block(i, x, y) })
			}
		}
		w.flush()
		return
	}
	for y := range divideUp(height, 8*w.high) {
		for x := range divideUp(w.Width, 8*w.wide) {
			mcu(func() {
				for _, i := range s.components {
					h, v := int(w.Factors[i]>>4), int(w.Factors[i]&15)
					for n := range h * v {
						w.block(i, x*h+n%h, y*v+n/h)
					}
				}
			})
		}
	}
	w.flush()
}

// flush completes the last byte, at the end of the data or before a restart marker.
func (w *writer) flush() {
	w.writeEmpty()
	if w.count > 0 {
		w.write(1<<(8-w.count)-1, 8-w.count)
	}
}

// write writes the lower n bits of bits.
func (w *writer) write(bits, n int) {
	w.bits, w.count = w.bits<<n|uint64(bits)&(1<<n-1), w.count+n
	for ; w.count >= 8; w.count -= 8 {
		b := byte(w.bits >> (w.count - 8))
		w.bytes = append(w.bytes, b)
		if b == 0xff {
			w.bytes = append(w.bytes, 0)
		}
	}
}

func (w *writer) code(c *codes, value int) { w.write(c.code[value], c.length[value]) }

// number writes v in n bits. Negative numbers begin with a 0 bit.
func (w *writer) number(v, n int) {
	if v < 0 {
		v += 1<<n - 1
	}
	w.write(v, n)
}

// block writes what the current scan contains of a block.
func (w *writer) block(component, x, y int) {
	var b [64]int
	w.Coefficients(component, x, y, &b)
	s := w.current
	if s.first == 0 {
		if s.high > 0 {
			w.write(b[0]>>s.low, 1)
			return
		}
		dc := b[0] >> s.low
		difference := dc - w.lastDC[component]
		w.lastDC[component] = dc
		n := size(difference)
		w.code(dcCodes, n)
		w.number(difference, n)
	}
	if s.last == 0 {
		return
	}
	first := max(s.first, 1)
	if s.high > 0 {
		w.refine(&b, first)
		return
	}
	run := 0
	for i := first; i <= s.last; i++ {
		v := abs(b[i]) >> s.low
		if v == 0 {
			run++
			continue
		}
		w.writeEmpty()
		for ; run > 15; run -= 16 {
			w.code(w.ac, 0xf0)
		}
		if b[i] < 0 {
			v = -v
		}
		w.code(w.ac, run<<4|size(v))
		w.number(v, size(v))
		run = 0
	}
	switch {
	case run == 0:
	case w.Progressive:
		w.addEmpty(nil)
	default:
		w.code(w.ac, 0)
	}
}

// refine writes one more bit of each coefficient that is not 0 so far, and the coefficients that become ±1 in this bit.
func (w *writer) refine(b *[64]int, first int) {
	s := w.current
	lastNew := 0
	for i := first; i <= s.last; i++ {
		if abs(b[i])>>s.low == 1 {
			lastNew = i
		}
	}
	run := 0
	var bits []byte
	put := func() {
		for _, bit := range bits {
			w.write(int(bit), 1)
		}
		bits = nil
	}
	for i := first; i <= s.last; i++ {
		v := abs(b[i]) >> s.low
		if v == 0 {
			run++
			continue
		}
		for run > 15 && i <= lastNew {
			w.writeEmpty()
			w.code(w.ac, 0xf0)
			put()
			run -= 16
		}
		if v > 1 {
			bits = append(bits, byte(v&1))
			continue
		}
		w.writeEmpty()
		w.code(w.ac, run<<4|1)
		sign := 1
		if b[i] < 0 {
			sign = 0
		}
		w.write(sign, 1)
		put()
		run = 0
	}
	if run > 0 || len(bits) > 0 {
		w.addEmpty(bits)
	}
}

// addEmpty adds a block without more coefficients to the run, with its refinement bits.
func (w *writer) addEmpty(bits []byte) {
	w.eobRun++
	w.later = append(w.later, bits...)
	if w.eobRun == 1<<15-1 {
		w.writeEmpty()
	}
}

// writeEmpty writes the run of blocks without more coefficients, and their refinement bits.
func (w *writer) writeEmpty() {
	if w.eobRun == 0 {
		return
	}
	n := size(w.eobRun) - 1
	w.code(w.ac, n<<4)
	w.write(w.eobRun, n)
	for _, bit := range w.later {
		w.write(int(bit), 1)
	}
	w.eobRun, w.later = 0, nil
}

func abs(v int) int { return max(v, -v) }

// size returns the number of bits of v's absolute value.
func size(v int) (n int) {
	for v = abs(v); v > 0; v >>= 1 {
		n++
	}
	return n
}

// codes is a Huffman table for writing.
type codes struct {
	counts [16]byte
	values []byte
	code   [256]int
	length [256]int
}

func newCodes(counts [16]byte, values []byte) *codes {
	c := &codes{counts: counts, values: values}
	code, place := 0, 0
	for i, count := range counts {
		for range count {
			c.code[values[place]], c.length[values[place]] = code, i+1
			code++
			place++
		}
		code <<= 1
	}
	return c
}

func (c *codes) segment(classAndNumber byte) []byte {
	return append(append([]byte{classAndNumber}, c.counts[:]...), c.values...)
}

// The tables have codes of all lengths up to 16 bits, like those of the standard.
var (
	dcCodes          = newCodes([16]byte{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}, []byte{4, 3, 5, 2, 6, 0, 1, 7, 8, 9, 10, 11})
	acCodes          = newACCodes(false)
	progressiveCodes = newACCodes(true)
)

// newACCodes gives the shortest codes to short runs of small values. In progressive files, values without bits declare
// runs of empty blocks.
func newACCodes(progressive bool) *codes {
	var values []byte
	for sum := range 32 {
		for run := range 16 {
			n := sum - run
			if n >= 0 && n <= 10 && (n > 0 || run == 0 || run == 15 || progressive) {
				values = append(values, byte(run<<4|n))
			}
		}
	}
	counts := [16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 4, 4, 4, 0, 0, 1}
	const shorter = 36
	counts[15] = byte(len(values) - shorter)
	return newCodes(counts, values)
}
