package kernels

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"kleinbild/kernels/cu"
)

// trials are small launches, with ragged edges, of what a family has for more than one target.
func trials(f Family) []Shape {
	switch f {
	case GEMM:
		return []Shape{{Operation: "gemm", Rows: 200, Cols: 264, Depth: 136}, {Operation: "heads", Rows: 150, Cols: 384, Depth: 72}, {Operation: "swiglu", Rows: 70, Cols: 136, Depth: 136}}
	case Attention:
		return []Shape{
			{Operation: "attention", Rows: 150, Cols: 256, Depth: 300, Heads: 2, KVHeads: 1},
			{Operation: "attention", Rows: 130, Cols: 128, Depth: 130, Heads: 1, KVHeads: 1, Causal: true},
		}
	case Conv:
		return []Shape{
			{Operation: "conv", Rows: 9 * 18, Cols: 136, Depth: 72, Conv: ConvShape{Height: 9, Width: 18, Kernel: 3}},
			{Operation: "conv", Rows: 4 * 3 * 5, Cols: 16, Depth: 16, Conv: ConvShape{Height: 3, Width: 5, Kernel: 3, Upsample: true}},
		}
	}
	return nil
}

// errTrial means that kernels for a target compute something else than those for sm_80.
var errTrial = errors.New("failed its trial")

// trialTolerance is the relative RMS difference allowed: two results rounded to bfloat16 differ by 2.3e-3, the rounded
// probabilities of two attentions by as much again.
const trialTolerance = 1e-2

// try runs what a target's kernels have for a family beside those for sm_80. No machine that the project is built on has
// every GPU: what none of them could run is not trusted before it has agreed with what many have.
func (s *Set) try(f Family, t target) error {
	stream, err := s.ctx.MakeStream()
	if err != nil {
		return err
	}
	run := &trial{ctx: s.ctx, stream: stream}
	for _, shape := range trials(f) {
		if err = run.compare(s.only(sm80).On(stream), s.only(t).On(stream), shape, t); err != nil {
			break
		}
	}
	return errors.Join(err, stream.Destroy())
}

// only is the set without its choice among targets.
func (s *Set) only(t target) *Set { return &Set{ctx: s.ctx, modules: s.modules, forced: &t} }

type trial struct {
	ctx    cu.Context
	stream cu.Stream
}

func (r *trial) compare(reference, tried *Queue, s Shape, t target) (err error) {
	_, bytes := s.operands(s.Rows, 0)
	memory, err := r.ctx.MemAlloc(bytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.ctx.MemFree(memory)) }()
	numbers := make([]byte, bytes)
	rng := rand.New(rand.NewPCG(1, uint64(s.Rows)))
	for i := 0; i < len(numbers); i += 2 {
		binary.LittleEndian.PutUint16(numbers[i:], uint16(math.Float32bits(float32(rng.NormFloat64()))>>16))
	}
	if err := r.stream.MemcpyHtoDAsync(memory, numbers); err != nil {
		return err
	}
	want, err := r.result(reference, s, memory, Auto)
	if err != nil {
		return err
	}
	for v, k := range tableOf(s) {
		if !k.fits(strict, t) {
			continue
		}
		have, err := r.result(tried, s, memory, Variant(v))
		if err != nil {
			return err
		}
		diff, norm := 0.0, 0.0
		for i, w := range want {
			diff += (have[i] - w) * (have[i] - w)
			norm += w * w
		}
		if !(diff <= trialTolerance*trialTolerance*norm) || norm == 0 {
			return fmt.Errorf("%s %w: %v is off by %.2g", k.name, errTrial, s, math.Sqrt(diff/norm))
		}
	}
	return nil
}

// result launches a variant and reads what it has stored, where nothing else can have.
func (r *trial) result(q *Queue, s Shape, memory cu.DevicePtr, v Variant) ([]float64, error) {
	raw := make([]byte, s.Rows*s.Cols*BF16.SizeBytes())
	if err := r.stream.MemsetD8Async(memory, 0, int64(len(raw))); err != nil {
		return nil, err
	}
	if err := s.launch(q, s.Rows, memory, v); err != nil {
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
