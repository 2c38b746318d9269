package picture

import (
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"path/filepath"
	"strings"

	"github.com/HugoSmits86/nativewebp"
)

// jpegQuality keeps a picture's grain; below 90 the chroma of saturated edges suffers.
const jpegQuality = 95

// WriteCopy writes img to path, whose extension says how: .png with its metadata, .jpg or .jpeg, .webp (lossless); the
// last two carry no metadata. What has the name is replaced; as with WritePNG the file appears whole or not at all.
func WriteCopy(path string, img *image.RGBA, meta Metadata) error {
	var write func(io.Writer) error
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".png":
		write = func(w io.Writer) error { return encode(w, img, meta) }
	case ".jpg", ".jpeg":
		write = func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: jpegQuality}) }
	case ".webp":
		write = func(w io.Writer) error { return nativewebp.Encode(w, img, nil) }
	default:
		return fmt.Errorf("picture: output %s: extension %q, want .png, .jpg or .webp", path, extension)
	}
	if err := checkPlace(path, Replace); err != nil {
		return err
	}
	_, err := writeWhole(path, Replace, write)
	return err
}
