package picture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// Reference is a reference picture as the model sees it.
type Reference struct {
	Image    *image.RGBA // opaque, origin (0, 0), no padding between rows
	Size     Size        // of Image; both sides are multiples of 16
	Original Size        // of the picture in the file, upright and arranged
	Format   string      // "PNG", "JPEG", …

	Profile     string // the colour space that was converted to sRGB, such as "Display P3"; "" if nothing was converted
	ProfileNote string // a sentence for people if the file's colours could not be converted; else ""

	Arrangement Arrangement // of the picture in the file, before it was prepared

	FileSHA256   string // of the file's bytes, in hexadecimal; it identifies the file in metadata
	PixelsSHA256 string // of Size and Image, in hexadecimal; it is the key of caches

	smaller atomic.Pointer[Reference] // the last result of For
}

// Open prepares the picture in the file at path. Its error names the path, what was found and what was expected; it
// wraps ErrSize if the picture exceeds a limit. If ctx is cancelled, Open waits until the decoder has ended and returns
// the context's error. That can take some seconds for 100 megapixels. No goroutine runs on after it returns.
func Open(ctx context.Context, path string) (*Reference, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	ref, err := read(ctx, file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return ref, nil
}

// Decode prepares the picture of an encoded file in memory, like Open.
func Decode(ctx context.Context, file []byte) (*Reference, error) {
	if len(file) > MaxFileBytes {
		return nil, fmt.Errorf("picture: found %d bytes, want at most %d MiB", len(file), MaxFileBytes>>20)
	}
	ref, err := prepare(ctx, file, MaxPixels)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return ref, nil
}

// openRegular opens a file that the user named. It refuses folders, devices and pipes, because opening a pipe waits for
// its writer, and files of more than MaxFileBytes.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	if !info.Mode().IsRegular() {
		kind := "device or pipe"
		if info.IsDir() {
			kind = "folder"
		}
		return nil, fmt.Errorf("picture: %s: found a %s, want a picture file", path, kind)
	}
	if info.Size() > MaxFileBytes {
		return nil, fmt.Errorf("picture: %s: found more than %d MiB, want at most that", path, MaxFileBytes>>20)
	}
	file, _, err := atomicfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return file, nil
}

// read reads the whole file, whose size is probably sizeBytes, and prepares it. The file is held in memory, so that the
// digest and the decoder see the same bytes.
func read(ctx context.Context, r io.Reader, sizeBytes int64) (*Reference, error) {
	var file bytes.Buffer
	if sizeBytes <= MaxFileBytes {
		file.Grow(int(sizeBytes) + bytes.MinRead)
		if _, err := file.ReadFrom(io.LimitReader(cancellable{ctx, r, 1 << 20}, MaxFileBytes+1)); err != nil {
			return nil, err
		}
	}
	if max(sizeBytes, int64(file.Len())) > MaxFileBytes {
		return nil, fmt.Errorf("found more than %d MiB, want at most that", MaxFileBytes>>20)
	}
	return prepare(ctx, file.Bytes(), MaxPixels)
}

// cancellable is a reader that returns the context's error once ctx is cancelled.
type cancellable struct {
	ctx  context.Context
	r    io.Reader
	most int // bytes of one Read
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p[:min(len(p), c.most)])
}

// forDecoder returns a reader of file for a decoder, which can be cancelled. A decoder works through what it has read
// before it reads again, and a few bytes can cause much work: a scan of a JPEG can take a tenth of a second. Each Read
// therefore returns at most 512 bytes, which hold at most a few scans.
func forDecoder(ctx context.Context, file []byte) io.Reader {
	return cancellable{ctx, bytes.NewReader(file), 512}
}

// pixelsAtOnce limits the pixels of all pictures that the program prepares at the same time, and so their memory, which
// is about 15 bytes a pixel. It admits four pictures of 50 megapixels, or two of the largest; others wait.
var pixelsAtOnce = semaphore.NewWeighted(2 * MaxPixels)

// admitted returns a function that checks the size in a picture's header and then waits until pixelsAtOnce has room for
// weight times its pixels. Only the first size takes room. The caller calls release when the picture is decoded.
func admitted(ctx context.Context, weight int64, check func(Size) error) (checkSize func(Size) error, release func()) {
	held := int64(0)
	checkSize = func(header Size) error {
		if err := check(header); err != nil || held > 0 {
			return err
		}
		pixels := weight * int64(header.Width) * int64(header.Height)
		if err := pixelsAtOnce.Acquire(ctx, pixels); err != nil {
			return err
		}
		held = pixels
		return nil
	}
	return checkSize, func() { pixelsAtOnce.Release(held) }
}

