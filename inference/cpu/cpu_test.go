package cpu_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// TestQuantisedOnce checks that a weight is quantised once, for all its slices, that its data is released then, and
// that a run that was cancelled in between leaves nothing wrong behind.
func TestQuantisedOnce(t *testing.T) {
	released := 0
	b := cpu.NewInt8(tensor.F32, cpu.Int8{Quantise: true, Release: func([]byte) { released++ }})
	defer b.Close()
	const n, k = 64, 256
	data := make([]byte, 2*n*k)
	for i := range n * k {
		data[2*i+1] = byte(0x3f + i%2<<7) // 0.5 and -0.5
	}
	w, err := b.LinearWeight(tensor.Tensor{Name: "w", DType: tensor.BF16, Shape: []int{n, k}, Data: data, Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	product := func(w backend.Weight) []float32 {
		x, y := b.Alloc(8, k, tensor.F32), b.Alloc(8, w.Shape()[0], tensor.F32)
		values := make([]float32, 8*k)
		for i := range values {
			values[i] = float32(i%7) - 2
		}
		b.Upload(x, values)
		b.Linear(y, x, w, backend.Epilogue{})
		out := make([]float32, 8*y.Cols)
		b.Download(out, y)
		return out
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Begin(ctx)
	for b.Sync() == nil {
		product(w)
	}
	b.Begin(t.Context())
	whole := product(w)
	clear(data) // it must not be read again
	part := product(w.Slice(16, 48))
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if !slices.Equal(part[i*32:(i+1)*32], whole[i*n+16:i*n+48]) || whole[i*n] == 0 {
			t.Fatalf("row %d: %v, want the middle of %v", i, part[i*32:(i+1)*32], whole[i*n:(i+1)*n])
		}
	}
	if released != 1 {
		t.Errorf("released %d times, want once", released)
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
