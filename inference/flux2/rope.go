package flux2

import "math"

// axes is the number of coordinates of a token: time, row, column, and index in the text.
const axes = 4

// position holds the coordinates (T, H, W, L) of a token, in the order of axes_dims_rope.
type position [axes]int

// Grid is the size of a picture in tokens. A token stands for 16×16 pixels.
type Grid struct{ Height, Width int }

// Tokens returns the number of tokens of the grid.
func (g Grid) Tokens() int { return g.Height * g.Width }

// referenceTimeStep is the distance between pictures on the time axis: the image has T = 0, reference i T = (i+1)·10.
const referenceTimeStep = 10

// positions returns the coordinates of the tokens of the joint sequence: text, image, references.
func positions(textLen int, image Grid, refs []Grid) []position {
	var all []position
	for l := range textLen {
		all = append(all, position{0, 0, 0, l})
	}
	for i, g := range append([]Grid{image}, refs...) {
		for y := range g.Height {
			for x := range g.Width {
				all = append(all, position{referenceTimeStep * i, y, x, 0})
			}
		}
	}
	return all
}

// rotations returns the cosines and sines of tokens at the given positions, each row-major [tokens, half the head].
// Each axis rotates its own range of a head's channels, in pairs of neighbours. Angles are float64, as in
// Flux2PosEmbed. Many tokens share a coordinate, so each coordinate's cosines and sines are computed once and copied.
func (c Config) rotations(tokens []position) (cos, sin []float32) {
	half := c.HeadDim / 2
	cos, sin = make([]float32, len(tokens)*half), make([]float32, len(tokens)*half)
	first := 0 // the axis's first pair within a head
	for axis, dim := range c.AxesDims {
		last := 0
		for _, pos := range tokens {
			last = max(last, pos[axis])
		}
		pairs := dim / 2
		cosines, sines := make([]float32, (last+1)*pairs), make([]float32, (last+1)*pairs)
		for i := range pairs {
			freq := 1 / math.Pow(c.RopeTheta, float64(2*i)/float64(dim))
			for x := range last + 1 {
				sn, cs := math.Sincos(float64(x) * freq)
				cosines[x*pairs+i], sines[x*pairs+i] = float32(cs), float32(sn)
			}
		}
		for row, pos := range tokens {
			copy(cos[row*half+first:][:pairs], cosines[pos[axis]*pairs:])
			copy(sin[row*half+first:][:pairs], sines[pos[axis]*pairs:])
		}
		first += pairs
	}
	return cos, sin
}
