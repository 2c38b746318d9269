package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// buffer is the memory of one matrix: a piece of the arena, or an allocation of its own.
type buffer struct {
	// dev is the device that holds it, nil in a rehearsal and after a failed allocation.
	dev *device
	at  cu.DevicePtr
	// offset is that of the piece in the arena, −1 for an allocation of its own.
	offset, bytes int64
	kept, freed   bool
}

// SizeBytes is the size of the buffer.
func (b *buffer) SizeBytes() int64 { return b.bytes }

func matrixOf(buf *buffer, rows, cols int, dtype tensor.DType) backend.Matrix {
	return backend.Matrix{Rows: rows, Cols: cols, Stride: cols, DType: dtype, Buffer: buf}
}

// Alloc returns a matrix of undefined contents: a piece of the arena, or memory of its own if the arena has no room,
// because Reserve was not told of it.
func (b *Backend) Alloc(rows, cols int, dtype tensor.DType) backend.Matrix {
	mustHave(dtype == tensor.F32 || dtype == tensor.BF16, "Alloc of %v, want F32 or BF16", dtype)
	mustHave(!b.recording, "Alloc of [%d %d] inside a replay", rows, cols)
	return matrixOf(b.allocBuffer(int64(rows)*int64(cols)*int64(dtype.SizeBytes())), rows, cols, dtype)
}

// allocBuffer allocates a piece of the arena, or memory of its own. After a failure nothing uses what it returns.
func (b *Backend) allocBuffer(bytes int64) *buffer {
	bytes = max(bytes, 1)
	buf := &buffer{offset: -1, bytes: bytes}
	if !b.rehearsal && b.stopped() {
		return buf
	}
	from, ok := b.arena.alloc(bytes)
	switch {
	case !ok && b.capturing: // which Replay prevents (see borrowed.free)
		b.fail("memory", fmt.Errorf("no room for %d bytes while operations are recorded", bytes))
		return buf
	case !ok:
		return b.allocOutside(bytes, "a matrix")
	case b.rehearsal:
		buf.offset = from
		return buf
	}
	buf.dev, buf.offset, buf.at = b.dev, from, b.dev.base+cu.DevicePtr(from)
	if b.dev.undefine != nil && !b.capturing {
		b.flush()
		if err := b.dev.undefine(buf.at, aligned(bytes)); err != nil {
			b.blame(err)
		}
	}
	return buf
}

// allocOutside allocates memory of the device outside the arena.
func (b *Backend) allocOutside(bytes int64, what string) *buffer {
	buf := &buffer{offset: -1, bytes: bytes}
	at, err := b.allocate(bytes, what)
	if err != nil {
		b.fail("memory", err)
		return buf
	}
	buf.dev, buf.at = b.dev, at
	return buf
}

// Keep returns a matrix that outlives the run.
func (b *Backend) Keep(rows, cols int, dtype tensor.DType) backend.Matrix {
	bytes := max(int64(rows)*int64(cols)*int64(dtype.SizeBytes()), 1)
	switch {
	case b.rehearsal:
		b.kept += aligned(bytes)
		return matrixOf(&buffer{offset: -1, bytes: bytes}, rows, cols, dtype)
	case b.stopped():
		return matrixOf(&buffer{offset: -1, bytes: bytes}, rows, cols, dtype)
	}
	buf := b.allocOutside(bytes, "a result to keep")
	if buf.dev != nil {
		buf.kept = true
		b.keeping.Add(bytes)
	}
	return matrixOf(buf, rows, cols, dtype)
}

// Free frees matrices. Queued work may still use them, since the memory's next user is queued behind it.
func (b *Backend) Free(ms ...backend.Matrix) {
	mustHave(!b.recording, "Free inside a replay")
	for _, m := range ms {
		b.free(m.Buffer.(*buffer))
	}
}

func (b *Backend) free(buf *buffer) {
	if buf.freed || buf.dev != b.dev || buf.dev != nil && buf.dev.lost {
		return // of a device that is gone
	}
	buf.freed = true
	if buf.kept {
		b.keeping.Add(-buf.bytes)
	}
	switch {
	case buf.offset >= 0:
		b.arena.free(buf.offset, buf.bytes)
	case buf.dev != nil:
		b.flush()
		if err := b.dev.ctx.MemFree(buf.at); err != nil {
			b.blame(err)
		}
	}
}

