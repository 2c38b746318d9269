package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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

// Thumbnails have at most this width and height, in pixels: the size of a cell of the window's strip at a scale of 2.
const (
	ThumbnailWidth  = 224
	ThumbnailHeight = 136
)

// Thumbnails makes small versions of pictures and caches them in a folder. The key is the picture's path, size and
// modification time.
type Thumbnails struct{ dir string }

// NewThumbnails returns a cache in the folder dir, which need not exist. If dir cannot be written, each Get makes the
// thumbnail again.
func NewThumbnails(dir string) *Thumbnails { return &Thumbnails{dir} }

// Get returns the thumbnail of the picture at path.
func (t *Thumbnails) Get(path string) (*image.RGBA, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("thumbnail: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", path, info.Size(), info.ModTime().UnixNano()))
	cached := filepath.Join(t.dir, hex.EncodeToString(sum[:16])+".png")
	if img, err := readPNG(cached, ThumbnailWidth, ThumbnailHeight, maxThumbnailBytes); err == nil {
		return img, nil
	}
	img, err := Read(path)
	if err != nil {
		return nil, err
	}
	small := Fit(img, ThumbnailWidth, ThumbnailHeight)
	t.store(cached, small)
	return small, nil
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
	if b.Dx() <= width && b.Dy() <= height {
		return toRGBA(img)
	}
	w, h := width, max(b.Dy()*width/b.Dx(), 1)
	if h > height {
		w, h = max(b.Dx()*height/b.Dy(), 1), height
	}
	// Resize returns the type that it is given. It rounds its weights to 1/256, so that levels differ from the exact
	// ones by up to 10 of 255: enough for a thumbnail. References, whose levels the model sees, are scaled by
	// inference/picture.
	return resize.Resize(uint(w), uint(h), toRGBA(img), resize.Lanczos3).(*image.RGBA)
}

// toRGBA returns a copy of img whose bounds begin at (0, 0).
func toRGBA(img image.Image) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(dst, dst.Rect, img, img.Bounds().Min, draw.Src)
	return dst
}
