// Package backend declares the operations that the model's stages (text encoder, transformer, VAE) are written with,
// and that a processor and a GPU implement. Activations are matrices with a row for each token or pixel and a column
// for each channel. A stage allocates its matrices, calls operations on them, destination first, and calls Sync at its
// end for the first error.
package backend

import (
	"context"
	"errors"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Backend computes on one device. A Backend must not be used by two goroutines at the same time, and it serves one run
// (the making of one picture) at a time.
//
// Operations return nothing, because a device may execute them asynchronously. The first error (out of memory, a
// cancelled context, a failure of the device) is kept: later operations do nothing, and Sync returns it. Shapes that do
// not match are a bug of the calling stage: an operation panics, or keeps an error if only a GPU launcher checks them.
//
// Operands may be views with a row stride. A destination must not overlap an operand unless the operation allows it.
// Arithmetic is float32 for all storage formats; a result is rounded once, when it is stored. A backend that computes
// in int8 differs in the products of Linear and SwiGLU with weights of int8 that have a scale for each row or one
// scale: it rotates the rows of x as the weights are, quantises each with its own scale, and sums integers exactly.
type Backend interface {
	// Name returns the name of the backend and its device, such as "CPU (AVX2)", for people and for pictures' metadata.
	Name() string
	// Activation returns the format of activations: F32, or BF16, in which the reference usually runs.
	Activation() tensor.DType

	// Begin starts a run: it clears the kept error. If ctx ends, the operations up to the next Begin fail with its
	// error.
	Begin(ctx context.Context)
	// Sync waits for all operations and returns the first error since Begin.
	Sync() error
	// Close frees all weights and matrices.
	Close() error

	// Alloc returns a matrix of undefined contents. dtype is F32 or BF16. The matrix is valid until Free, and at most
	// until the next Begin.
	Alloc(rows, cols int, dtype tensor.DType) Matrix
	// Keep is like Alloc, but the matrix stays valid after the next Begin, as caches need it. An error that wraps
	// ErrLost makes it invalid.
	Keep(rows, cols int, dtype tensor.DType) Matrix
	// Free frees matrices of Alloc and Keep. Their views become invalid too.
	Free(ms ...Matrix)
	// Network names the network to which the weights of the following calls of Weight and Table belong. Networks must
	// be named in the order in which a run uses them. A device without memory for all networks holds the weights of the
	// one in use.
	Network(name string)
	// Weight makes a tensor of a checkpoint usable by this backend. t.Data must stay valid until Close.
	Weight(t tensor.Tensor) (Weight, error)
	// LinearWeight is like Weight for a matrix that only Linear and SwiGLU read, and whose network keeps its quality with
	// weights of int8. A backend that computes in int8 may quantise it, when it is first used.
	LinearWeight(t tensor.Tensor) (Weight, error)
	// Table is like Weight for a matrix that only Embedding reads, a few rows at a time. A backend may leave it in the
	// checkpoint's file.
	Table(t tensor.Tensor) (Weight, error)

	// Replay calls f, or repeats the operations of an earlier call with the same key since Begin. For one key f must
	// always call the same operations on the same matrices, and it must not call Alloc, Keep, Free, Upload, Download or
	// Sync.
	Replay(key any, f func())

	// Unchanged calls f, in which no operation changes x: a backend may keep for the whole of f what it computes from x,
	// such as its quantised rows.
	Unchanged(x Matrix, f func())

	// Upload copies src, row-major [dst.Rows, dst.Cols], into dst. src may be nil in a rehearsal.
	Upload(dst Matrix, src []float32)
	// Download waits for src and copies it into dst, row-major [src.Rows, src.Cols]. After an error the contents of dst
	// are undefined.
	Download(dst []float32, src Matrix)
	// Copy copies src into dst, which has the same shape, and converts it if their formats differ.
	Copy(dst, src Matrix)

	// Linear computes y = x·wᵀ for x [m, k] and w [n, k], and stores it in dst [m, n] as ep describes. w may be a matrix
	// (AsWeight).
	Linear(dst, x Matrix, w Weight, ep Epilogue)
	// SwiGLU computes dst = silu(x·gateᵀ) ⊙ (x·upᵀ) for x [m, k], gate and up [n, k], dst [m, n].
	SwiGLU(dst, x Matrix, gate, up Weight)
	// Embedding copies rows of table, a weight returned by Table [vocabulary, n]: dst[i] = table[ids[i]], dst being
	// [len(ids), n].
	Embedding(dst Matrix, table Weight, ids []int32)

	// SiLUMul computes dst = silu(x) ⊙ y, all [m, n]. dst may be x or y.
	SiLUMul(dst, x, y Matrix)
	// ReLU computes dst = max(x, 0), both [m, n]. dst may be x. NaN stays NaN.
	ReLU(dst, x Matrix)
	// PReLU computes dst = x where x ≥ 0, else x ⊙ slope, for x and dst [m, n] and slope [n]. dst may be x. NaN stays NaN.
	PReLU(dst, x Matrix, slope Weight)
	// SiLU computes dst = x·sigmoid(x), both [m, n]. dst may be x.
	SiLU(dst, x Matrix)
	// CentredGate computes dst = (x + y) ⊙ (sigmoid(y) − 1/2), all [m, n]. dst may be x or y.
	CentredGate(dst, x, y Matrix)
	// QKNormRoPE normalises and rotates the heads of x, [m, p.Cols], in place, as the field of Epilogue does.
	QKNormRoPE(x Matrix, p QKNormRoPE)
	// TransposeRows transposes the matrix [a, n/a] that each row of x [m, n] holds: dst[i, l·a + j] = x[i, j·n/a + l]. dst
	// is [m, n] and not x.
	TransposeRows(dst, x Matrix, a int)

	// AddScaled computes dst = a + s·b, all [m, n]. dst may be a or b.
	AddScaled(dst, a, b Matrix, s float32)
	// Lerp computes dst = a + s·(b − a), all [m, n]. dst may be a or b.
	Lerp(dst, a, b Matrix, s float32)
	// Affine computes dst = x ⊙ scale + shift for x and dst [m, n] and the rows scale and shift [1, n]. dst may be x.
	Affine(dst, x, scale, shift Matrix)

	// RMSNorm computes dst = x / sqrt(mean(x²) + eps) ⊙ w for each row of x [m, n]; w is [n]. dst may be x.
	RMSNorm(dst, x Matrix, w Weight, eps float32)
	// LayerNorm computes dst = (x − mean) / sqrt(variance + eps) ⊙ (1 + scale) + shift for each row of x [m, n]; scale
	// and shift are rows [1, n]. dst may be x.
	LayerNorm(dst, x, scale, shift Matrix, eps float32)
	// Attention computes softmax(scale·q·kᵀ + mask)·v for each head. q and dst are [m, heads·d]; k and v are
	// [s, kvHeads·d]. Query head h uses key and value head h·kvHeads/heads.
	Attention(dst, q, k, v Matrix, p AttentionParams)

	// Conv2D convolves the picture x [p.Height·p.Width, in], pixels in raster order, with w [out, in, k, k], where k is
	// 1 or 3, and stores [outHeight·outWidth, out] in dst, with the height and width of p.OutputSize. x has the format of
	// activations; dst may be float32.
	Conv2D(dst, x Matrix, w Weight, p ConvParams)
	// GroupNorm normalises x [pixels, channels]: each group of channels has one mean and variance over all pixels. dst
	// may be x.
	GroupNorm(dst, x Matrix, p GroupNormParams)
	// Patchify makes one row of the channels of n×n pixels: from x [height·width, c] it stores
	// dst [(height/n)·(width/n), n²·c], channel c of pixel (dy, dx) at column c·n² + dy·n + dx. n follows from the
	// columns.
	Patchify(dst, x Matrix, height, width int)
	// Unpatchify is the inverse of Patchify: x is [(height/n)·(width/n), n²·c] and dst [height·width, c].
	Unpatchify(dst, x Matrix, height, width int)
}

// ErrLost is wrapped by the error of a device that has failed. All matrices of Keep are lost then, and the next Begin
// opens the device again.
var ErrLost = errors.New("the device's memory is lost")

// Weight is a tensor of a checkpoint, usable by a backend.
type Weight interface {
	// Shape returns the tensor's shape.
	Shape() []int
	// Slice returns a view of rows [from, to) of the first dimension.
	Slice(from, to int) Weight
}

// AsWeight returns a matrix as a weight of Linear, for products with values that are not in the checkpoint. m must have
// the format of activations, a stride of its columns, and stay valid as long as the weight is used.
func AsWeight(m Matrix) Weight { return MatrixWeight{m} }

// MatrixWeight is a matrix as a weight.
type MatrixWeight struct{ Matrix }

// Shape returns rows and columns.
func (w MatrixWeight) Shape() []int { return []int{w.Rows, w.Cols} }

// Slice returns a view of rows [from, to).
func (w MatrixWeight) Slice(from, to int) Weight { return MatrixWeight{w.RowRange(from, to)} }

// Beside returns a weight [n, k + r] of Linear and SwiGLU whose first k columns are those of w [n, k], and whose others
// are those of m [n, r]: a product with it goes on where that with w ends. k and r are multiples of BesideMultiple and
// 8. m has the format of activations. The weights of a SwiGLU both have such columns, as many, or none of them has.
// Only backends of which JoinsBeside is true take such weights.
func Beside(w Weight, m Matrix) Weight { return WeightBeside{w, m} }

// BesideMultiple is described at Beside.
const BesideMultiple = 64

// WeightBeside is a weight with further columns.
type WeightBeside struct {
	Weight
	Beside Matrix
}

// Shape returns rows and columns.
func (w WeightBeside) Shape() []int {
	shape := w.Weight.Shape()
	return []int{shape[0], shape[1] + w.Beside.Cols}
}

// Slice returns a view of rows [from, to).
func (w WeightBeside) Slice(from, to int) Weight {
	return WeightBeside{w.Weight.Slice(from, to), w.Beside.RowRange(from, to)}
}

// JoinsBeside says whether b takes weights of Beside.
func JoinsBeside(b Backend) bool {
	j, ok := b.(interface{ JoinsBeside() bool })
	return ok && j.JoinsBeside()
}

// Epilogue describes how Linear stores its product y [m, n]. The zero value stores y.
type Epilogue struct {
	// Bias [n] is added to each row of y unless nil.
	Bias Weight
	// Add adds y to dst instead of storing it. If Gate, a row [1, n], is set, it adds Gate ⊙ y.
	Add  bool
	Gate Matrix
	// SiLU stores y·sigmoid(y). No other field may be set with it.
	SiLU bool
	// QKNormRoPE normalises and rotates the heads of y. No other field may be set with it.
	QKNormRoPE QKNormRoPE
}

// QKNormRoPE is what attention wants done to queries and keys. The first Cols columns of a product are heads of d
// columns each: every head is normalised as RMSNorm does, with Weight [d], and rotated by RoPE. The columns behind the
// first Cols are stored unchanged. The zero value changes nothing.
type QKNormRoPE struct {
	Cols   int
	Weight Weight
	Eps    float32
	RoPE   RoPE
}

// The width of an attention's head must be a multiple of HeadMultiple, the granularity of the kernels, and at most
// MaxHead, which still fits a processor core's or a GPU's fastest memory. ParseConfig of each stage checks both.
const (
	HeadMultiple = 16
	MaxHead      = 1024
)

// AttentionParams are the parameters of an attention.
type AttentionParams struct {
	Heads, KVHeads int
	// Scale multiplies the products of queries and keys.
	Scale float32
	// Causal masks the keys after i for query i.
	Causal bool
	// Keys is the number of keys that are not padding: the keys from this index on are masked.
	Keys int
}

// RoPE holds a rotary position embedding: the cosine and the sine of the angle by which each pair of a head's channels
// is rotated, for each row. Cos and Sin are float32 [m, d/2] for heads of d channels.
type RoPE struct {
	Cos, Sin Matrix
	// Halves says that pair i consists of channels i and i + d/2 (Qwen3). Without it these are 2i and 2i + 1 (FLUX.2).
	Halves bool
}

// ConvParams are the parameters of a convolution. Its stride is 1 and its zero padding k/2, unless Downsample is set.
type ConvParams struct {
	// Height and Width are the size of x in pixels.
	Height, Width int
	// Upsample doubles height and width of the input by nearest neighbour before the convolution.
	Upsample bool
	// Downsample uses stride 2, and pads with one row below and one column on the right only.
	Downsample bool
	// Bias [out] is added to each pixel.
	Bias Weight
	// Add adds the result to dst instead of storing it.
	Add bool
	// ReLU stores max(y, 0) of the result y, which includes Bias and what was added. NaN stays NaN.
	ReLU bool
	// Norm, unless nil, applies GroupNorm to the input before it is padded and convolved. x is not changed.
	Norm *GroupNormParams
}

// OutputSize returns the height and width of the result in pixels.
func (p ConvParams) OutputSize() (height, width int) {
	switch {
	case p.Upsample:
		return 2 * p.Height, 2 * p.Width
	case p.Downsample:
		return p.Height / 2, p.Width / 2
	}
	return p.Height, p.Width
}

// GroupNormParams are the parameters of a group normalisation: y = (x − mean) / sqrt(variance + Eps) ⊙ Gamma + Beta,
// with mean and variance over all pixels and the channels of one of Groups groups. Gamma and Beta are [channels].
type GroupNormParams struct {
	Groups      int
	Gamma, Beta Weight
	Eps         float32
	// SiLU stores y·sigmoid(y) instead of y.
	SiLU bool
}
