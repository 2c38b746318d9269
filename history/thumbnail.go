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

	"kleinbild/atomicfile"
	"kleinbild/inference/picture"
)

// The box that thumbnails fit into, in pixels: the strip's cells at twice the usual scale.
const (
	ThumbnailWidth  = 224
	ThumbnailHeight = 136
)

// Thumbnails makes small versions of pictures and keeps them in a folder, by the picture's path, size and time.
type Thumbnails struct{ dir string }

// NewThumbnails uses dir, which need not exist. Where it cannot be written, thumbnails are made anew each time.
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

// Read returns the PNG picture at path.
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
		err = fmt.Errorf("%d × %d pixels, want at most %d × %d", config.Width, config.Height, width, height)
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

// store writes a cached thumbnail whole or not at all. It is a cache: failing costs time later, nothing else.
func (t *Thumbnails) store(path string, img image.Image) {
	var file bytes.Buffer
	if png.Encode(&file, img) != nil || os.MkdirAll(t.dir, 0o755) != nil {
		return
	}
	_ = atomicfile.Write(path, file.Bytes(), 0o600)
}

// Fit scales img down to fit into width × height, keeping its proportions; a smaller one is copied.
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

// toRGBA copies img to the origin.
func toRGBA(img image.Image) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(dst, dst.Rect, img, img.Bounds().Min, draw.Src)
	return dst
}
