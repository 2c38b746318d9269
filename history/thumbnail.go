package history

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"

	"github.com/nfnt/resize"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// The width and height that thumbnails have at most, in pixels: those of a cell of the window's strip, and of its
// gallery, at a scale of 2.
const (
	ThumbnailWidth  = 224
	ThumbnailHeight = 136
	GalleryWidth    = 336
	GalleryHeight   = 252
)

// Thumbnails makes small versions of pictures and caches them in a folder. The key is the picture's path, size and
// modification time.
type Thumbnails struct {
	dir           string
	width, height int
}

// NewThumbnails returns a cache of thumbnails of at most width × height pixels in the folder dir, which need not exist.
// If dir cannot be written, each Get makes the thumbnail again.
func NewThumbnails(dir string, width, height int) *Thumbnails { return &Thumbnails{dir, width, height} }

// Get returns the thumbnail of the picture at path.
func (t *Thumbnails) Get(path string) (*image.RGBA, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("thumbnail: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", path, info.Size(), info.ModTime().UnixNano()))
	cached := filepath.Join(t.dir, hex.EncodeToString(sum[:16])+".png")
	if img, err := readPNG(cached, t.width, t.height, int64(t.width*t.height)*maxThumbnailBytes); err == nil {
		return img, nil
	}
	small, err := t.read(path)
	if err != nil {
		return nil, err
	}
	t.store(cached, small)
	return small, nil
}

// read returns the picture at path, scaled down. Photos that were edited can have any size, bits and colours.
func (t *Thumbnails) read(path string) (*image.RGBA, error) {
	ctx := context.Background()
	original, err := picture.OpenOriginal(ctx, path)
	if errors.Is(err, picture.ErrSize) { // too small or too long for a reference
		img, err := Read(path)
		if err != nil {
			return nil, err
		}
		return Fit(img, t.width, t.height), nil
	}
	if err != nil {
		return nil, fmt.Errorf("thumbnail: %w", err)
	}
	b := original.Bounds()
	w, h := fit(b.Dx(), b.Dy(), t.width, t.height)
	return original.SRGB(ctx, b, picture.Size{Width: w, Height: h})
}

// Read returns the PNG picture at path. It refuses pictures with more than 8192 pixels a side.
func Read(path string) (*image.RGBA, error) {
	img, err := readPNG(path, maxSide, maxSide, picture.MaxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return img, nil
}

// readPNG reads a PNG of at most width × height pixels from a regular file.
func readPNG(path string, width, height int, maxBytes int64) (*image.RGBA, error) {
	file, err := atomicfile.Read(path, maxBytes)
	if err != nil {
		return nil, err
	}
	config, err := png.DecodeConfig(bytes.NewReader(file))
	if err == nil && (config.Width > width || config.Height > height) {
		err = fmt.Errorf("found %d × %d pixels, want at most %d × %d", config.Width, config.Height, width, height)
	}
	var img image.Image
	if err == nil {
		img, err = png.Decode(bytes.NewReader(file))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return toRGBA(img), nil
}

// store writes a thumbnail to the cache. It ignores errors: the next Get makes the thumbnail again.
func (t *Thumbnails) store(path string, img image.Image) {
	var file bytes.Buffer
	if png.Encode(&file, img) != nil || os.MkdirAll(t.dir, 0o755) != nil {
		return
	}
	_ = atomicfile.Write(path, file.Bytes(), 0o600)
}

// Fit returns img scaled down to at most width × height, with its aspect ratio kept. A smaller img is copied.
func Fit(img image.Image, width, height int) *image.RGBA {
	b := img.Bounds()
	w, h := fit(b.Dx(), b.Dy(), width, height)
	if w == b.Dx() && h == b.Dy() {
		return toRGBA(img)
	}
	// Resize returns the type that it is given. It rounds its weights to 1/256, so that levels differ from the exact
	// ones by up to 10 of 255: enough for a thumbnail. References, whose levels the model sees, are scaled by
	// inference/picture.
	return resize.Resize(uint(w), uint(h), toRGBA(img), resize.Lanczos3).(*image.RGBA)
}

// fit returns the largest size of the ratio w:h, at least 1 × 1, that is neither larger than w × h nor than
// width × height.
func fit(w, h, width, height int) (int, int) {
	switch {
	case w <= width && h <= height:
		return w, h
	case h*width <= height*w:
		return width, max(h*width/w, 1)
	}
	return max(w*height/h, 1), height
}

// toRGBA returns a copy of img whose bounds begin at (0, 0).
func toRGBA(img image.Image) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(dst, dst.Rect, img, img.Bounds().Min, draw.Src)
	return dst
}
