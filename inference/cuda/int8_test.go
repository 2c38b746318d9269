package cuda

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/backend/backendtest"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// int8Stored returns a weight of int8 as it is stored, rotated in groups, with a scale for each row or one scale.
func int8Stored(rng *rand.Rand, n, k, group int, rows bool) tensor.Tensor {
	t := tensor.Tensor{Name: "int8", DType: tensor.I8, Shape: []int{n, k}, Data: make([]byte, n*k), Scale: 0.01}
	for i := range t.Data {
		t.Data[i] = byte(rng.Uint32())
	}
	if rows || group > 0 {
		t.Quant = &tensor.Quant{Rotation: group}
	}
	for range n {
		if rows {
			t.Quant.Rows = append(t.Quant.Rows, 0.5+rng.Float32())
		}
	}
	return t
}

// floats returns a weight of random values in a format.
func floats(rng *rand.Rand, dtype tensor.DType, n, k int) tensor.Tensor {
	t := tensor.Tensor{Name: dtype.String(), DType: dtype, Shape: []int{n, k}, Scale: 1}
	for range n * k {
		switch v := float32(rng.NormFloat64()); dtype {
		case tensor.F32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		case tensor.BF16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, tensor.F32ToBF16(v))
		case tensor.F16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(rng.Uint32())&0x83ff|14<<10)
		}
	}
	return t
}

// TestIntegers writes weights whole and in pieces, and compares both with their rows and scales: as they are stored, or
// as package tensor quantises them.
func TestIntegers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, w := range []tensor.Tensor{
		int8Stored(rng, 5, 48, 16, true), int8Stored(rng, 7, 33, 0, false), int8Stored(rng, 3, 64, 64, false),
		floats(rng, tensor.BF16, 5, 512), floats(rng, tensor.F16, 3, 33), floats(rng, tensor.F32, 9, 20),
	} {
		n, k := w.Shape[0], w.Shape[1]
		stride := (k + 15) / 16 * 16
		var want []byte
		var scales []byte
		for i := range n {
			line, scale := make([]int8, k), w.Scale
			if w.DType == tensor.I8 {
				for j := range line {
					line[j] = int8(w.Data[i*k+j])
				}
				if w.Quant != nil && w.Quant.Rows != nil {
					scale *= w.Quant.Rows[i]
				}
			} else {
				row := w.Slice(i, i+1).Float32s()
				tensor.Rotate(row, tensor.RotationFor(k))
				scale = tensor.QuantiseInt8(line, row)
			}
			for j := range stride {
				if j < k {
					want = append(want, byte(line[j]))
				} else {
					want = append(want, 0)
				}
			}
			scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(scale))
		}
		want = append(want, scales...)
		for _, piece := range []int{len(want), 101, 1} {
			m := narrowOf(w, tensor.I8, true)
			if m == nil || m.bytes() != int64(len(want)) {
				t.Fatalf("%s: %+v, want %d bytes", w.Name, m, len(want))
			}
			for to := len(want); to > 0; to -= piece { // from the end, so that scales are asked for before their rows
				from := max(to-piece, 0)
				have := slices.Repeat([]byte{0xee}, to-from)
				m.write(have, int64(from))
				if !bytes.Equal(have, want[from:to]) {
					t.Fatalf("%s %v: bytes [%d, %d) differ from those of the rows", w.Name, w.Shape, from, to)
				}
			}
		}
	}
}

// TestNoIntegers checks which weights no product in integers reads.
func TestNoIntegers(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	plain := floats(rng, tensor.BF16, 2, 16)
	if narrowOf(plain, tensor.I8, false) != nil {
		t.Error("bfloat16 is quantised unasked")
	}
	scaled, rotated, blocks, wide := plain, int8Stored(rng, 2, 1024, 1024, true), int8Stored(rng, 2, 16, 0, true), plain
	scaled.Scale = 2
	blocks.Quant.Blocks = &tensor.BlockScales{}
	wide.Shape = []int{1, 1<<17 + 16}
	vector := plain
	vector.Shape = []int{32}
	for name, w := range map[string]tensor.Tensor{
		"a scale": scaled, "groups of 1024": rotated, "scales of blocks": blocks, "too wide": wide, "a vector": vector,
	} {
		if narrowOf(w, tensor.I8, true) != nil {
			t.Errorf("%s: in integers", name)
		}
	}
}

