package inference

import (
	"image"

	"golang.org/x/image/draw"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/vae"
)

// previewTokens is the largest side of a preview in tokens: 12 tokens are 192 pixels. For any model that takes
// noticeable time, decoding so few pixels takes a small part of a step. Smaller pictures have previews of their own
// size.
const previewTokens = 12

// preview decodes a preview of the picture that the present velocity leads to. It averages the latents over squares of
// tokens, so that the decoder has little to do. It needs only the VAE, so that it works for any checkpoint.
func (r *run) preview(latents, velocity backend.Matrix, sigma float32) (*image.RGBA, error) {
	b, grid := r.b, gridOf(r.shape.size)
	s := backend.NewScope(b)
	defer s.Free()
	expected := s.AllocAs(latents.Rows, latents.Cols, latents.DType)
	b.AddScaled(expected, latents, velocity, -sigma)
	square := (max(grid.Height, grid.Width) + previewTokens - 1) / previewTokens
	small := flux2.Grid{Height: (grid.Height + square - 1) / square, Width: (grid.Width + square - 1) / square}
	var pooled []float32
	if r.content != nil {
		host := make([]float32, expected.Rows*expected.Cols)
		b.Download(host, expected)
		if err := b.Sync(); err != nil {
			return nil, err
		}
		pooled = pool(host, grid, small, latents.Cols, square)
	}
	height, width := small.Height*vae.PixelsPerToken, small.Width*vae.PixelsPerToken
	pixels, err := r.vae.Decode(r.ctx, s.Upload(small.Tokens(), latents.Cols, pooled), height, width, func(int, int) {})
	if err != nil || r.content == nil {
		return nil, err
	}
	img, err := picture.FromFloats(pixels, width, height)
	if around := r.content.around; err == nil && around != nil {
		return edit.Preview(r.ctx, around.whole, img, around.area, around.mask)
	}
	return img, err
}

// aroundSide is the longer side of the preview of a picture that is laid into image 1, in pixels.
const aroundSide = 512

// around is what surrounds the preview of a picture that is laid into image 1.
type around struct {
	whole *image.RGBA // image 1, small
	area  edit.Area
	mask  *Mask
}

// newAround returns what surrounds the previews of req. It scales image 1 as the model would see it as a reference:
// that is small already.
func newAround(req Request) *around {
	size := req.original.Size
	scale := min(aroundSide/float64(max(size.Width, size.Height)), 1)
	scaled := func(v int) int { return int(float64(v)*scale + 0.5) }
	whole := image.NewRGBA(image.Rect(0, 0, max(scaled(size.Width), 1), max(scaled(size.Height), 1)))
	margins, ref := req.editing.Margins, req.references[0].Image
	old := image.Rect(scaled(margins.Left), scaled(margins.Top), scaled(size.Width-margins.Right),
		scaled(size.Height-margins.Bottom))
	draw.Draw(whole, whole.Rect, image.White, image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(whole, old, ref, ref.Rect, draw.Src, nil)
	return &around{whole, req.area, req.mask}
}

// pool averages squares of square × square tokens into the tokens of small. Squares at the lower and right edge may be
// smaller.
func pool(tokens []float32, grid, small flux2.Grid, channels, square int) []float32 {
	sums, counts := make([]float32, small.Tokens()*channels), make([]float32, small.Tokens())
	for y := range grid.Height {
		for x := range grid.Width {
			to := y/square*small.Width + x/square
			counts[to]++
			from := tokens[(y*grid.Width+x)*channels:][:channels]
			for c, v := range from {
				sums[to*channels+c] += v
			}
		}
	}
	for i := range sums {
		sums[i] /= counts[i/channels]
	}
	return sums
}
