package tensor

import "encoding/binary"

// The K formats have blocks of 256 values in sub-blocks of 16 or 32, whose scales are quantised too.

// widenQ2K converts 256 values d·s·q − dmin·m with 2-bit q. The block is 16 bytes with a scale s (lo) and a minimum m
// (hi) for 16 values each, 64 bytes of q, d and dmin. 32 bytes hold 128 values: their lowest bits are the first 32.
func widenQ2K(dst []float32, b []byte) {
	d, dmin := half(b[80:]), half(b[82:])
	for i := range 16 {
		scale, least := d*float32(b[i]&15), dmin*float32(b[i]>>4)
		qs := b[16+i/8*32+i%2*16:][:16]
		shift := i / 2 % 4 * 2
		to := dst[16*i : 16*i+16]
		for j, q := range qs {
			to[j] = scale*float32(q>>shift&3) - least
		}
	}
}

// widenQ3K converts 256 values d·(s − 32)·q with 3-bit q from −4 to 3. The block is 32 bytes of high bits, of which bit
// g belongs to values 32·g to 32·g + 31, 64 bytes of low bits in the order of Q2_K, 12 bytes of 6-bit scales, and d.
func widenQ3K(dst []float32, b []byte) {
	d := half(b[108:])
	scales := scalesQ3K(b[96:108])
	for i := range 16 {
		scale := d * float32(int(scales[i])-32)
		half := i % 2 * 16
		qs, high := b[32+i/8*32+half:][:16], b[half:][:16]
		shift := i / 2 % 4 * 2
		to := dst[16*i : 16*i+16]
		for j, q := range qs {
			to[j] = scale * float32(int(q>>shift&3)-4+int(high[j]>>(i/2)&1)*4)
		}
	}
}

// scalesQ3K unpacks 16 scales of 6 bits from 12 bytes: four bits of each from the first eight bytes, two from the last
// four.
func scalesQ3K(b []byte) (scales [16]byte) {
	const low, high = 0x0f0f0f0f, 0x03030303
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	first, second, top := word(0), word(1), word(2)
	for i, word := range []uint32{
		first&low | top&high<<4, second&low | top>>2&high<<4,
		first>>4&low | top>>4&high<<4, second>>4&low | top>>6&high<<4,
	} {
		binary.LittleEndian.PutUint32(scales[4*i:], word)
	}
	return scales
}

// ScalesQ4K unpacks the eight scales and eight minimums of 6 bits that a block of Q4_K or Q5_K has in 12 bytes.
func ScalesQ4K(q []byte) (scales, mins [8]byte) {
	_ = q[11]
	for j := range 4 {
		scales[j], mins[j] = q[j]&63, q[j+4]&63
		scales[j+4] = q[j+8]&15 | q[j]>>6<<4
		mins[j+4] = q[j+8]>>4 | q[j+4]>>6<<4
	}
	return scales, mins
}

// widenQ4K converts 256 values d·s·q − dmin·m with 4-bit q and a scale and a minimum for 32 values each. The block is
// d, dmin, 12 bytes of scales, and 128 bytes: the lo of 32 bytes are 32 values, and their hi the next 32.
func widenQ4K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, mins := ScalesQ4K(b[4:16])
	for i := range 8 {
		scale, least := d*float32(scales[i]), dmin*float32(mins[i])
		qs, shift, to := b[16+i/2*32:][:32], i%2*4, dst[32*i:32*i+32]
		for j, q := range qs {
			to[j] = scale*float32(q>>shift&15) - least
		}
	}
}

// widenQ5K is like widenQ4K with a fifth bit: bit i of byte j of the 32 bytes after the scales belongs to value j of
// sub-block i.
func widenQ5K(dst []float32, b []byte) {
	d, dmin, high := half(b), half(b[2:]), b[16:48]
	scales, mins := ScalesQ4K(b[4:16])
	for i := range 8 {
		scale, least := d*float32(scales[i]), dmin*float32(mins[i])
		qs, shift, to := b[48+i/2*32:][:32], i%2*4, dst[32*i:32*i+32]
		for j, q := range qs {
			to[j] = scale*float32(q>>shift&15|high[j]>>i&1<<4) - least
		}
	}
}

// widenQ6K converts 256 values d·s·(q − 32) with 6-bit q and a signed scale for 16 values each. The block is 128 bytes
// of four low bits, 64 bytes of two high bits, 16 scales, and d. Each half of 128 values has four parts of 32.
func widenQ6K(dst []float32, b []byte) {
	d := half(b[208:])
	for i := range 8 {
		first, part := i/4, i%4
		low, high := b[first*64+part%2*32:][:32], b[128+first*32:][:32]
		lowShift, highShift := part/2*4, part*2
		to := dst[32*i : 32*i+32]
		for k := range 2 {
			scale := d * float32(int8(b[192+2*i+k]))
			for j := 16 * k; j < 16*k+16; j++ {
				q := int(low[j]>>lowShift&15) | int(high[j]>>highShift&3)<<4
				to[j] = scale * float32(q-32)
			}
		}
	}
}

// widenIQ4XS converts 256 values d·(s − 32)·iq4[q] with a 6-bit scale s for 32 values each. The block is d, 16 bits
// with two high bits of each scale, four bytes with the low bits, and 128 bytes in the order of Q4_0.
func widenIQ4XS(dst []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint16(b[2:])
	for i := range 8 {
		s := int(b[4+i/2]>>(i%2*4)&15) | int(high>>(2*i)&3)<<4
		scale := d * float32(s-32)
		to := dst[32*i : 32*i+32]
		for j, q := range b[8+16*i:][:16] {
			to[j], to[j+16] = float32(iq4[q&15])*scale, float32(iq4[q>>4])*scale
		}
	}
}
