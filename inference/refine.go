package inference

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/scheduler"
)

// Refinement says how Engine.Refine works a picture over.
type Refinement struct {
	// Prompt says what the model does to each tile; DefaultRefinePrompt if it is left out.
	Prompt string
	// Strength is that of Edit; DefaultRefineStrength if it is nil. With 4 steps, 0.25 runs one of them, 0.5 two.
	Strength *float64
	Steps    *int // nil for the model's own
	Seed     *uint64
	LoRAs    []LoRA
}

const (
	// DefaultRefinePrompt asks for what lies between a picture that was enlarged and one that was made at its size.
	DefaultRefinePrompt = "Sharpen this picture and add fine, natural detail. Keep everything else exactly as it is."
	// DefaultRefineStrength runs the last quarter of the schedule: enough for detail, too little for new content.
	DefaultRefineStrength = 0.25
	// side16 is what sides are multiples of, for the model: a token stands for 16×16 pixels.
	side16 = 16
	// refineOverlap is the least overlap of tiles, as a share of the model's native side: 128 of 1024 pixels.
	refineOverlap = 8
	// MaxRefinePixels is the largest picture that Refine takes. With its result, the noise and a row of tiles it holds
	// 10 bytes a pixel.
	MaxRefinePixels = 100e6
)

// RefineProgress tells how far Refine is.
type RefineProgress struct {
	Tile, Tiles int // the tile that is being made, from 1
	// Of is the progress of that tile. Its Fraction, Elapsed and Remaining are those of the whole picture.
	Of Progress
}

// Progress returns the progress of Refine as that of a stage of a run whose parts are the tiles.
func (p RefineProgress) Progress() Progress {
	of := p.Of
	of.Stage, of.Step, of.Total, of.Preview = StageRefine, p.Tile-1, p.Tiles, nil
	return of
}

// Check compares the fields with their limits. The error is a FieldError.
func (r Refinement) Check() error {
	_, err := r.ask().Check()
	return err
}

// Refine has the model work a picture over that is larger than it can make, such as one that was enlarged: tile by
// tile, from the tile with some noise, with the tile as reference. It returns a picture of the same size, and the
// metadata of what was asked of each tile.
//
// All tiles are cut from one field of noise, so that the model starts with the same where they overlap; there the tiles
// are mixed, see edit.Tiles. Each tile keeps its own low frequencies, so that colours do not drift from tile to tile,
// and the model adds detail, not things. img is opaque sRGB; both sides have at least 64 pixels. If a side is no
// multiple of 16, the picture is continued by its last pixels, and cropped at the end. The error for fields out of
// their limits is a FieldError.
func (e *Engine) Refine(
	ctx context.Context, img *image.RGBA, how Refinement, progress func(RefineProgress),
) (*image.RGBA, picture.Metadata, error) {
	var meta picture.Metadata
	size := picture.Size{Width: img.Rect.Dx(), Height: img.Rect.Dy()}
	if min(size.Width, size.Height) < picture.MinSide || size.Width*size.Height > MaxRefinePixels {
		return nil, meta, fmt.Errorf("inference: refine: found %v pixels, want %d a side at least and %d megapixels at most",
			size, picture.MinSide, int(MaxRefinePixels/1e6))
	}
	most := picture.NativeSide
	if native := e.info.NativeSize; native > 0 {
		most = min(native, most)
	}
	whole := func(side int) int { return (side + side16 - 1) / side16 * side16 }
	canvas := picture.Size{Width: whole(size.Width), Height: whole(size.Height)}
	grid := gridOf(canvas)
	tiles, err := edit.NewTiles(canvas, most, whole(most/refineOverlap))
	if err != nil {
		return nil, meta, err
	}
	checked, err := how.ask().Check()
	if err != nil {
		return nil, meta, err
	}
	noise := scheduler.Noise(checked.Seed(), e.info.TokenChannels*grid.Tokens())
	start := time.Now()
	made, err := tiles.Mix(ctx, func(i int) (*image.RGBA, error) {
		at := tiles.At(i)
		ask := how.ask()
		seed := checked.Seed()
		ask.Seed = &seed
		ask.References = []Source{Reference{"", picture.NewReference(cutOut(img, at))}}
		ask.Noise = cutNoise(noise, e.info.TokenChannels, grid, at)
		req, err := ask.Resolve(e.info)
		if err != nil {
			return nil, err
		}
		result, err := e.Generate(ctx, req, func(p Progress) {
			if progress == nil {
				return
			}
			p.Elapsed = time.Since(start)
			p.Fraction = (float64(i) + p.Fraction) / float64(tiles.Len())
			if p.Remaining = 0; p.Fraction > 0 {
				p.Remaining = time.Duration(float64(p.Elapsed) * (1 - p.Fraction) / p.Fraction)
			}
			progress(RefineProgress{Tile: i + 1, Tiles: tiles.Len(), Of: p})
		})
		if err != nil {
			return nil, err
		}
		meta = result.Metadata
		tile, ok := result.Image.(*image.RGBA)
		if !ok {
			return nil, fmt.Errorf("inference: refine: a tile is a %T, want 8-bit RGB", result.Image)
		}
		return edit.WithLowBand(ctx, tile, req.References()[0].Image)
	})
	if err != nil {
		return nil, meta, err
	}
	// What was asked of a tile is true of the picture, but for its size and what it was made from.
	meta.Width, meta.Height, meta.References = size.Width, size.Height, nil
	return made.SubImage(image.Rect(0, 0, size.Width, size.Height)).(*image.RGBA), meta, nil
}

// ask returns what is asked of each tile, without what differs between tiles.
func (r Refinement) ask() Ask {
	prompt, strength := r.Prompt, r.Strength
	if prompt == "" {
		prompt = DefaultRefinePrompt
	}
	if strength == nil {
		strength = new(DefaultRefineStrength)
	}
	return Ask{
		Prompt: prompt, Seed: r.Seed, Steps: r.Steps, LoRAs: r.LoRAs,
		References: []Source{Reference{}}, // the tile, which the checks of fields only count
		Edit:       &Edit{Strength: strength},
	}
}

// cutOut returns a part of img as a picture of its own. Outside of img it has the nearest pixels.
func cutOut(img *image.RGBA, at image.Rectangle) *image.RGBA {
	part := image.NewRGBA(image.Rectangle{Max: at.Size()})
	last := img.Rect.Size().Sub(image.Pt(1, 1))
	for y := range at.Dy() {
		from := img.Pix[min(at.Min.Y+y, last.Y)*img.Stride:]
		to := part.Pix[y*part.Stride:][:part.Stride]
		inside := copy(to, from[4*at.Min.X:4*min(at.Max.X, last.X+1)])
		for ; inside < len(to); inside += 4 {
			copy(to[inside:], from[4*last.X:4*last.X+4])
		}
	}
	return part
}

// cutNoise returns the noise of a part of a picture, [channels, tokens of the part], of that of the whole. The part
// begins and ends at multiples of 16 pixels.
func cutNoise(noise []float32, channels int, grid flux2.Grid, at image.Rectangle) []float32 {
	part := make([]float32, 0, channels*at.Dx()*at.Dy()/(side16*side16))
	for c := range channels {
		for y := at.Min.Y / side16; y < at.Max.Y/side16; y++ {
			row := noise[(c*grid.Height+y)*grid.Width:]
			part = append(part, row[at.Min.X/side16:at.Max.X/side16]...)
		}
	}
	return part
}
