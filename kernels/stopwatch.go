package kernels

import (
	"context"
	"errors"
	"time"

	"kleinbild/kernels/cu"
)

// stopwatch launches kernels between two events.
type stopwatch struct {
	set        *Set
	stream     cu.Stream
	queue      *Queue
	start, end cu.Event
	rounds     int
}

func newStopwatch(s *Set, rounds int) (w *stopwatch, err error) {
	w = &stopwatch{set: s, rounds: rounds}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.destroy())
		}
	}()
	if w.stream, err = s.ctx.MakeStream(); err != nil {
		return w, err
	}
	w.queue = s.On(w.stream)
	if w.start, err = s.ctx.MakeEvent(true); err != nil {
		return w, err
	}
	w.end, err = s.ctx.MakeEvent(true)
	return w, err
}

func (w *stopwatch) destroy() error {
	var errs []error
	if w.start != nil {
		errs = append(errs, w.start.Destroy())
	}
	if w.end != nil {
		errs = append(errs, w.end.Destroy())
	}
	if w.stream != nil {
		errs = append(errs, w.stream.Destroy())
	}
	return errors.Join(errs...)
}

const (
	// shortest is what one timing should take, so that launches and the clock's grain do not count.
	shortest = 200 * time.Microsecond
	// mostLaunches bounds how many make up one timing.
	mostLaunches = 16
	// fewestRows are measured whatever it takes.
	fewestRows = 256
)

// measure times the variants of a shape in turn, within the share of time where one round of all allows. It returns the
// launcher's own choice and no times beside an error.
func (w *stopwatch) measure(ctx context.Context, s Shape, share time.Duration) (m Measurement, err error) {
	table := tableOf(s)
	target, err := w.set.targetFor(table, strict, s)
	if err != nil {
		return m, err
	}
	static, err := choose(table, Auto, strict, target, s, w.set.ctx.Device().SMs)
	m = Measurement{Shape: s, MeasuredRows: s.Rows, Chosen: static.name}
	if err != nil {
		return m, err
	}
	var candidates []Variant // what the launcher would take first, so that noise does not decide against it
	for v, t := range table {
		switch {
		case t.name == static.name:
			candidates = append([]Variant{Variant(v)}, candidates...)
		case t.fits(strict, target) && t.takes == strict:
			candidates = append(candidates, Variant(v))
		}
	}
	_, bytes := s.operands(s.Rows, 0)
	memory, err := w.set.ctx.MemAlloc(bytes)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, w.set.ctx.MemFree(memory)) }()
	// Zeros would take less power than numbers, and time on a card that is limited by it.
	if err := w.stream.MemsetD8Async(memory, 0x3c, bytes); err != nil {
		return m, err
	}

	stop := time.Now().Add(share)
	first, err := w.time(ctx, s, m.MeasuredRows, memory, candidates[0], 1)
	if err != nil {
		return m, err
	}
	// The first launch is slower than those that follow: it warms the card up.
	for m.MeasuredRows >= 2*fewestRows && first*time.Duration(len(candidates)*(w.rounds+1)) > share {
		m.MeasuredRows, first = s.half(m.MeasuredRows), first/2
	}
	launches := int(min(max(shortest/max(first, 1), 1), mostLaunches))
	for round := 0; round < w.rounds && (round == 0 || time.Now().Before(stop)); round++ {
		for i, v := range candidates {
			if round == 0 {
				if i > 0 && time.Now().After(stop) {
					m.Times = nil // not all would have one
					return m, nil
				}
				if _, err := w.time(ctx, s, m.MeasuredRows, memory, v, 1); err != nil {
					return m, err
				}
				m.Times = append(m.Times, VariantTime{table[v].name, 1<<63 - 1})
			}
			t, err := w.time(ctx, s, m.MeasuredRows, memory, v, launches)
			if err != nil {
				return m, err
			}
			m.Times[i].Time = min(m.Times[i].Time, t)
		}
	}
	m.Chosen = pickFastest(m.Times)
	return m, nil
}

// pickFastest returns the first variant that is as fast as the fastest but for noise.
func pickFastest(times []VariantTime) string {
	least := times[0].Time
	for _, t := range times {
		least = min(least, t.Time)
	}
	for _, t := range times {
		if float64(t.Time)*(1-noise) <= float64(least) {
			return t.Variant
		}
	}
	return times[0].Variant
}

