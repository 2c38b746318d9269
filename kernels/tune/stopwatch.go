package tune

import (
	"context"
	"errors"
	"time"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// stopwatch launches kernels between two events.
type stopwatch struct {
	set        *kernels.Set
	stream     cu.Stream
	queue      *kernels.Queue
	start, end cu.Event
	rounds     int
}

func newStopwatch(s *kernels.Set, rounds int) (w *stopwatch, err error) {
	w = &stopwatch{set: s, rounds: rounds}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.destroy())
		}
	}()
	if w.stream, err = s.Context().MakeStream(); err != nil {
		return w, err
	}
	w.queue = s.On(w.stream)
	if w.start, err = s.Context().MakeEvent(true); err != nil {
		return w, err
	}
	w.end, err = s.Context().MakeEvent(true)
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
	// shortest is the least time that one timing should take, so that the costs of launching and the clock's resolution
	// are small beside it.
	shortest = 200 * time.Microsecond
	// mostLaunches bounds the launches of one timing.
	mostLaunches = 16
	// fewestRows are measured even if that takes longer than the budget.
	fewestRows = 256
)

// measure times the variants that compete for a shape, one after the other, in rounds. It begins no round after the
// share of time. If that ends within the first round, or with an error, it returns the launcher's own choice and no
// times.
func (w *stopwatch) measure(ctx context.Context, s kernels.Shape, share time.Duration) (m Measurement, err error) {
	o := kernels.Find(s.Operation)
	rivals, err := w.set.Rivals(s) // the launcher's own choice first, so that noise does not decide against it
	if err != nil {
		return m, err
	}
	names := o.Variants(s)
	m = Measurement{Shape: s, MeasuredRows: s.Rows, Chosen: names[rivals[0]]}
	_, bytes := kernels.Layout(o.Operands(s), 0)
	memory, err := w.set.Context().MemAlloc(bytes)
	if err != nil {
		return m, err
	}
	defer func() {
		if err = errors.Join(err, w.set.Context().MemFree(memory)); err != nil {
			m.Times, m.Chosen = nil, names[rivals[0]]
		}
	}()
	// Zeros would take less power than numbers, and so less time on a card that its power limits.
	if err := w.stream.MemsetD8Async(memory, 0x3c, bytes); err != nil {
		return m, err
	}

	stop := time.Now().Add(share)
	measured := s
	first, err := w.time(ctx, measured, memory, rivals[0], 1)
	if err != nil {
		return m, err
	}
	// If the rounds would take longer than the share, fewer rows are measured. first is an upper estimate of a launch: it
	// includes the time in which the card warms up.
	for measured.Rows >= 2*fewestRows && first*time.Duration(len(rivals)*(w.rounds+1)) > share {
		measured, first = measured.Half(), first/2
	}
	m.MeasuredRows = measured.Rows
	launches := int(min(max(shortest/max(first, 1), 1), mostLaunches))
	for round := 0; round < w.rounds && (round == 0 || time.Now().Before(stop)); round++ {
		for i, v := range rivals {
			if round == 0 {
				if i > 0 && time.Now().After(stop) {
					m.Times = nil // not all variants would have a time
					return m, nil
				}
				// The first launch of a kernel is slower than those that follow.
				if _, err := w.time(ctx, measured, memory, v, 1); err != nil {
					return m, err
				}
				m.Times = append(m.Times, VariantTime{names[v], 1<<63 - 1})
			}
			t, err := w.time(ctx, measured, memory, v, launches)
			if err != nil {
				return m, err
			}
			m.Times[i].Time = min(m.Times[i].Time, t)
		}
	}
	m.Chosen = pickFastest(m.Times)
	return m, nil
}

// noise is the part of its own time by which a variant must be faster to be taken instead of one that comes before it.
const noise = 0.03

// pickFastest returns the first variant that is as fast as the fastest, up to noise.
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
func (w *stopwatch) time(
	ctx context.Context, s kernels.Shape, memory cu.DevicePtr, v kernels.Variant, launches int,
) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	o := kernels.Find(s.Operation)
	operands, _ := kernels.Layout(o.Operands(s), memory)
	err := w.set.Context().Do(func() error {
		if err := w.start.Record(w.stream); err != nil {
			return err
		}
		for range launches {
			if err := o.Launch(w.queue, s, operands, v); err != nil {
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
