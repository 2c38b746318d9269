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
// Angles are float64, as in Flux2PosEmbed.
func (c Config) rope(s *backend.Scope, at []position) backend.RoPE {
	half := c.HeadDim / 2
	cos, sin := make([]float32, len(at)*half), make([]float32, len(at)*half)
	first := 0
	for axis, dim := range c.AxesDims {
		for i := range dim / 2 {
			freq := 1 / math.Pow(c.RopeTheta, float64(2*i)/float64(dim))
			for row, pos := range at {
				sn, cs := math.Sincos(float64(pos[axis]) * freq)
				cos[row*half+first+i], sin[row*half+first+i] = float32(cs), float32(sn)
			}
		}
		first += dim / 2
	}
	return backend.RoPE{Cos: s.Upload(len(at), half, cos), Sin: s.Upload(len(at), half, sin)}
}
