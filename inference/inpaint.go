package inference

import (
	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// inpainting starts a run from the latents of image 1, and keeps what the mask does not cover at the run's noise level,
// as Flux2KleinInpaintPipeline of Diffusers does. All matrices are [image tokens, channels].
type inpainting struct {
	b backend.Backend
	// source holds the latents of image 1. noise is the noise that the run starts from. It stays the same in all steps.
	source, noise backend.Matrix
	// mask has the mask's value of a token in all columns of its row, 1 where the picture changes. known is working
	// memory. Both have no rows if there is no mask.
	mask, known backend.Matrix
}

// newInpainting uploads noise, row-major [image tokens, channels], and the values of the mask, one for each token. Both
// are nil in a rehearsal. The matrices belong to s.
func newInpainting(
	s *backend.Scope, b backend.Backend, source backend.Matrix, noise, mask []float32, masked bool,
) *inpainting {
	p := &inpainting{b: b, source: source, noise: s.Upload(source.Rows, source.Cols, noise)}
	if !masked {
		return p
	}
	var wide []float32
	for _, m := range mask {
		for range source.Cols {
			wide = append(wide, m)
		}
	}
	p.mask = s.Upload(source.Rows, source.Cols, wide)
	p.known = s.AllocAs(source.Rows, source.Cols, tensor.F32)
	return p
}

// start stores in latents what a run starts from at noise level sigma: sigma·noise + (1 − sigma)·source. At level 1
// that is the noise, without rounding.
func (p *inpainting) start(latents backend.Matrix, sigma float32) {
	if sigma == 1 {
		p.b.Copy(latents, p.noise)
		return
	}
	p.b.Lerp(latents, p.source, p.noise, sigma)
}

// blend computes latents = (1 − mask)·known + mask·latents after a step that ended at noise level sigma, with
// known = sigma·noise + (1 − sigma)·source. After the last step sigma is 0, and known is the source itself.
func (p *inpainting) blend(latents backend.Matrix, sigma float32) {
	if p.mask.Rows == 0 {
		return
	}
	p.b.Lerp(p.known, p.source, p.noise, sigma)
	p.b.AddScaled(latents, latents, p.known, -1)
	// Affine multiplies columns. A matrix in one row gives each value its own factor.
	row := latents.OneRow()
	p.b.Affine(row, row, p.mask.OneRow(), p.known.OneRow())
}
