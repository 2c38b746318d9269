// Package backend is the set of operations that the model's stages are written against. Activations are
// matrices: a row for each token or pixel, a column for each channel. A stage allocates what it needs, calls
// operations destination first, and asks Sync at the end whether all of them worked.
package backend

import (
	"context"
	"errors"

	"kleinbild/inference/tensor"
)

// Backend computes on one device. It is not safe for concurrent use: one run at a time.
//
// Operations may be asynchronous and return nothing. The first failure (out of memory, a cancelled context, a
// fault of the device) sticks: later operations do nothing and Sync returns it. Shapes that do not fit are a
// mistake of the calling stage, not of the user: they panic, or stick where only a device's launcher meets them.
//
// Matrices given to an operation may be views with a row stride. A destination never overlaps an operand
// unless the operation says so. Arithmetic is float32 whatever the storage; results are rounded once, when
// they are stored.
type Backend interface {
	// Name says what computes, for people and for the metadata of pictures: "CPU (AVX2)".
	Name() string
	// Activation is the format in which stages keep activations: F32, or BF16 for the reference's usual run.
	Activation() tensor.DType

	// Begin clears the sticky error and ties all operations up to the next Begin to ctx.
	Begin(ctx context.Context)
	// Sync waits for all operations and returns the first error since Begin.
	Sync() error
	// Close frees every weight and matrix.
	Close() error

	// Alloc returns a matrix of undefined contents; dtype is F32 or BF16. It lives until Free, within one run: from a
	// Begin to the next.
	Alloc(rows, cols int, dtype tensor.DType) Matrix
	// Keep is Alloc for a matrix that outlives the run, as caches need; after an error that wraps ErrLost it is dead.
	Keep(rows, cols int, dtype tensor.DType) Matrix
	// Free gives matrices of Alloc and Keep back; views of them are dead from then on.
	Free(ms ...Matrix)
	// Network names the network that the weights asked for from now on belong to. Those of one network are used
	// together; networks are named in the order in which a run uses them.
	Network(name string)
	// Weight makes a checkpoint's tensor usable by this backend. t.Data must stay valid until Close.
	Weight(t tensor.Tensor) (Weight, error)
	// Table is Weight for a matrix that Embedding alone reads, a few rows at a time: it may stay where it lies.
	Table(t tensor.Tensor) (Weight, error)

	// Replay runs f, which calls the same operations on the same matrices whenever it is given under the same key
	// between two Begins, so that a backend may record it once and play it later. f neither allocates, frees,
	// uploads, downloads nor asks Sync.
	Replay(key any, f func())

	// Upload copies src, row-major [dst.Rows, dst.Cols], into dst.
	Upload(dst Matrix, src []float32)
	// Download waits for src and copies it into dst, row-major; after an error dst is undefined.
	Download(dst []float32, src Matrix)
	// Copy converts between storage formats where they differ. Shapes are equal.
	Copy(dst, src Matrix)

	// Linear computes y = x·wᵀ for x [m, k] and w [n, k] and stores it as ep says.
	Linear(dst, x Matrix, w Weight, ep Epilogue)
	// SwiGLU computes dst = silu(x·gateᵀ) ⊙ (x·upᵀ) for x [m, k], gate and up [n, k], dst [m, n].
	SwiGLU(dst, x Matrix, gate, up Weight)
	// Embedding gathers rows of a weight of Table: dst[i] = table[ids[i]].
	Embedding(dst Matrix, table Weight, ids []int32)

	// AddScaled computes dst = a + s·b; dst may be a or b.
	AddScaled(dst, a, b Matrix, s float32)
	// Lerp computes dst = a + s·(b − a); dst may be a or b.
	Lerp(dst, a, b Matrix, s float32)
	// Affine computes dst = x ⊙ scale + shift with the rows scale and shift [1, n]; dst may be x.
	Affine(dst, x, scale, shift Matrix)

	// RMSNorm computes dst = x / sqrt(mean(x²) + eps) ⊙ w over each row; w is [n]; dst may be x.
	RMSNorm(dst, x Matrix, w Weight, eps float32)
	// LayerNorm computes dst = (x − mean) / sqrt(var + eps) ⊙ (1 + scale) + shift over each row; scale and
	// shift are rows [1, n]; dst may be x.
	LayerNorm(dst, x, scale, shift Matrix, eps float32)
	// Attention computes softmax(scale·q·kᵀ + mask)·v head by head. q and dst are [m, heads·d], k and v are
	// [s, kvHeads·d]; query head h reads key head h·kvHeads/heads.
	Attention(dst, q, k, v Matrix, p AttentionParams)

	// Conv2D convolves the picture x, [p.Height·p.Width, channels] with rows in raster order, by w
	// [out, channels, k, k], k being 1 or 3, and stores [outHeight·outWidth, out]. x is normalised first where p.Norm is given.
	Conv2D(dst, x Matrix, w Weight, p ConvParams)
	// GroupNorm normalises groups of columns over the whole picture; dst may be x.
	GroupNorm(dst, x Matrix, p GroupNormParams)
	// Patchify turns 2×2 pixels into one: x [height·width, c] → dst [height/2·width/2, 4·c], channel
	// order c·4 + dy·2 + dx. Unpatchify is its inverse; height and width are always those of the larger grid.
	Patchify(dst, x Matrix, height, width int)
	Unpatchify(dst, x Matrix, height, width int)
}

