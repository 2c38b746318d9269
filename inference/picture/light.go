package picture

import (
	"image"
	"math"
)

// Light converts between the samples of an Original and linear light with sRGB's primaries, from 0 for black to 1 for
// white. Colours outside sRGB have values below 0 or above 1, so that they survive the way there and back. Several
// goroutines may use it.
type Light struct {
	gray  bool
	shift int // from a 16-bit sample to an index of the tables
	// A picture with curves and a matrix: what each value of a channel adds to the light of black.
	base     [3]float32
	light    [3][][3]float32
	matrix   matrix3 // from the channels' own linear light to linear sRGB; its columns are the channels' full light
	inverse  [3][3]float32
	inverses [3][]float32 // the sample, from 0 to 1, for the square root of a channel's own linear light
	table    *colourTable // a picture whose profile has tables; else nil
}

// inverseSteps is the number of steps of the curves' inverses. They have even steps in the square root of light, as
// samples nearly have, so that linear interpolation is exact to a tenth of a 16-bit level.
const inverseSteps = 4096

// Light returns the conversion of the picture's samples. It is made when it is first asked for.
func (o *Original) Light() *Light { return o.light() }

func newLight(o *Original) *Light {
	var kind image.Image = &image.NRGBA{}
	if deep(o.Pixels) {
		kind = &image.NRGBA64{}
	}
	var s *shaper
	switch to := o.converted.to.(type) {
	case *shaper:
		s = to
	case *pipeline:
		if o.gray {
			return newGrayLight(to, deep(o.Pixels))
		}
		return &Light{table: newColourTable(to)}
	default:
		s = tabulate(kind, func(rgb [3]float64) [3]float64 {
			return [3]float64{srgbToLinear(rgb[0]), srgbToLinear(rgb[1]), srgbToLinear(rgb[2])}
		})
	}
	return newShaperLight(s, o.gray)
}

// newShaperLight inverts the tables of a shaper.
func newShaperLight(s *shaper, gray bool) *Light {
	l := &Light{gray: gray, shift: s.shift, base: s.base, light: s.light}
	last := len(s.light[0]) - 1
	for c := range 3 {
		for i := range 3 {
			l.matrix[i][c] = float64(s.light[c][last][i])
		}
	}
	inverse, ok := l.matrix.inverse()
	if !ok { // primaries on a line: only such a picture's own colours are kept
		inverse = diagonal([3]float64{1, 1, 1})
	}
	for i := range 3 {
		for j := range 3 {
			l.inverse[i][j] = float32(inverse[i][j])
		}
	}
	for c := range 3 {
		l.inverses[c] = invert(func(v int) float64 { return l.curveAt(c, v) }, last+1)
	}
	return l
}

// newGrayLight returns the Light of a gray picture whose profile is a pipeline.
func newGrayLight(p *pipeline, deep bool) *Light {
	values := 256
	l := &Light{gray: true, shift: 8, matrix: diagonal([3]float64{1, 1, 1})}
	if deep {
		values, l.shift = 1<<16, 0
	}
	curve := make([][3]float32, values)
	var in, out [4]float64
	for v := range curve {
		in[0] = float64(v) / float64(values-1)
		p.TransformGeneral(out[:], in[:])
		y := srgbToLinear(luminance(out[0], out[1], out[2]))
		curve[v] = [3]float32{float32(y), float32(y), float32(y)}
	}
	// Gray uses the sum of the three channels, so each of them has a part.
	for c, part := range luminanceOf {
		l.light[c] = make([][3]float32, values)
		for v := range curve {
			for i := range 3 {
				l.light[c][v][i] = curve[v][i] * float32(part)
			}
		}
	}
	own := func(v int) float64 { return float64(curve[v][0]) }
	for c := range 3 {
		l.inverses[c] = invert(own, values)
	}
	return l
}

// luminanceOf holds the parts of red, green and blue in the luminance of linear sRGB.
var luminanceOf = [3]float64{0.2126, 0.7152, 0.0722}

func luminance(r, g, b float64) float64 {
	return luminanceOf[0]*r + luminanceOf[1]*g + luminanceOf[2]*b
}

