package picture

import (
	"image"
	"math"
)

// matrix3 is a 3×3 matrix; the first index is the row.
type matrix3 [3][3]float64

func (m matrix3) apply(v [3]float64) (out [3]float64) {
	for i, row := range m {
		out[i] = row[0]*v[0] + row[1]*v[1] + row[2]*v[2]
	}
	return out
}

func (m matrix3) times(n matrix3) (out matrix3) {
	for i := range 3 {
		for j := range 3 {
			out[i][j] = m[i][0]*n[0][j] + m[i][1]*n[1][j] + m[i][2]*n[2][j]
		}
	}
	return out
}

// inverse returns the inverse of m, or false if m has none.
func (m matrix3) inverse() (out matrix3, ok bool) {
	cofactor := func(i, j int) float64 {
		a, b, c, d := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
		return m[a][c]*m[b][d] - m[a][d]*m[b][c]
	}
	determinant := m[0][0]*cofactor(0, 0) + m[0][1]*cofactor(0, 1) + m[0][2]*cofactor(0, 2)
	if math.Abs(determinant) < 1e-9 || math.IsNaN(determinant) {
		return out, false
	}
	for i := range 3 {
		for j := range 3 {
			out[i][j] = cofactor(j, i) / determinant
		}
	}
	return out, true
}

func diagonal(v [3]float64) matrix3 { return matrix3{{v[0], 0, 0}, {0, v[1], 0}, {0, 0, v[2]}} }

// bradford converts XYZ to the cone responses in which white points are adapted (ICC.1, annex E).
var bradford = matrix3{{0.8951, 0.2664, -0.1614}, {-0.7502, 1.7135, 0.0367}, {0.0389, -0.0685, 1.0296}}

// d50 is the white point of the ICC profile connection space, in XYZ.
var d50 = [3]float64{0.9642, 1, 0.8249}

// toXYZ returns the matrix from linear RGB to XYZ relative to D50. It returns false if the chromaticities span no
// colour space.
func (c rgbPrimaries) toXYZ() (matrix3, bool) {
	tristimulus := func(xy xy) [3]float64 { return [3]float64{xy[0] / xy[1], 1, (1 - xy[0] - xy[1]) / xy[1]} }
	if c.red[1] <= 0 || c.green[1] <= 0 || c.blue[1] == 0 || c.white[1] <= 0 {
		return matrix3{}, false
	}
	r, g, b, white := tristimulus(c.red), tristimulus(c.green), tristimulus(c.blue), tristimulus(c.white)
	columns := matrix3{{r[0], g[0], b[0]}, {r[1], g[1], b[1]}, {r[2], g[2], b[2]}}
	inverse, ok := columns.inverse()
	if !ok {
		return matrix3{}, false
	}
	cones, _ := bradford.inverse()
	from, to := bradford.apply(white), bradford.apply(d50)
	adapt := cones.times(diagonal([3]float64{to[0] / from[0], to[1] / from[1], to[2] / from[2]})).times(bradford)
	return adapt.times(columns.times(diagonal(inverse.apply(white)))), true
}

// toSRGB is the matrix from XYZ relative to D50 to linear sRGB.
var toSRGB = func() matrix3 {
	m, _ := srgbPrimaries.toXYZ()
	inverse, _ := m.inverse()
	return inverse
}()

// shaper converts colours with a curve for each channel and then a matrix. Since the channels add up in linear light,
// both are in its tables, and a pixel costs nine additions.
type shaper struct {
	base  [3]float32      // linear sRGB of black
	light [3][][3]float32 // for each channel and each of its values: what it adds, in linear sRGB
	shift int             // from a 16-bit sample to an index of light
}

// newShaper returns the shaper for a colour space with the given primaries and curve, or nil if the primaries span no
// colour space. Its tables are as deep as the samples of img.
func newShaper(colours rgbPrimaries, curve func(float64) float64, img image.Image) converter {
	m, ok := colours.toXYZ()
	if !ok {
		return nil
	}
	m = toSRGB.times(m)
	return tabulate(img, func(rgb [3]float64) [3]float64 {
		return m.apply([3]float64{curve(rgb[0]), curve(rgb[1]), curve(rgb[2])})
	})
}

// tabulate returns a shaper for a function from encoded RGB in [0, 1] to linear sRGB. The function must be a sum of
// functions of one channel each.
func tabulate(img image.Image, light func(rgb [3]float64) [3]float64) *shaper {
	values, shift := 256, 8
	if deep(img) {
		values, shift = 1<<16, 0
	}
	s := &shaper{shift: shift}
	base := light([3]float64{})
	for i := range base {
		s.base[i] = float32(base[i])
	}
	for c := range s.light {
		s.light[c] = make([][3]float32, values)
		for v := range s.light[c] {
			var rgb [3]float64
			rgb[c] = float64(v) / float64(values-1)
			for i, l := range light(rgb) {
				s.light[c][v][i] = float32(l - base[i])
			}
		}
	}
	return s
}

// deep reports whether the samples of img have more than 8 bits.
func deep(img image.Image) bool {
	switch img.(type) {
	case *image.Gray16, *image.NRGBA64, *image.RGBA64:
		return true
	}
	return false
}

func (s *shaper) row(levels []uint8, samples []uint16) {
	for i := 0; i < len(samples); i += 4 {
		r, g, b := &s.light[0][samples[i]>>s.shift], &s.light[1][samples[i+1]>>s.shift], &s.light[2][samples[i+2]>>s.shift]
		out := levels[i/4*3 : i/4*3+3]
		for c := range out {
			out[c] = srgbLevel(s.base[c] + r[c] + g[c] + b[c])
		}
	}
}

// lightSteps is the number of steps of srgbLevels. A step is at most a fifth of a level; it is largest near black.
const lightSteps = 1 << 14

// srgbLevels holds the sRGB level for linear light i/lightSteps.
var srgbLevels = func() (levels [lightSteps + 1]uint8) {
	for i := range levels {
		levels[i] = uint8(255*linearToSRGB(float64(i)/lightSteps) + 0.5)
	}
	return levels
}()

// srgbLevel returns the sRGB level of linear light, which is clipped to [0, 1].
func srgbLevel(light float32) uint8 {
	if !(light > 0) {
		return 0
	}
	return srgbLevels[min(int(light*lightSteps+0.5), lightSteps)]
}
