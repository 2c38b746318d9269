package cuda

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/tensor/tensortest"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// widened returns t as the host rounds it to bfloat16.
func widened(t tensor.Tensor) tensor.Tensor {
	values := t.Float32s()
	wide := tensor.Tensor{Name: t.Name, DType: tensor.BF16, Shape: t.Shape, Scale: 1, Data: make([]byte, 2*len(values))}
	encode(wide.Data, values, tensor.BF16)
	return wide
}

// TestPackedWeights multiplies by a weight of each quantised format, once in its own bytes and once as the host widens
// it: the bits of the products are the same. On the device it takes the bytes that it has in the file, and its scales.
func TestPackedWeights(t *testing.T) {
	b := openTest(t)
	b.Begin(t.Context())
	rng := rand.New(rand.NewPCG(5, 6))
	for _, w := range tensortest.Quantised(rng) {
		if w.Quant != nil && w.Quant.Rotation > 0 {
			continue // a product rotates its other factor: backendtest compares the results
		}
		n, k := w.Shape[0], w.Shape[1]
		x, got, want := put(b, 5, k, values(rng, 5*k, 1)), b.Alloc(5, n, tensor.F32), b.Alloc(5, n, tensor.F32)
		own, err := b.Weight(w)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := b.Weight(widened(w))
		if err != nil {
			t.Fatal(err)
		}
		b.Linear(got, x, own, backend.Epilogue{})
		b.Linear(want, x, wide, backend.Epilogue{})
		have, expected := make([]float32, 5*n), make([]float32, 5*n)
		b.Download(have, got)
		b.Download(expected, want)
		if err := b.Sync(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(have, expected) {
			t.Errorf("%s: %v, want %v", w.Name, have, expected)
		}
		stored := own.(*weight).stored
		if s := stored.bytes(); stored.packed == nil || s < int64(len(w.Data)) || w.Quant == nil && s != int64(len(w.Data)) {
			t.Errorf("%s: %d bytes on the device, want its own %d", w.Name, s, len(w.Data))
		}
		b.Free(x, got, want)
	}
}

// TestPackedWrites writes pieces of every place of weights with scales of all kinds, and compares them with the whole.
func TestPackedWrites(t *testing.T) {
	for _, w := range tensortest.Quantised(rand.New(rand.NewPCG(7, 8))) {
		p := pack(w)
		if p == nil {
			t.Fatalf("%s: not packed", w.Name)
		}
		whole := make([]byte, p.bytes)
		p.write(whole, 0)
		if !bytes.HasPrefix(whole, w.Data) {
			t.Errorf("%s: does not begin with the file's bytes", w.Name)
		}
		if q := w.Quant; q != nil && q.Rows != nil {
			at := int(p.RowScales) + 4
			if got := binary.LittleEndian.Uint32(whole[at:]); got != binary.LittleEndian.Uint32(floatBytes(q.Rows)[4:]) {
				t.Errorf("%s: scale of row 1 is %#x", w.Name, got)
			}
		}
		for from := 0; from < len(whole); from += 37 {
			piece := make([]byte, min(101, len(whole)-from))
			p.write(piece, int64(from))
			if !bytes.Equal(piece, whole[from:from+len(piece)]) {
				t.Fatalf("%s: bytes [%d, %d) differ from those of the whole", w.Name, from, from+len(piece))
			}
		}
	}
}

// TestPartsOfFusedScales packs rows of a matrix whose scales cover more rows: only those of the rows go to the device.
func TestPartsOfFusedScales(t *testing.T) {
	for _, row := range []struct {
		name               string
		first, rows, total int
		bytes, from        int
	}{
		{"one tile of three", 128, 100, 384, 128 * 8, 128 * 8},
		{"across two tiles", 120, 100, 384, 256 * 8, 0},
		{"around the end", 380, 100, 384, 384 * 8, 0},
	} {
		all := make([]byte, row.total*8)
		for i := range all {
			all[i] = byte(i / 1024)
		}
		b := &tensor.BlockScales{
			DType: tensor.F8E8M0, Data: all, Height: 1, Width: 32, Stride: 8, Swizzled: true, First: row.first, Rows: row.total,
		}
		blocks, data, ok := blocksOf(b, row.rows)
		if !ok || len(data) != row.bytes || !bytes.Equal(data, all[row.from:row.from+row.bytes]) ||
			row.from/8+blocks.First != row.first || row.from/8+blocks.Rows != row.total {
			t.Errorf("%s: %+v with %d bytes, ok %v, want %d from %d on", row.name, blocks, len(data), ok, row.bytes, row.from)
		}
	}
}

// q8Weight returns a weight [16, cols] in Q8_0 whose values are all the same.
func q8Weight(t *testing.T, b *Backend, name string, value int8, cols int) backend.Weight {
	t.Helper()
	block := append([]byte{0, 0x3c}, slices.Repeat([]byte{byte(value)}, 32)...) // scale 1
	w, err := b.Weight(tensor.Tensor{
		Name: name, DType: tensor.Q8_0, Shape: []int{16, cols}, Scale: 1, Data: slices.Repeat(block, 16*cols/32),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestPackedWeightsInReplays records and plays operations that widen weights into working memory. If that memory is
// taken when the recording is to be played, the operations are issued again.
func TestPackedWeightsInReplays(t *testing.T) {
	b := openTest(t)
	const cols = 64
	w := q8Weight(t, b, "w", 2, cols)
	plan := b.Rehearsal()
	planned, err := plan.Weight(w.(*weight).Tensor)
	if err != nil {
		t.Fatal(err)
	}
	var calls int
	step := func(b backend.Backend, w backend.Weight, y, x backend.Matrix) func() {
		return func() {
			calls++
			b.Linear(y, x, w, backend.Epilogue{Add: true})
		}
	}
	run := func(b backend.Backend, w backend.Weight) (x, y backend.Matrix) {
		b.Begin(t.Context())
		if b, ok := b.(*Backend); ok && !b.rehearsal {
			if err := b.Reserve(plan.Memory()); err != nil {
				t.Fatal(err)
			}
		}
		x, y = b.Alloc(8, cols, tensor.BF16), b.Alloc(8, 16, tensor.BF16)
		b.Upload(x, slices.Repeat([]float32{1.0 / cols}, 8*cols))
		b.Upload(y, make([]float32, 8*16))
		for range 4 {
			b.Replay("step", step(b, w, y, x))
		}
		return x, y
	}
	run(plan, planned)
	if got, want := plan.Memory().Activations, aligned(8*cols*2)+aligned(8*16*2)+aligned(16*cols*2); got != want {
		t.Errorf("%d bytes of activations planned, want %d: with the widened weight", got, want)
	}
	calls = 0
	x, y := run(b, w)
	wantValues(t, b, y, 4*2)
	if calls != 2 {
		t.Errorf("%d calls in four replays, want 2", calls)
	}
	other := upload(b, 16, cols, 7) // where the weight was widened
	b.Replay("step", step(b, w, y, x))
	wantValues(t, b, y, 5*2)
	wantValues(t, b, other, 7)
	b.Replay("step", step(b, w, y, x))
	b.Free(other)
	for range 3 {
		b.Replay("step", step(b, w, y, x))
	}
	wantValues(t, b, y, 9*2)
	wantValues(t, b, x, 1.0/cols)
	if calls != 6 { // two while the memory was taken, then one that is not recorded and one that is
		t.Errorf("%d calls in nine replays, want 6", calls)
	}
}

// TestPackedPartsInLanes: parts of packed weights pass through lanes of their own, small size.
func TestPackedPartsInLanes(t *testing.T) {
	const parts, cols = 6, 512
	const bytes = 16 * cols / 32 * 34
	const arena = 1<<15 + 2*16*cols
	device := ptxsim.Open(ptxsim.Device{TotalBytes: arena + 4*bytes})
	b, err := New(Options{
		Open: func() (cu.Context, error) { return device, nil }, ChunkBytes: chunkBytes, PartBytes: bytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Network("transformer")
	var ws []backend.Weight
	for i := range parts {
		ws = append(ws, q8Weight(t, b, fmt.Sprint("w", i), int8(i+1), cols))
	}
	m := b.Memory()
	m.Activations = arena
	if len(m.Parts) != parts || m.Parts[0].Bytes != bytes {
		t.Fatalf("%+v, want %d parts of %d bytes", m.Parts, parts, bytes)
	}
	b.Begin(t.Context())
	if err := b.Reserve(m); err != nil {
		t.Fatal(err)
	}
	x, y := upload(b, 1, cols, 1.0/cols), upload(b, 1, 16, 0)
	for range 3 {
		for _, w := range ws {
			b.Linear(y, x, w, backend.Epilogue{Add: true})
		}
	}
	wantValues(t, b, y, 3*parts*(parts+1)/2)
	if peak := device.PeakBytes(); peak > arena+4*bytes || b.drops == 0 {
		t.Errorf("%d bytes held at a time, %d parts left, want at most %d and some", peak, b.drops, arena+4*bytes)
	}
}
