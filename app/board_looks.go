package app

import (
	"context"
	"image"
	"math"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/compose"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// boardLooks has the pictures of a board as a screen draws them: of bounded size, and without what is cut out. They are
// made away from Fyne's goroutine, one after the other.
type boardLooks struct {
	common
	changed func() // a look is there

	wanted *studio.Board // nil while the board is not on show
	wholes map[wholeKey]*image.RGBA
	cuts   map[cutKey]*image.RGBA
	last   map[int]*image.RGBA // of each layer, shown until the next one is there
	failed map[cutKey]bool
	busy   bool
	stop   context.CancelFunc // of what is being read
}

// wholeKey says which picture it is, cutKey also what is cut out of it.
type (
	wholeKey struct {
		path, digest string
		how          picture.Arrangement
	}
	cutKey struct {
		of      wholeKey
		painted *paint.Mask
		digest  string
	}
)

func wholeOf(l studio.Layer) wholeKey {
	return wholeKey{l.Picture.Path, l.Picture.Digest, l.Picture.Arrangement}
}

func cutOf(l studio.Layer) cutKey {
	k := cutKey{of: wholeOf(l), painted: l.Cut.Painted}
	if k.painted == nil {
		k.digest = l.Cut.Digest
	}
	return k
}

func newBoardLooks(c common, changed func()) *boardLooks {
	k := &boardLooks{common: c, changed: changed, stop: func() {}}
	k.clear()
	return k
}

// clear drops all looks.
func (k *boardLooks) clear() {
	k.stop()
	k.wanted = nil
	k.wholes, k.cuts = map[wholeKey]*image.RGBA{}, map[cutKey]*image.RGBA{}
	k.last, k.failed = map[int]*image.RGBA{}, map[cutKey]bool{}
}

// lookPixels bounds a look, in pixels: 32 MB, and more than most screens have.
const lookPixels = 8 << 20

// lookSize is the size of a picture's look.
func lookSize(size picture.Size) picture.Size {
	if n := size.Width * size.Height; n > lookPixels {
		k := math.Sqrt(lookPixels / float64(n))
		return picture.Size{Width: max(int(float64(size.Width)*k), 1), Height: max(int(float64(size.Height)*k), 1)}
	}
	return size
}

// of returns the look of a layer, nil before there is one.
func (k *boardLooks) of(l studio.Layer) *image.RGBA {
	look := k.cuts[cutOf(l)]
	if l.Cut.None() {
		look = k.wholes[wholeOf(l)]
	}
	if look == nil {
		return k.last[l.ID]
	}
	k.last[l.ID] = look
	return look
}

// whole returns the look of a layer with what is cut out of it, nil before there is one.
func (k *boardLooks) whole(l studio.Layer) *image.RGBA { return k.wholes[wholeOf(l)] }

// seen says whether a layer is seen at a place of the board: it is not where it is transparent.
func (k *boardLooks) seen(l studio.Layer, x, y float32) bool {
	look := k.of(l)
	if look == nil {
		return true
	}
	size := look.Rect.Size()
	at := image.Pt(int((x-float32(l.At.Min.X))/float32(l.At.Dx())*float32(size.X)),
		int((y-float32(l.At.Min.Y))/float32(l.At.Dy())*float32(size.Y)))
	const least = 16 // of 255: what is fainter does not look like a part of the picture
	return at.In(look.Rect) && look.RGBAAt(at.X, at.Y).A >= least
}

// put takes the look of a picture that was read elsewhere.
func (k *boardLooks) put(l studio.Layer, look *image.RGBA) { k.wholes[wholeOf(l)] = look }

// want has the looks of a board made, and drops those of other boards.
func (k *boardLooks) want(b *studio.Board) {
	k.wanted = b
	wholes, cuts, last := map[wholeKey]bool{}, map[cutKey]bool{}, map[int]bool{}
	for _, l := range b.Layers {
		wholes[wholeOf(l)], cuts[cutOf(l)], last[l.ID] = true, true, true
	}
	for key := range k.wholes {
		if !wholes[key] {
			delete(k.wholes, key)
		}
	}
	for key := range k.cuts {
		if !cuts[key] {
			delete(k.cuts, key)
		}
	}
	for key := range k.last {
		if !last[key] {
			delete(k.last, key)
		}
	}
	k.next()
}

// missing returns a layer whose look is not there.
func (k *boardLooks) missing() (l studio.Layer, ok bool) {
	if k.wanted == nil {
		return l, false
	}
	for _, l := range k.wanted.Layers {
		key := cutOf(l)
		there := k.wholes[key.of] != nil && (l.Cut.None() || k.cuts[key] != nil)
		if !there && !k.failed[key] {
			return l, true
		}
	}
	return l, false
}

// next begins to make the look that is missing, unless one is being made.
func (k *boardLooks) next() {
	l, ok := k.missing()
	if !ok || k.busy {
		return
	}
	k.busy = true
	key, whole, store := cutOf(l), k.wholes[wholeOf(l)], k.Keeper.Store()
	ctx, stop := context.WithCancel(k.Loop.Closing)
	k.stop = stop
	k.Loop.Background(func() func() {
		look, without, err := lookOf(ctx, store, l, whole)
		return func() {
			k.busy = false
			switch {
			case ctx.Err() != nil: // of a board that is not on show any more
			case err != nil:
				k.failed[key] = true
				k.notice.fail(err)
			default:
				k.wholes[key.of], k.cuts[key] = look, without
				k.changed()
			}
			stop()
			k.next()
		}
	})
}

// lookOf makes the look of a layer, and that without what is cut out of it. whole is the first one, if it is there.
func lookOf(
	ctx context.Context, store *studio.Store, l studio.Layer, whole *image.RGBA,
) (look, without *image.RGBA, err error) {
	if look = whole; look == nil {
		original, err := store.ReadOriginal(ctx, l.Picture)
		if err == nil {
			look, err = compose.Look(ctx, original, lookSize(original.Size))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	cut, err := store.CutOf(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	return look, compose.Without(look, cut), nil
}
