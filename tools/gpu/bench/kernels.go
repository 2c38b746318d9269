package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/tune"
)

// device is an open CUDA device. Its events time kernels with the device's own clock.
type device struct {
	ctx    cu.Context
	tuner  *tune.Tuner
	stream cu.Stream
	queue  *kernels.Queue
	events [2]cu.Event // before and after what is timed
}

// openDevice opens the device that the flags name and loads all kernels.
func (b bench) openDevice() (*device, error) {
	ctx, err := b.open()
	if err != nil {
		return nil, err
	}
	d := &device{ctx: ctx, tuner: tune.New(ctx)}
	for _, f := range kernels.Families() {
		err = errors.Join(err, d.tuner.Set().Load(f))
	}
	var e error
	d.stream, e = ctx.MakeStream()
	err = errors.Join(err, e)
	for i := range d.events {
		d.events[i], e = ctx.MakeEvent(true)
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, errors.Join(err, ctx.Close())
	}
	d.queue = d.tuner.Set().On(d.stream)
	return d, nil
}

// time returns the mean time of a launch. It doubles the number of launches until they take atLeast together.
func (d *device) time(atLeast time.Duration, launch func() error) (time.Duration, error) {
	batch := func(n int) (time.Duration, error) {
		err := d.ctx.Do(func() error {
			err := d.events[0].Record(d.stream)
			for range n {
				err = errors.Join(err, launch())
			}
			return errors.Join(err, d.events[1].Record(d.stream))
		})
		if err = errors.Join(err, d.events[1].Synchronize()); err != nil {
			return 0, err
		}
		return d.events[1].Elapsed(d.events[0])
	}
	once, err := batch(1)
	if err != nil {
		return 0, err
	}
	for n := 2; ; n *= 2 {
		t, err := batch(n)
		if err != nil || t >= atLeast || once >= atLeast {
			return t / time.Duration(n), err
		}
	}
}

// matrices allocates operands and fills them with small random numbers, since the speed of a product may depend on its
// values. free releases the memory.
func (d *device) matrices(operands []kernels.Operand) (ms []kernels.Matrix, free func(), err error) {
	_, bytes := kernels.Layout(operands, 0)
	at, err := d.ctx.MemAlloc(bytes)
	if err != nil {
		return nil, nil, err
	}
	free = func() { _ = d.ctx.MemFree(at) } // an error here will appear again in the next call
	ms, _ = kernels.Layout(operands, at)
	pattern := make([]byte, min(bytes, 1<<20))
	seed := uint32(1)
	for i := 0; i < len(pattern); i += 2 {
		seed = seed*1664525 + 1013904223
		pattern[i], pattern[i+1] = byte(seed>>16), byte(seed>>24)&0x80|0x3c|byte(seed>>20)&1 // ±0.0078 to ±0.031
	}
	for from := int64(0); from < bytes; from += int64(len(pattern)) {
		part := pattern[:min(int64(len(pattern)), bytes-from)]
		if err := d.stream.MemcpyHtoDAsync(at+cu.DevicePtr(from), part); err != nil {
			free()
			return nil, nil, err
		}
	}
	return ms, free, d.stream.Synchronize()
}

// measured returns the shapes to time: those of the network, those of its products of many rows in integers, and one
// shape of each operation that neither uses.
func (b bench) measured() ([]kernels.Shape, error) {
	size, err := picture.ParseSize(b.size)
	if err != nil {
		return nil, err
	}
	shapes, err := inference.KernelShapes(inference.Device(b.device), size, b.device == "sim")
	if err != nil {
		return nil, err
	}
	for _, s := range slices.Clone(shapes) {
		if s.Operation = kernels.Find(s.Operation).Int8; s.Rows > 1 && s.Operation != "" && s.Check() == nil {
			shapes = append(shapes, s)
		}
	}
	listed := map[string]bool{}
	for _, s := range shapes {
		listed[s.Operation] = true
	}
	for _, o := range kernels.Operations() {
		if listed[o.Name] {
			continue
		}
		timed := map[kernels.Format]bool{} // an operation that reads formats of weights is timed with each of them
		for _, s := range o.Trials {
			if timed[s.Format] {
				continue
			}
			timed[s.Format] = true
			if b.device != "sim" {
				if s, err = shapeOf(o, s.Format); err != nil {
					return nil, err
				}
			}
			shapes = append(shapes, s)
		}
	}
	return shapes, nil
}

// shapeOf returns a shape for an operation that the network does not use: 4096×2048 values. Those whose time depends on
// a depth, such as the width of a head, get 32 or 256, and those whose rows hold matrices get matrices of 32 rows.
// Those that need pixels get 4096 of them, or 4096 patches of four.
func shapeOf(o *kernels.Operation, format kernels.Format) (kernels.Shape, error) {
	s := kernels.Shape{Operation: o.Name, Rows: 4096, Cols: 2048, Heads: 32, Format: format}
	for _, side := range []int{64, 128} {
		for _, depth := range []int{32, 256} {
			s.Depth, s.Conv = depth, kernels.ConvParams{Height: side, Width: side}
			if s.Check() == nil {
				return s, nil
			}
		}
	}
	return s, fmt.Errorf("%s: no shape to time: the network does not use it, and it does not compute %v", o.Name, s)
}

// rowOf describes a shape with the fields that ../bench.py reads.
func rowOf(s kernels.Shape) row {
	flag := map[bool]int{true: 1}
	r := row{Kind: s.Operation, Name: s.String(), FLOP: s.FLOP(s.Rows), Shape: map[string]int{
		"rows": s.Rows, "cols": s.Cols, "depth": s.Depth, "heads": s.Heads, "kv_heads": s.KVHeads, "causal": flag[s.Causal],
		"height": s.Conv.Height, "width": s.Conv.Width, "kernel": s.Conv.Kernel, "upsample": flag[s.Conv.Upsample],
		"downsample": flag[s.Conv.Downsample],
	}}
	for _, o := range kernels.Find(s.Operation).Operands(s) {
		r.Bytes += o.SizeBytes()
	}
	return r
}

// kernels times all shapes of measured and prints a row for each.
func (b bench) kernels() error {
	shapes, err := b.measured()
	if err != nil {
		return err
	}
	d, err := b.openDevice()
	if err != nil {
		return err
	}
	defer d.ctx.Close()
	for _, s := range shapes {
		if s.Check() != nil {
			continue // aligned kernels do not compute it, for example the last convolution of the decoder
		}
		if err := b.kernel(d, s); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
	}
	return nil
}

// kernel times the fastest kernel for a shape. It is chosen by measuring, as before an engine's first run.
func (b bench) kernel(d *device, s kernels.Shape) error {
	o := kernels.Find(s.Operation)
	m, free, err := d.matrices(o.Operands(s))
	if err != nil {
		return err
	}
	defer free()
	missing, err := d.tuner.Missing([]kernels.Shape{s})
	if err != nil {
		return err
	}
	if _, err := d.tuner.Tune(context.Background(), missing, tune.Options{}); err != nil {
		return err
	}
	t, err := d.time(b.time, func() error { return o.Launch(d.queue, s, m, kernels.Auto) })
	if err != nil {
		return err
	}
	r := rowOf(s)
	r.Seconds = t.Seconds()
	return b.print(r)
}