// prepare applies the orientation, composites transparency on white, converts to sRGB, and then scales and crops as the
// image processor of Flux2KleinPipeline does. It returns when all its work has ended, also after a cancellation.
func prepare(ctx context.Context, file []byte, maxPixels int) (*Reference, error) {
	f, err := recognise(file)
	if err != nil {
		return nil, err
	}
	checkSize, release := admitted(ctx, 1, func(header Size) error { return checkReference(header, maxPixels) })
	defer release()
	large, err := newLargeJPEG(f, file, wholeJPEGPixels, checkSize)
	if err != nil {
		return nil, err
	}
	var decoded image.Image
	var canvas Size
	if large != nil {
		canvas = large.size()
	} else if decoded, canvas, err = decodeChecked(ctx, f, file, checkSize); err != nil {
		return nil, err
	}
	orientation := upright
	if f.orientation != nil {
		orientation = f.orientation(file)
	}
	var tags colourTags
	if f.colour != nil {
		tags = f.colour(file)
	}
	var converted conversion
	var img *image.RGBA
	err = guard(func() (err error) { // profiles are read by another project's package as well
		var scaled *image.RGBA
		if fit := canvas.fit(MaxArea); large != nil {
			scaled, converted, err = large.scaled(ctx, tags, fit)
		} else {
			scaled, converted, err = prepareWhole(ctx, decoded, tags, canvas, fit)
		}
		if err != nil {
			return err
		}
		// Scaling is symmetric, so the orientation may be applied after it, to fewer pixels. Cropping is not symmetric.
		img = crop(orientation.apply(scaled))
		return nil
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var broken *decodeError
	if errors.As(err, &broken) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: it cannot be prepared: %w", f.name, err)
	}

	ref := &Reference{
		Image:        img,
		Size:         Size{img.Rect.Dx(), img.Rect.Dy()},
		Original:     orientation.turn(canvas),
		Format:       f.name,
		Profile:      converted.name,
		ProfileNote:  converted.note,
		PixelsSHA256: pixelsDigest(img),
	}
	sum := sha256.Sum256(file)
	ref.FileSHA256 = hex.EncodeToString(sum[:])
	return ref, nil
}

// pixelsDigest returns Reference.PixelsSHA256 of img. The width is part of the digest, because the same pixels in rows
// of another length are another picture.
func pixelsDigest(img *image.RGBA) string {
	digest := sha256.New()
	digest.Write(binary.LittleEndian.AppendUint64(nil, uint64(img.Rect.Dx())))
	digest.Write(img.Pix)
	return hex.EncodeToString(digest.Sum(nil))
}

// ErrSize is wrapped by the error for a readable picture that is too large, too small or too elongated, or whose
// decoding takes too much time or memory.
var ErrSize = errors.New("picture: size out of range")

// sizeError is an error that wraps ErrSize. Its text names what was found and what was expected.
type sizeError string

func (e sizeError) Error() string        { return string(e) }
func (e sizeError) Is(target error) bool { return target == ErrSize }

func sizeErrorf(format string, args ...any) error { return sizeError(fmt.Sprintf(format, args...)) }

// checkReference checks the size in a header. All limits are symmetric, so they hold for a rotated picture as well.
func checkReference(size Size, maxPixels int) error {
	short, long := min(size.Width, size.Height), max(size.Width, size.Height)
	switch {
	case short > 0 && long > maxPixels/short:
		return sizeErrorf("found %v pixels, want at most %d megapixels", size, maxPixels/1_000_000)
	case short < MinSide:
		return sizeErrorf("found %v pixels, want at least %d a side", size, MinSide)
	case long > MaxRatio*short && !isPrepared(size):
		return sizeErrorf("found %v pixels, %.1f:1, want at most %d:1", size, float64(long)/float64(short), MaxRatio)
	}
	return nil
}

// isPrepared says whether a picture may have this size because it was prepared once: cropping to multiples of
// sideMultiple can make a picture longer than MaxRatio:1. Preparing it again changes nothing.
func isPrepared(size Size) bool {
	short, long := min(size.Width, size.Height), max(size.Width, size.Height)
	return short%sideMultiple == 0 && long%sideMultiple == 0 && size.Width*size.Height <= MaxArea &&
		long <= MaxRatio*(short+sideMultiple-1)
}

// prepareWhole converts a decoded picture to sRGB, composites it on white and scales it to size fit. It also returns
// the conversion that was applied.
func prepareWhole(
	ctx context.Context, decoded image.Image, tags colourTags, canvas, fit Size,
) (*image.RGBA, conversion, error) {
	converted := conversionOf(tags, decoded)
	decoded, err := upsampleChroma(ctx, decoded)
	if err != nil {
		return nil, conversion{}, err
	}
	if converted.to != nil {
		img, err := convertedAndScaled(ctx, decoded, canvas, fit, converted.to, maxSlowPixels)
		if err == nil || ctx.Err() != nil {
			return img, converted, err
		}
		converted = damagedProfile
	}
	img, err := onWhiteAndScaled(ctx, decoded, canvas, fit)
	return img, converted, err
}

// convertedAndScaled converts the picture with to, composites it on white and scales it to size fit. If to is slow and
// the picture has more than mostSlow pixels, it is scaled before it is converted.
func convertedAndScaled(
	ctx context.Context, img image.Image, canvas, fit Size, to converter, mostSlow int,
) (*image.RGBA, error) {
	_, slow := to.(*pipeline)
	if !slow || canvas.Width*canvas.Height <= mostSlow {
		flat, err := convertedOnWhite(ctx, img, canvas, to)
		if err != nil {
			return nil, err
		}
		return scale(ctx, flat, fit)
	}
	if inks, ok := img.(*image.CMYK); ok {
		small, err := scaleCMYK(ctx, inks, fit)
		if err != nil {
			return nil, err
		}
		return convertedOnWhite(ctx, small, fit, to)
	}
	small, err := onWhiteAndScaled(ctx, img, canvas, fit)
	if err != nil {
		return nil, err
	}
	return convertedOnWhite(ctx, small, fit, to)
}

// onWhiteAndScaled composites the picture on white and scales it to size fit.
func onWhiteAndScaled(ctx context.Context, img image.Image, canvas, fit Size) (*image.RGBA, error) {
	flat, err := onWhite(ctx, img, canvas)
	if err != nil {
		return nil, err
	}
	return scale(ctx, flat, fit)
}

// crop returns the centre of img whose sides are multiples of 16. If an odd number of pixels is removed, the left and
// the top edge lose one less.
func crop(img *image.RGBA) *image.RGBA {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	size := Size{width, height}.cropped()
	w, h := size.Width, size.Height
	if w == width && h == height {
		return img
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(dst, dst.Rect, img, image.Pt((width-w)/2, (height-h)/2), draw.Src)
	return dst
}
