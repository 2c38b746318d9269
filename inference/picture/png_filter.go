package picture

// PNG's filters, section 9 of its specification: each row is stored as what a prediction from its neighbours leaves.
const (
	filterNone = iota
	filterSub
	filterUp
	filterAverage
	filterPaeth
	filters
)

// sampledEach is the distance of the bytes on which filters are compared. It has no common divisor with a pixel's 3 or 4
// bytes, so that all channels are looked at.
const sampledEach = 11

// filterRow writes the number of the filter that suits row to dst[0], and the filtered row behind it. above is the row
// before, of zeros for the first one.
func filterRow(dst, row, above []byte, pixelBytes int) {
	filter := chooseFilter(row, above, pixelBytes)
	dst[0] = byte(filter)
	dst = dst[1:][:len(row)]
	above = above[:len(row)]
	switch filter {
	case filterNone:
		copy(dst, row)
	case filterSub:
		copy(dst, row[:pixelBytes])
		for i, left := range row[:len(row)-pixelBytes] {
			dst[i+pixelBytes] = row[i+pixelBytes] - left
		}
	case filterUp:
		for i, v := range row {
			dst[i] = v - above[i]
		}
	case filterAverage:
		for i, v := range row[:pixelBytes] {
			dst[i] = v - above[i]/2
		}
		for i, left := range row[:len(row)-pixelBytes] {
			dst[i+pixelBytes] = row[i+pixelBytes] - average(left, above[i+pixelBytes])
		}
	case filterPaeth:
		for i, v := range row[:pixelBytes] {
			dst[i] = v - above[i]
		}
		for i, left := range row[:len(row)-pixelBytes] {
			dst[i+pixelBytes] = row[i+pixelBytes] - paeth(left, above[i+pixelBytes], above[i])
		}
	}
}

// chooseFilter takes the filter that leaves the smallest numbers, the specification's advice, judged by every
// sampledEach-th byte.
func chooseFilter(row, above []byte, pixelBytes int) int {
	var sum [filters]int
	for i := pixelBytes; i < len(row); i += sampledEach {
		v, left, up, corner := row[i], row[i-pixelBytes], above[i], above[i-pixelBytes]
		sum[filterNone] += magnitude(v)
		sum[filterSub] += magnitude(v - left)
		sum[filterUp] += magnitude(v - up)
		sum[filterAverage] += magnitude(v - average(left, up))
		sum[filterPaeth] += magnitude(v - paeth(left, up, corner))
	}
	best := filterNone
	for filter, s := range sum {
		if s < sum[best] {
			best = filter
		}
	}
	return best
}

// magnitude is that of a difference modulo 256.
func magnitude(b byte) int { return int(min(b, -b)) }

func average(left, up byte) byte { return byte((int(left) + int(up)) / 2) }

// paeth returns the neighbour nearest to left + up - corner.
func paeth(left, up, corner byte) byte {
	toLeft, toUp := int(up)-int(corner), int(left)-int(corner)
	toCorner := max(toLeft+toUp, -(toLeft + toUp))
	toLeft, toUp = max(toLeft, -toLeft), max(toUp, -toUp)
	switch {
	case toLeft <= toUp && toLeft <= toCorner:
		return left
	case toUp <= toCorner:
		return up
	}
	return corner
}
