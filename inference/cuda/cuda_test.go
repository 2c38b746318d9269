package cuda

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/backend/backendtest"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// deviceName chooses what runs the tests that any device can run: go test ./inference/cuda -device cuda takes the GPU.
var deviceName = flag.String("device", "sim", "sim or cuda")

// chunkBytes is so small that even small weights are copied in several chunks.
const chunkBytes = 4 << 10

func openTest(t *testing.T) *Backend {
	t.Helper()
	if *deviceName == "cuda" {
		return openOn(t, OpenGPU)
	}
	return openOn(t, OpenSoftware)
}

func openOn(t *testing.T, open func() (cu.Context, error)) *Backend {
	t.Helper()
	b, err := New(Options{Open: open, ChunkBytes: chunkBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// openSims opens a backend whose first device is the first of devices, and so on after faults.
func openSims(t *testing.T, devices ...ptxsim.Device) (*Backend, func() *ptxsim.Context) {
	t.Helper()
	var now *ptxsim.Context
	b := openOn(t, func() (cu.Context, error) {
		if len(devices) == 0 {
			return nil, errors.New("no device left")
		}
		now = ptxsim.Open(devices[0])
		devices = devices[1:]
		return now, nil
	})
	return b, func() *ptxsim.Context { return now }
}

// TestConformance runs on the software device, and on a GPU if there is one; with and without products in 8 bits.
func TestConformance(t *testing.T) {
	var launched sync.Map
	sim := func() (cu.Context, error) {
		return recorder{ptxsim.Open(ptxsim.Device{Major: 8, Minor: 9}), &launched}, nil
	}
	for name, open := range map[string]func() (cu.Context, error){"sim": sim, "cuda": OpenGPU} {
		t.Run(name, func(t *testing.T) {
			if name == "cuda" && *deviceName != name {
				if _, err := Describe(); err != nil {
					t.Skip(err)
				}
			}
			opening := func(narrow *Narrow) func(t *testing.T) backend.Backend {
				return func(t *testing.T) backend.Backend {
					b, err := New(Options{Open: open, ChunkBytes: chunkBytes, Narrow: narrow})
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
			}
			backendtest.Run(t, opening(nil))
			t.Run("int8", func(t *testing.T) { backendtest.RunInt8(t, opening(&Narrow{DType: tensor.I8, Quantise: true})) })
			t.Run("fp8", func(t *testing.T) {
				fp8 := &Narrow{DType: tensor.F8E4M3, Quantise: true}
				b, err := New(Options{Open: open, Narrow: fp8})
				if name == "cuda" && errors.Is(err, ErrNoFP8) {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
				b.Close()
				backendtest.RunFP8(t, opening(fp8))
			})
		})
	}
	if flag.Lookup("test.run").Value.String() == "" && !t.Failed() {
		everyOperationLaunched(t, &launched)
	}
}

// TestArena allocates and frees at random. Pieces never overlap, freed ones are found again, and an endless arena
// returns the same pieces as one of the size that it found out.
func TestArena(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var requests []int64 // positive: alloc, otherwise: free the piece of that number, from the end
	live := 0
	for range 2000 {
		if live > 0 && rng.IntN(5) < 2 {
			requests = append(requests, -int64(rng.IntN(live)))
			live--
		} else {
			requests = append(requests, 1+int64(rng.ExpFloat64()*4096))
			live++
		}
	}
	run := func(size int64) (offsets []int64, peak int64) {
		var a arena
		a.reset(size)
		type piece struct{ from, bytes int64 }
		var pieces []piece
		for _, r := range requests {
			if r <= 0 {
				i := len(pieces) - 1 + int(r)
				a.free(pieces[i].from, pieces[i].bytes)
				pieces = slices.Delete(pieces, i, i+1)
				continue
			}
			from, ok := a.alloc(r)
			if !ok {
				t.Fatalf("no place for %d bytes in an arena of %d", r, size)
			}
			for _, p := range pieces {
				if from < p.from+p.bytes && p.from < from+r {
					t.Fatalf("[%d, +%d) overlaps [%d, +%d)", from, r, p.from, p.bytes)
				}
			}
			pieces = append(pieces, piece{from, r})
			offsets = append(offsets, from)
		}
		for _, p := range pieces {
			a.free(p.from, p.bytes)
		}
		if want := []span{{0, size}}; a.used != 0 || !slices.Equal(a.gaps, want) {
			t.Errorf("all given back: %d bytes used, gaps %v, want %v", a.used, a.gaps, want)
		}
		return offsets, a.peak
	}
	rehearsed, peak := run(endless)
	if played, _ := run(peak); !slices.Equal(rehearsed, played) {
		t.Error("the rehearsal's pieces lie elsewhere")
	}
	var a arena
	a.reset(512)
	if _, ok := a.alloc(513); ok {
		t.Error("513 bytes of 512")
	}
}

func bf16Weight(t *testing.T, b *Backend, name string, value float32, shape ...int) backend.Weight {
	t.Helper()
	one := tensor.F32ToBF16(value)
	w, err := b.Weight(tensor.Tensor{Name: name, DType: tensor.BF16, Shape: shape, Scale: 1,
		Data: slices.Repeat([]byte{byte(one), byte(one >> 8)}, tensor.Elements(shape))})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// upload returns a matrix all of whose values are v.
func upload(b *Backend, rows, cols int, value float32) backend.Matrix {
	m := b.Alloc(rows, cols, tensor.BF16)
	b.Upload(m, slices.Repeat([]float32{value}, rows*cols))
	return m
}

func wantValues(t *testing.T, b *Backend, m backend.Matrix, want float32) {
	t.Helper()
	got := make([]float32, m.Rows*m.Cols)
	b.Download(got, m)
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v != want {
			t.Fatalf("value %d is %v, want %v", i, v, want)
		}
	}
}

// TestBorrowedFree tries all small arenas: where two pieces got room, the second while the first was in use, both get
// room in any other arena in which their places are free.
func TestBorrowedFree(t *testing.T) {
	const units = 7
	arenaOf := func(free int) (a arena) {
		for i := range int64(units) {
			if free>>i&1 != 0 {
				a.free(i*pieceAlign, pieceAlign)
			}
		}
		return a
	}
	get := func(a *arena, outer, inner int64) (places []span, ok bool) {
		for _, size := range []int64{outer * pieceAlign, inner * pieceAlign} {
			from, ok := a.alloc(size)
			if !ok {
				return nil, false
			}
			places = append(places, span{from, from + size})
		}
		return places, true
	}
	tried, moved := 0, 0
	for outer := int64(1); outer < units; outer++ {
		for inner := int64(1); outer+inner <= units; inner++ {
			for first := range 1 << units {
				a := arenaOf(first)
				places, ok := get(&a, outer, inner)
				if !ok {
					continue
				}
				for second := range 1 << units {
					a := arenaOf(second)
					if !(borrowed{pieces: places}).free(&a) {
						continue
					}
					again, ok := get(&a, outer, inner)
					if !ok {
						t.Fatalf("pieces of %d and %d units: room among %07b, none among %07b", outer, inner, first, second)
					}
					tried++
					if !slices.Equal(again, places) {
						moved++
					}
				}
			}
		}
	}
	if moved == 0 {
		t.Errorf("%d arenas, but the pieces are always where they were", tried)
	}
}

// TestReplay: the first call issues the operations, the second records them, all later ones play the recording.
func TestReplay(t *testing.T) {
	b := openTest(t)
	w := bf16Weight(t, b, "w", 0.5, 64, 64)
	b.Begin(t.Context())
	x, y, sum := upload(b, 8, 64, 1), b.Alloc(8, 64, tensor.BF16), upload(b, 8, 64, 0)
	calls := 0
	step := func() {
		calls++
		b.Linear(y, x, w, backend.Epilogue{})
		b.AddScaled(sum, sum, y, 1)
	}
	for i := range 5 {
		b.Upload(x, slices.Repeat([]float32{float32(i)}, 8*64)) // 32·i in each of y
		b.Replay("step", step)
	}
	wantValues(t, b, sum, 32*(0+1+2+3+4))
	if calls != 2 {
		t.Errorf("called %d times, want 2", calls)
	}
	b.Replay("another", step)
	if b.Begin(t.Context()); calls != 3 || len(b.replays) != 0 {
		t.Errorf("%d calls, %d recordings after Begin, want 3 and 0", calls, len(b.replays))
	}
	defer func() {
		if recover() == nil {
			t.Error("an allocation inside a replay did not panic")
		}
	}()
	b.Replay("allocating", func() { b.Alloc(1, 1, tensor.F32) })
}

// TestNetworksTakeTurns: on a device that holds one network of three, each use of another network copies it anew.
func TestNetworksTakeTurns(t *testing.T) {
	b, device := openSims(t, ptxsim.Device{TotalBytes: 2<<16 + 4096})
	var ws []backend.Weight
	for i := range 3 {
		b.Network(fmt.Sprint("network ", i))
		ws = append(ws, bf16Weight(t, b, fmt.Sprint("w", i), float32(i+1), 16, 32<<5), bf16Weight(t, b, "more", 9, 16, 32<<5))
	}
	b.Begin(t.Context())
	if err := b.Reserve(backend.Memory{Activations: 1 << 16}); err != nil {
		t.Fatal(err)
	}
	x, y := upload(b, 1, 32<<5, 1.0/(32<<5)), b.Alloc(1, 16, tensor.BF16)
	for _, i := range []int{0, 1, 2, 1, 0, 0} {
		b.Linear(y, x, ws[2*i], backend.Epilogue{})
		wantValues(t, b, y, float32(i+1))
		wantValues(t, b, y, float32(i+1))
	}
	if peak := device().PeakBytes(); peak > 2<<16+4096 {
		t.Errorf("%d bytes held at a time", peak)
	}
	// An operation that needs two networks fails. The error names the weight and the figures.
	b.SwiGLU(y, x, ws[0], ws[2])
	var short *backend.MemoryError
	if err := b.Sync(); !errors.As(err, &short) || !errors.Is(err, cu.ErrOutOfMemory) ||
		!strings.Contains(err.Error(), "swiglu: w") {
		t.Errorf("two networks at a time: %v", err)
	}
	b.Begin(t.Context())
	if err := b.Reserve(backend.Memory{Parts: b.Memory().Parts, Activations: 1 << 17}); !errors.As(err, &short) ||
		short.Need != 1<<16+1<<17 || short.Need <= short.Room {
		t.Errorf("more than there is: %v", err)
	}
}

// TestPartsComeAndGo: a network has five parts, the device has room for three. Two steps in a row find the parts that
// stayed, and no step is recorded whose weights would be missing at its replay. With more room, steps are recorded.
func TestPartsComeAndGo(t *testing.T) {
	for _, row := range []struct {
		room, calls int
	}{{3, 6}, {5, 2}} {
		b, err := New(Options{
			Open: func() (cu.Context, error) {
				return ptxsim.Open(ptxsim.Device{TotalBytes: 1<<16 + int64(row.room)<<15}), nil
			},
			ChunkBytes: chunkBytes, PartBytes: 1 << 15,
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Network("transformer")
		var ws []backend.Weight
		for i := range 5 {
			ws = append(ws, bf16Weight(t, b, fmt.Sprint("w", i), float32(i+1), 16, 1<<10))
		}
		if n := len(b.Memory().Parts); n != 5 {
			t.Fatalf("%d parts, want 5", n)
		}
		b.Begin(t.Context())
		if err := b.Reserve(backend.Memory{Parts: b.Memory().Parts, Activations: 1 << 16}); err != nil {
			t.Fatal(err)
		}
		x, y := upload(b, 1, 1<<10, 1.0/(1<<10)), upload(b, 1, 16, 0)
		calls := 0
		for range 6 {
			b.Replay("step", func() {
				calls++
				for _, w := range ws {
					b.Linear(y, x, w, backend.Epilogue{Add: true})
				}
			})
		}
		wantValues(t, b, y, 6*(1+2+3+4+5))
		if calls != row.calls {
			t.Errorf("room for %d parts: the step was issued %d times, want %d", row.room, calls, row.calls)
		}
		if row.room == 3 && b.drops > 6*4 {
			t.Errorf("%d parts left in six steps, want 4 in a step at most: those that pass through the lanes", b.drops)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNetworksFollow: while a network is used, the networks after it are copied, as far as they fit and leave the
// margin.
func TestNetworksFollow(t *testing.T) {
	for _, row := range []struct {
		margin int64
		want   int
	}{{0, 3}, {1<<15 + 1, 2}, {1 << 20, 1}} {
		device := ptxsim.Open(ptxsim.Device{TotalBytes: 3<<15 + 4096})
		b, err := New(
			Options{Open: func() (cu.Context, error) { return device, nil }, ChunkBytes: chunkBytes, MarginBytes: row.margin},
		)
		if err != nil {
			t.Fatal(err)
		}
		var ws []backend.Weight
		for i := range 3 {
			b.Network(fmt.Sprint("network ", i))
			ws = append(ws, bf16Weight(t, b, fmt.Sprint("w", i), float32(i+1), 16, 1<<10))
		}
		b.Begin(t.Context())
		x, y := upload(b, 1, 1<<10, 1.0/(1<<10)), b.Alloc(1, 16, tensor.BF16)
		b.Linear(y, x, ws[0], backend.Epilogue{})
		wantValues(t, b, y, 1)
		for _, p := range b.parts {
			p.wait()
		}
		here := 0
		for _, n := range b.parts {
			if n.at != 0 {
				here++
			}
		}
		if here != row.want {
			t.Errorf("margin %d: %d networks on the device, want %d", row.margin, here, row.want)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// pinless is a software device that has no page-locked memory for a while.
type pinless struct {
	*ptxsim.Context
	refuse bool
}

func (p *pinless) MemAllocHost(bytes int) ([]byte, error) {
	if p.refuse {
		return nil, errors.New("no page-locked memory")
	}
	return p.Context.MemAllocHost(bytes)
}

// TestUploadFails: the operation that needs the weights fails, nothing stays on the device, and the next run tries
// again.
func TestUploadFails(t *testing.T) {
	device := &pinless{Context: ptxsim.Open(ptxsim.Device{})}
	b := openOn(t, func() (cu.Context, error) { return device, nil })
	b.Network("first")
	w := bf16Weight(t, b, "w", 0.5, 64, 64)
	b.Network("second")
	other := bf16Weight(t, b, "other", 0.25, 64, 64)
	b.Begin(t.Context())
	x, y := upload(b, 8, 64, 1), b.Alloc(8, 64, tensor.BF16)
	device.refuse = true
	before, _, _ := device.MemGetInfo()
	for name, failing := range map[string]backend.Weight{"linear: w: ": w, "linear: other: ": other} {
		b.Linear(y, x, failing, backend.Epilogue{})
		if err := b.Sync(); err == nil || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), "no page-locked memory") {
			t.Errorf("%v, want %q and the reason", err, name)
		}
		b.Begin(t.Context())
	}
	// One of the two was copied together with the other.
	b.Linear(y, x, w, backend.Epilogue{})
	b.Begin(t.Context())
	b.Linear(y, x, other, backend.Epilogue{})
	b.Begin(t.Context())
	if after, _, _ := device.MemGetInfo(); after != before {
		t.Errorf("%d bytes free before failures, %d after", before, after)
	}
	device.refuse = false
	b.Linear(y, x, w, backend.Epilogue{})
	wantValues(t, b, y, 32)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.Begin(t.Context())
	if err := b.Sync(); !errors.Is(err, cu.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// TestFault: the error names the operation and the kernel, and matrices of Keep are lost. The next run uses another
// device; if there is none, the error says so.
func TestFault(t *testing.T) {
	b, _ := openSims(t, ptxsim.Device{Budget: 60}, ptxsim.Device{})
	w := bf16Weight(t, b, "w", 0.5, 64, 64)
	b.Begin(t.Context())
	x, y := upload(b, 8, 64, 1), b.Alloc(8, 64, tensor.BF16)
	kept := b.Keep(8, 64, tensor.BF16)
	b.Linear(y, x, w, backend.Epilogue{})
	err := b.Sync()
	var fault *ptxsim.Fault
	if !errors.As(err, &fault) || !errors.Is(err, backend.ErrLost) || !strings.Contains(err.Error(), "linear") ||
		!strings.HasPrefix(fault.Kernel, "gemm") {
		t.Fatalf("%v, want a fault of gemm in linear", err)
	}
	b.Copy(y, x)
	if again := b.Sync(); again != err {
		t.Errorf("%v, want the first error to stick", again)
	}
	b.Begin(t.Context())
	b.Free(kept, x, y) // of a device that is gone
	x, y = upload(b, 8, 64, 1), b.Alloc(8, 64, tensor.BF16)
	b.Linear(y, x, w, backend.Epilogue{})
	wantValues(t, b, y, 32)

	b.dev.lost = true
	b.Begin(t.Context())
	b.Copy(y, x)
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "no device left") {
		t.Errorf("%v, want that no device is left", err)
	}
	if err := b.Reserve(backend.Memory{}); err == nil {
		t.Error("Reserve without a device: no error")
	}
}

// TestShapesRefused: launchers check shapes, and the error names the operation.
func TestShapesRefused(t *testing.T) {
	b := openTest(t)
	b.Begin(t.Context())
	x := upload(b, 4, 1040, 1)
	b.Attention(x, x, x, x, backend.AttentionParams{Heads: 1, KVHeads: 1, Scale: 1, Keys: 4})
	if err := b.Sync(); err == nil || !strings.HasPrefix(err.Error(), "cuda: attention: ") ||
		!strings.Contains(err.Error(), "512") {
		t.Errorf("a head of 1040 columns: %v", err)
	}
}

// TestUploadInParts: a matrix of the size of many staging buffers is uploaded and downloaded, and uploads into views do
// not change the memory around them.
func TestUploadInParts(t *testing.T) {
	b := openTest(t)
	b.Begin(t.Context())
	const rows, cols = 1000, 600
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		whole := b.Alloc(rows, 2*cols, dtype)
		if int64(rows*cols*dtype.SizeBytes()) > stagingBytes == (dtype == tensor.BF16) {
			t.Fatalf("%d staging bytes: want one format to need one buffer, the other more", stagingBytes)
		}
		values := make([]float32, rows*cols)
		for i := range values {
			values[i] = float32(i % 251)
		}
		for side := range 2 {
			b.Upload(whole.ColRange(side*cols, (side+1)*cols), values)
		}
		for side := range 2 {
			got := make([]float32, rows*cols)
			b.Download(got, whole.ColRange(side*cols, (side+1)*cols))
			if err := b.Sync(); err != nil || !slices.Equal(got, values) {
				t.Errorf("%v, side %d: error %v, or other values", dtype, side, err)
			}
		}
	}
}
