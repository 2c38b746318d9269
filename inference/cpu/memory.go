package cpu

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// buffer is the memory of a matrix. One of f32 and bf16 is set. A large buffer is a mapping of its own, which is
// returned to the system when it is freed: a decoder's activations have gigabytes, and the garbage collector would let
// as much unused memory accumulate.
type buffer struct {
	f32    []float32
	bf16   []uint16
	mapped []byte
}

// mappedBytes is the size from which a buffer is a mapping.
const mappedBytes = 1 << 20

// newBuffer returns a buffer for n values.
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

// SizeBytes returns the size of the buffer's memory.
func (b *buffer) SizeBytes() int64 { return int64(len(b.f32))*4 + int64(len(b.bf16))*2 }

// pool keeps freed buffers for later allocations of similar sizes, so that equal layers reuse the same memory. It also
// holds the buffers in use, since mappings are not garbage-collected.
type pool struct {
	mu        sync.Mutex
	used      map[*buffer]bool
	free      []*buffer // oldest first
	sizeBytes int64     // the size of the buffers in free
}

// poolBytes bounds the size of the free buffers.
const poolBytes = 1 << 30

// get returns a buffer for n values: the smallest free one that is at most twice as large, or a new one.
func (p *pool) get(n int, dtype tensor.DType) (*buffer, error) {
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

// put makes a buffer free.
func (p *pool) put(buf *buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.used[buf] { // the buffer of an allocation that failed
		return
	}
	delete(p.used, buf)
	p.free = append(p.free, buf)
	p.sizeBytes += buf.SizeBytes()
	p.shrink(poolBytes)
}

// freeAll frees the memory of all buffers, including those in use.
func (p *pool) freeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shrink(0)
	for buf := range p.used {
		buf.free()
	}
	clear(p.used)
}

// shrink frees the memory of the oldest free buffers until the others have at most limit bytes.
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
	buf, err := b.pool.get(rows*cols, dtype)
	if err != nil {
		// The empty buffer is never read or written, since operations do nothing after fail.
		b.fail(err)
		buf = &buffer{}
	}
	return backend.Matrix{Rows: rows, Cols: cols, Stride: cols, DType: dtype, Buffer: buf}
}

// Keep is like Alloc, whose matrices stay valid over runs on this backend.
func (b *Backend) Keep(rows, cols int, dtype tensor.DType) backend.Matrix {
	return b.Alloc(rows, cols, dtype)
}

// Free frees matrices. Their memory may be reused.
func (b *Backend) Free(ms ...backend.Matrix) {
	for _, m := range ms {
		b.pool.put(m.Buffer.(*buffer))
	}
}

// rowF32 returns row i of a float32 matrix.
func rowF32(m backend.Matrix, i int) []float32 {
	at := m.Offset + i*m.Stride
	return m.Buffer.(*buffer).f32[at : at+m.Cols : at+m.Cols]
}

// rowBF16 returns row i of a bfloat16 matrix.
func rowBF16(m backend.Matrix, i int) []uint16 {
	at := m.Offset + i*m.Stride
	return m.Buffer.(*buffer).bf16[at : at+m.Cols : at+m.Cols]
}

// load returns row i as float32: the row itself, or a copy in scratch if m is bfloat16.
func load(m backend.Matrix, i int, scratch []float32) []float32 {
	if m.DType == tensor.F32 {
		return rowF32(m, i)
	}
	scratch = scratch[:m.Cols]
	simd.WidenBF16(scratch, rowBF16(m, i))
	return scratch
}

// target returns the memory into which row i is computed: the row itself, or scratch if m is bfloat16. store then
// rounds scratch into the row.
func target(m backend.Matrix, i int, scratch []float32) []float32 {
	if m.DType == tensor.F32 {
		return rowF32(m, i)
	}
	return scratch[:m.Cols]
}

// store stores a row that was computed into target's result.
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

// Copy copies src into dst and converts between their formats.
func (b *Backend) Copy(dst, src backend.Matrix) {
	mustMatch("Copy", dst, src)
	b.mapRows(dst, src, func(_ int, out, in []float32) { copy(out, in) })
}

// mapRows calls row for each row of src and stores its result in the same row of dst. dst may be src.
func (b *Backend) mapRows(dst, src backend.Matrix, row func(i int, out, in []float32)) {
	b.parallel(dst.Rows, rowGrain(src.Cols), func(from, to int) {
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		in, out := s.row(0, src), s.row(1, dst)
		for i := from; i < to; i++ {
			res := target(dst, i, out)
			row(i, res, load(src, i, in))
			store(dst, i, res)
		}
	})
}

// scratch holds the scratch rows of load and target, which later operations reuse.
type scratch [3][]float32

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// row returns scratch row i for the rows of m, or nil for a float32 matrix, which needs none.
func (s *scratch) row(i int, m backend.Matrix) []float32 {
	if m.DType == tensor.F32 {
		return nil
	}
	if cap(s[i]) < m.Cols {
		s[i] = make([]float32, m.Cols)
	}
	return s[i][:m.Cols]
}

// rowGrain returns the number of rows that a goroutine processes at a time: enough to outweigh the cost of a handover.
func rowGrain(cols int) int { return max(1, 1<<15/max(cols, 1)) }

// mustMatch panics unless a and b have the same shape.
func mustMatch(op string, a, b backend.Matrix) {
	mustHave(a.Rows == b.Rows && a.Cols == b.Cols, "%s: shapes [%d %d] and [%d %d], want equal ones",
		op, a.Rows, a.Cols, b.Rows, b.Cols)
}

// mustHave panics with a message unless ok: the shapes of operands are a bug of the calling stage.
func mustHave(ok bool, format string, args ...any) {
	if !ok {
		panic("cpu: " + fmt.Sprintf(format, args...))
	}
}
