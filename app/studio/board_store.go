package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"

	"github.com/kleinbild/kleinbild/app/studio/compose"
	"github.com/kleinbild/kleinbild/app/studio/paint"
)

// GroundColour returns the colour of a board's ground, which is transparent for "".
func GroundColour(ground string) (c color.NRGBA, err error) {
	if ground == "" {
		return c, nil
	}
	if n, err := fmt.Sscanf(ground, "#%02x%02x%02x", &c.R, &c.G, &c.B); err != nil || n != 3 || len(ground) != 7 {
		return color.NRGBA{}, fmt.Errorf("studio: the ground %q, want a colour such as #ffffff", ground)
	}
	c.A = 255
	return c, nil
}

// Compose makes the picture of a board at its full resolution, from the pictures' files, and returns it as a PNG file.
// It reads one picture after the other. The error is the context's, or names the picture that cannot be read.
func (s *Store) Compose(ctx context.Context, b *Board) ([]byte, error) {
	ground, err := GroundColour(b.Ground)
	if err != nil {
		return nil, err
	}
	canvas := compose.NewCanvas(b.Size, ground)
	for _, l := range b.Layers {
		original, err := s.ReadOriginal(ctx, l.Picture)
		if err != nil {
			return nil, err
		}
		cut, err := s.CutOf(ctx, l)
		if err != nil {
			return nil, err
		}
		if err := canvas.Lay(ctx, compose.Layer{Picture: original, At: l.At, Cut: cut}); err != nil {
			return nil, err
		}
	}
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(whileGoingOn{ctx, &file}, canvas.Image()); err != nil {
		return nil, fmt.Errorf("studio: board: %w", err)
	}
	return file.Bytes(), nil
}

// whileGoingOn is a writer that fails once its context has ended.
type whileGoingOn struct {
	ctx context.Context
	io.Writer
}

func (w whileGoingOn) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// CutOf returns what is cut out of a layer, nil for nothing. It reads a file if the cut-out was painted in an earlier
// start.
func (s *Store) CutOf(ctx context.Context, l Layer) (*paint.Mask, error) {
	switch {
	case l.Cut.None():
		return nil, nil
	case l.Cut.Painted != nil:
		return l.Cut.Painted, nil
	}
	levels, err := s.ReadMask(ctx, l.Cut)
	if err != nil {
		return nil, err
	}
	gray, ok := levels.Pixels.(*image.Gray)
	if size := image.Pt(l.Size.Width, l.Size.Height); !ok || gray.Rect.Size() != size {
		return nil, fmt.Errorf("studio: the cut-out of %s has another size now", l.Picture.Name())
	}
	return paint.FromGray(gray, gray.Rect.Size()), nil
}

// keptCuts returns a desk whose cut-outs all lie in files. The error says which of them could not be stored, which are
// gone at the next start.
func (s *Store) keptCuts(d Desk) (Desk, error) {
	var failed error
	done := map[*Board]*Board{}
	var keep func(b *Board) *Board
	keep = func(b *Board) *Board {
		if b == nil || done[b] != nil {
			return done[b]
		}
		kept := b.with(slices.Clone(b.Layers))
		done[b] = kept
		for i := range kept.Layers {
			l := &kept.Layers[i]
			l.Picture.Board = keep(l.Picture.Board)
			if l.Cut.Painted == nil {
				continue
			}
			digest, err := s.keepCut(l.Cut.Painted)
			l.Cut, failed = Mask{Digest: digest}, errors.Join(failed, err)
		}
		return kept
	}
	d.Board = keep(d.Board)
	d.Slots = slices.Clone(d.Slots)
	for i := range d.Slots {
		d.Slots[i].Board = keep(d.Slots[i].Board)
	}
	d.Edit.Mask.Of.Board = nil // image 1 has it
	return d, failed
}

// keepCut stores what is cut out of a layer, once, and returns its digest.
func (s *Store) keepCut(cut *paint.Mask) (digest string, err error) {
	s.cutsMu.Lock()
	defer s.cutsMu.Unlock()
	if digest := s.cuts[cut]; digest != "" {
		return digest, nil
	}
	kept, err := s.KeepMask(cut.Gray())
	if err != nil {
		return "", err
	}
	if len(s.cuts) >= maxCuts { // those of boards of before hold their memory
		clear(s.cuts)
	}
	s.cuts[cut] = kept.Digest
	return kept.Digest, nil
}

// maxCuts bounds the cut-outs whose digest is remembered: those of some boards.
const maxCuts = 4 * MaxLayers

// boardFiles adds the digests of the stored files that the boards of a desk need. A cut-out without a file gets one.
func (s *Store) boardFiles(d Desk, named map[string]bool) {
	for _, b := range d.boards() {
		for _, l := range b.Layers {
			if l.Picture.Path == "" {
				named[l.Picture.Digest] = true
			}
			named[l.Cut.Digest] = true
			if l.Cut.Painted != nil {
				if digest, err := s.keepCut(l.Cut.Painted); err == nil {
					named[digest] = true
				}
			}
		}
	}
}

// soundBoards returns a desk without boards that no window has made. Without them it is as good as ever.
func soundBoards(d Desk) Desk {
	if d.Board != nil && d.Board.check() != nil {
		d.Board = nil
	}
	for i, s := range d.Slots {
		if s.Board != nil && s.Board.check() != nil {
			d.Slots[i].Board = nil
		}
	}
	return d
}

// Compose puts the picture that was made of a board into slot 1, as a step. It is kept as a picture that was pasted.
func (r *Reader) Compose(file []byte, b *Board) {
	slot := Slot{Digest: Digest(file), Board: b}
	r.pasted[slot] = r.pastedFile(file)
	r.desk.Choose(func(d *Desk) { d.UseBoard(slot.Digest, b) })
	if r.desk.Desk().Slots[0].Ref != nil { // it was this picture already, and has been read
		delete(r.pasted, slot)
	}
}
