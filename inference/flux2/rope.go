package flux2

import (
	"math"

	"kleinbild/inference/backend"
)

// axes is the number of coordinates of a token: time, row, column, place in the text.
const axes = 4

// position is a token's coordinates (T, H, W, L).
type position [axes]int

// Grid is the size of a picture in tokens, 16 pixels a side each.
type Grid struct{ Height, Width int }

// Tokens is the number of tokens of the grid.
func (g Grid) Tokens() int { return g.Height * g.Width }

// referenceTime is the distance between references on the time axis: reference i stands at (i+1)·10.
const referenceTime = 10

// positions lists the coordinates of the joint sequence: text, image, references.
func positions(textLen int, image Grid, refs []Grid) []position {
	var all []position
	for l := range textLen {
		all = append(all, position{0, 0, 0, l})
	}
	for i, g := range append([]Grid{image}, refs...) {
		for y := range g.Height {
			for x := range g.Width {
				all = append(all, position{referenceTime * i, y, x, 0})
			}
		}
	}
	return all
}

// rope returns the rotation of the given positions: each axis turns its own pairs of neighbouring coordinates.
// Angles are float64, as in Flux2PosEmbed; many tokens share a coordinate, so that each is turned once.
func (c Config) rope(s *backend.Scope, at []position) backend.RoPE {
	half := c.HeadDim / 2
	cos, sin := make([]float32, len(at)*half), make([]float32, len(at)*half)
	first := 0
	for axis, dim := range c.AxesDims {
		last := 0
		for _, pos := range at {
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
		for row, pos := range at {
			copy(cos[row*half+first:][:pairs], cosines[pos[axis]*pairs:])
			copy(sin[row*half+first:][:pairs], sines[pos[axis]*pairs:])
		}
		first += pairs
	}
	return backend.RoPE{Cos: s.Upload(len(at), half, cos), Sin: s.Upload(len(at), half, sin)}
}
