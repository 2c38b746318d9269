package jpegrows

import "encoding/binary"

// putRow writes the 8 samples of a row of a block.
func putRow(samples []uint8, row uint64) { binary.LittleEndian.PutUint64(samples, row) }

// plane holds the samples of a component: the last row before the band, and then the rows of the band.
type plane struct {
	samples               []uint8
	stride                int
	first                 int // the row of the whole plane that is the second row in samples
	width, height         int // of the whole plane
	halfWidth, halfHeight bool
}

func newPlane(p *Picture, c component, bandRows int) plane {
	stride := 8 * c.stride
	return plane{
		samples: make([]uint8, (1+8*c.v*bandRows)*stride), stride: stride,
		width: divideUp(p.Width*c.h, p.hMax), height: divideUp(p.Height*c.v, p.vMax),
		halfWidth: c.h < p.hMax, halfHeight: c.v < p.vMax,
	}
}

// row returns row y of the whole plane, which must be in samples.
func (p *plane) row(y int) []uint8 {
	return p.samples[(1+y-p.first)*p.stride:][:p.width]
}

// advance moves to the next band: it keeps the last row of a band with so many rows.
func (p *plane) advance(rows int) {
	copy(p.samples[:p.stride], p.samples[rows*p.stride:(rows+1)*p.stride])
	p.first += rows
}

// Scratch is working memory of Row for one goroutine.
type Scratch struct{ planes [4][]uint8 }

// NewScratch returns memory for Row.
func (d *Decoder) NewScratch() *Scratch {
	s := &Scratch{}
	for i := range d.components {
		if p := &d.planes[i]; p.halfWidth || p.halfHeight {
			s.planes[i] = make([]uint8, d.Width+1)
		}
	}
	return s
}

// Row writes row y of the picture to dst: four bytes a pixel, as Kind says. The row must be ready.
func (d *Decoder) Row(y int, dst []uint8, s *Scratch) {
	var rows [4][]uint8
	for i := range d.components {
		rows[i] = d.planes[i].full(y, s.planes[i])[:d.Width]
	}
	dst = dst[:4*d.Width]
	switch {
	case d.Kind == Gray:
		for i, v := range rows[0] {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(v)*0x010101|0xff000000)
		}
		return
	case d.toRGB:
		convertToRGB(dst, rows[0], rows[1], rows[2])
		if d.Kind == RGB {
			return
		}
		// Adobe's programs write 255 for no ink, so the converted red, green and blue equal cyan, magenta and yellow in ink.
	case d.Kind == RGB:
		for i, r := range rows[0] {
			pixel := uint32(r) | uint32(rows[1][i])<<8 | uint32(rows[2][i])<<16 | 0xff000000
			binary.LittleEndian.PutUint32(dst[4*i:], pixel)
		}
		return
	default:
		for i, c := range rows[0] {
			dst[4*i], dst[4*i+1], dst[4*i+2] = 255-c, 255-rows[1][i], 255-rows[2][i]
		}
	}
	for i, k := range rows[3] {
		dst[4*i+3] = 255 - k
	}
}

// full returns row y of a plane in the width of the picture. If the plane is halved, the row is interpolated into out.
// The centre of the nearer sample is a quarter of a sample away, and that of the farther one three quarters, so their
// weights are 3 and 1. As in libjpeg, halves are rounded down and up in alternation.
func (p *plane) full(y int, out []uint8) []uint8 {
	switch {
	case !p.halfWidth && !p.halfHeight:
		return p.row(y)
	case !p.halfHeight:
		upsampleH2V1(out, p.row(y))
		return out
	}
	near, far, round := p.row(y/2), []uint8(nil), 1
	if y%2 == 0 {
		far = p.row(max(y/2-1, 0))
	} else {
		far, round = p.row(min(y/2+1, p.height-1)), 2
	}
	if p.halfWidth {
		upsampleH2V2(out, near, far)
		return out
	}
	for x, v := range near {
		out[x] = uint8((3*int(v) + int(far[x]) + round) >> 2)
	}
	return out
}

// upsampleH2V1 writes two samples for each sample of row, as libjpeg's function h2v1_fancy_upsample does. Like libjpeg
// it repeats the samples of rows of one or two samples.
func upsampleH2V1(out, row []uint8) {
	n := len(row)
	out = out[:min(2*n, len(out))]
	if n <= 2 {
		for i := range out {
			out[i] = row[i/2]
		}
		return
	}
	last := int(row[0])
	this := last
	for x := range n {
		next := this
		if x+1 < n {
			next = int(row[x+1])
		}
		out[2*x] = uint8((3*this + last + 1) >> 2)
		if 2*x+1 < len(out) {
			out[2*x+1] = uint8((3*this + next + 2) >> 2)
		}
		last, this = this, next
	}
}

// upsampleH2V2 interpolates in both directions, as libjpeg's function h2v2_fancy_upsample does: upsampleH2V1 of the
// mean of two rows, in which near has weight 3 and far weight 1.
func upsampleH2V2(out, near, far []uint8) {
	n := len(near)
	out = out[:min(2*n, len(out))]
	if n <= 2 {
		for i := range out {
			out[i] = near[i/2]
		}
		return
	}
	far = far[:n]
	last := 3*int(near[0]) + int(far[0])
	this := last
	for x := 0; x+1 < n; x++ {
		next := 3*int(near[x+1]) + int(far[x+1])
		pair := out[2*x : 2*x+2 : 2*x+2]
		pair[0], pair[1] = uint8((3*this+last+8)>>4), uint8((3*this+next+7)>>4)
		last, this = this, next
	}
	out[2*n-2] = uint8((3*this + last + 8) >> 4)
	if len(out) == 2*n {
		out[2*n-1] = uint8((4*this + 7) >> 4)
	}
}

// The contributions of Cr and Cb to red, green and blue. The two of green are in units of 2⁻¹⁶, to be rounded after
// they are added; the others are rounded.
var redOfCr, blueOfCb, greenOfCr, greenOfCb = func() (r, b, gr, gb [256]int32) {
	fixed := func(x float64) int32 { return int32(x*(1<<16) + 0.5) }
	const half = 1 << 15
	for i := range r {
		v := int32(i) - 128
		r[i] = (fixed(1.40200)*v + half) >> 16
		b[i] = (fixed(1.77200)*v + half) >> 16
		gr[i] = -fixed(0.71414) * v
		gb[i] = -fixed(0.34414)*v + half
	}
	return r, b, gr, gb
}()

// convertToRGB converts a row of YCbCr to red, green, blue and 255 for each pixel, by the JFIF formula.
func convertToRGB(dst, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for i, v := range luma {
		y := int32(v)
		r, g, b := y+redOfCr[cr[i]], y+(greenOfCb[cb[i]]+greenOfCr[cr[i]])>>16, y+blueOfCb[cb[i]]
		if uint32(r) > 255 {
			r = ^r >> 31 & 255
		}
		if uint32(g) > 255 {
			g = ^g >> 31 & 255
		}
		if uint32(b) > 255 {
			b = ^b >> 31 & 255
		}
		binary.LittleEndian.PutUint32(dst[4*i:], uint32(r)|uint32(g)<<8|uint32(b)<<16|0xff000000)
	}
}
