package app

import (
	"context"
	"image"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// stage has a picture of the desk for a mode of the canvas: at once as the model sees it, and soon at its full
// resolution.
type stage struct {
	common
	ready func() // the full resolution is there

	slot studio.Slot
	img  *image.RGBA // nil while the stage is empty
	full bool        // img has been read at its full resolution
	stop context.CancelFunc
}

// newStage returns an empty stage. ready is called when a picture is there at its full resolution.
func newStage(c common, ready func()) *stage { return &stage{common: c, ready: ready, stop: func() {}} }

// show takes a picture that has been read. One that is on the stage already stays.
func (s *stage) show(slot studio.Slot) {
	if s.img != nil && s.slot == slot {
		return
	}
	s.clear()
	s.slot, s.img = slot, slot.Ref.Image
	ctx, stop := context.WithCancel(s.Loop.Closing)
	s.stop = stop
	store := s.Keeper.Store()
	s.Loop.Background(func() func() {
		img, err := read(ctx, store, slot)
		return func() {
			// If it cannot be read, the picture that the model sees stays: whoever edits it gets the error.
			if ctx.Err() == nil && err == nil {
				s.img, s.full = img, true
				s.ready()
			}
		}
	})
}

// read reads a picture of the desk at its full resolution, as it is shown.
func read(ctx context.Context, store *studio.Store, slot studio.Slot) (*image.RGBA, error) {
	original, err := store.ReadOriginal(ctx, slot)
	if err != nil {
		return nil, err
	}
	return studio.View(ctx, original)
}

// clear empties the stage.
func (s *stage) clear() {
	s.stop()
	s.slot, s.img, s.full = studio.Slot{}, nil, false
}

// picture returns what is on the stage, and the size of the file's picture in pixels.
func (s *stage) picture() (*image.RGBA, image.Point) {
	if s.img == nil {
		return nil, image.Point{}
	}
	size := s.size()
	return s.img, image.Pt(size.Width, size.Height)
}

func (s *stage) size() picture.Size { return s.slot.Ref.Original }