// curveAt returns the linear light, in the channel's own units, of value v of channel c.
func (l *Light) curveAt(c, v int) float64 {
	column := [3]float64{l.matrix[0][c], l.matrix[1][c], l.matrix[2][c]}
	light := l.light[c][v]
	along := float64(light[0])*column[0] + float64(light[1])*column[1] + float64(light[2])*column[2]
	return along / max(column[0]*column[0]+column[1]*column[1]+column[2]*column[2], 1e-12)
}

// curve returns the linear light of a sample from 0 to 1.
func (l *Light) curve(c int, sample float64) float64 {
	at := sample * float64(len(l.light[c])-1)
	low := min(int(at), len(l.light[c])-2)
	return l.curveAt(c, low) + (at-float64(low))*(l.curveAt(c, low+1)-l.curveAt(c, low))
}

// invert returns the inverse of a rising curve of n values, in steps of the square root of its result. Where the curve
// falls, the inverse stays at the sample before.
func invert(curve func(v int) float64, n int) []float32 {
	inverse := make([]float32, inverseSteps+1)
	v := 0
	low, high := curve(0), curve(min(1, n-1))
	for i := range inverse {
		root := float64(i) / inverseSteps
		light := root * root
		for v+2 < n && high < light {
			v++
			low = max(low, high)
			high = max(low, curve(v+1))
		}
		at := float64(v)
		if high > low {
			at += min(max((light-low)/(high-low), 0), 1)
		} else if light > high {
			at++
		}
		inverse[i] = float32(at / float64(n-1))
	}
	return inverse
}

// FromSamples converts 16-bit samples, four a pixel, as Original.Row gives them, to light, three a pixel.
func (l *Light) FromSamples(light []float32, samples []uint16) {
	if l.table != nil {
		l.table.fromSamples(light, samples)
		return
	}
	for i := 0; i+4 <= len(samples); i += 4 {
		r, g, b := &l.light[0][samples[i]>>l.shift], &l.light[1][samples[i+1]>>l.shift], &l.light[2][samples[i+2]>>l.shift]
		out := light[i/4*3 : i/4*3+3 : i/4*3+3]
		for c := range out {
			out[c] = l.base[c] + r[c] + g[c] + b[c]
		}
	}
}

// ToSamples converts light to samples. Colours that the picture's colour space does not have are clipped. It leaves
// alpha as it is. A gray picture gets the luminance.
func (l *Light) ToSamples(samples []uint16, light []float32) {
	if l.table != nil {
		l.table.toSamples(samples, light)
		return
	}
	for i := 0; i+4 <= len(samples); i += 4 {
		in := light[i/4*3 : i/4*3+3 : i/4*3+3]
		r, g, b := in[0]-l.base[0], in[1]-l.base[1], in[2]-l.base[2]
		if l.gray {
			v := l.sample(0, float32(luminanceOf[0])*r+float32(luminanceOf[1])*g+float32(luminanceOf[2])*b)
			samples[i], samples[i+1], samples[i+2] = v, v, v
			continue
		}
		for c := range 3 {
			m := &l.inverse[c]
			samples[i+c] = l.sample(c, m[0]*r+m[1]*g+m[2]*b)
		}
	}
}

// sample returns the 16-bit sample of channel c for the channel's own linear light.
func (l *Light) sample(c int, light float32) uint16 {
	if !(light > 0) {
		return uint16(l.inverses[c][0]*math.MaxUint16 + 0.5)
	}
	at := float32(math.Sqrt(float64(min(light, 1)))) * inverseSteps
	low := min(int(at), inverseSteps-1)
	table := l.inverses[c][low : low+2 : low+2]
	v := table[0] + (at-float32(low))*(table[1]-table[0])
	return uint16(v*math.MaxUint16 + 0.5)
}

// SRGBToLight returns linear light for an sRGB level from 0 to 255, which need not be whole. Levels beyond are clipped.
func SRGBToLight(level float32) float32 {
	at := min(max(level, 0), 255) * (lightOfSteps / 255.0)
	low := min(int(at), lightOfSteps-1)
	return lightOf[low] + (at-float32(low))*(lightOf[low+1]-lightOf[low])
}

// lightOfSteps is the number of steps of lightOf: 16 for each level.
const lightOfSteps = 255 * 16

// lightOf holds the linear light of the sRGB value i/lightOfSteps.
var lightOf = func() (table [lightOfSteps + 1]float32) {
	for i := range table {
		table[i] = float32(srgbToLinear(float64(i) / lightOfSteps))
	}
	return table
}()
