package quantise

// The K formats have blocks of 256 values in sub-blocks, whose scales are quantised too; package tensor describes the
// layouts.

// q4K stores 256 values as d·s·q − dmin·m, with 6-bit s and m for each sub-block of 32 values.
func q4K(dst []byte, src []float32, weighted bool) {
	const subs, size, top, most = 8, 32, 15, 63
	var scales, mins [subs]float32
	var weights [subs * size]float32
	for i := range subs {
		x := src[size*i:][:size]
		if weighted {
			scales[i], mins[i] = searchRange(x, weigh(weights[size*i:][:size], x), top)
			continue
		}
		low, high := float32(0), x[0]
		for _, v := range x {
			low, high = min(low, v), max(high, v)
		}
		scales[i], mins[i] = (high-low)/top, -low
	}
	d := putHalf(dst, largestOf(scales[:])/most)
	dmin := putHalf(dst[2:], largestOf(mins[:])/most)
	var s, m [subs]byte
	for i := range subs {
		s[i], m[i] = code(scales[i], d, most), code(mins[i], dmin, most)
		if weighted {
			s[i], m[i] = refineRange(src[size*i:][:size], weights[size*i:][:size], d, dmin, s[i], m[i])
		}
	}
	packQ4K(dst[4:16], s, m)
	for i := range subs {
		scale, least := d*float32(s[i]), dmin*float32(m[i])
		inv := inverse(scale)
		qs := dst[16+i/2*32:][:32]
		for j, v := range src[size*i:][:size] {
			q := byte(clamped((v+least)*inv, 0, top))
			if i%2 == 0 {
				qs[j] = q
			} else {
				qs[j] |= q << 4
			}
		}
	}
}

// refineRange returns the codes of scale and minimum, among s and m and their neighbours, with the least error.
func refineRange(x, w []float32, d, dmin float32, s, m byte) (scale, least byte) {
	best, first := float32(0), true
	for _, a := range neighbours(int(s), 63) {
		for _, b := range neighbours(int(m), 63) {
			e := rangeError(x, w, 15, d*float32(a), dmin*float32(b))
			if first || e < best {
				best, first, scale, least = e, false, byte(a), byte(b)
			}
		}
	}
	return scale, least
}

// neighbours returns c and the codes beside it, from 0 to most.
func neighbours(c, most int) [3]int { return [3]int{c, max(c-1, 0), min(c+1, most)} }

// largestOf returns the largest of values that are not negative.
func largestOf(x []float32) (v float32) {
	for _, y := range x {
		v = max(v, y)
	}
	return v
}

// code returns v/unit as a code from 0 to most.
func code(v, unit float32, most int) byte {
	return byte(clamped(v*inverse(unit), 0, most))
}

// packQ4K packs eight scales and eight minimums of 6 bits into 12 bytes, which tensor.ScalesQ4K unpacks.
func packQ4K(q []byte, s, m [8]byte) {
	for j := range 4 {
		q[j], q[j+4] = s[j]|s[j+4]>>4<<6, m[j]|m[j+4]>>4<<6
		q[j+8] = s[j+4]&15 | m[j+4]&15<<4
	}
}

// q6K stores 256 values as d·s·(q − 32), with a signed 8-bit s for each sub-block of 16 values.
func q6K(dst []byte, src []float32, weighted bool) {
	const subs, size, half, most = 16, 16, 32, 127
	var scales [subs]float32
	var weights [subs * size]float32
	for i := range subs {
		x := src[size*i:][:size]
		if weighted {
			scales[i] = searchScale(x, weigh(weights[size*i:][:size], x), half)
		} else {
			scales[i] = extreme(x) / -half
		}
	}
	// The scale of the largest magnitude has the code −128.
	d := putHalf(dst[208:], extreme(scales[:])/-(most+1))
	id := inverse(d)
	clear(dst[:192])
	for i := range subs {
		x := src[size*i:][:size]
		s := clamped(scales[i]*id, -most-1, most)
		if weighted {
			s = refineScale(x, weights[size*i:][:size], d, s)
		}
		dst[192+i] = byte(int8(s))
		inv := inverse(d * float32(s))
		// Each half of 128 values has four parts of 32 (see tensor's widenQ6K).
		first, part := i/8, i/2%4
		low, high := dst[first*64+part%2*32+i%2*16:][:size], dst[128+first*32+i%2*16:][:size]
		for j, v := range x {
			q := byte(clamped(v*inv, -half, half-1) + half)
			low[j] |= q & 15 << (part / 2 * 4)
			high[j] |= q >> 4 << (part * 2)
		}
	}
}

// refineScale returns the code of a scale, among s and its neighbours, with the least error.
func refineScale(x, w []float32, d float32, s int) (scale int) {
	best := float32(0)
	for i, c := range [3]int{s, max(s-1, -128), min(s+1, 127)} {
		if e := scaleError(x, w, 32, d*float32(c)); i == 0 || e < best {
			best, scale = e, c
		}
	}
	return scale
}
