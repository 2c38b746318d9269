package picture

import "math"

// colourTable converts between samples and light for a profile that has tables. The profile's own tables are read into
// a grid of equal steps, which is interpolated in both directions, so that a colour comes back as it was.
type colourTable struct {
	grid [tableSide * tableSide * tableSide][3]float32
}

// tableSide is the number of grid points along an axis, as many as the profiles of printers and scanners have.
const tableSide = 33

func newColourTable(p *pipeline) *colourTable {
	t := new(colourTable)
	var in, out [4]float64
	for i := range t.grid {
		in[0] = float64(i/tableSide/tableSide) / (tableSide - 1)
		in[1] = float64(i/tableSide%tableSide) / (tableSide - 1)
		in[2] = float64(i%tableSide) / (tableSide - 1)
		p.TransformGeneral(out[:], in[:])
		for c := range 3 {
			t.grid[i][c] = float32(out[c])
		}
	}
	return t
}

// at returns encoded sRGB for samples from 0 to 1, and its derivatives by the samples.
func (t *colourTable) at(samples [3]float32) (value [3]float32, slope [3][3]float32) {
	var low [3]int
	var part [3]float32
	for c, v := range samples {
		v *= tableSide - 1
		low[c] = min(max(int(v), 0), tableSide-2)
		part[c] = v - float32(low[c])
	}
	for corner := range 8 {
		weight, at := float32(1), 0
		var along [3]float32 // the weight's derivatives
		for c := range 3 {
			along[c] = 1
		}
		for c := range 3 {
			w, d, step := 1-part[c], float32(-1), 0
			if corner>>c&1 == 1 {
				w, d, step = part[c], 1, 1
			}
			at = at*tableSide + low[c] + step
			weight *= w
			for other := range 3 {
				if other == c {
					along[other] *= d * (tableSide - 1)
				} else {
					along[other] *= w
				}
			}
		}
		for c, v := range t.grid[at] {
			value[c] += weight * v
			for s := range 3 {
				slope[c][s] += along[s] * v
			}
		}
	}
	return value, slope
}

func (t *colourTable) fromSamples(light []float32, samples []uint16) {
	for i := 0; i+4 <= len(samples); i += 4 {
		value, _ := t.at([3]float32{
			float32(samples[i]) / math.MaxUint16, float32(samples[i+1]) / math.MaxUint16, float32(samples[i+2]) / math.MaxUint16,
		})
		for c, v := range value {
			light[i/4*3+c] = SRGBToLight(255 * v)
		}
	}
}

// toSamples finds the samples by Newton's method, from the samples that sRGB would have. The step is halved while it
// makes the difference larger.
func (t *colourTable) toSamples(samples []uint16, light []float32) {
	for i := 0; i+4 <= len(samples); i += 4 {
		var wanted, x [3]float32
		for c := range wanted {
			wanted[c] = float32(linearToSRGB(float64(min(max(light[i/4*3+c], 0), 1))))
		}
		x = wanted
		value, slope := t.at(x)
		off := distance(value, wanted)
		for range 12 {
			if off < 1e-9 {
				break
			}
			step, ok := solve3(slope, [3]float32{wanted[0] - value[0], wanted[1] - value[1], wanted[2] - value[2]})
			if !ok {
				break
			}
			better := false
			for range 6 {
				var next [3]float32
				for c := range next {
					next[c] = min(max(x[c]+step[c], 0), 1)
				}
				v, s := t.at(next)
				if d := distance(v, wanted); d < off {
					x, value, slope, off, better = next, v, s, d, true
					break
				}
				for c := range step {
					step[c] /= 2
				}
			}
			if !better {
				break
			}
		}
		for c, v := range x {
			samples[i+c] = uint16(v*math.MaxUint16 + 0.5)
		}
	}
}

func distance(a, b [3]float32) (sum float32) {
	for c := range a {
		sum += (a[c] - b[c]) * (a[c] - b[c])
	}
	return sum
}

// solve3 returns x with m·x = v, or false if m has no inverse.
func solve3(m [3][3]float32, v [3]float32) (x [3]float32, ok bool) {
	var wide matrix3
	for i := range 3 {
		for j := range 3 {
			wide[i][j] = float64(m[i][j])
		}
	}
	inverse, ok := wide.inverse()
	if !ok {
		return x, false
	}
	out := inverse.apply([3]float64{float64(v[0]), float64(v[1]), float64(v[2])})
	return [3]float32{float32(out[0]), float32(out[1]), float32(out[2])}, true
}
