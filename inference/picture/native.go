package picture

import (
	"context"
	"math"
)

// fit returns the size of a picture of size s that is scaled down to at most area pixels, with 64 as the least short
// side. A smaller picture keeps its size. Sides are truncated as in Flux2ImageProcessor._resize_to_target_area.
func (s Size) fit(area int) Size {
	if s.Width*s.Height <= area {
		return s
	}
	factor := math.Sqrt(float64(area) / float64(s.Width*s.Height))
	if short := min(s.Width, s.Height); factor*float64(short) < minOutputSide {
		factor = min(float64(minOutputSide)/float64(short), 1)
	}
	return Size{int(float64(s.Width) * factor), int(float64(s.Height) * factor)}
}

// cropped returns the size that crop leaves of s.
func (s Size) cropped() Size {
	return Size{s.Width / sideMultiple * sideMultiple, s.Height / sideMultiple * sideMultiple}
}

// forNative returns the size of a reference, prepared at size s, for a model whose native picture is native × native
// pixels (the VAE's sample_size). It is s at 1024 and above, and where native is unknown (0). It is the same for a size
// that it returned.
func (s Size) forNative(native int) Size {
	if native <= 0 || native >= NativeSide {
		return s
	}
	return s.fit(nativeArea(native)).cropped()
}

// nativeArea is the most pixels of a reference for a model below 1024.
func nativeArea(native int) int { return max(native, minOutputSide) * max(native, minOutputSide) }

// SizeFor returns the size of For(native) and computes no pixels.
func (r *Reference) SizeFor(native int) Size { return r.Size.forNative(native) }

// For returns the reference as a model sees it whose native picture is native × native pixels: scaled down to that
// area, as aspect ratios are. A model that was trained on small pictures only does not know larger ones, and they would
// take it minutes. The last result is kept, so that repeated calls are cheap. It may be called from any goroutine.
func (r *Reference) For(native int) *Reference {
	size := r.SizeFor(native)
	if size == r.Size {
		return r
	}
	if kept := r.smaller.Load(); kept != nil && kept.Size == size {
		return kept
	}
	scaled, err := scale(context.Background(), r.Image, r.Size.fit(nativeArea(native)))
	if err != nil {
		return r // nobody cancels it
	}
	small := &Reference{
		Image: crop(scaled), Size: size,
		Original: r.Original, Format: r.Format, FileSHA256: r.FileSHA256,
		Profile: r.Profile, ProfileNote: r.ProfileNote,
	}
	small.PixelsSHA256 = pixelsDigest(small.Image)
	r.smaller.Store(small)
	return small
}
