package picture

import (
	"context"
	"math"
)

// fit returns the size of a picture of size s after scaling it down to at most area pixels. The shorter side stays at
// least 64 pixels, so an elongated picture may keep more than area. A picture that is small enough keeps its size.
// Sides are truncated as in Flux2ImageProcessor._resize_to_target_area of Diffusers.
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

// cropped returns the size of a picture of size s after crop.
func (s Size) cropped() Size {
	return Size{s.Width / sideMultiple * sideMultiple, s.Height / sideMultiple * sideMultiple}
}

// forNative returns the size at which a model sees a reference that was prepared at size s. native × native pixels is
// the model's native picture (the VAE's sample_size); native is 0 if that is unknown. If native is 0 or at least 1024,
// the size is s. The function is idempotent.
func (s Size) forNative(native int) Size {
	if native <= 0 || native >= NativeSide {
		return s
	}
	return s.fit(nativeArea(native)).cropped()
}

// nativeArea is the largest area, in pixels, of a reference for a model whose native side is less than 1024.
func nativeArea(native int) int { return max(native, minOutputSide) * max(native, minOutputSide) }

// SizeFor returns the size of For(native) without computing pixels.
func (r *Reference) SizeFor(native int) Size { return r.Size.forNative(native) }

// For returns the reference as seen by a model whose native picture is native × native pixels: scaled down to that
// area, like the sizes of AspectRatio.SizeFor. A model that was trained on small pictures cannot make use of larger
// ones, which would also take minutes. The last result is cached. For may be called from several goroutines.
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
		return r // cannot happen, because the context is never cancelled
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

// Fit returns the size to which a reference of size s is scaled for a model whose native picture is native × native
// pixels, before it is cropped to multiples of 16. native is 0 if that is unknown.
func (s Size) Fit(native int) Size {
	if native <= 0 || native >= NativeSide {
		return s.fit(MaxArea)
	}
	return s.fit(nativeArea(native))
}
