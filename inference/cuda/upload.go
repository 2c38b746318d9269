package cuda

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// load is an upload of parts, one after another. It ends when there is none left.
type load struct {
	dev  *device
	stop atomic.Bool
	done chan struct{}

	mu    sync.Mutex
	parts []*part // those that have not begun
	over  bool
}

// bring queues the copy of p behind the parts that are on their way. If p goes into a lane, its copy waits until the
// lane's last part is no longer read.
func (b *Backend) bring(p *part, at cu.DevicePtr, in *lane) {
	p.at, p.sealed, p.chunks, p.behind = at, true, nil, nil
	size := int64(b.options.ChunkBytes)
	for from := int64(0); from < p.bytes; from += size {
		p.chunks = append(p.chunks, &chunk{from: from, to: min(from+size, p.bytes), ready: make(chan struct{})})
	}
	if in != nil {
		in.part, in.came, p.behind = p, b.clock, in.passed
	}
	if b.load != nil && b.load.add(p) {
		return
	}
	b.load = &load{dev: b.dev, parts: []*part{p}, done: make(chan struct{})}
	go b.load.run(b.options.ChunkBytes)
}

// add says whether the load will bring p.
func (l *load) add(p *part) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.parts = append(l.parts, p)
	}
	return !l.over
}

// next returns the next part. If there is none, it returns nil and the load is over.
func (l *load) next() *part {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.parts) == 0 {
		l.over = true
		return nil
	}
	p := l.parts[0]
	l.parts = l.parts[1:]
	return p
}

// idle says whether no part waits.
func (l *load) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parts) == 0
}

// stopLoading ends an upload. Chunks that have not arrived fail.
func (b *Backend) stopLoading() {
	if b.load != nil {
		b.load.stop.Store(true)
		<-b.load.done
		b.load = nil
	}
}

var errStopped = errors.New("the upload was stopped")

// run copies the parts. It tells those that wait for a chunk if its part could not be copied.
func (l *load) run(chunkBytes int) {
	defer close(l.done)
	s, err := l.dev.weightStaging(chunkBytes)
	u := &uploader{load: l, staging: s}
	for p := l.next(); p != nil; p = l.next() {
		if err == nil {
			if err = u.copy(p); err != nil {
				err = errors.Join(err, s.wait())
			}
		}
		if err != nil {
			p.fail(err)
		}
	}
}

// uploader fills one buffer while the other is copied.
type uploader struct {
	load    *load
	staging *staging
	sent    []sentChunk // at most as many as there are buffers
}

type sentChunk struct {
	*chunk
	of *part
}

// copy copies a part to the device. That a chunk is on the device is known, and its waiters are told, when its buffer
// is needed again. If no part waits behind p, or if a part for a lane begins, copy waits for the chunks that were sent.
func (u *uploader) copy(p *part) (err error) {
	defer func() {
		if err != nil { // the parts before p would not report an error otherwise
			for i, c := range u.sent {
				// Once a part: whoever waits for it may then change its chunks.
				if c.of != p && (i == 0 || u.sent[i-1].of != c.of) {
					c.of.fail(err)
				}
			}
		}
	}()
	s := u.staging
	for i, c := range p.chunks {
		if u.load.stop.Load() {
			return errStopped
		}
		buf, err := s.nextBuffer()
		if err != nil {
			return err
		}
		if len(u.sent) == len(s.buffers) {
			u.sent[0].arrive()
			u.sent = u.sent[1:]
		}
		if err := p.fill(buf[:c.to-c.from], c.from); err != nil {
			return err
		}
		if i == 0 && p.behind != nil { // what has been sent does not wait for the mark
			if err := u.settle(); err != nil {
				return err
			}
			if err := s.stream.Wait(p.behind); err != nil {
				return err
			}
		}
		if err := s.send(p.at+cu.DevicePtr(c.from), int(c.to-c.from)); err != nil {
			return err
		}
		u.sent = append(u.sent, sentChunk{c, p})
	}
	if u.load.idle() {
		return u.settle()
	}
	return nil
}

// settle waits until all chunks that were sent have arrived.
func (u *uploader) settle() error {
	if err := u.staging.wait(); err != nil {
		return err
	}
	for _, c := range u.sent {
		c.arrive()
	}
	u.sent = u.sent[:0]
	return nil
}

// piece is a range of one weight and where in a buffer it goes.
type piece struct {
	w  *stored
	to []byte
	at int64 // the first byte
}

// pieceBytes is the size of the pieces that a reader converts at a time.
const pieceBytes = 1 << 20

// maxReaders bounds the readers. So many keep a disk busy, and read memory faster than a bus copies it.
const maxReaders = 16

// fill writes the part's bytes from an offset on into buf, by several readers: the first to touch a page of the
// file's mapping waits for the disk. The error is the *tensor.Fault of a page that cannot be read.
func (n *part) fill(buf []byte, from int64) error {
	to := from + int64(len(buf))
	var pieces []piece
	first, _ := slices.BinarySearchFunc(n.weights, from, func(w *stored, at int64) int {
		if w.offset+aligned(w.bytes()) <= at {
			return -1
		}
		return 1
	})
	for _, w := range n.weights[first:] {
		if w.offset >= to {
			break
		}
		start, end := max(w.offset, from), min(w.offset+w.bytes(), to)
		for at := start; at < end; at += pieceBytes {
			pieces = append(pieces, piece{w, buf[at-from : min(at+pieceBytes, end)-from], at - w.offset})
		}
	}
	var next atomic.Int64
	var readers errgroup.Group
	for range min(len(pieces), runtime.GOMAXPROCS(0), maxReaders) {
		readers.Go(func() error {
			return tensor.Guard(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= len(pieces) {
						return
					}
					p := pieces[i]
					p.w.write(p.to, p.at)
				}
			})
		})
	}
	return readers.Wait()
}
