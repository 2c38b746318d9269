package inference

import (
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Costs say how much arithmetic the parts of a run of one model take, in multiply-adds. With them the work of a request
// can be estimated without the model: see Info.Work.
type Costs struct {
	PromptToken float64 `json:"prompt_token"` // encoding a token of a prompt
	// A step takes StepToken for each token, and StepPair for each pair of tokens: for the text, the picture and all
	// references together.
	StepToken   float64 `json:"step_token"`
	StepPair    float64 `json:"step_pair"`
	DecodePixel float64 `json:"decode_pixel"` // decoding a pixel of the picture
	EncodePixel float64 `json:"encode_pixel"` // encoding a pixel of a reference
}

// Valid says whether all costs are numbers that a model can have.
func (c Costs) Valid() bool {
	for _, v := range []float64{c.PromptToken, c.StepToken, c.StepPair, c.DecodePixel, c.EncodePixel} {
		if !(v >= 0) || math.IsInf(v, 1) { // written so that NaN is refused too
			return false
		}
	}
	return true
}

// costs returns the costs of the networks.
func (n networks) costs() Costs {
	transformer, pixel := n.transformer.Config(), picture.Size{Width: 1, Height: 1}
	one, two := stepWork(transformer, 1), stepWork(transformer, 2)
	pair := (two - 2*one) / 2 // a step takes a·tokens + b·tokens²
	return Costs{
		PromptToken: promptWork(n.encoder.Config(), 1), StepToken: one - pair, StepPair: pair,
		DecodePixel: decodeWork(n.vae.Config(), pixel), EncodePixel: encodeWork(n.vae.Config(), pixel),
	}
}

// work estimates the arithmetic of a request of shape s. textTokens is the number of text tokens.
func (c Costs) work(s shape, textTokens int) float64 {
	pixels := func(size picture.Size) float64 { return float64(size.Width * size.Height) }
	total := float64(s.prompts()*textTokens)*c.PromptToken + pixels(s.size)*c.DecodePixel
	for _, ref := range s.referenced() {
		total += pixels(ref.size) * c.EncodePixel
	}
	references := float64(s.conditionTokens())
	n := float64(textTokens + gridOf(s.size).Tokens()) // rows of a step
	keys := n + references
	if s.cached {
		total += c.cacheWork(s)
	} else {
		n = keys
	}
	return total + float64(s.run()*s.prompts())*(n*c.StepToken+n*keys*c.StepPair)
}

// cacheWork estimates the arithmetic of the keys and values of references, if they are computed once.
func (c Costs) cacheWork(s shape) float64 {
	if !s.cached {
		return 0
	}
	n := float64(s.conditionTokens())
	return n*c.StepToken + n*n*c.StepPair
}

// Work estimates the arithmetic of r, as Engine.Work of the engine that i describes.
func (i Info) Work(r Request) float64 {
	described := Engine{info: i} // a request's shape follows from the description
	return i.Costs.work(described.shapeOf(r), i.MaxSequenceLength)
}
