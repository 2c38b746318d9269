package cuda

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kleinbild/inference/backend"
	"kleinbild/inference/tensor"
	"kleinbild/kernels/cu"
)

// need brings w's part of its network to the device unless it is there, and waits for the chunks up to w.
func (b *Backend) need(operation string, w *weight) bool {
	n := w.part
	n.used = b.clock
	last := (w.offset + w.bytes() - 1) / int64(b.options.ChunkBytes)
	if n.at != 0 && n.chunks[last].failed() { // in an earlier run, with others of its upload
		b.drop(n)
	}
	if n.at == 0 {
		if err := b.fetch(n); err != nil {
			b.fail(operation, fmt.Errorf("%s: %w", w.Name, err))
			return false
		}
	}
	c := n.chunks[last]
	select {
	case <-c.ready:
	default:
		select {
		case <-c.ready:
		case <-b.ctx.Done():
			return !b.stopped()
		}
	}
	if c.err != nil {
		b.fail(operation, fmt.Errorf("%s: %w", w.Name, c.err))
		b.drop(n) // the next run tries again
	}
	return c.err == nil
}

// drop takes a part off the device.
func (b *Backend) drop(n *part) {
	b.flush()
	b.waitForLoad()
	at := n.at
	n.leave()
	b.dev.held.Add(-n.bytes)
	b.drops++
	if !b.usable() {
		return
	}
	if err := b.dev.ctx.MemFree(at); err != nil {
		b.blame(err)
	}
}

// load is an upload of parts, one after another.
type load struct {
	dev   *device
	parts []*part
	stop  atomic.Bool
	done  chan struct{}
}

// fetch starts the upload of n, and of those parts after it that fit beside all else: a run asks for them next.
func (b *Backend) fetch(n *part) error {
	if b.load != nil {
		select {
		case <-b.load.done:
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
	}
	at, err := b.allocate(n.bytes, n.network)
	if err != nil {
		return err
	}
	n.at = at
	b.dev.held.Add(n.bytes)
	l := &load{dev: b.dev, parts: []*part{n}, done: make(chan struct{})}
	for _, next := range b.parts[slices.Index(b.parts, n)+1:] {
		if next.at != 0 || len(next.weights) == 0 {
			continue
		}
		free, _, err := b.dev.ctx.MemGetInfo()
		if err != nil || free < next.bytes+b.planned.Kept+b.options.MarginBytes {
			break
		}
		if next.at, err = b.dev.ctx.MemAlloc(next.bytes); err != nil {
			next.at = 0
			break
		}
		b.dev.held.Add(next.bytes)
		l.parts = append(l.parts, next)
	}
	size := int64(b.options.ChunkBytes)
	for _, n := range l.parts {
		n.sealed, n.chunks = true, nil
		for from := int64(0); from < n.bytes; from += size {
			n.chunks = append(n.chunks, &chunk{from: from, to: min(from+size, n.bytes), ready: make(chan struct{})})
		}
	}
	b.load = l
	go l.run(b.options.ChunkBytes)
	return nil
}

func (b *Backend) waitForLoad() {
	if b.load != nil {
		<-b.load.done
	}
}

// stopLoading ends an upload; what has not arrived fails.
func (b *Backend) stopLoading() {
	if b.load != nil {
		b.load.stop.Store(true)
		<-b.load.done
		b.load = nil
	}
}

var errStopped = errors.New("the upload was stopped")

// run fills one buffer while the other is copied. A chunk is ready when its buffer's turn comes again, or at the end.
func (l *load) run(chunkBytes int) {
	defer close(l.done)
	err := l.upload(chunkBytes)
	for _, n := range l.parts {
		for _, c := range n.chunks {
			if !c.arrived {
				c.err = err
				close(c.ready)
			}
		}
	}
}

func (l *load) upload(chunkBytes int) (err error) {
	s, err := l.dev.weightStaging(chunkBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.wait()) }()
	var sent []*chunk
	for _, n := range l.parts {
		for _, c := range n.chunks {
			if l.stop.Load() {
				return errStopped
			}
			buf, err := s.take()
			if err != nil {
				return err
			}
			if len(sent) == len(s.buffers) {
				sent[0].arrive()
				sent = sent[1:]
			}
			if err := n.fill(buf[:c.to-c.from], c.from); err != nil {
				return err
			}
			if err := s.send(n.at+cu.DevicePtr(c.from), int(c.to-c.from)); err != nil {
				return err
			}
			sent = append(sent, c)
		}
	}
	return nil
}

// piece is some values of one weight on their way into a buffer.
type piece struct {
	w    *stored
	to   []byte
	from int // the first value
}

// pieceBytes is a reader's turn.
const pieceBytes = 1 << 20

// maxReaders is enough to keep a disk busy, and more than a bus can take from memory.
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
			pieces = append(pieces, piece{w, buf[at-from : min(at+pieceBytes, end)-from], int(at-w.offset) / w.dtype.SizeBytes()})
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
					p.w.convert(p.to, p.from, len(p.to)/p.w.dtype.SizeBytes())
				}
			})
		})
	}
	return readers.Wait()
}

// allocate finds device memory, at the cost of weights that the current operation does not need.
func (b *Backend) allocate(bytes int64, what string) (cu.DevicePtr, error) {
	for {
		at, err := b.dev.ctx.MemAlloc(bytes)
		if !errors.Is(err, cu.ErrOutOfMemory) {
			return at, err
		}
		if !b.evict(what) {
			room, total, roomErr := b.available()
			return 0, errors.Join(fmt.Errorf("%s: %w: %w", what, &backend.MemoryError{Need: b.planned.Least(), Room: room, Total: total}, err), roomErr)
		}
	}
}

// evict takes a part off the device that the current operation, which works with a network, does not need.
func (b *Backend) evict(network string) bool {
	var candidates []backend.PartUse
	for i, p := range b.parts {
		if p.at != 0 && p.used < b.clock {
			candidates = append(candidates, backend.PartUse{Part: i, Other: p.network != network, Bytes: p.bytes, Used: p.used})
		}
	}
	victim := backend.Victim(candidates)
	if victim < 0 {
		return false
	}
	b.drop(b.parts[victim])
	return b.err == nil
}
