package inference

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cpu/openblas"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
)

// PathRate is the rate of one operation on one path, in GFLOP/s on all threads. Peak is the rate of the path's multiply
// instructions, measured immediately before and after. Both are 0 for an operation that the path does not compute.
type PathRate struct {
	Path         string
	GFLOPS, Peak float64
}

// ShapeRates are the rates of one operation for one shape.
type ShapeRates struct {
	Shape kernels.Shape
	Paths []PathRate
	// OpenBLAS is the rate of its float32 product of the same sizes. It is 0 if there is no OpenBLAS, or the operation is
	// not a plain product.
	OpenBLAS float64
}

// benched is a way to compute that is measured: a path for floats or, if ints is set, one for int8 beside the path for
// floats that is in use.
type benched struct {
	path cpu.Path
	int8 cpu.Int8Path
	ints bool
}

// benchedPaths returns the paths with the names of only. If that is empty, these are all paths for floats, and the
// fastest one for int8.
func benchedPaths(only []string) (all []benched) {
	for _, path := range cpu.Paths() {
		if len(only) == 0 || slices.Contains(only, path.String()) {
			all = append(all, benched{path: path})
		}
	}
	for _, path := range cpu.Int8Paths() {
		name := (benched{int8: path, ints: true}).String()
		if len(only) == 0 && path == cpu.CurrentInt8() || slices.Contains(only, name) {
			all = append(all, benched{cpu.Current(), path, true})
		}
	}
	return all
}

// String returns the path's name, with "int8" before that of one for int8, since other paths have its name.
func (p benched) String() string {
	if p.ints {
		return "int8 by " + p.int8.String()
	}
	return p.path.String()
}