// ErrLost is wrapped by the error of a device that has failed: everything of Keep is lost with it, and the next Begin
// starts the device anew.
var ErrLost = errors.New("the device's memory is lost")

// Weight is a checkpoint's tensor on a backend.
type Weight interface {
	// Shape is the tensor's shape.
	Shape() []int
	// Slice views rows [from, to) of the first dimension.
	Slice(from, to int) Weight
}

// Epilogue says what becomes of the product y of Linear.
type Epilogue struct {
	// Bias [n] is added to each row of y unless nil.
	Bias Weight
	// Add accumulates: dst += y, or dst += gate ⊙ y with the row Gate [1, n] where that is given.
	Add  bool
	Gate Matrix
	// SiLU stores y·sigmoid(y). No other field may be set with it.
	SiLU bool
	// QKNormRoPE normalises and rotates the heads of y. No other field may be set with it.
	QKNormRoPE QKNormRoPE
}

// QKNormRoPE is what attention wants done to queries and keys. The first Cols columns of a product are heads of d columns
// each: every head is normalised as RMSNorm does, with Weight [d], and rotated by RoPE. The columns behind the first Cols
// are stored unchanged. The zero value changes nothing.
type QKNormRoPE struct {
	Cols   int
	Weight Weight
	Eps    float32
	RoPE   RoPE
}

// A head's width is a multiple of HeadMultiple and at most MaxHead: what kernels cut it into, and what fits their
// fastest memory. Stages check their configs against it.
const (
	HeadMultiple = 16
	MaxHead      = 1024
)

// AttentionParams describes one attention.
type AttentionParams struct {
	Heads, KVHeads int
	Scale          float32
	// Causal lets query i see keys 0 … i only.
	Causal bool
	// Keys masks all keys from this one on (padding).
	Keys int
}

// RoPE holds the rotation of each row's coordinate pairs: angles' cosines and sines, float32 [m, d/2].
type RoPE struct {
	Cos, Sin Matrix
	// Halves pairs coordinate i with i + d/2 (Qwen3); otherwise 2i with 2i + 1 (FLUX.2).
	Halves bool
}

// ConvParams describes one convolution of stride 1 and zero padding k/2, unless changed.
type ConvParams struct {
	// Height and Width are of the input as stored.
	Height, Width int
	// Upsample doubles the input by nearest neighbour before convolving.
	Upsample bool
	// Downsample uses stride 2 after padding one row below and one column on the right only.
	Downsample bool
	// Bias [out] is added to each pixel.
	Bias Weight
	// Add accumulates into dst.
	Add bool
	// Norm, unless nil, is what GroupNorm makes of x before it is padded and convolved. x itself stays.
	Norm *GroupNormParams
}

// OutputSize returns the height and width of the result.
func (p ConvParams) OutputSize() (height, width int) {
	switch {
	case p.Upsample:
		return 2 * p.Height, 2 * p.Width
	case p.Downsample:
		return p.Height / 2, p.Width / 2
	}
	return p.Height, p.Width
}

// GroupNormParams describes one group normalisation: each of Groups groups of columns over all rows, scaled and shifted by
// Gamma and Beta [n], with SiLU behind it where SiLU.
type GroupNormParams struct {
	Groups      int
	Gamma, Beta Weight
	Eps         float32
	SiLU        bool
}
