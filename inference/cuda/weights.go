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

// part is a part of a network: weights that are copied to the device together, into one allocation, and removed
// together.
type part struct {
	network string
	weights []*stored
	bytes   int64
	// sealed is set when the part has been on the device. Weights that are added later start another part.
	sealed bool
	// travels says that the part does not stay on the device, but passes through a lane.
	travels bool
	// at is where the weights are or will be, 0 while they are not on the device.
	at cu.DevicePtr
	// chunks are the pieces in which they are copied. If behind is not nil, the copies wait for it.
	chunks []*chunk
	behind cu.Event
	used   int64
}

// chunk is the bytes [from, to) of a part. ready is closed once they are on the device, or err says why they are not.
type chunk struct {
	from, to int64
	ready    chan struct{}
	arrived  bool // for the upload
	err      error
}

func (c *chunk) arrive() {
	c.arrived = true
	close(c.ready)
}

// failed says whether the chunk's upload has ended with an error.
func (c *chunk) failed() bool {
	select {
	case <-c.ready:
		return c.err != nil
	default:
		return false
	}
}

// leave marks the weights as not on the device.
func (p *part) leave() { p.at, p.chunks = 0, nil }

// wait returns once all chunks have arrived or failed.
func (p *part) wait() {
	for _, c := range p.chunks {
		<-c.ready
	}
}

// fail tells those that wait for chunks that have not arrived.
func (p *part) fail(err error) {
	for _, c := range p.chunks {
		if !c.arrived {
			c.err = err
			c.arrive()
		}
	}
}

// stored is a checkpoint's tensor as it is stored on the device: a matrix of 8 bits for products in them; a quantised
// matrix in its own bytes; a matrix of bfloat16 with a row for each index of the first dimension; for a convolution,
// with the values of a row in the order of kernels.Conv; or a vector, as exact as in the file.
type stored struct {
	tensor.Tensor
	part   *part
	offset int64
	// narrow is not nil for a matrix for products in 8 bits, and packed for one in its own bytes. dtype is the
	// format of all others.
	narrow *narrow
	packed *packed
	dtype  kernels.DType
	// taps is the number of a convolution's positions, 1 for all else.
	taps int
}

func (s *stored) bytes() int64 {
	switch {
	case s.narrow != nil:
		return s.narrow.bytes()
	case s.packed != nil:
		return s.packed.bytes
	}
	return int64(tensor.Elements(s.Shape)) * int64(s.dtype.SizeBytes())
}

// weight is rows [from, to) of the first dimension.
type weight struct {
	*stored
	from, to int
}

// Network begins another network.
func (b *Backend) Network(name string) { b.parts = append(b.parts, &part{network: name}) }

// Weight plans where on the device t goes. It is read when an operation needs it.
func (b *Backend) Weight(t tensor.Tensor) (backend.Weight, error) { return b.weight(t, false) }

// LinearWeight is like Weight. t may be quantised on its way to the device.
func (b *Backend) LinearWeight(t tensor.Tensor) (backend.Weight, error) { return b.weight(t, true) }

func (b *Backend) weight(t tensor.Tensor, quantisable bool) (backend.Weight, error) {
	switch {
	case !t.DType.Float():
		return nil, fmt.Errorf("cuda: %s: dtype %v, want a floating-point or quantised format", t.Name, t.DType)
	case len(t.Shape) > 2 && (t.DType.BlockValues() > 1 || t.Quant != nil):
		return nil, fmt.Errorf("cuda: %s: %v %v, want a matrix in a quantised format", t.Name, t.DType, t.Shape)
	case len(t.Shape) == 0 || tensor.Elements(t.Shape) == 0:
		return nil, fmt.Errorf("cuda: %s: shape %v, want one value at least", t.Name, t.Shape)
	}
	s := &stored{Tensor: t, taps: 1}
	if n := b.options.Narrow; n != nil {
		s.narrow = narrowOf(t, n.DType, n.Quantise && quantisable)
	}
	if s.narrow == nil {
		s.packed = pack(t)
	}
	if len(t.Shape) == 1 && t.DType != tensor.BF16 {
		s.dtype = kernels.F32
	}
	if len(t.Shape) == 4 {
		s.taps = t.Shape[2] * t.Shape[3]
	}
	if len(b.parts) == 0 {
		b.Network("weights")
	}
	p := b.parts[len(b.parts)-1]
	if p.sealed || len(p.weights) > 0 && p.bytes+s.bytes() > b.options.PartBytes {
		b.Network(p.network)
		p = b.parts[len(b.parts)-1]
	}
	s.part, s.offset = p, p.bytes
	p.weights = append(p.weights, s)
	p.bytes += aligned(s.bytes())
	return &weight{s, 0, t.Shape[0]}, nil
}

