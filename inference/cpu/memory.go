package cpu

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"kleinbild/inference/backend"
	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// buffer is the memory of one matrix: one of the two slices is set. Large buffers are mappings of their own, so that
// what is freed goes back to the system at once: a decoder's activations are gigabytes, and the collector would let
// as much again pile up.
type buffer struct {
	f32    []float32
	bf16   []uint16
	mapped []byte
}

// mappedBytes is the size from which a buffer is a mapping.
const mappedBytes = 1 << 20

func newBuffer(n int, dtype tensor.DType) (*buffer, error) {
	size := n * dtype.SizeBytes()
	if size < mappedBytes {
		if dtype == tensor.BF16 {
			return &buffer{bf16: make([]uint16, n)}, nil
		}
		return &buffer{f32: make([]float32, n)}, nil
	}
	m, err := mapMemory(size)
	if err != nil {
		return nil, fmt.Errorf("cpu: %d MB of memory: %w", size>>20, err)
	}
	if dtype == tensor.BF16 {
		return &buffer{bf16: unsafe.Slice((*uint16)(unsafe.Pointer(&m[0])), n), mapped: m}, nil
	}
	return &buffer{f32: unsafe.Slice((*float32)(unsafe.Pointer(&m[0])), n), mapped: m}, nil
}

func (b *buffer) free() {
	if b.mapped != nil {
		unmapMemory(b.mapped)
	}
	*b = buffer{}
}

// SizeBytes is the memory held.
func (b *buffer) SizeBytes() int64 { return int64(len(b.f32))*4 + int64(len(b.bf16))*2 }

// pool keeps freed buffers for the next allocation of a similar size, so that a run of equal layers allocates once. It
// knows the buffers in use as well: mappings are not garbage-collected.
type pool struct {
	mu        sync.Mutex
	used      map[*buffer]bool
	free      []*buffer // oldest first
	sizeBytes int64     // of free
}

// poolBytes bounds what is kept.
const poolBytes = 1 << 30

// take returns a buffer for n values: the smallest free one that holds no more than twice as many, or a new one.
func (p *pool) take(n int, dtype tensor.DType) (*buffer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	need := int64(n) * int64(dtype.SizeBytes())
	best := -1
	for i, buf := range p.free {
		if size := buf.SizeBytes(); (dtype == tensor.BF16) == (buf.bf16 != nil) && size >= need && size <= 2*need &&
			(best < 0 || size < p.free[best].SizeBytes()) {
			best = i
		}
	}
	var buf *buffer
	if best >= 0 {
		buf = p.free[best]
		p.free = slices.Delete(p.free, best, best+1)
		p.sizeBytes -= buf.SizeBytes()
	} else {
		var err error
		if buf, err = newBuffer(n, dtype); err != nil {
			return nil, err
		}
	}
	p.used[buf] = true
	return buf, nil
}

// give takes a buffer back; one that is not in use is an allocation that failed.
func (p *pool) give(buf *buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.used[buf] {
		return
	}
	delete(p.used, buf)
	p.free = append(p.free, buf)
	p.sizeBytes += buf.SizeBytes()
	p.shrink(poolBytes)
}

// drop frees everything, what is in use included.
func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shrink(0)
	for buf := range p.used {
		buf.free()
	}
	clear(p.used)
}

// shrink frees the oldest buffers until at most limit bytes are kept.
func (p *pool) shrink(limit int64) {
	for len(p.free) > 0 && p.sizeBytes > limit {
		p.sizeBytes -= p.free[0].SizeBytes()
		p.free[0].free()
		p.free = slices.Delete(p.free, 0, 1)
	}
}

// Alloc returns a matrix of undefined contents.
func (b *Backend) Alloc(rows, cols int, dtype tensor.DType) backend.Matrix {
	if dtype != tensor.F32 && dtype != tensor.BF16 {
		panic(fmt.Sprintf("cpu: Alloc of %v, want F32 or BF16", dtype))
	}
	buf, err := b.pool.take(rows*cols, dtype)
	if err != nil {
		// The matrix is never read or written: a failed backend does nothing.
		b.fail(err)
		buf = &buffer{}
	}
	return backend.Matrix{Rows: rows, Cols: cols, Stride: cols, DType: dtype, Buffer: buf}
}

