package inference

import (
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/vae"
)

// shape is the part of a request on which its cost depends: sizes and counts, without texts and pixels. Shapes can be
// compared with ==, so that a shape can be the key of a map.
type shape struct {
	size picture.Size
	// references has the sizes that the model sees. Unused entries are zero.
	references [MaxReferences]referenceShape
	// steps is the length of the schedule. The first start of them are not run.
	steps, start int
	// fromSource says that the run starts from the latents of the first reference, or blends them in as the mask says if
	// masked is set. hidden says that the transformer does not see them.
	fromSource, masked, hidden bool
	// cached says that the transformer sees the references by keys and values that are computed once.
	cached bool
	// sized says that the size follows from the first reference: nobody can ask for a smaller one.
	sized bool
	// guided says that each step takes two passes, one of them for the empty prompt. unprompted says that the prompt
	// itself is empty, so that both passes use the same embeds.
	guided, unprompted bool
	preview            bool
	loras              *loraSet // nil for none
}

// referenceShape is the size of a reference, and the index of the first reference with the same pixels: equal pictures
// are encoded once.
type referenceShape struct {
	size picture.Size
	same int
}

// shapeOf returns the shape of r. It scales no pixels.
func (e *Engine) shapeOf(r Request) shape {
	s := shape{size: r.size, steps: r.steps, guided: e.guided(r), unprompted: r.prompt == "", preview: r.preview}
	if edit := r.editing; edit != nil {
		s.start, s.masked, s.hidden = edit.Start, r.mask != nil, edit.Hidden
		s.fromSource = s.masked || s.start > 0
		s.sized = s.fromSource || r.original != nil || edit.Strength != 1
	}
	for i, ref := range r.references {
		if i == 0 && r.original != nil {
			// The model sees the area of it instead, whose pixels are not known yet. They seldom equal another reference.
			s.references[0] = referenceShape{r.size, 0}
			continue
		}
		same := i
		for j := i - 1; j >= 0; j-- {
			if (j > 0 || r.original == nil) && r.references[j].PixelsSHA256 == ref.PixelsSHA256 {
				same = j
			}
		}
		s.references[i] = referenceShape{ref.SizeFor(e.info.NativeSize), same}
	}
	s.cached = e.info.Variant == KV && len(s.conditions()) > 0
	return s
}

// run returns how many steps are run.
func (s shape) run() int { return s.steps - s.start }

// conditions returns the references that the transformer sees, in the order in which it counts them.
func (s shape) conditions() []referenceShape {
	all := s.referenced()
	if s.hidden {
		return all[1:]
	}
	return all
}

// conditionTokens returns how many tokens the references have that the transformer sees.
func (s shape) conditionTokens() (tokens int) {
	for _, ref := range s.conditions() {
		tokens += gridOf(ref.size).Tokens()
	}
	return tokens
}

// prompts returns how many passes a step takes, each with a prompt of its own.
func (s shape) prompts() int {
	if s.guided {
		return 2
	}
	return 1
}

// referenced returns the used entries of references.
func (s shape) referenced() []referenceShape {
	n := 0
	for n < len(s.references) && s.references[n].size != (picture.Size{}) {
		n++
	}
	return s.references[:n]
}

// gridOf returns the size of a picture in tokens.
func gridOf(s picture.Size) flux2.Grid {
	return flux2.Grid{Height: s.Height / vae.PixelsPerToken, Width: s.Width / vae.PixelsPerToken}
}

// Work estimates the arithmetic of r in multiply-adds, as if the caches were empty. The times of runs of one engine are
// in proportion to it. Adapters count once LoRA or Generate has opened them. It may be called while a picture is being
// made.
func (e *Engine) Work(r Request) float64 {
	s, text := e.shapeOf(r), e.info.MaxSequenceLength
	picture, references, passes := gridOf(s.size).Tokens(), s.conditionTokens(), s.run()*s.prompts()
	work := e.work(s, text)
	if s.cached {
		work += e.loras.costs.work(r.loras, 0, references, 1)
	} else {
		picture += references
	}
	return work + e.loras.costs.work(r.loras, text, picture, passes)
}

// work estimates the arithmetic of a request of shape s. textTokens is the number of text tokens.
func (n networks) work(s shape, textTokens int) float64 { return n.costs().work(s, textTokens) }