// time returns the device's time of one launch out of several in a row.
func (w *stopwatch) time(ctx context.Context, s Shape, rows int, memory cu.DevicePtr, v Variant, launches int) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	err := w.set.ctx.Do(func() error {
		if err := w.start.Record(w.stream); err != nil {
			return err
		}
		for range launches {
			if err := s.launch(w.queue, rows, memory, v); err != nil {
				return err
			}
		}
		return w.end.Record(w.stream)
	})
	if err != nil {
		return 0, err
	}
	if err := w.end.Synchronize(); err != nil {
		return 0, err
	}
	t, err := w.end.Elapsed(w.start)
	return t / time.Duration(launches), err
}

// half returns about half as many rows, as many as half of a picture has for a convolution.
func (s Shape) half(rows int) int {
	if s.Conv != (ConvShape{}) {
		c := s.conv(rows)
		c.Height = max(c.Height/4*2, 2)
		return outputRows(c)
	}
	return rows / 2
}

// conv returns the convolution whose result has so many rows, as half or the shape itself gives them.
func (s Shape) conv(rows int) ConvShape {
	c := s.Conv
	c.Height = c.Height * rows / s.Rows
	return c
}

// timedGroups divides every aligned depth. The statistics before a convolution take the same time whatever its kernel.
const timedGroups = 8

// operands lays the matrices of a launch with so many rows out from an address on, the result first, and says where they
// end.
func (s Shape) operands(rows int, at cu.DevicePtr) ([]Matrix, int64) {
	var all []Matrix
	bytes := int64(0)
	add := func(rows, cols int) {
		all = append(all, Matrix{Data: at + cu.DevicePtr(bytes), Rows: rows, Cols: cols, Stride: cols, DType: BF16})
		bytes = (bytes + int64(rows)*int64(cols)*2 + 255) / 256 * 256
	}
	add(rows, s.Cols)
	switch s.Operation {
	case "attention":
		add(rows, s.Cols)
		width := s.Cols / max(s.Heads, 1) * s.KVHeads
		add(s.Depth, width)
		add(s.Depth, width)
	case "conv", "conv_norm":
		c := s.conv(rows)
		add(c.Height*c.Width, s.Depth)
		add(s.Cols, c.Kernel*c.Kernel*s.Depth)
		if s.Operation == "conv_norm" { // gamma, beta and the working memory
			add(1, s.Depth)
			add(1, s.Depth)
			add(1, int(GroupNormBytes(c.Height*c.Width, s.Depth, timedGroups)))
		}
	default:
		add(rows, s.Depth)
		add(s.Cols, s.Depth)
		switch s.Operation {
		case "swiglu":
			add(s.Cols, s.Depth)
		case "heads": // the weight, and the memory of cosines that are sines too
			add(1, headCols)
			add(rows, headCols)
		}
	}
	return all, bytes
}

// launch queues the operation with so many rows, its operands from memory on.
func (s Shape) launch(q *Queue, rows int, memory cu.DevicePtr, v Variant) error {
	m, _ := s.operands(rows, memory)
	switch s.Operation {
	case "attention":
		shape := AttentionShape{Heads: s.Heads, KVHeads: s.KVHeads, Scale: 1, Causal: s.Causal, Keys: s.Depth}
		return q.Attention(m[0], m[1], m[2], m[3], shape, v)
	case "conv":
		return q.Conv(m[0], m[1], m[2], Matrix{}, s.conv(rows), false, v)
	case "conv_norm":
		n := Normalisation{Groups: timedGroups, Gamma: m[3], Beta: m[4], Eps: 1e-6, SiLU: true, Work: m[5].Data}
		return q.ConvNorm(m[0], m[1], m[2], Matrix{}, s.conv(rows), false, n, Matrix{}, v)
	case "heads":
		angles := Matrix{Data: m[4].Data, Rows: rows, Cols: headCols / 2, Stride: headCols / 2, DType: F32}
		return q.GEMM(m[0], m[1], m[2], Epilogue{QKNormRoPE: QKNormRoPE{Cols: s.Cols, Weight: m[3], Eps: 1e-6, RoPE: RoPE{Cos: angles, Sin: angles}}}, v)
	case "swiglu":
		return q.SwiGLU(m[0], m[1], m[2], m[3], v)
	}
	return q.GEMM(m[0], m[1], m[2], Epilogue{}, v)
}
