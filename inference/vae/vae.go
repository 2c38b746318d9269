// Package vae turns pictures into latents and latents into pictures. It knows nothing of prompts, noise or
// files. Latents leave and enter as the transformer's tokens: 2×2 latent pixels side by side, normalised by
// the statistics that come with the weights.
//
// The arithmetic follows AutoencoderKLFlux2 of Diffusers and what Flux2KleinPipeline does around it.
package vae

import (
	"context"
	"fmt"
	"math"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
)

// VAE is the autoencoder on a backend.
type VAE struct {
	b       backend.Backend
	cfg     Config
	encoder encoder
	decoder decoder
	// mean and std of each token channel over many pictures.
	mean, std []float32
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

// New loads all weights from src and checks their shapes against cfg.
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
		name := "encoder." + level("down", i)
		for j := range cfg.LayersPerBlock {
			e.levels[i].resnets = append(e.levels[i].resnets, loadResnetBlock(l, fmt.Sprintf("%s.resnets.%d", name, j), in, out))
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
		name, out := "decoder."+level("up", i), widths[levels-1-i]
		for j := range cfg.LayersPerBlock + 1 {
			d.levels[i].resnets = append(d.levels[i].resnets, loadResnetBlock(l, fmt.Sprintf("%s.resnets.%d", name, j), in, out))
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

// Config returns the sizes.
func (v *VAE) Config() Config { return v.cfg }

// Encode stores the tokens of a picture in dst [height/16·width/16, token channels]. pixels is row-major
// [height·width, 3] in [−1, 1]; height and width are multiples of 16. The mean of the latent distribution is
// taken, no sample.
func (v *VAE) Encode(ctx context.Context, dst backend.Matrix, pixels []float32, height, width int) error {
	b, e := v.b, v.encoder
	w := &walk{b: b, groups: v.cfg.Groups}
	w.x = w.alloc(height, width, 3)
	defer func() { b.Free(w.x.Matrix) }()
	b.Upload(w.x.Matrix, pixels)
	w.convolve(e.convIn, pass{})
	for _, level := range e.levels {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, r := range level.resnets {
			w.resnet(r)
		}
		if level.downsample != nil {
			w.convolve(*level.downsample, pass{downsample: true})
		}
	}
	w.mid(e.mid)
	w.convolve(e.convOut, pass{norm: &e.normOut})
	if e.quant != nil {
		w.convolve(*e.quant, pass{})
	}

	s := backend.NewScope(b)
	defer s.Free()
	scale, shift := make([]float32, len(v.std)), make([]float32, len(v.std))
	for i, std := range v.std {
		scale[i], shift[i] = 1/std, -v.mean[i]/std
	}
	mean := w.x.ColRange(0, v.cfg.LatentChannels)
	b.Patchify(dst, mean, w.x.height, w.x.width)
	b.Affine(dst, dst, s.Upload(1, len(scale), scale), s.Upload(1, len(shift), shift))
	return b.Sync()
}

// Decode returns the picture of tokens [height/16·width/16, token channels]: row-major [height·width, 3],
// nominally in [−1, 1], not clamped. progress is called after each level.
func (v *VAE) Decode(ctx context.Context, tokens backend.Matrix, height, width int, progress func(level, total int)) ([]float32, error) {
	b, d := v.b, v.decoder
	s := backend.NewScope(b)
	defer s.Free()
	latents := s.AllocAs(tokens.Rows, tokens.Cols, tensor.F32)
	b.Affine(latents, tokens, s.Upload(1, len(v.std), v.std), s.Upload(1, len(v.mean), v.mean))
	w := &walk{b: b, groups: v.cfg.Groups}
	w.x = w.alloc(height/8, width/8, v.cfg.LatentChannels)
	defer func() { b.Free(w.x.Matrix) }()
	b.Unpatchify(w.x.Matrix, latents, height/8, width/8)

	if d.postQuant != nil {
		w.convolve(*d.postQuant, pass{})
	}
	w.convolve(d.convIn, pass{})
	w.mid(d.mid)
	progress(1, levels+1)
	for i, level := range d.levels {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, r := range level.resnets {
			w.resnet(r)
		}
		if level.upsample != nil {
			w.convolve(*level.upsample, pass{upsample: true})
		}
		progress(i+2, levels+1)
	}
	w.convolve(d.convOut, pass{norm: &d.normOut})
	pixels := make([]float32, w.x.Rows*w.x.Cols)
	b.Download(pixels, w.x.Matrix)
	return pixels, b.Sync()
}
