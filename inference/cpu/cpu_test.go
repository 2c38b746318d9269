package cpu_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/backend/backendtest"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cpu/simd"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestConformance runs the conformance suite with float32 activations, and with bfloat16 ones for each path that the
// processor has.
func TestConformance(t *testing.T) {
	t.Run("F32", func(t *testing.T) {
		backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.F32) })
	})
	for _, path := range cpu.Paths() {
		t.Run(fmt.Sprintf("BF16 %v", path), func(t *testing.T) {
			restore, err := cpu.Use(path)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.BF16) })
		})
	}
	// The Go model of AMX tests the code around the tiles on processors without AMX.
	t.Run("BF16 tiles in plain Go", func(t *testing.T) {
		defer simd.UseTileModel()()
		backendtest.Run(t, func(*testing.T) backend.Backend { return cpu.New(tensor.BF16) })
	})
}

// TestInt8 runs the suite of int8 on each path that the processor has, and with the Go model of AMX.
func TestInt8(t *testing.T) {
	suite := func(t *testing.T) {
		formats := []tensor.DType{tensor.F32}
		if simd.CurrentInt8() == simd.Int8Paths()[len(simd.Int8Paths())-1] {
			formats = append(formats, tensor.BF16) // which has nothing to do with the path
		}
		for _, format := range formats {
			backendtest.RunInt8(t, func(*testing.T) backend.Backend { return cpu.NewInt8(format, cpu.Int8{Quantise: true}) })
		}
	}
	for _, path := range simd.Int8Paths() {
		t.Run(path.String(), func(t *testing.T) {
			restore, err := simd.UseInt8(path)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			suite(t)
		})
	}
	t.Run("tiles in plain Go", func(t *testing.T) {
		defer simd.UseTileModel()()
		suite(t)
	})
}

// severalGrains returns a weight in bfloat16 of which goroutines quantise several parts.
func severalGrains(name string) tensor.Tensor {
	const n, k = 6 << 10, 256 // 3 MB
	data := make([]byte, 2*n*k)
	for i := range n * k {
		data[2*i], data[2*i+1] = byte(i/k), byte(0x3e+i/k%3/2+i%2<<7) // rows differ
	}
	return tensor.Tensor{Name: name, DType: tensor.BF16, Shape: []int{n, k}, Data: data, Scale: 1}
}

// quantising returns a backend that quantises the given weights.
func quantising(t *testing.T, release func([]byte), sources ...tensor.Tensor) (*cpu.Backend, []backend.Weight) {
	t.Helper()
	b := cpu.NewInt8(tensor.F32, cpu.Int8{Quantise: true, Release: release})
	t.Cleanup(func() { b.Close() })
	var ws []backend.Weight
	for _, source := range sources {
		w, err := b.LinearWeight(source)
		if err != nil {
			t.Fatal(err)
		}
		ws = append(ws, w)
	}
	return b, ws
}

// productWith returns the product of 8 rows with w, row-major, or what was there before if b has stopped.
func productWith(b *cpu.Backend, w backend.Weight) []float32 {
	const rows = 8
	n, k := w.Shape()[0], w.Shape()[1]
	x, y := b.Alloc(rows, k, tensor.F32), b.Alloc(rows, n, tensor.F32)
	defer b.Free(x, y)
	values := make([]float32, rows*k)
	for i := range values {
		values[i] = float32(i%7) - 2
	}
	b.Upload(x, values)
	b.Linear(y, x, w, backend.Epilogue{})
	out := make([]float32, rows*n)
	b.Download(out, y)
	return out
}

// TestQuantisedOnce checks that a weight is quantised once, for all its slices, that its data is released then, and
// that a run that was cancelled between the two weights of an operation leaves nothing wrong behind.
func TestQuantisedOnce(t *testing.T) {
	first, second := severalGrains("first"), severalGrains("second")
	fresh, ws := quantising(t, nil, second)
	fresh.Begin(t.Context())
	want := productWith(fresh, ws[0])
	if err := fresh.Sync(); err != nil || want[0] == 0 || want[0] == want[1] {
		t.Fatalf("%v, products %v", err, want[:2])
	}
	var b *cpu.Backend
	released := 0
	ctx, cancel := context.WithCancel(t.Context())
	b, ws = quantising(t, func([]byte) {
		if released++; released > 1 {
			return
		}
		for cancel(); b.Sync() == nil; { // until the backend knows it
			runtime.Gosched()
		}
	}, first, second)
	b.Begin(ctx)
	x, y := b.Alloc(1, first.Shape[1], tensor.F32), b.Alloc(1, first.Shape[0], tensor.F32)
	b.Upload(x, make([]float32, x.Cols))
	b.SwiGLU(y, x, ws[0], ws[1])
	if err := b.Sync(); !errors.Is(err, context.Canceled) || released != 1 {
		t.Fatalf("%v, %d weights released, want a run that was cancelled after one", err, released)
	}
	b.Begin(t.Context())
	if !slices.Equal(productWith(b, ws[1]), want) {
		t.Error("after a run that was cancelled the product is not that of a fresh backend")
	}
	clear(second.Data) // it must not be read again
	const from, to = 16, 48
	part, n := productWith(b, ws[1].Slice(from, to)), second.Shape[0]
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range len(want) / n {
		if row := part[i*(to-from):][:to-from]; !slices.Equal(row, want[i*n+from:i*n+to]) {
			t.Fatalf("row %d of a slice: %v, want %v", i, row, want[i*n+from:i*n+to])
		}
	}
	if released != 2 {
		t.Errorf("released %d times, want once for each weight", released)
	}
}

// TestOutOfMemory allocates more than a process can map. Operations on that matrix must do nothing, Sync must return
// the error, and the next run must work.
func TestOutOfMemory(t *testing.T) {
	b := cpu.New(tensor.F32)
	defer b.Close()
	huge := b.Alloc(1<<31, 1<<14, tensor.F32)
	small := b.Alloc(4, 4, tensor.F32)
	b.Affine(huge, huge, small.RowRange(0, 1), small.RowRange(1, 2))
	b.Copy(huge.RowRange(7, 8).ColRange(0, 4), small.RowRange(0, 1))
	if b.Sync() == nil {
		t.Fatal("Sync: no error after an allocation of 128 TB")
	}
	b.Free(huge)
	b.Begin(t.Context())
	b.Upload(small, make([]float32, 16))
	if err := b.Sync(); err != nil {
		t.Fatalf("Sync after a new Begin: %v", err)
	}
}

// TestCloseFreesAll checks that Close frees matrices that were not freed, such as those of caches.
func TestCloseFreesAll(t *testing.T) {
	before := mappings(t)
	b := cpu.New(tensor.F32)
	for range 20 {
		b.Alloc(1<<10, 1<<10, tensor.F32)
	}
	b.Free(b.Alloc(1<<10, 1<<10, tensor.BF16))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after := mappings(t); after > before+4<<20 {
		t.Errorf("%d bytes mapped before, %d after Close", before, after)
	}
}

// mappings returns the size of the process's address space in bytes.
func mappings(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the system has no /proc")
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		t.Fatal(err)
	}
	return n * os.Getpagesize()
}