// Shape is the tensor's shape.
func (w *weight) Shape() []int { return append([]int{w.to - w.from}, w.stored.Shape[1:]...) }

// Slice views rows of the first dimension.
func (w *weight) Slice(from, to int) backend.Weight {
	mustHave(
		from >= 0 && from <= to && w.from+to <= w.to, "rows [%d, %d) of %s, which has %d", from, to, w.Name, w.to-w.from,
	)
	return &weight{w.stored, w.from + from, w.from + to}
}

// matrix is w on the device, a row for each index of its first dimension. w must not be of int8 or in its own bytes.
func matrix(bw backend.Weight) kernels.Matrix {
	if m, ok := bw.(backend.MatrixWeight); ok {
		return view(m.Matrix)
	}
	w := bw.(*weight)
	mustHave(
		w.packed == nil && w.narrow == nil, "%s: %v %v, want a format that kernels multiply", w.Name, w.DType,
		w.stored.Shape,
	)
	cols := tensor.Elements(w.stored.Shape[1:])
	at := w.part.at + cu.DevicePtr(w.offset+int64(w.from)*int64(cols)*int64(w.dtype.SizeBytes()))
	return kernels.Matrix{Data: at, Rows: w.to - w.from, Cols: cols, Stride: cols, DType: w.dtype}
}

// row is a vector; nil is none.
func row(bw backend.Weight) kernels.Matrix {
	if bw == nil {
		return kernels.Matrix{}
	}
	m := matrix(bw)
	return kernels.Matrix{Data: m.Data, Rows: 1, Cols: m.Rows, Stride: m.Rows, DType: m.DType}
}

// write writes the bytes [at, at + len(to)) of s as they lie on the device.
func (s *stored) write(to []byte, at int64) {
	switch {
	case s.narrow != nil:
		s.narrow.write(to, at)
		return
	case s.packed != nil:
		s.packed.write(to, at)
		return
	}
	size := s.dtype.SizeBytes()
	s.convert(to, int(at)/size, len(to)/size)
}

// convert writes the values [from, from + n) of s as they lie on the device. A quantised matrix is widened to bfloat16,
// and a rotated one is turned back.
func (s *stored) convert(to []byte, from, n int) {
	if s.taps == 1 && s.DType == tensor.BF16 && s.Scale == 1 && s.Quant == nil {
		copy(to[:2*n], s.Data[2*from:])
		return
	}
	var wide [1024]float32
	for n > 0 {
		v := wide[:min(n, len(wide))]
		if s.taps == 1 {
			s.Values(v, from)
		} else {
			s.gather(v, from)
		}
		for i, x := range v {
			if s.dtype == kernels.F32 {
				binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(x))
			} else {
				binary.LittleEndian.PutUint16(to[2*i:], tensor.F32ToBF16(x))
			}
		}
		to, from, n = to[len(v)*s.dtype.SizeBytes():], from+len(v), n-len(v)
	}
}

// gather reads a convolution's values in the order [out, taps, in]; the file has [out, in, taps].
func (s *stored) gather(v []float32, from int) {
	in, size := s.Shape[1], s.DType.SizeBytes()
	out, tap, channel := from/in/s.taps, from/in%s.taps, from%in
	for len(v) > 0 {
		run := v[:min(len(v), in-channel)]
		at := ((out*in+channel)*s.taps + tap) * size
		for i := range run {
			if s.DType == tensor.BF16 {
				run[i] = tensor.BF16ToF32(uint16(s.Data[at]) | uint16(s.Data[at+1])<<8)
			} else {
				tensor.Widen(run[i:i+1], s.DType, s.Data[at:])
			}
			run[i] *= s.Scale
			at += s.taps * size
		}
		v, channel = v[len(run):], 0
		if tap++; tap == s.taps {
			out, tap = out+1, 0
		}
	}
}
