package tune

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// trialTolerance is the relative RMS difference allowed: two results rounded to bfloat16 differ by 2.3e-3, the rounded
// probabilities of two attentions by as much again.
const trialTolerance = 1e-2

// Try compares what a family has for a target with what it has for sm_80, at the trial shapes of its operations. No
// machine that the project is built on has every kind of GPU. Kernels that could not be run there are used only after
// they have agreed, on the user's GPU, with kernels that could.
func (t *Tuner) Try(set *kernels.Set, f kernels.Family, target kernels.Target) error {
	stream, err := set.Context().MakeStream()
	if err != nil {
		return err
	}
	r := &trial{ctx: set.Context(), stream: stream}
	reference, tried := set.Only(kernels.SM80).On(stream), set.Only(target).On(stream)
	for _, o := range kernels.Operations() {
		if o.Families[0] != f {
			continue
		}
		for _, shape := range o.Trials {
			if err == nil {
				err = r.compare(reference, tried, o, shape, target)
			}
		}
	}
	return errors.Join(err, stream.Destroy())
}

type trial struct {
	ctx    cu.Context
	stream cu.Stream
}

// compare launches every variant that the target has for a shape, and compares the results with that of sm_80.
func (r *trial) compare(
	reference, tried *kernels.Queue, o *kernels.Operation, s kernels.Shape, target kernels.Target,
) (err error) {
	variants := o.VariantsFor(s, target)
	if len(variants) == 0 {
		return nil
	}
	_, bytes := kernels.Layout(o.Operands(s), 0)
	memory, err := r.ctx.MemAlloc(bytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.ctx.MemFree(memory)) }()
	// Normal bfloat16 values. Two of them read as one float32 are about the second of them, so operands of both formats
	// have sensible values.
	numbers := make([]byte, bytes)
	rng := rand.New(rand.NewPCG(1, uint64(s.Rows)))
	for i := 0; i < len(numbers); i += 2 {
		binary.LittleEndian.PutUint16(numbers[i:], uint16(math.Float32bits(float32(rng.NormFloat64()))>>16))
	}
	if err := r.stream.MemcpyHtoDAsync(memory, numbers); err != nil {
		return err
	}
	want, err := r.result(reference, o, s, memory, kernels.Auto)
	if err != nil {
		return err
	}
	for _, v := range variants {
		have, err := r.result(tried, o, s, memory, v)
		if err != nil {
			return err
		}
		diff, norm := 0.0, 0.0
		for i, w := range want {
			diff += (have[i] - w) * (have[i] - w)
			norm += w * w
		}
		if !(diff <= trialTolerance*trialTolerance*norm) || norm == 0 {
			return fmt.Errorf("%s %w: %v is off by %.2g", o.Variants(s)[v], kernels.ErrTrial, s, math.Sqrt(diff/norm))
		}
	}
	return nil
}

// result launches a variant and reads what it has stored. It first sets the memory of the result to zero, so that the
// result of an earlier launch is not taken for this one's. An operation in place would therefore fail its trial: its
// result would be zeros.
func (r *trial) result(
	q *kernels.Queue, o *kernels.Operation, s kernels.Shape, memory cu.DevicePtr, v kernels.Variant,
) ([]float64, error) {
	operands, _ := kernels.Layout(o.Operands(s), memory)
	raw := make([]byte, s.Rows*s.Cols*kernels.BF16.SizeBytes())
	if err := r.stream.MemsetD8Async(memory, 0, int64(len(raw))); err != nil {
		return nil, err
	}
	if err := o.Launch(q, s, operands, v); err != nil {
		return nil, err
	}
	if err := r.stream.MemcpyDtoHAsync(raw, memory); err != nil {
		return nil, err
	}
	if err := r.stream.Synchronize(); err != nil {
		return nil, err
	}
	values := make([]float64, len(raw)/2)
	for i := range values {
		values[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16))
	}
	return values, nil
}
