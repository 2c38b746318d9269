package main

import (
	"context"
	"errors"
	"time"

	"kleinbild/kernels"
	"kleinbild/kernels/cu"
)

// device is an open device whose kernels are timed by its own clock.
type device struct {
	ctx    cu.Context
	set    *kernels.Set
	stream cu.Stream
	queue  *kernels.Queue
	marks  [2]cu.Event
}

func (b bench) openDevice() (*device, error) {
	ctx, err := b.open()
	if err != nil {
		return nil, err
	}
	d := &device{ctx: ctx, set: kernels.New(ctx)}
	for _, f := range kernels.Families() {
		err = errors.Join(err, d.set.Load(f))
	}
	var e error
	d.stream, e = ctx.MakeStream()
	err = errors.Join(err, e)
	for i := range d.marks {
		d.marks[i], e = ctx.MakeEvent(true)
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, errors.Join(err, ctx.Close())
	}
	d.queue = d.set.On(d.stream)
	return d, nil
}

// time is the mean over as many launches as fill the time given, after some that do not count.
func (d *device) time(atLeast time.Duration, launch func() error) (time.Duration, error) {
	batch := func(n int) (time.Duration, error) {
		err := d.ctx.Do(func() error {
			err := d.marks[0].Record(d.stream)
			for range n {
				err = errors.Join(err, launch())
			}
			return errors.Join(err, d.marks[1].Record(d.stream))
		})
		if err = errors.Join(err, d.marks[1].Synchronize()); err != nil {
			return 0, err
		}
		return d.marks[1].Elapsed(d.marks[0])
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

// matrix allocates values that are small numbers, which products may be slower or faster for than for zeros.
func (d *device) matrix(rows, cols int) (kernels.Matrix, error) {
	bytes := int64(rows) * int64(cols) * 2
	at, err := d.ctx.MemAlloc(bytes)
	if err != nil {
		return kernels.Matrix{}, err
	}
	pattern := make([]byte, min(bytes, 1<<20))
	seed := uint32(1)
	for i := 0; i < len(pattern); i += 2 {
		seed = seed*1664525 + 1013904223
		pattern[i], pattern[i+1] = byte(seed>>16), byte(seed>>24)&0x80|0x3c|byte(seed>>20)&1 // ±0.0078 to ±0.031
	}
	for from := int64(0); from < bytes; from += int64(len(pattern)) {
		if err := d.stream.MemcpyHtoDAsync(at+cu.DevicePtr(from), pattern[:min(int64(len(pattern)), bytes-from)]); err != nil {
			return kernels.Matrix{}, err
		}
	}
	return kernels.Matrix{Data: at, Rows: rows, Cols: cols, Stride: cols}, d.stream.Synchronize()
}

func (d *device) matrices(shapes ...[2]int) ([]kernels.Matrix, func(), error) {
	var all []kernels.Matrix
	free := func() {
		for _, m := range all {
			_ = d.ctx.MemFree(m.Data) // what fails here fails in what follows
		}
	}
	for _, s := range shapes {
		m, err := d.matrix(s[0], s[1])
		if err != nil {
			free()
			return nil, nil, err
		}
		all = append(all, m)
	}
	return all, free, nil
}

// measured is one kernel at one shape.
type measured struct {
	row
	operands [][2]int
	launch   func(q *kernels.Queue, m []kernels.Matrix) error
}

func product(m, n, k int) measured {
	return measured{
		row{Kind: "gemm", Shape: map[string]int{"m": m, "n": n, "k": k}, FLOP: 2 * float64(m) * float64(n) * float64(k)},
		[][2]int{{m, n}, {m, k}, {n, k}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			return q.GEMM(x[0], x[1], x[2], kernels.Epilogue{}, kernels.Auto)
		},
	}
}

// heads are queries or keys: a product whose heads of 128 columns are normalised and rotated.
func heads(m, n, k int) measured {
	return measured{
		row{Kind: "heads", Shape: map[string]int{"m": m, "n": n, "k": k}, FLOP: 2 * float64(m) * float64(n) * float64(k)},
		[][2]int{{m, n}, {m, k}, {n, k}, {1, 128}, {m, 128}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			angles := kernels.Matrix{Data: x[4].Data, Rows: m, Cols: 64, Stride: 64, DType: kernels.F32}
			rope := kernels.RoPE{Cos: angles, Sin: angles}
			return q.GEMM(x[0], x[1], x[2], kernels.Epilogue{QKNormRoPE: kernels.QKNormRoPE{Cols: n, Weight: x[3], Eps: 1e-6, RoPE: rope}}, kernels.Auto)
		},
	}
}

func swiglu(m, n, k int) measured {
	return measured{
		row{Kind: "swiglu", Shape: map[string]int{"m": m, "n": n, "k": k}, FLOP: 4 * float64(m) * float64(n) * float64(k)},
		[][2]int{{m, n}, {m, k}, {n, k}, {n, k}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			return q.SwiGLU(x[0], x[1], x[2], x[3], kernels.Auto)
		},
	}
}

func attention(rows, heads, kvHeads, width int, causal bool) measured {
	flop, flag := 4*float64(rows)*float64(rows)*float64(heads)*float64(width), 0
	if causal {
		flop, flag = flop/2, 1
	}
	shape := kernels.AttentionShape{Heads: heads, KVHeads: kvHeads, Scale: 0.1, Causal: causal, Keys: rows}
	return measured{
		row{Kind: "attention", FLOP: flop, Shape: map[string]int{"rows": rows, "heads": heads, "kv_heads": kvHeads, "width": width, "causal": flag}},
		[][2]int{{rows, heads * width}, {rows, heads * width}, {rows, kvHeads * width}, {rows, kvHeads * width}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			return q.Attention(x[0], x[1], x[2], x[3], shape, kernels.Auto)
		},
	}
}

func convolution(side, in, out int, up bool) measured {
	shape := kernels.ConvShape{Height: side, Width: side, Kernel: 3, Upsample: up}
	h, w := shape.OutputSize()
	flag := 0
	if up {
		flag = 1
	}
	return measured{
		row{Kind: "conv", FLOP: 18 * float64(h*w) * float64(in) * float64(out), Shape: map[string]int{"side": side, "in": in, "out": out, "upsample": flag}},
		[][2]int{{h * w, out}, {side * side, in}, {out, 9 * in}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			return q.Conv(x[0], x[1], x[2], kernels.Matrix{}, shape, false, kernels.Auto)
		},
	}
}

// normalised is a convolution of what a group normalisation and SiLU make of the picture, as all but few in the decoder are.
func normalised(side, in, out int) measured {
	groups := min(32, in/2)
	shape := kernels.ConvShape{Height: side, Width: side, Kernel: 3}
	pixels := side * side
	work := int(kernels.GroupNormBytes(pixels, in, groups)+1) / 2
	return measured{
		row{Kind: "conv_norm", FLOP: 18 * float64(pixels) * float64(in) * float64(out), Shape: map[string]int{"side": side, "in": in, "out": out, "groups": groups}},
		[][2]int{{pixels, out}, {pixels, in}, {out, 9 * in}, {1, in}, {1, in}, {1, work}, {pixels, in}},
		func(q *kernels.Queue, x []kernels.Matrix) error {
			n := kernels.Normalisation{Groups: groups, Gamma: x[3], Beta: x[4], Eps: 1e-6, SiLU: true, Work: x[5].Data}
			return q.ConvNorm(x[0], x[1], x[2], kernels.Matrix{}, shape, false, n, x[6], kernels.Auto)
		},
	}
}

func (b bench) shapes() []measured {
	if b.device == "sim" {
		return []measured{product(40, 48, 32), heads(40, 128, 32), swiglu(40, 48, 32), attention(40, 2, 1, 64, true), convolution(8, 16, 16, true), normalised(8, 16, 16)}
	}
	return []measured{
		product(4608, 3072, 3072), product(4608, 6144, 3072), product(4608, 3072, 12288), product(4096, 3072, 9216), product(512, 3072, 9216),
		product(512, 4096, 2560), product(512, 2560, 9728), product(16384, 512, 512),
		heads(4608, 3072, 3072), heads(512, 4096, 2560),
		swiglu(4608, 9216, 3072), swiglu(512, 9728, 2560),
		attention(4608, 24, 24, 128, false), attention(8704, 24, 24, 128, false), attention(512, 32, 8, 128, true), attention(16384, 1, 1, 512, false),
		convolution(1024, 128, 128, false), convolution(512, 256, 256, false), convolution(256, 512, 512, false), convolution(512, 256, 256, true),
		normalised(1024, 128, 128), normalised(512, 256, 256), normalised(256, 512, 512),
	}
}

func (b bench) kernels() error {
	d, err := b.openDevice()
	if err != nil {
		return err
	}
	defer d.ctx.Close()
	for _, s := range b.shapes() {
		m, free, err := d.matrices(s.operands...)
		if err != nil {
			return err
		}
		launch := func() error { return s.launch(d.queue, m) }
		if _, err := d.time(0, launch); err != nil {
			return err
		}
		// As before an engine's first run, the fastest of the kernels that compete is found first.
		if _, err := d.set.Tune(context.Background(), d.set.Wanted(), kernels.TuneOptions{}); err != nil {
			return err
		}
		t, err := d.time(b.time, launch)
		if err != nil {
			return err
		}
		free()
		s.Seconds = t.Seconds()
		if err := b.print(s.row); err != nil {
			return err
		}
	}
	return nil
}
