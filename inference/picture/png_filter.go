package picture

// The filters of PNG, section 9 of its specification. A row is stored as the differences from a prediction that the
// filter makes from neighbouring bytes.
const (
	filterNone = iota
	filterSub
	filterUp
	filterAverage
	filterPaeth
	filters
)

// sampledEach is the distance of the bytes by which filters are compared. It has no common divisor with the 3 or 4
// bytes of a pixel, so that every channel is sampled.
const sampledEach = 11

// filterRow chooses a filter for row, and writes the filter's number to dst[0] and the filtered row to the bytes after
// it. above is the row before, or zeros for the first row.
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

// chooseFilter returns the filter with the smallest sum of absolute differences, as the specification advises. It
// samples every sampledEach-th byte.
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

// magnitude returns the absolute value of a difference modulo 256.
func magnitude(b byte) int { return int(min(b, -b)) }

func average(left, up byte) byte { return byte((int(left) + int(up)) / 2) }

// paeth returns the one of the three neighbours that is nearest to left + up - corner.
func paeth(left, up, corner byte) byte {
	toLeft, toUp := int(up)-int(corner), int(left)-int(corner)
	toCorner := max(toLeft+toUp, -(toLeft + toUp))
	toLeft, toUp = max(toLeft, -toLeft), max(toUp, -toUp)
	// In grain the nearest one is not predictable, so it is chosen without a branch: the compiler makes conditional moves
	// of these two steps.
	nearest, away := int(left), toLeft
	if toUp < away {
		nearest = int(up)
	}
	away = min(away, toUp)
	if toCorner < away {
		nearest = int(corner)
	}
	return byte(nearest)
}