// use makes the path current.
func (p benched) use() (restore func(), err error) {
	first, err := cpu.Use(p.path)
	if err != nil || !p.ints {
		return first, err
	}
	second, err := cpu.UseInt8(p.int8)
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

// backend returns a backend that computes on the path.
func (p benched) backend() backend.Backend {
	format := tensor.F32
	if p.path.MultipliesBF16() {
		format = tensor.BF16
	}
	if p.ints {
		return cpu.NewInt8(format, cpu.Int8{Quantise: true})
	}
	return cpu.New(format)
}

// peak returns the rate of the path's multiply instructions on all threads, in 10⁹ operations per second.
func (p benched) peak(limit time.Duration) float64 {
	if p.ints {
		return cpu.PeakInt8(limit) * 1e-9
	}
	return cpu.Peak(p.path.MultipliesBF16(), limit) * 1e-9
}

// BenchProcessor measures the products, attentions and convolutions of FLUX.2 [klein] 4B for a picture of width ×
// height on the paths of the processor: on those that only names, or on all if it is empty. For each shape it measures
// one path after the other, each for about the time `each`, and OpenBLAS if it can be loaded. It calls report for each
// shape. blas describes the OpenBLAS, or says why there is none.
func BenchProcessor(
	ctx context.Context, width, height int, only []string, each time.Duration, report func(ShapeRates),
) (blas string, err error) {
	shapes, err := KernelShapes(DeviceSim, picture.Size{Width: width, Height: height}, false)
	if err != nil {
		return "", err
	}
	return benchShapes(ctx, shapes, only, each, report)
}

func benchShapes(
	ctx context.Context, shapes []kernels.Shape, only []string, each time.Duration, report func(ShapeRates),
) (blas string, err error) {
	if _, err := processorPath(); err != nil {
		return "", err
	}
	library, err := openblas.Load(runtime.GOMAXPROCS(0))
	if blas = "none: "; err != nil {
		blas += err.Error()
	} else {
		blas = library.Config
	}
	for _, s := range shapes {
		if s.Rows == 1 {
			continue // its time is that of reading the weights, on every path
		}
		rates := ShapeRates{Shape: s}
		for _, path := range benchedPaths(only) {
			if err := ctx.Err(); err != nil {
				return blas, err
			}
			if path.ints && !processorRuns[s.Operation].int8 {
				rates.Paths = append(rates.Paths, PathRate{Path: path.String()})
				continue
			}
			r, err := benchShape(s, path, each)
			if err != nil {
				return blas, err
			}
			rates.Paths = append(rates.Paths, r)
		}
		if processorRuns[s.Operation].product && library != nil {
			rates.OpenBLAS = library.Rate(s.Rows, s.Cols, s.Depth, each) * 1e-9
		}
		report(rates)
	}
	return blas, nil
}

// peakTime is the time for measuring the peak. It is long enough that all threads run together for most of it.
const peakTime = 20 * time.Millisecond

// benchShape measures the operation again and again, in turns that each end when the operation has ended, and returns
// the best rate.
func benchShape(s kernels.Shape, path benched, each time.Duration) (r PathRate, err error) {
	restore, err := path.use()
	if err != nil {
		return r, err
	}
	defer restore()
	b := path.backend()
	defer b.Close()
	run, err := shapeRun(b, s)
	if err != nil {
		return r, err
	}
	peak := func() float64 { return path.peak(min(each, peakTime)) }
	r = PathRate{Path: path.String(), Peak: peak()}
	run()                              // loads pages and allocates buffers
	const turn = 20 * time.Millisecond // longer than a tick of Windows' clock
	for begin := time.Now(); r.GFLOPS == 0 || time.Since(begin) < each; {
		t, n := time.Now(), 0
		for n == 0 || time.Since(t) < min(each, turn) {
			run()
			n++
		}
		r.GFLOPS = max(r.GFLOPS, float64(n)*s.FLOP(s.Rows)/time.Since(t).Seconds()*1e-9)
	}
	r.Peak = max(r.Peak, peak())
	return r, b.Sync()
}

// shapeRun prepares one operation on b, with values as in a network. run executes it once.
func shapeRun(b backend.Backend, s kernels.Shape) (run func(), err error) {
	matrix := func(rows, cols int) backend.Matrix {
		m := b.Alloc(rows, cols, b.Activation())
		values := make([]float32, rows*cols)
		for i := range values {
			values[i] = float32(i%251)/251 - 0.5
		}
		b.Upload(m, values)
		return m
	}
	weight := func(shape ...int) (w backend.Weight) {
		t := tensor.Tensor{
			Name: "w", DType: tensor.BF16, Shape: shape, Data: make([]byte, 2*tensor.Elements(shape)), Scale: 1,
		}
		for i := range t.Data {
			if t.Data[i] = byte(i % 241); i%2 == 1 {
				t.Data[i] = 0x3c + byte(i%3) + byte(i%4/2<<7)
			}
		}
		var failed error
		load := b.Weight
		if len(shape) == 2 {
			load = b.LinearWeight
		}
		if w, failed = load(t); err == nil {
			err = failed
		}
		return w
	}
	operation, ok := processorRuns[s.Operation]
	if !ok {
		return nil, fmt.Errorf("bench: no operation %q", s.Operation)
	}
	run = operation.prepare(b, s, matrix, weight)
	return run, err
}

// processorRun says how an operation runs on the processor's backend.
type processorRun struct {
	// product says that the operation is a matrix product that depends only on the shape's rows, columns and depth.
	product bool
	// int8 says that the operation can be computed in int8.
	int8    bool
	prepare func(
		b backend.Backend, s kernels.Shape, matrix func(rows, cols int) backend.Matrix,
		weight func(shape ...int) backend.Weight,
	) (run func())
}

// processorRuns has the operations that are measured on a processor, by their names: all those whose shapes a rehearsal
// on a graphics card remembers. Products that end in SiLU or in heads are measured without that.
var processorRuns = map[string]processorRun{
	kernels.OpGEMM.Name:           {product: true, int8: true, prepare: prepareLinear},
	kernels.OpSiLU.Name:           {product: true, int8: true, prepare: prepareLinear},
	kernels.OpGEMMQKNormRoPE.Name: {product: true, int8: true, prepare: prepareLinear},
	kernels.OpSwiGLU.Name:         {int8: true, prepare: prepareSwiGLU},
	kernels.OpAttention.Name:      {prepare: prepareAttention},
	kernels.OpConv.Name:           {prepare: prepareConv},
	kernels.OpConvNorm.Name:       {prepare: prepareConv},
}

func prepareLinear(
	b backend.Backend, s kernels.Shape, matrix func(rows, cols int) backend.Matrix,
	weight func(shape ...int) backend.Weight,
) func() {
	x, y, w := matrix(s.Rows, s.Depth), matrix(s.Rows, s.Cols), weight(s.Cols, s.Depth)
	return func() { b.Linear(y, x, w, backend.Epilogue{}) }
}

func prepareSwiGLU(
	b backend.Backend, s kernels.Shape, matrix func(rows, cols int) backend.Matrix,
	weight func(shape ...int) backend.Weight,
) func() {
	x, y, gate, up := matrix(s.Rows, s.Depth), matrix(s.Rows, s.Cols), weight(s.Cols, s.Depth), weight(s.Cols, s.Depth)
	return func() { b.SwiGLU(y, x, gate, up) }
}

func prepareAttention(
	b backend.Backend, s kernels.Shape, matrix func(rows, cols int) backend.Matrix, _ func(shape ...int) backend.Weight,
) func() {
	dim := s.Cols / s.Heads
	q, o := matrix(s.Rows, s.Cols), matrix(s.Rows, s.Cols)
	k, v := matrix(s.Depth, s.KVHeads*dim), matrix(s.Depth, s.KVHeads*dim)
	p := backend.AttentionParams{
		Heads: s.Heads, KVHeads: s.KVHeads, Scale: float32(1 / math.Sqrt(float64(dim))), Causal: s.Causal, Keys: s.Depth,
	}
	return func() { b.Attention(o, q, k, v, p) }
}

func prepareConv(
	b backend.Backend, s kernels.Shape, matrix func(rows, cols int) backend.Matrix,
	weight func(shape ...int) backend.Weight,
) func() {
	p := backend.ConvParams{
		Height: s.Conv.Height, Width: s.Conv.Width, Upsample: s.Conv.Upsample, Downsample: s.Conv.Downsample,
	}
	x, y := matrix(p.Height*p.Width, s.Depth), matrix(s.Rows, s.Cols)
	w := weight(s.Cols, s.Depth, s.Conv.Kernel, s.Conv.Kernel)
	return func() { b.Conv2D(y, x, w, p) }
}

// PathRun describes the making of a whole picture on one path.
type PathRun struct {
	Path      string
	Precision Precision
	Timings   []Timing
	Whole     time.Duration
	// Peak is the rate of the path's multiply instructions on all threads, in GFLOP/s.
	Peak float64
	// PeakResidentBytes is the largest resident memory of the process in that time, including the pages of mapped weights.
	// It is 0 if the system does not tell it.
	PeakResidentBytes int64
}

// BenchPaths makes a picture on each path of the processor with the model of opts, or only on the paths that only
// names. It opens the model anew each time, as after the start of a program. It calls report for each picture.
func BenchPaths(
	ctx context.Context, opts Options, size picture.Size, steps int, only []string, report func(PathRun),
) error {
	if _, err := processorPath(); err != nil {
		return err
	}
	for _, path := range benchedPaths(only) {
		r, err := benchPath(ctx, opts, size, steps, path)
		if err != nil {
			return err
		}
		report(r)
	}
	return nil
}

func benchPath(ctx context.Context, opts Options, size picture.Size, steps int, path benched) (r PathRun, err error) {
	restore, err := path.use()
	if err != nil {
		return r, err
	}
	defer restore()
	opts.Device, opts.Precision = DeviceCPU, Float32
	switch {
	case path.ints:
		opts.Precision = Int8
	case path.path.MultipliesBF16():
		opts.Precision = BF16
	}
	begin, resident := time.Now(), peakResident()
	e, err := Open(ctx, opts)
	if err != nil {
		return r, err
	}
	defer e.Close()
	seed := uint64(42)
	req, err := Ask{Prompt: "a red fox in the snow", Seed: &seed, Size: &size, Steps: &steps}.Resolve(e.info)
	if err != nil {
		return r, err
	}
	result, err := e.Generate(ctx, req, nil)
	if err != nil {
		return r, err
	}
	return PathRun{
		Path: path.String(), Precision: e.info.Precision, Timings: result.Timings, Whole: time.Since(begin),
		Peak: path.peak(peakTime), PeakResidentBytes: resident(),
	}, nil
}
