package studio

import (
	"context"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Reader reads the pictures of the desk that have not been read. A picture that leaves the desk is not read any
// further.
type Reader struct {
	Read    Event[ReadPicture]
	Failed  Event[UnreadPicture]
	NotKept Event[error] // a pasted picture could not be stored, so the next start will not have it
	// MaskRead tells that the mask of the desk has been read; if it could not be, the error, and there is no mask then.
	MaskRead Event[error]

	loop  *Loop
	desk  *Workspace
	store func() *Store
	// Both maps have slots without a Ref as keys. Two equal slots on a desk share an entry: one reading fills both.
	stops  map[Slot]context.CancelFunc                                 // of the pictures that are being read
	pasted map[Slot]func(context.Context) (inference.Reference, error) // read a pasted picture from memory

	mask     maskKey            // the mask that is being read, or kept
	stopMask context.CancelFunc // nil if none is
}

// maskKey says which mask it is: its file, or what was painted.
type maskKey struct {
	file    Slot
	painted *paint.Mask
}

// ReadPicture is a picture that has just been read, in the slot of a number.
type ReadPicture struct {
	Number int
	Ref    *picture.Reference
}

// UnreadPicture is a picture that could not be read, for a reason. Its slot is gone, or shows the next file of those
// that one instruction is for.
type UnreadPicture struct {
	Slot Slot
	Err  error
}

// NewReader returns a reader of a desk's pictures; store returns where those that were pasted are kept, nil for
// nowhere.
func NewReader(loop *Loop, desk *Workspace, store func() *Store) *Reader {
	r := &Reader{
		loop: loop, desk: desk, store: store,
		stops: map[Slot]context.CancelFunc{}, pasted: map[Slot]func(context.Context) (inference.Reference, error){},
	}
	desk.Changed.Subscribe(r.follow)
	return r
}

// Paste puts a picture that lies in no file into the next free slot, which there has to be.
func (r *Reader) Paste(file []byte) {
	slot := Slot{Digest: Digest(file)}
	r.pasted[slot] = r.pastedFile(file)
	r.desk.Choose(func(d *Desk) {
		if len(d.Slots) == 0 {
			d.PickAspect(picture.Match)
		}
		d.Slots = append(slices.Clone(d.Slots), slot)
	})
}

// pastedFile reads a picture that lies in no file, and stores it.
func (r *Reader) pastedFile(file []byte) func(context.Context) (inference.Reference, error) {
	store := r.store()
	return func(ctx context.Context) (inference.Reference, error) {
		ref, err := picture.Decode(ctx, file)
		if err == nil && store != nil {
			if _, failed := store.Keep(file); failed != nil {
				r.loop.Post(func() { r.NotKept.tell(failed) })
			}
		}
		return inference.Reference{Reference: ref}, err
	}
}

// follow reads what is on the desk and has not been read, and gives up what is not on it any more.
func (r *Reader) follow() {
	r.followMask()
	slots := r.desk.Desk().Slots
	for slot, stop := range r.stops {
		if !slices.Contains(slots, slot) {
			stop()
			delete(r.stops, slot)
		}
	}
	for _, slot := range slots {
		if slot.Ref == nil && r.stops[slot] == nil {
			r.read(slot)
		}
	}
}

func (r *Reader) read(slot Slot) {
	ctx, stop := context.WithCancel(r.loop.Closing)
	r.stops[slot] = stop
	open, store := r.pasted[slot], r.store()
	if open == nil {
		open = func(ctx context.Context) (inference.Reference, error) { return store.Read(ctx, slot) }
	}
	r.loop.Background(func() func() {
		ref, err := open(ctx)
		return func() {
			if ctx.Err() != nil {
				return // the slot was emptied or filled anew
			}
			stop()
			delete(r.stops, slot)
			r.finished(slot, ref, err)
		}
	})
}

// finished puts a picture that was read into its slots. If it could not be read, it takes the slots away. Neither is a
// step: the step that put the picture on the desk also undoes this.
func (r *Reader) finished(slot Slot, ref inference.Reference, err error) {
	number := 0
	r.desk.Amend(func() {
		r.desk.Choose(func(d *Desk) {
			if err != nil && d.skip(slot) {
				return
			}
			var slots []Slot
			for _, s := range d.Slots {
				switch {
				case s != slot:
					slots = append(slots, s)
				case err == nil:
					read := SlotOf(ref)
					read.Board = s.Board
					slots = append(slots, read)
					number = len(slots)
				}
			}
			d.Slots = slots
		})
	})
	if err != nil {
		r.Failed.tell(UnreadPicture{slot, err})
		return
	}
	delete(r.pasted, slot)
	r.Read.tell(ReadPicture{number, ref.Reference})
}

// paintPause is how long painting rests before what was painted is kept.
const paintPause = 200 * time.Millisecond

// followMask reads the mask of the desk if it has not been read, and keeps one that was painted. It gives up a mask
// that is not on the desk any more.
func (r *Reader) followMask() {
	mask := r.desk.Desk().Edit.Mask
	key := maskKey{mask.slot(), mask.Painted}
	if r.stopMask != nil && (!mask.Reading() || key != r.mask) {
		r.stopMask()
		r.stopMask = nil
	}
	if !mask.Reading() || r.stopMask != nil {
		return
	}
	ctx, stop := context.WithCancel(r.loop.Closing)
	r.mask, r.stopMask = key, stop
	store := r.store()
	r.loop.Background(func() func() {
		var read Mask
		var err, notKept error
		if mask.Painted == nil {
			read, err = store.readMask(ctx, mask)
		} else {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(paintPause):
				read, notKept = store.keepPainted(mask)
			}
		}
		return func() {
			if ctx.Err() != nil {
				return // the mask was taken away, or replaced
			}
			stop()
			r.stopMask = nil
			r.maskRead(read, err)
			if notKept != nil {
				r.NotKept.tell(notKept)
			}
		}
	})
}

// maskRead puts a mask that was read on the desk. If it could not be read, it takes the mask away. Neither is a step:
// the step that put the mask on the desk also undoes this.
func (r *Reader) maskRead(mask Mask, err error) {
	r.desk.Amend(func() {
		r.desk.Choose(func(d *Desk) {
			if err != nil {
				d.Edit.Mask = Mask{}
				return
			}
			mask.Of, mask.Area = d.Edit.Mask.Of, d.Edit.Mask.Area
			d.Edit.Mask = mask
		})
	})
	r.MaskRead.tell(err)
}
