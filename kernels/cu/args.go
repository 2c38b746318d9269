package cu

import (
	"encoding/binary"
	"math"
)

// Args packs kernel parameters, in the order of the kernel's declaration and each at its natural alignment. The
// zero value is ready. After Reset it reuses its memory, so that packing allocates nothing.
type Args struct{ buf []byte }

// Reset forgets all parameters.
func (a *Args) Reset() *Args {
	a.buf = a.buf[:0]
	return a
}

// Bytes returns the packed parameters, valid until the next call on a.
func (a *Args) Bytes() []byte { return a.buf }

// align pads with zeros to a multiple of n, a power of two.
func (a *Args) align(n int) {
	for len(a.buf)&(n-1) != 0 {
		a.buf = append(a.buf, 0)
	}
}

// Uint64 adds a 64-bit integer, aligned to 8 bytes.
func (a *Args) Uint64(v uint64) *Args {
	a.align(8)
	a.buf = binary.LittleEndian.AppendUint64(a.buf, v)
	return a
}

// Uint32 adds a 32-bit integer, aligned to 4 bytes.
func (a *Args) Uint32(v uint32) *Args {
	a.align(4)
	a.buf = binary.LittleEndian.AppendUint32(a.buf, v)
	return a
}

// Ptr adds a pointer.
func (a *Args) Ptr(v DevicePtr) *Args { return a.Uint64(uint64(v)) }

// Int64 adds a 64-bit integer.
func (a *Args) Int64(v int64) *Args { return a.Uint64(uint64(v)) }

// Int32 adds a 32-bit integer.
func (a *Args) Int32(v int32) *Args { return a.Uint32(uint32(v)) }

// Float32 adds a float.
func (a *Args) Float32(v float32) *Args { return a.Uint32(math.Float32bits(v)) }

// Struct adds a structure that the caller laid out, aligned to align bytes, a power of two.
func (a *Args) Struct(align int, v []byte) *Args {
	a.align(align)
	a.buf = append(a.buf, v...)
	return a
}

// TensorMap adds a descriptor.
func (a *Args) TensorMap(m *TensorMap) *Args { return a.Struct(TensorMapAlign, m[:]) }
