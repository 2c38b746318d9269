package studio

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Picture is a picture that was made.
type Picture struct {
	Image  *image.RGBA // as it is shown; nil for a picture of the history that has not been read
	Full   image.Image // as it was made, if that is another one than Image; nil for a picture of the history
	Meta   picture.Metadata
	Path   string      // "" while it lies nowhere but in memory
	ID     uint64      // in the history, 0 if it is not there
	Before *image.RGBA // reference 1, nil if there is none or it is gone
}

// Whole returns the picture as it was made, in the kind of the photo if a part of a photo was edited. It may read the
// picture's file.
func (p *Picture) Whole(ctx context.Context) (image.Image, error) {
	switch {
	case p.Full != nil:
		return p.Full, nil
	case p.Meta.Upscale != nil && p.Path != "":
		return picture.OpenAnySize(ctx, p.Path)
	case p.Meta.Edit != nil && p.Path != "":
		return picture.OpenOriginal(ctx, p.Path)
	case p.Image == nil:
		return history.Read(p.Path)
	}
	return p.Image, nil
}

// Complete returns the metadata with the mask of an edit, if the picture's file has it.
func (p *Picture) Complete() picture.Metadata {
	meta := p.Meta
	if meta.Edit == nil || meta.Edit.Mask == nil || meta.Edit.Mask.Levels != nil || p.Path == "" {
		return meta
	}
	if levels, err := meta.Edit.Mask.ReadMaskFile(p.Path); err == nil {
		edit, mask := *meta.Edit, *meta.Edit.Mask
		mask.Levels, edit.Mask = levels, &mask
		meta.Edit = &edit
	}
	return meta
}

// maxViewSide bounds the sides of a picture on show: a photo of 100 megapixels is shown smaller.
const maxViewSide = 8192

// View returns a picture as it is shown: sRGB with 8 bits. The error is the context's, or that of a colour profile.
func View(ctx context.Context, img image.Image) (*image.RGBA, error) {
	switch img := img.(type) {
	case *image.RGBA:
		return img, nil
	case *picture.Original:
		size := img.Size
		if side := max(size.Width, size.Height); side > maxViewSide {
			size = picture.Size{Width: max(size.Width*maxViewSide/side, 1), Height: max(size.Height*maxViewSide/side, 1)}
		}
		return img.SRGB(ctx, img.Bounds(), size)
	}
	return nil, fmt.Errorf("studio: a picture of type %T, want one that can be shown", img)
}

// look sets Image and Before of a picture that was made for a request.
func (p *Picture) look(ctx context.Context, req inference.Request) (err error) {
	if p.Image, err = View(ctx, p.Full); err != nil {
		return err
	}
	if original := req.Original(); original != nil { // image 1 at its full resolution, of which the result is a part
		p.Before, err = View(ctx, original)
	} else if refs := req.References(); len(refs) > 0 {
		p.Before = refs[0].Image
	}
	return err
}

// PrepareDir makes the folder for pictures if it is not there, and finds out whether files can be written to it, before
// anything is computed for it.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return picture.CheckWritable(filepath.Join(dir, "picture.png"), picture.Number)
}

// FileName names a picture after its prompt and seed, in letters that every file system takes.
func FileName(prompt string, seed uint64) string {
	return picture.PromptName(prompt) + "-" + strconv.FormatUint(seed, 10) + ".png"
}
