package checkpoint

import "math"

// Closeness says in words for people how far pictures are from those of the same model in bf16. All faces use these
// words.
type Closeness string

const (
	AsBF16      Closeness = "as bf16"
	VeryClose   Closeness = "very close"
	Close       Closeness = "close"
	Differences Closeness = "visible differences"
)

// limits of the distance, as distances has it, up to which pictures count as very close and as close.
const (
	veryCloseTo = 1.5
	closeTo     = 7
)

// distances say, for each format as Formats names it, by how much the transformer's velocity is off if all its matrices
// are stored so: the relative RMS error in percent. It is the one table that qualities come from.
//
// Those of Q8_0, Q6_K, Q4_K, Q4_0, fp8 e4m3 and int8 ConvRot were measured with the demo model (docs/quality.md). The
// others are counted from them: an error is proportional to the step between two values of a format, so that a bit less
// doubles it.
var distances = map[string]float64{
	"F32": 0, "F16": 0, "BF16": 0,
	"Q8_0": 0.8, "Q6_K": 2.3, "Q4_K": 9.6, "Q4_0": 10.9, "fp8 e4m3": 3.2, "int8 ConvRot": 0.9,
	"Q5_K": 4.8, "Q5_0": 5.4, "Q5_1": 4.9, "Q4_1": 9.9, "Q3_K": 19, "Q2_K": 38,
	"IQ4_NL": 8.8, "IQ4_XS": 9, "MXFP4": 13, "NVFP4": 10, "nvfp4": 10,
	"fp8 e5m2": 6.4, "mxfp8": 3.2, "int8": 2,
}

// encoderPart is how much of a format's distance reaches the velocity if the text encoder is stored so, and not the
// transformer: between 0.08 and 0.15 of it, as measured with the demo model.
const encoderPart = 0.15

// Shares say how many weights have each format, as Formats names it. Their sum need not be 1.
type Shares map[string]float64

// distance returns the distance of a network with these shares. The errors of weights are independent of each other, so
// that their squares add up.
func (s Shares) distance() float64 {
	sum, all := 0.0, 0.0
	for format, share := range s {
		d, known := distances[format]
		if !known {
			d = closeTo + 1 // of a format that nobody has rated, nothing good is said
		}
		sum += share * d * d
		all += share
	}
	if all == 0 {
		return 0
	}
	return math.Sqrt(sum / all)
}

// ClosenessOf returns the closeness of a model whose networks have these shares.
func ClosenessOf(transformer, textEncoder Shares) Closeness {
	switch d := math.Hypot(transformer.distance(), encoderPart*textEncoder.distance()); {
	case d == 0:
		return AsBF16
	case d <= veryCloseTo:
		return VeryClose
	case d <= closeTo:
		return Close
	}
	return Differences
}

// Closeness returns how close the model's pictures are to those of bf16 weights.
func (c *Checkpoint) Closeness() Closeness {
	return ClosenessOf(c.Transformer.shares(), c.TextEncoder.shares())
}

// shares returns the formats of the matrices that are read.
func (c Component) shares() Shares {
	s := Shares{}
	if w, ok := c.Source.(*weights); ok {
		w.each(func(m matrix) { s[m.format] += float64(m.elements) })
	}
	return s
}
