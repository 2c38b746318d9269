// Package chunked fills and writes large files in chunks, on all cores at once, in the memory of a few chunks.
package chunked

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// chunkBytes is the size of a chunk, or a little less.
const chunkBytes = 1 << 20

// Part is a part of a file, such as a tensor.
type Part struct {
	// Name is for errors.
	Name string
	// At is the offset in the file, and Bytes the size.
	At, Bytes int64
	// Unit is the number of bytes that cannot be cut, such as those of a value or of a block. It divides Bytes.
	Unit int
	// Fill stores the units from the one with index first on in dst. Goroutines call it concurrently, once for each chunk.
	Fill func(dst []byte, first int) error
}

// chunk is the bytes [from, to) of a part.
type chunk struct {
	part     *Part
	from, to int64
}

// Write writes all parts to w. After each chunk it calls progress, unless nil, with the number of bytes that were
// written since the last call; these calls are never concurrent. It ends with the cause of ctx if ctx ends. Errors are
// those of Fill and of w, with the name of the part.
func Write(ctx context.Context, w io.WriterAt, parts []Part, progress func(written int64)) error {
	var chunks []chunk
	for i := range parts {
		p := &parts[i]
		step := int64(max(chunkBytes/p.Unit, 1) * p.Unit)
		for from := int64(0); from < p.Bytes; from += step {
			chunks = append(chunks, chunk{p, from, min(from+step, p.Bytes)})
		}
	}
	var reporting sync.Mutex
	return Each(ctx, len(chunks), func(buffer *[]byte, i int) error {
		c := chunks[i]
		n := int(c.to - c.from)
		if len(*buffer) < n {
			*buffer = make([]byte, max(n, chunkBytes))
		}
		dst := (*buffer)[:n]
		if err := c.part.Fill(dst, int(c.from/int64(c.part.Unit))); err != nil {
			return fmt.Errorf("write %s: %w", c.part.Name, err)
		}
		if _, err := w.WriteAt(dst, c.part.At+c.from); err != nil {
			return fmt.Errorf("write %s: %w", c.part.Name, err)
		}
		if progress != nil {
			reporting.Lock()
			progress(int64(n))
			reporting.Unlock()
		}
		return nil
	})
}

// Each calls work for every index in [0, n), on all cores. Each goroutine has its own T, which is zero at first. The
// first error ends the others, and so does the end of ctx, whose cause is then returned.
func Each[T any](ctx context.Context, n int, work func(own *T, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			var own T
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := work(&own, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