// Keep is Alloc: matrices of the processor outlive runs anyway.
func (b *Backend) Keep(rows, cols int, dtype tensor.DType) backend.Matrix {
	return b.Alloc(rows, cols, dtype)
}

// Free gives matrices back for reuse.
func (b *Backend) Free(ms ...backend.Matrix) {
	for _, m := range ms {
		b.pool.give(m.Buffer.(*buffer))
	}
}

// rowF32 is row i of a float32 matrix.
func rowF32(m backend.Matrix, i int) []float32 {
	at := m.Offset + i*m.Stride
	return m.Buffer.(*buffer).f32[at : at+m.Cols : at+m.Cols]
}

// rowBF16 is row i of a bfloat16 matrix.
func rowBF16(m backend.Matrix, i int) []uint16 {
	at := m.Offset + i*m.Stride
	return m.Buffer.(*buffer).bf16[at : at+m.Cols : at+m.Cols]
}

// load returns row i as float32: the row itself, or widened into scratch.
func load(m backend.Matrix, i int, scratch []float32) []float32 {
	if m.DType == tensor.F32 {
		return rowF32(m, i)
	}
	scratch = scratch[:m.Cols]
	simd.WidenBF16(scratch, rowBF16(m, i))
	return scratch
}

// target returns where to compute row i: the row itself, or scratch, which store then rounds into the row.
func target(m backend.Matrix, i int, scratch []float32) []float32 {
	if m.DType == tensor.F32 {
		return rowF32(m, i)
	}
	return scratch[:m.Cols]
}

// store completes target.
func store(m backend.Matrix, i int, row []float32) {
	if m.DType == tensor.BF16 {
		simd.RoundBF16(rowBF16(m, i), row)
	}
}

// Upload copies src into dst.
func (b *Backend) Upload(dst backend.Matrix, src []float32) {
	mustHave(len(src) == dst.Rows*dst.Cols, "Upload of %d values into [%d %d]", len(src), dst.Rows, dst.Cols)
	b.parallel(dst.Rows, rowGrain(dst.Cols), func(from, to int) {
		for i := from; i < to; i++ {
			row := src[i*dst.Cols : (i+1)*dst.Cols]
			if dst.DType == tensor.F32 {
				copy(rowF32(dst, i), row)
			} else {
				simd.RoundBF16(rowBF16(dst, i), row)
			}
		}
	})
}

// Download copies src into dst.
func (b *Backend) Download(dst []float32, src backend.Matrix) {
	mustHave(len(dst) == src.Rows*src.Cols, "Download of [%d %d] into %d values", src.Rows, src.Cols, len(dst))
	b.parallel(src.Rows, rowGrain(src.Cols), func(from, to int) {
		for i := from; i < to; i++ {
			row := dst[i*src.Cols : (i+1)*src.Cols]
			copy(row, load(src, i, row))
		}
	})
}

// Copy copies src into dst, converting between formats.
func (b *Backend) Copy(dst, src backend.Matrix) {
	mustMatch("Copy", dst, src)
	b.mapRows(dst, src, func(_ int, out, in []float32) { copy(out, in) })
}

// mapRows computes each row of dst from the same row of src; the two may be the same matrix.
func (b *Backend) mapRows(dst, src backend.Matrix, row func(i int, out, in []float32)) {
	b.parallel(dst.Rows, rowGrain(src.Cols), func(from, to int) {
		in, out := scratch(src), scratch(dst)
		for i := from; i < to; i++ {
			res := target(dst, i, out)
			row(i, res, load(src, i, in))
			store(dst, i, res)
		}
	})
}

// scratch is memory for load and target, which need it for bfloat16 only.
func scratch(m backend.Matrix) []float32 {
	if m.DType == tensor.F32 {
		return nil
	}
	return make([]float32, m.Cols)
}

// rowGrain is a number of rows worth a goroutine's turn.
func rowGrain(cols int) int { return max(1, 1<<15/max(cols, 1)) }

// mustMatch panics unless a and b have one shape: a mistake in a stage.
func mustMatch(op string, a, b backend.Matrix) {
	mustHave(a.Rows == b.Rows && a.Cols == b.Cols, "%s: [%d %d] and [%d %d]", op, a.Rows, a.Cols, b.Rows, b.Cols)
}

func mustHave(ok bool, format string, args ...any) {
	if !ok {
		panic("cpu: " + fmt.Sprintf(format, args...))
	}
}