// openInt8 opens a backend on a software device, and returns a function that counts the launches of a kernel.
func openInt8(t *testing.T, device ptxsim.Device) (b *Backend, launches func(kernel string) int) {
	t.Helper()
	var launched sync.Map
	b, err := New(Options{
		Open:       func() (cu.Context, error) { return recorder{ptxsim.Open(device), &launched}, nil },
		ChunkBytes: chunkBytes, PartBytes: 1 << 13, Narrow: &Narrow{DType: tensor.I8, Quantise: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, func(kernel string) int {
		n, _ := launched.Load(kernel)
		count, _ := n.(int)
		return count
	}
}

// TestInt8OnSM90a runs the suite on a device with kernels for sm_90a, which a trial compares with sm_80's before.
func TestInt8OnSM90a(t *testing.T) {
	backendtest.RunInt8(t, func(t *testing.T) backend.Backend {
		b, err := New(Options{
			Open:       func() (cu.Context, error) { return ptxsim.Open(ptxsim.Device{Major: 9}), nil },
			ChunkBytes: chunkBytes, Narrow: &Narrow{DType: tensor.I8, Quantise: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.dev.tuner.Set().Target(kernels.OpInt8GEMM); got != kernels.SM90a || err != nil {
			t.Errorf("products for %v, %v", got, err)
		}
		return b
	})
}

// TestUnchangedIsQuantisedOnce: in Unchanged, products of one matrix quantise it once for each rotation, and outside
// each time; also where a product of two kinds of weights comes between.
func TestUnchangedIsQuantisedOnce(t *testing.T) {
	b, launches := openInt8(t, ptxsim.Device{})
	rng := rand.New(rand.NewPCG(11, 12))
	load := func(w tensor.Tensor) backend.Weight {
		loaded, err := b.LinearWeight(w)
		if err != nil {
			t.Fatal(err)
		}
		return loaded
	}
	const k = 256
	first, second := load(floats(rng, tensor.BF16, 16, k)), load(int8Stored(rng, 16, k, k, true))
	other, plain := load(int8Stored(rng, 16, k, 16, true)), weightOf(t, b, values(rng, 16*k, 1), 16, k)
	b.Begin(t.Context())
	const r = 8
	both, y := put(b, 8, k+r, values(rng, 8*(k+r), 1)), b.Alloc(8, 16, tensor.BF16)
	x := both.ColRange(0, k)
	beside := backend.Beside(first, put(b, 16, r, values(rng, 16*r, 1)))
	step := func() {
		b.Linear(y, x, first, backend.Epilogue{})
		b.Linear(y, x, second, backend.Epilogue{})
		b.SwiGLU(y, x, first, second)
		b.Linear(y, x, other, backend.Epilogue{})
	}
	for _, row := range []struct {
		name string
		want int
		f    func()
	}{
		{"outside", 4, step},
		{"unchanged", 2, func() { b.Unchanged(x, step) }},
		{"another matrix", 4, func() { b.Unchanged(y, step) }},
		{"rows of it", 2, func() {
			b.Unchanged(x, func() {
				b.Linear(y, x, first, backend.Epilogue{})
				b.Linear(y.RowRange(0, 4), x.RowRange(0, 4), first, backend.Epilogue{})
			})
		}},
		{"columns beside it that change", 1, func() {
			b.Unchanged(x, func() {
				b.Linear(y, x, first, backend.Epilogue{})
				b.Copy(both.ColRange(k, k+r), y.ColRange(0, r))
				b.Linear(y, both, beside, backend.Epilogue{})
				b.SwiGLU(y.ColRange(0, 8), both, beside.Slice(0, 8), beside.Slice(8, 16))
			})
		}},
		{"one factor in bfloat16", 3, func() {
			b.Unchanged(x, func() {
				b.Linear(y, x, first, backend.Epilogue{})
				b.SwiGLU(y, x, first, plain)
				b.Linear(y, x, second, backend.Epilogue{})
			})
		}},
	} {
		before, used := launches("quantise"), b.arena.used
		row.f()
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		if n := launches("quantise") - before; n != row.want || b.arena.used != used {
			t.Errorf("%s: quantised %d times, want %d; %d bytes used, %d before", row.name, n, row.want, b.arena.used, used)
		}
	}
}

// TestInt8InReplays records and plays products in integers. A rehearsal plans the memory of the quantised rows, and the
// weights take about half of bfloat16's bytes.
func TestInt8InReplays(t *testing.T) {
	b, launches := openInt8(t, ptxsim.Device{})
	const n, k, m = 16, 512, 8
	rng := rand.New(rand.NewPCG(13, 14))
	w := floats(rng, tensor.BF16, 2*n, k)
	run := func(b *Backend) (x, y backend.Matrix, step func()) {
		both, err := b.LinearWeight(w)
		if err != nil {
			t.Fatal(err)
		}
		b.Begin(t.Context())
		if !b.rehearsal {
			plan := b.Rehearsal().(*Backend)
			planned, err := plan.LinearWeight(w)
			if err != nil {
				t.Fatal(err)
			}
			x, y := plan.Alloc(m, k, tensor.BF16), plan.Alloc(m, n, tensor.BF16)
			plan.Unchanged(x, func() {
				plan.Linear(y, x, planned.Slice(0, n), backend.Epilogue{})
				plan.SwiGLU(y, x, planned.Slice(0, n), planned.Slice(n, 2*n))
			})
			memory := plan.Memory()
			if got, want := memory.Activations, int64(aligned(2*m*k)+aligned(2*m*n)+aligned(m*k+4*m)); got != want {
				t.Errorf("%d bytes of activations planned, want %d: with the quantised rows", got, want)
			}
			if got, want := memory.Parts[0].Bytes, int64(aligned(2*n*(k+4))); got != want {
				t.Errorf("%d bytes of weights planned, want %d", got, want)
			}
			if err := b.Reserve(memory); err != nil {
				t.Fatal(err)
			}
		}
		x, y = b.Alloc(m, k, tensor.BF16), b.Alloc(m, n, tensor.BF16)
		return x, y, func() {
			b.Unchanged(x, func() {
				b.Linear(y, x, both.Slice(0, n), backend.Epilogue{})
				b.SwiGLU(y, x, both.Slice(0, n), both.Slice(n, 2*n))
			})
		}
	}
	x, y, step := run(b)
	var first []float32
	for i := range 5 {
		b.Upload(x, values(rand.New(rand.NewPCG(1, 2)), m*k, 1))
		b.Upload(y, make([]float32, m*n))
		b.Replay("step", step)
		have := make([]float32, m*n)
		b.Download(have, y)
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = have
		}
		if !slices.Equal(have, first) || slices.Max(have) == 0 {
			t.Errorf("replay %d: %v, want %v", i, have[:4], first[:4])
		}
	}
	if n := launches("quantise"); n < 2 {
		t.Errorf("quantised %d times, want once in each of the calls that are no replays", n)
	}
}

// TestInt8PartsInLanes: parts that are quantised on their way pass through lanes, step after step.
func TestInt8PartsInLanes(t *testing.T) {
	const parts, k = 6, 512
	const bytes = 16 * (k + 4)
	const arena = 1 << 15
	b, _ := openInt8(t, ptxsim.Device{TotalBytes: arena + 4*((bytes+255)/256*256)})
	b.Network("transformer")
	var ws []backend.Weight
	for i := range parts {
		one := tensor.F32ToBF16(float32(i + 1))
		w, err := b.LinearWeight(tensor.Tensor{
			Name: fmt.Sprint("w", i), DType: tensor.BF16, Shape: []int{16, k}, Scale: 1,
			Data: slices.Repeat([]byte{byte(one), byte(one >> 8)}, 16*k),
		})
		if err != nil {
			t.Fatal(err)
		}
		ws = append(ws, w)
	}
	m := b.Memory()
	m.Activations = arena
	if len(m.Parts) != parts {
		t.Fatalf("%+v, want %d parts", m.Parts, parts)
	}
	b.Begin(t.Context())
	if err := b.Reserve(m); err != nil {
		t.Fatal(err)
	}
	x, y := upload(b, 1, k, 1.0/k), b.Alloc(1, 16, tensor.F32)
	b.Upload(y, make([]float32, 16))
	for range 3 {
		for _, w := range ws {
			b.Linear(y, x, w, backend.Epilogue{Add: true})
		}
	}
	have := make([]float32, 16)
	b.Download(have, y)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	// Equal values have one value in each rotated group, 127 times the scale: only scales are rounded.
	for i, v := range have {
		if want := 3.0 * parts * (parts + 1) / 2; math.Abs(float64(v)-want) > 1e-4*want {
			t.Errorf("value %d is %v, want %v", i, v, want)
		}
	}
	if b.drops == 0 {
		t.Error("no part left")
	}
}

// BenchmarkIntegers quantises a weight of the 4B model on one thread, as the upload of a part does, and reports the
// rate at which its bytes are read, and that of a plain copy of them.
func BenchmarkIntegers(b *testing.B) {
	const n, k = 3072, 3072
	w := floats(rand.New(rand.NewPCG(15, 16)), tensor.BF16, n, k)
	to, best := make([]byte, 2*n*k), [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		m := narrowOf(w, tensor.I8, true)
		for i, f := range []func(){
			func() { m.write(to[:m.bytes()], 0) }, func() { copy(to, w.Data) },
		} {
			begin := time.Now()
			f()
			best[i] = min(best[i], time.Since(begin))
		}
	}
	b.ReportMetric(2*n*k/best[0].Seconds()/1e9, "GB/s")
	b.ReportMetric(2*n*k/best[1].Seconds()/1e9, "GB/s-copy")
}
