package cpu

import (
	"fmt"
	"slices"
	"sync"

	"kleinbild/inference/backend"
	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// buffer is the memory of one matrix: one of the two slices is set.
type buffer struct {
	f32  []float32
	bf16 []uint16
}

// SizeBytes is the memory held.
func (b *buffer) SizeBytes() int64 { return int64(len(b.f32))*4 + int64(len(b.bf16))*2 }

// pool keeps freed buffers for the next allocation of a similar size, so that a run of equal layers allocates
// once.
type pool struct {
	mu   sync.Mutex
	free []*buffer
}

// poolBuffers bounds what is kept; a layer of the transformer holds fewer matrices at once.
const poolBuffers = 16

func (p *pool) take(n int, dtype tensor.DType) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, buf := range p.free {
		have := max(len(buf.f32), len(buf.bf16))
		if (dtype == tensor.BF16) == (buf.bf16 != nil) && have >= n && have <= n+n/4 {
			p.free = slices.Delete(p.free, i, i+1)
			return buf
		}
	}
	if dtype == tensor.BF16 {
		return &buffer{bf16: make([]uint16, n)}
	}
	return &buffer{f32: make([]float32, n)}
}

func (p *pool) give(buf *buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == poolBuffers {
		p.free = slices.Delete(p.free, 0, 1)
	}
	p.free = append(p.free, buf)
}

func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = nil
}

// Alloc returns a matrix of undefined contents.
func (b *Backend) Alloc(rows, cols int, dtype tensor.DType) backend.Matrix {
	if dtype != tensor.F32 && dtype != tensor.BF16 {
		panic(fmt.Sprintf("cpu: Alloc of %v, want F32 or BF16", dtype))
	}
	return backend.Matrix{Rows: rows, Cols: cols, Stride: cols, DType: dtype, Buffer: b.pool.take(rows*cols, dtype)}
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
