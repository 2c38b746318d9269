package jpegrows

// The inverse DCT is that of Loeffler, Ligtenberg and Moschytz with 12 multiplications a row or column, in the
// fixed-point arithmetic of libjpeg's "islow": factors have 13 fractional bits, and the results of the column pass 2.
const (
	factorBits = 13
	extraBits  = 2
)

// The factors, in units of 2⁻¹³. cN is √2·cos(N·π/16).
const (
	f0298 = 2446  // −c1 + c3 + c5 − c7
	f0390 = 3196  // c3 − c5
	f0541 = 4433  // c6
	f0765 = 6270  // c2 − c6
	f0899 = 7373  // c3 − c7
	f1175 = 9633  // c3
	f1501 = 12299 // c1 + c3 − c5 − c7
	f1847 = 15137 // c2 + c6
	f1961 = 16069 // c3 + c5
	f2053 = 16819 // c1 + c3 − c5 + c7
	f2562 = 20995 // c1 + c3
	f3072 = 25172 // c1 + c3 + c5 − c7
)

// idct8 returns the inverse DCT of eight values, times 2¹³·√8. half is added to round the shift that the caller does
// next.
func idct8(v0, v1, v2, v3, v4, v5, v6, v7, half int32) (s0, s1, s2, s3, s4, s5, s6, s7 int32) {
	// The even part.
	z := (v2 + v6) * f0541
	e2, e3 := z-v6*f1847, z+v2*f0765
	e0, e1 := (v0+v4)<<factorBits+half, (v0-v4)<<factorBits+half
	a0, a3 := e0+e3, e0-e3
	a1, a2 := e1+e2, e1-e2
	// The odd part.
	z1, z2, z3, z4 := v7+v1, v5+v3, v7+v3, v5+v1
	z5 := (z3 + z4) * f1175
	z1, z2 = z1*-f0899, z2*-f2562
	z3, z4 = z3*-f1961+z5, z4*-f0390+z5
	b0 := v7*f0298 + z1 + z3
	b1 := v5*f2053 + z2 + z4
	b2 := v3*f3072 + z2 + z3
	b3 := v1*f1501 + z1 + z4
	return a0 + b3, a1 + b2, a2 + b1, a3 + b0, a3 - b0, a2 - b1, a1 - b2, a0 - b3
}

// widths gives, for an index in zigzag order, the number of columns that contain coefficients up to that index.
var widths = func() (n [64]int) {
	most := 0
	for i, place := range natural {
		most = max(most, place%8+1)
		n[i] = most
	}
	return n
}()

// inverseDCT computes the 8 × 8 samples of a block. All coefficients after index extent in zigzag order must be 0.
func inverseDCT(samples []uint8, stride int, b *block, quant *[64]int32, extent int) {
	if extent == 0 {
		level := sample((int32(b[0])*quant[0]<<extraBits + 1<<(extraBits+2)) >> (extraBits + 3))
		row := uint64(level) * 0x0101010101010101
		for y := range 8 {
			putRow(samples[y*stride:], row)
		}
		return
	}
	const columnShift, rowShift = factorBits - extraBits, factorBits + extraBits + 3
	var work [64]int32
	width := widths[extent]
	for x := range width {
		v0 := int32(b[x]) * quant[x]
		if b[8+x]|b[16+x]|b[24+x]|b[32+x]|b[40+x]|b[48+x]|b[56+x] == 0 {
			v0 <<= extraBits
			for y := 0; y < 64; y += 8 {
				work[y+x] = v0
			}
			continue
		}
		s0, s1, s2, s3, s4, s5, s6, s7 := idct8(
			v0, int32(b[8+x])*quant[8+x], int32(b[16+x])*quant[16+x], int32(b[24+x])*quant[24+x],
			int32(b[32+x])*quant[32+x], int32(b[40+x])*quant[40+x], int32(b[48+x])*quant[48+x], int32(b[56+x])*quant[56+x],
			1<<(columnShift-1),
		)
		work[x], work[8+x], work[16+x], work[24+x] = s0>>columnShift, s1>>columnShift, s2>>columnShift, s3>>columnShift
		work[32+x], work[40+x], work[48+x], work[56+x] = s4>>columnShift, s5>>columnShift, s6>>columnShift, s7>>columnShift
	}
	for y := range 8 {
		w := (*[8]int32)(work[8*y:])
		s0, s1, s2, s3, s4, s5, s6, s7 := idct8(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], 1<<(rowShift-1))
		putRow(samples[y*stride:], uint64(sample(s0>>rowShift))|uint64(sample(s1>>rowShift))<<8|
			uint64(sample(s2>>rowShift))<<16|uint64(sample(s3>>rowShift))<<24|
			uint64(sample(s4>>rowShift))<<32|uint64(sample(s5>>rowShift))<<40|
			uint64(sample(s6>>rowShift))<<48|uint64(sample(s7>>rowShift))<<56)
	}
}

// sample converts a value centred on 0 into a sample, clamped to [0, 255].
func sample(v int32) uint8 {
	v += 128
	if uint32(v) > 255 {
		v = ^v >> 31
	}
	return uint8(v)
}
