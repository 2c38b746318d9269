package cli

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference"
)

// checkPreview checks that --preview names a PNG file that is none of the pictures that are read or made by b, whose
// seeds are known.
func (c *generateCommand) checkPreview(b *batch) error {
	switch {
	case c.Preview == "":
		return nil
	case !strings.EqualFold(filepath.Ext(c.Preview), ".png"):
		return usagef("--preview %s, want a .png file", c.Preview)
	}
	others := append([]string{c.Like, c.Mask}, c.Image...)
	for _, source := range b.checked.References() {
		if r, ok := source.(inference.Reference); ok {
			others = append(others, r.Path)
		}
	}
	if b.output != standardOutput {
		for _, seed := range b.seeds {
			output, _ := b.outputFor(seed)
			others = append(others, output)
		}
	}
	for _, other := range others {
		if other != "" && samePath(c.Preview, other) {
			return usagef("--preview %s is one of the other pictures, %s, want a file of its own", c.Preview, other)
		}
	}
	if c.isEarlierMask(b, c.Preview) {
		return usagef("--preview %s is the mask of --like, want a file of its own", c.Preview)
	}
	return nil
}

// previewFile replaces a file by each preview of a run, in the background, so that the run does not wait for the disk.
// Whoever reads the file sees a whole picture. If previews come while one is written, the newest of them is written
// next.
type previewFile struct {
	path string
	next chan *image.RGBA
	done chan error // has the first error, or nil, when all is written
}

// newPreviewFile returns a writer of the file at path, or one that does nothing if path is "".
func newPreviewFile(path string) *previewFile {
	p := &previewFile{path: path, next: make(chan *image.RGBA, 1), done: make(chan error, 1)}
	go func() {
		var first error
		for img := range p.next {
			if err := p.write(img); err != nil && first == nil {
				first = fmt.Errorf("the preview could not be written: %w", err)
			}
		}
		p.done <- first
	}()
	return p
}

// update takes the preview of p, if it has one. It never waits.
func (p *previewFile) update(now inference.Progress) {
	if p.path == "" || now.Preview == nil {
		return
	}
	select {
	case <-p.next: // it has become old
	default:
	}
	p.next <- now.Preview
}

// finish waits until the last preview is written, and returns the first error.
func (p *previewFile) finish() error {
	close(p.next)
	return <-p.done
}

func (p *previewFile) write(img *image.RGBA) error {
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	var file bytes.Buffer
	if err := encoder.Encode(&file, img); err != nil {
		return err
	}
	return atomicfile.Write(p.path, file.Bytes(), 0o644)
}
