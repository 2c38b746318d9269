package studio

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Keeper keeps desk and queue on the disk: soon after each change, and for the last time when the window closes.
type Keeper struct {
	Failed Event[error] // desk and queue could not be written; not told again before a write has succeeded

	loop  *Loop
	desk  *Workspace
	queue *Queue
	maker *Maker
	store *Store // nil if nothing can be kept

	broken    []Batch // those that were kept and cannot be made, because their pictures are gone
	loaded    bool    // the batches that were kept have been read
	discarded bool    // the batch that is being made is not to be kept

	timer  *time.Timer
	busy   bool // a write is under way
	again  bool // and something has changed since it began
	failed bool // the last write has failed, which was told

	mu   sync.Mutex // held while files are written
	done bool       // the last write was made; guarded by mu
}

// NewKeeper returns a keeper of a desk and a queue, which keeps nothing before it is opened.
func NewKeeper(loop *Loop, desk *Workspace, queue *Queue, maker *Maker) *Keeper {
	k := &Keeper{loop: loop, desk: desk, queue: queue, maker: maker}
	desk.Changed.Subscribe(k.soon)
	queue.Changed.Subscribe(k.soon)
	maker.Made.Subscribe(func(Made) { k.soon() })
	maker.Ended.Subscribe(func(Ended) { k.soon() })
	return k
}

// Store returns the store of desk and queue, nil if nothing can be kept.
func (k *Keeper) Store() *Store { return k.store }

// Loaded says whether the batches that were kept have been read.
func (k *Keeper) Loaded() bool { return k.loaded }

// Broken returns the batches that were kept and cannot be made, because their pictures are gone.
func (k *Keeper) Broken() []Batch { return k.broken }

// Open takes a folder and returns the desk that was kept there; ok says whether there is one. A dir of "" keeps
// nothing.
func (k *Keeper) Open(dir string) (desk Desk, ok bool, err error) {
	if dir == "" {
		return desk, false, nil
	}
	if k.store, err = OpenStore(dir); err != nil {
		k.store = nil
		return desk, false, err
	}
	return k.store.LoadDesk()
}

// ReadQueue reads the batches that were kept in dir and in the folders of other windows that are closed, and puts them
// into the queue. The queue is paused then, because nothing is computed at a start before the user asks for it. desk is
// the desk that Open returned, whose pasted pictures stay. done is called with the batches that came into the queue,
// the reason why those in Broken did not, and an error that concerns all of them.
func (k *Keeper) ReadQueue(dir string, desk Desk, done func(back []Batch, broken, err error)) {
	store, closing := k.store, k.loop.Closing
	if store == nil {
		return
	}
	k.loop.Background(func() func() {
		err := store.Adopt(dir)
		kept, failed := store.LoadQueue()
		if err == nil {
			err = failed
		}
		if pruned := store.Prune([]Desk{desk}, kept, false); err == nil {
			err = pruned
		}
		var batches, broken []Batch
		var why error
		for _, stored := range kept {
			b, err := stored.Read(closing, store)
			if err != nil {
				broken, why = append(broken, stored), err
				continue
			}
			batches = append(batches, b)
		}
		return func() {
			k.loaded, k.broken = true, broken
			done(k.queue.BringBack(batches), why, err)
			k.soon()
		}
	})
}

// TakeBroken removes the first of the broken batches that can be edited on the desk, and returns it; ok is false if
// there is none.
func (k *Keeper) TakeBroken() (b Batch, ok bool) {
	i := slices.IndexFunc(k.broken, func(b Batch) bool { return b.Upscale == nil })
	if i < 0 {
		return b, false
	}
	b = k.broken[i]
	k.broken = slices.Delete(slices.Clone(k.broken), i, i+1)
	k.soon()
	return b, true
}

// DropBroken forgets the broken batches.
func (k *Keeper) DropBroken() {
	k.broken = nil
	k.soon()
}

// Discard forgets what waits, and what is left of the batch being made.
func (k *Keeper) Discard() {
	k.discarded = true
	k.queue.Clear()
}

// waiting returns the batches to keep, with what is left of the one being made in front.
func (k *Keeper) waiting() (batches []Batch) {
	if r := k.maker.Run(); r != nil && !k.discarded {
		if rest, ok := r.Rest(); ok {
			batches = append(batches, rest)
		}
	}
	batches = append(batches, k.queue.Batches()...)
	return append(batches, k.broken...)
}

// keepPause is how long the desk rests before it is written.
const keepPause = 400 * time.Millisecond

// soon writes once nothing changes for a moment.
func (k *Keeper) soon() {
	if k.store == nil {
		return
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(keepPause, func() { k.loop.Post(k.Keep) })
}

// Keep writes in the background, one write at a time.
func (k *Keeper) Keep() {
	if k.store == nil || k.loop.Closing.Err() != nil {
		return
	}
	if k.busy {
		k.again = true
		return
	}
	k.busy = true
	write := k.writing()
	k.loop.Background(func() func() {
		err := write()
		return func() {
			k.busy = false
			if err != nil && !k.failed {
				k.Failed.tell(err)
			}
			k.failed = err != nil
			if k.again {
				k.again = false
				k.Keep()
			}
		}
	})
}

// writing returns what writes desk and queue as they are now. It may run on any goroutine.
func (k *Keeper) writing() func() error {
	store, desk, batches, loaded := k.store, k.desk.Desk(), k.waiting(), k.loaded
	return func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.done {
			return nil
		}
		err := store.SaveDesk(desk)
		if loaded { // before that, the file holds batches that the queue does not have yet
			err = errors.Join(err, store.SaveQueue(batches))
		}
		return err
	}
}

// Last writes for the last time and gives the folder back. Nobody can be told any more if that fails.
func (k *Keeper) Last() {
	if k.store == nil || k.done { // only this goroutine sets done
		return
	}
	if mask := k.desk.Desk().Edit.Mask; mask.Painted != nil && !mask.Kept { // its digest is that of the mask before it
		if kept, err := k.store.keepPainted(mask); err == nil {
			k.desk.desk.Edit.Mask = kept // nobody is told: the window closes
		}
	}
	_ = k.writing()()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done {
		return
	}
	k.done = true
	if k.loaded {
		_ = k.store.Prune([]Desk{k.desk.Desk()}, k.waiting(), true)
	}
	_ = k.store.Close()
}
