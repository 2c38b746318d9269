package inference

import (
	"context"
	"fmt"
	"image"
	"os"
	"slices"

	"golang.org/x/image/draw"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/taef2"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/vae"
)

// publishedEncoder has the widths of the encoder of FLUX.2's VAE, which every published model has. TAEF2 was trained on
// its latents, and means nothing to those of another one.
var publishedEncoder = []int{128, 256, 512, 512}

// previewWeights are the weights of TAEF2. src is nil without them, err says why they cannot be used.
type previewWeights struct {
	src tensor.Source
	err error
}

// readPreviewDecoder reads TAEF2, if its file is there and the model has the latents that it was trained on.
func (e *Engine) readPreviewDecoder(ctx context.Context, opts Options) {
	path := opts.taef2
	if path == "" {
		cfg, err := configOf(e.ckpt.VAE, vae.ParseConfig, vae.InferConfig)
		if err != nil || !slices.Equal(cfg.EncoderWidths, publishedEncoder) || cfg.TokenChannels() != taef2.TokenChannels {
			return
		}
		if path = checkpoint.FindPreview(os.Getenv); path == "" {
			return
		}
	}
	e.previewWeights.src, e.previewWeights.err = checkpoint.ReadPreview(ctx, path)
}

// decoder returns the decoder for previews on b, or nil if there is none.
func (w *previewWeights) decoder(b backend.Backend) *taef2.Decoder {
	if w.src == nil || w.err != nil {
		return nil
	}
	b.Network("previews")
	d, err := taef2.New(b, w.src)
	if err != nil {
		w.err = err
		return nil
	}
	return d
}

// notices says why a file that is there cannot be used: without it, previews are smaller.
func (w *previewWeights) notices() []string {
	if w.err == nil {
		return nil
	}
	return []string{fmt.Sprintf("previews are small: the file for larger ones cannot be used: %v", w.err)}
}

// previewTokens is the largest side of a preview in tokens: 12 tokens are 192 pixels. For any model that takes
// noticeable time, decoding so few pixels takes a small part of a step. Smaller pictures have previews of their own
// size.
const previewTokens = 12

// preview decodes a preview of the picture that the present velocity leads to: with TAEF2 at the picture's size, or
// with the VAE. For the VAE it averages the latents over squares of tokens, so that the decoder has little to do.
func (r *run) preview(latents, velocity backend.Matrix, sigma float32) (*image.RGBA, error) {
	b, grid := r.b, gridOf(r.shape.size)
	s := backend.NewScope(b)
	defer s.Free()
	expected := s.AllocAs(latents.Rows, latents.Cols, latents.DType)
	b.AddScaled(expected, latents, velocity, -sigma)
	if r.taef2 != nil {
		return r.fullPreview(expected)
	}
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
	return r.finishPreview(pixels, width, height)
}

// fullPreview decodes latents with TAEF2. In a rehearsal it returns nil.
func (r *run) fullPreview(latents backend.Matrix) (*image.RGBA, error) {
	size := r.shape.size
	pixels, err := r.taef2.Decode(r.ctx, latents, size.Height, size.Width)
	if err != nil || r.content == nil {
		return nil, err
	}
	for i, v := range pixels {
		pixels[i] = 2*v - 1
	}
	return r.finishPreview(pixels, size.Width, size.Height)
}

// finishPreview makes a picture of pixels in [−1, 1], and lays it into what surrounds it, if anything does.
func (r *run) finishPreview(pixels []float32, width, height int) (*image.RGBA, error) {
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