// scratch calls f with working memory for the kernels of one operation. Inside a replay the memory is remembered,
// because the recording can only be played while the same memory is free; there f may ask for one more piece at a time,
// which asks for none (see borrowed.free).
func (b *Backend) scratch(bytes int64, f func(at cu.DevicePtr)) {
	buf := b.borrow(bytes)
	f(buf.at)
	b.free(buf)
}

// borrow allocates working memory for scratch.
func (b *Backend) borrow(bytes int64) *buffer {
	buf := b.allocBuffer(bytes)
	if b.recording {
		b.borrowed.add(buf)
	}
	return buf
}

// view returns m as kernels take it. The zero Matrix stays the zero Matrix.
func view(m backend.Matrix) kernels.Matrix {
	if m.Buffer == nil {
		return kernels.Matrix{}
	}
	dtype := kernels.BF16
	if m.DType == tensor.F32 {
		dtype = kernels.F32
	}
	return kernels.Matrix{
		Data: m.Buffer.(*buffer).at + cu.DevicePtr(m.Offset*dtype.SizeBytes()),
		Rows: m.Rows, Cols: m.Cols, Stride: m.Stride, DType: dtype,
	}
}

func contiguous(m backend.Matrix) bool { return m.Stride == m.Cols || m.Rows <= 1 }

// Upload copies src into dst through page-locked memory, and returns once src has been read.
func (b *Backend) Upload(dst backend.Matrix, src []float32) {
	mustHave(len(src) == dst.Rows*dst.Cols || b.rehearsal && src == nil,
		"Upload of %d values into [%d %d]", len(src), dst.Rows, dst.Cols)
	mustHave(!b.recording, "Upload inside a replay")
	if !contiguous(dst) {
		whole := b.Alloc(dst.Rows, dst.Cols, dst.DType)
		b.Upload(whole, src)
		b.Copy(dst, whole)
		b.Free(whole)
		return
	}
	b.send("upload", view(dst).Data, len(src), dst.DType.SizeBytes(), func(to []byte, from, n int) {
		encode(to, src[from:from+n], dst.DType)
	})
}

// send copies n values of size bytes to the device, as many at a time as the staging buffers hold; fill writes the
// values [from, from + n).
func (b *Backend) send(operation string, at cu.DevicePtr, n, size int, fill func(to []byte, from, n int)) {
	if b.rehearsal || b.stopped() {
		return
	}
	b.flush()
	b.last = operation
	for from := 0; from < n && b.err == nil; {
		buf, err := b.dev.staging.nextBuffer()
		if err != nil {
			b.blame(err)
			return
		}
		count := min(n-from, len(buf)/size)
		if err := tensor.Guard(func() { fill(buf[:count*size], from, count) }); err != nil {
			b.fail(operation, err)
			return
		}
		if err := b.dev.staging.send(at+cu.DevicePtr(from*size), count*size); err != nil {
			b.fail(operation, err)
			return
		}
		from += count
	}
}

func encode(to []byte, values []float32, dtype tensor.DType) {
	if dtype == tensor.F32 {
		for i, v := range values {
			binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
		}
		return
	}
	for i, v := range values {
		binary.LittleEndian.PutUint16(to[2*i:], tensor.F32ToBF16(v))
	}
}

// Download waits for src and copies it into dst.
func (b *Backend) Download(dst []float32, src backend.Matrix) {
	mustHave(len(dst) == src.Rows*src.Cols, "Download of [%d %d] into %d values", src.Rows, src.Cols, len(dst))
	mustHave(!b.recording, "Download inside a replay")
	if !contiguous(src) {
		whole := b.Alloc(src.Rows, src.Cols, src.DType)
		b.Copy(whole, src)
		b.Download(dst, whole)
		b.Free(whole)
		return
	}
	if b.rehearsal || b.stopped() {
		return
	}
	b.flush()
	at, size := view(src).Data, src.DType.SizeBytes()
	for from := 0; from < len(dst) && b.err == nil; {
		buf, err := b.dev.staging.nextBuffer()
		count := min(len(dst)-from, len(buf)/size)
		if err == nil {
			err = b.dev.staging.receive(at+cu.DevicePtr(from*size), count*size)
		}
		if err != nil {
			b.blame(err)
			return
		}
		tensor.Widen(dst[from:from+count], src.DType, buf)
		from += count
	}
}
