// Package vae turns pictures into latents and latents into pictures. Latents have the form of the transformer's tokens:
// a token is a patch of 2×2 latents, normalised by the mean and variance (bn) that come with the weights. The package
// knows nothing of prompts, noise or files.
//
// The arithmetic follows AutoencoderKLFlux2 of Diffusers, and Flux2KleinPipeline for patches and normalisation.
package vae

import (
	"context"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// VAE is the autoencoder, its weights loaded on a backend.
type VAE struct {
	b       backend.Backend
	cfg     Config
	encoder encoder
	decoder decoder
	// mean and std [token channels] normalise tokens: sqrt(bn.running_var + BatchNormEps) is std.
	mean, std []float32
	// watch, unless nil, is called with the activation after each part of Encode and Decode, for tests.
	watch func(stage string, x featureMap)
}

func (v *VAE) at(p *pass, stage string) {
	if v.watch != nil {
		v.watch(stage, p.x)
	}
}

type encoder struct {
	convIn  convolution
	levels  [levels]encoderLevel
	mid     midBlock
	normOut groupNorm
	convOut convolution
	quant   *convolution
}

type encoderLevel struct {
	resnets    []resnetBlock
	downsample *convolution
}

type decoder struct {
	postQuant *convolution
	convIn    convolution
	mid       midBlock
	levels    [levels]decoderLevel
	normOut   groupNorm
	convOut   convolution
}

type decoderLevel struct {
	resnets  []resnetBlock
	upsample *convolution
}

// New loads all weights from src. It returns an error if a weight is missing or has another shape than cfg gives.
func New(b backend.Backend, cfg Config, src tensor.Source) (*VAE, error) {
	l := backend.NewLoader(b, src)
	v := &VAE{b: b, cfg: cfg, encoder: loadEncoder(l, cfg), decoder: loadDecoder(l, cfg)}
	v.mean = l.Host("bn.running_mean", cfg.TokenChannels())
	variance := l.Host("bn.running_var", cfg.TokenChannels())
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	for _, x := range variance {
		v.std = append(v.std, float32(math.Sqrt(float64(x+float32(cfg.BatchNormEps)))))
	}
	return v, nil
}

func loadEncoder(l *backend.Loader, cfg Config) encoder {
	widths := cfg.EncoderWidths
	deepest := widths[levels-1]
	e := encoder{
		convIn:  loadConvolution(l, "encoder.conv_in", widths[0], 3, 3),
		mid:     loadMidBlock(l, "encoder.mid_block", deepest, cfg.MidAttention),
		normOut: loadGroupNorm(l, "encoder.conv_norm_out", deepest),
		convOut: loadConvolution(l, "encoder.conv_out", 2*cfg.LatentChannels, deepest, 3),
	}
	in := widths[0]
	for i, out := range widths {
		name := "encoder." + levelName("down", i)
		for j := range cfg.LayersPerBlock {
			r := loadResnetBlock(l, fmt.Sprintf("%s.resnets.%d", name, j), in, out)
			e.levels[i].resnets = append(e.levels[i].resnets, r)
			in = out
		}
		if i < levels-1 {
			c := loadConvolution(l, name+".downsamplers.0.conv", out, out, 3)
			e.levels[i].downsample = &c
		}
	}
	if cfg.QuantConv {
		c := loadConvolution(l, "quant_conv", 2*cfg.LatentChannels, 2*cfg.LatentChannels, 1)
		e.quant = &c
	}
	return e
}

func loadDecoder(l *backend.Loader, cfg Config) decoder {
	widths := cfg.DecoderWidths
	in := widths[levels-1]
	d := decoder{
		convIn:  loadConvolution(l, "decoder.conv_in", in, cfg.LatentChannels, 3),
		mid:     loadMidBlock(l, "decoder.mid_block", in, cfg.MidAttention),
		normOut: loadGroupNorm(l, "decoder.conv_norm_out", widths[0]),
		convOut: loadConvolution(l, "decoder.conv_out", 3, widths[0], 3),
	}
	for i := range levels {
		name, out := "decoder."+levelName("up", i), widths[levels-1-i]
		for j := range cfg.LayersPerBlock + 1 {
			r := loadResnetBlock(l, fmt.Sprintf("%s.resnets.%d", name, j), in, out)
			d.levels[i].resnets = append(d.levels[i].resnets, r)
			in = out
		}
		if i < levels-1 {
			c := loadConvolution(l, name+".upsamplers.0.conv", out, out, 3)
			d.levels[i].upsample = &c
		}
	}
	if cfg.PostQuantConv {
		c := loadConvolution(l, "post_quant_conv", cfg.LatentChannels, cfg.LatentChannels, 1)
		d.postQuant = &c
	}
	return d
}

// Config returns the config that New was given.
func (v *VAE) Config() Config { return v.cfg }

// Encode encodes a picture and stores its tokens in dst [(height/16)·(width/16), token channels]. pixels is row-major
// [height·width, 3] with values in [−1, 1], or nil in a rehearsal; height and width are multiples of 16. The result is
// the mean of the latent distribution, not a sample. Errors are ctx's and the backend's.
func (v *VAE) Encode(ctx context.Context, dst backend.Matrix, pixels []float32, height, width int) error {
	b, e := v.b, v.encoder
	p := &pass{b: b, groups: v.cfg.Groups}
	p.x = p.alloc(height, width, 3)
	defer func() { b.Free(p.x.Matrix) }()
	b.Upload(p.x.Matrix, pixels)
	p.convolve(e.convIn, convOptions{})
	for i, level := range e.levels {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, r := range level.resnets {
			p.resnet(r)
		}
		if level.downsample != nil {
			p.convolve(*level.downsample, convOptions{downsample: true})
		}
		v.at(p, fmt.Sprintf("encoder.down.%d", i))
	}
	p.mid(e.mid)
	v.at(p, "encoder.mid")
	p.convolve(e.convOut, convOptions{norm: &e.normOut})
	if e.quant != nil {
		p.convolve(*e.quant, convOptions{})
	}
	v.at(p, "quant_conv")

	s := backend.NewScope(b)
	defer s.Free()
	scale, shift := make([]float32, len(v.std)), make([]float32, len(v.std))
	for i, std := range v.std {
		scale[i], shift[i] = 1/std, -v.mean[i]/std
	}
	mean := p.x.ColRange(0, v.cfg.LatentChannels)
	b.Patchify(dst, mean, p.x.height, p.x.width)
	b.Affine(dst, dst, s.Upload(1, len(scale), scale), s.Upload(1, len(shift), shift))
	return b.Sync()
}

// Decode decodes tokens [(height/16)·(width/16), token channels] to a picture: row-major [height·width, 3]. Its values
// are not clamped to [−1, 1]; in a rehearsal the result is nil. progress is called after the middle block and after
// each level. Errors are ctx's and the backend's.
func (v *VAE) Decode(
	ctx context.Context, tokens backend.Matrix, height, width int, progress func(level, total int),
) ([]float32, error) {
	b, d := v.b, v.decoder
	s := backend.NewScope(b)
	defer s.Free()
	latents := s.AllocAs(tokens.Rows, tokens.Cols, tensor.F32)
	b.Affine(latents, tokens, s.Upload(1, len(v.std), v.std), s.Upload(1, len(v.mean), v.mean))
	p := &pass{b: b, groups: v.cfg.Groups}
	p.x = p.alloc(height/8, width/8, v.cfg.LatentChannels)
	defer func() { b.Free(p.x.Matrix) }()
	b.Unpatchify(p.x.Matrix, latents, height/8, width/8)

	if d.postQuant != nil {
		p.convolve(*d.postQuant, convOptions{})
	}
	v.at(p, "post_quant_conv")
	p.convolve(d.convIn, convOptions{})
	v.at(p, "decoder.conv_in")
	p.mid(d.mid)
	v.at(p, "decoder.mid")
	progress(1, levels+1)
	for i, level := range d.levels {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, r := range level.resnets {
			p.resnet(r)
		}
		if level.upsample != nil {
			p.convolve(*level.upsample, convOptions{upsample: true})
		}
		v.at(p, fmt.Sprintf("decoder.up.%d", i))
		progress(i+2, levels+1)
	}
	p.convolve(d.convOut, convOptions{norm: &d.normOut})
	if backend.Rehearses(b) {
		return nil, b.Sync()
	}
	pixels := make([]float32, p.x.Rows*p.x.Cols)
	b.Download(pixels, p.x.Matrix)
	return pixels, b.Sync()
}
