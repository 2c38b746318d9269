package kernels

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/purego"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// harness runs the shipped PTX on a device. By default that is the software device, which reports reads of memory that
// nobody wrote, accesses outside of allocations, and races. Results are compared with float64 loops.
type harness struct {
	*testing.T
	ctx    cu.Context
	stream cu.Stream
	*Queue
	rng *rand.Rand
}

// deviceName chooses what runs the kernels: go test ./kernels -device cuda takes the first GPU.
var deviceName = flag.String("device", "sim", "sim or cuda")

// All tests share the devices, so that families are compiled once. hopper is a device with kernels for sm_90a, ada one
// with kernels for sm_89.
var (
	device = sync.OnceValues(func() (*Set, error) {
		switch *deviceName {
		case "sim":
			return New(recorder{ptxsim.Open(ptxsim.Device{})}, nil), nil
		case "cuda":
			ctx, err := purego.Driver.MakeContext(0)
			return New(recorder{ctx}, nil), err
		}
		return nil, fmt.Errorf("device %q, want sim or cuda", *deviceName)
	})
	hopper = sync.OnceValues(func() (*Set, error) { return New(recorder{ptxsim.Open(ptxsim.Device{Major: 9})}, nil), nil })
	ada    = sync.OnceValues(func() (*Set, error) {
		return New(recorder{ptxsim.Open(ptxsim.Device{Major: 8, Minor: 9})}, nil), nil
	})
)

// onEachDevice runs a test on the devices whose kernels differ: on both software devices, or on the GPU, and there with
// the kernels for sm_80 too.
func onEachDevice(t *testing.T, test func(h *harness)) {
	t.Run(*deviceName, func(t *testing.T) { test(newHarness(t)) })
	if *deviceName == "sim" {
		t.Run("sim sm_90a", func(t *testing.T) { test(harnessOn(t, hopper)) })
		return
	}
	t.Run(*deviceName+" sm_80", func(t *testing.T) {
		test(harnessOn(t, func() (*Set, error) {
			set, err := device()
			if err != nil {
				return nil, err
			}
			return set.Only(SM80), nil
		}))
	})
}

// onAda runs a test of kernels for sm_89: on the software device, or on the GPU if that has them.
func onAda(t *testing.T, test func(h *harness)) {
	t.Helper()
	h := harnessOn(t, ada)
	if *deviceName != "sim" {
		if h = newHarness(t); !SM89.RunsOn(h.ctx.Device()) {
			t.Skipf("%s has no kernels for sm_89", h.ctx.Device().Name)
		}
	}
	test(h)
}

// tries says whether a test shall launch a variant. If the device does not take it for these operands, a launch would
// run another variant instead, which the test launches anyway.
func (h *harness) tries(s Shape, v int, have alignment) bool {
	h.Helper()
	o := Find(s.Operation)
	target, err := h.set.targetFor(o, have, s)
	h.must(err)
	return o.tilesFor(s)[v].fits(have, target)
}

// recorder records which kernels tests launch whose results they compare with float64 loops.
type recorder struct{ cu.Context }

type recordedModule struct{ cu.Module }

type recordedFunction struct{ cu.Function }

// launched holds the names of those kernels. uncounted is set while a test launches kernels without comparing their
// results.
var (
	launched  = map[string]bool{}
	uncounted bool
)

func (r recorder) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	m, err := r.Context.LoadModule(text, o)
	return recordedModule{m}, err
}

func (m recordedModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	return recordedFunction{f}, err
}

func (f recordedFunction) Launch(grid, block cu.Dim3, shared int, s cu.Stream, params []byte) error {
	if !uncounted {
		launched[f.Name()] = true
	}
	return f.Function.Launch(grid, block, shared, s, params)
}

// TestMain fails if all tests together leave a kernel out.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.bench").Value.String() == "" {
		for _, k := range compiled {
			if !launched[k.name] && *deviceName == "sim" {
				fmt.Printf("no test compares what %s computes: want one that does, in %v_test.go\n", k.name, k.family)
				code = 1
			}
		}
	}
	os.Exit(code)
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	return harnessOn(t, device)
}

func harnessOn(t *testing.T, device func() (*Set, error)) *harness {
	t.Helper()
	set, err := device()
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{T: t, ctx: set.ctx, rng: rand.New(rand.NewPCG(1, 2))}
	if h.stream, err = h.ctx.MakeStream(); err != nil {
		t.Fatal(err)
	}
	h.Queue = set.On(h.stream)
	t.Cleanup(func() {
		if !t.Failed() {
			h.must(h.stream.Destroy())
		}
	})
	return h
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// table is a matrix of exact values.
type table [][]float64

// each builds a table by calling f with the indices of every value.
func each(rows, cols int, f func(i, j int) float64) table {
	out := make(table, rows)
	for i := range out {
		out[i] = make([]float64, cols)
		for j := range out[i] {
			out[i][j] = f(i, j)
		}
	}
	return out
}

// random is a table of normal values as BF16 holds them, which F32 holds too.
func (h *harness) random(rows, cols int) table {
	return each(rows, cols, func(int, int) float64 { return widen(round(h.rng.NormFloat64())) })
}

// around is random with a mean.
func (h *harness) around(mean float64, rows, cols int) table {
	return each(rows, cols, func(int, int) float64 { return widen(round(mean + h.rng.NormFloat64())) })
}

// round returns the BF16 nearest to v, and the even one of two equally near.
func round(v float64) uint16 {
	b := math.Float32bits(float32(v))
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func widen(v uint16) float64 { return float64(math.Float32frombits(uint32(v) << 16)) }

// layout places a test's matrix in an allocation: a row's stride is its columns and pad, and the first row begins at
// value offset.
type layout struct {
	dtype       DType
	pad, offset int
}

// Layouts that the fast kernels take, and that they do not.
var (
	whole  = layout{BF16, 8, 8}
	ragged = layout{BF16, 3, 1}
	wide   = layout{F32, 4, 4}
)

// alignment is that of matrices with the layout whose widths are multiples of 8.
func (l layout) alignment() alignment {
	if l.pad%8 != 0 || l.offset%8 != 0 {
		return unaligned
	}
	return strict
}

// upload writes values into a new matrix. The memory between and around its rows stays undefined.
func (h *harness) upload(values table, l layout) Matrix {
	h.Helper()
	m := h.alloc(len(values), len(values[0]), l)
	if l.pad == 0 {
		h.must(h.stream.MemcpyHtoDAsync(m.Data, encode(slices.Concat(values...), l.dtype)))
		return m
	}
	size := l.dtype.SizeBytes()
	for i, row := range values {
		h.must(h.stream.MemcpyHtoDAsync(m.Data+cu.DevicePtr(i*m.Stride*size), encode(row, l.dtype)))
	}
	return m
}

func encode(row []float64, dtype DType) []byte {
	var b []byte
	for _, v := range row {
		if dtype == F32 {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		} else {
			b = binary.LittleEndian.AppendUint16(b, round(v))
		}
	}
	return b
}

func (h *harness) alloc(rows, cols int, l layout) Matrix {
	h.Helper()
	m := Matrix{Rows: rows, Cols: cols, Stride: cols + l.pad, DType: l.dtype}
	size := l.dtype.SizeBytes()
	m.Data = h.memory((l.offset+(rows-1)*m.Stride+cols)*size) + cu.DevicePtr(l.offset*size)
	return m
}

// memory allocates bytes until the test ends.
func (h *harness) memory(bytes int) cu.DevicePtr {
	h.Helper()
	p, err := h.ctx.MemAlloc(int64(bytes))
	h.must(err)
	h.Cleanup(func() {
		if !h.Failed() { // after a failure the context may be lost
			h.must(h.ctx.MemFree(p))
		}
	})
	return p
}

// row uploads a vector.
func (h *harness) row(values []float64, dtype DType) Matrix {
	return h.upload(table{values}, layout{dtype: dtype})
}

// fence is the value that destinations are filled with. The memory around them must keep it.
const fence = 7

// fenced allocates a matrix full of fences, the memory around its rows included.
func (h *harness) fenced(rows, cols int, l layout) Matrix {
	h.Helper()
	m := h.alloc(rows, cols, l)
	first := m.Data - cu.DevicePtr(l.offset*l.dtype.SizeBytes())
	all := slices.Repeat([]float64{fence}, l.offset+(rows-1)*m.Stride+cols)
	h.must(h.stream.MemcpyHtoDAsync(first, encode(all, l.dtype)))
	return m
}

// bytes reads m and the gaps between its rows.
func (h *harness) bytes(m Matrix) []byte {
	h.Helper()
	b := make([]byte, ((m.Rows-1)*m.Stride+m.Cols)*m.DType.SizeBytes())
	h.must(h.stream.MemcpyDtoHAsync(b, m.Data))
	h.must(h.stream.Synchronize())
	return b
}

// toleranceOf is the relative RMS error allowed. Rounding once to BF16 is off by 2⁻⁸ at most and by 1.6e-3 on the
// average of many; rounding twice gives 2.3e-3. F32 arithmetic with approximate exponentials and roots is off by 2⁻²⁰
// at most.
func toleranceOf(m Matrix) float64 {
	switch {
	case m.DType == F32:
		return 1e-6
	case m.Rows*m.Cols < 64:
		return 1.0 / 256
	}
	return 2e-3
}

// check compares m with want. If fenced is set, because h.fenced made m, it compares the gaps between rows with fences.
func (h *harness) check(name string, m Matrix, want table, fenced bool) {
	h.Helper()
	h.checkWithin(name, m, want, fenced, toleranceOf(m))
}

func (h *harness) checkWithin(name string, m Matrix, want table, fenced bool, tolerance float64) {
	h.Helper()
	if err := compare(m, h.values(m, fenced), want, fenced, tolerance); err != nil {
		h.Errorf("%s: %v", name, err)
	}
}

// values reads m. If fenced is set, it reads the gaps between the rows too; otherwise it returns fences for them.
func (h *harness) values(m Matrix, fenced bool) []float64 {
	h.Helper()
	size := m.DType.SizeBytes()
	out := slices.Repeat([]float64{fence}, (m.Rows-1)*m.Stride+m.Cols)
	if fenced {
		decode(out, h.bytes(m), m.DType)
		return out
	}
	for i := range m.Rows {
		b := make([]byte, m.Cols*size)
		h.must(h.stream.MemcpyDtoHAsync(b, m.Data+cu.DevicePtr(i*m.Stride*size)))
		h.must(h.stream.Synchronize())
		decode(out[i*m.Stride:], b, m.DType)
	}
	return out
}

func decode(out []float64, b []byte, dtype DType) {
	for i := range len(b) / dtype.SizeBytes() {
		if dtype == F32 {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		} else {
			out[i] = widen(binary.LittleEndian.Uint16(b[2*i:]))
		}
	}
}

func compare(m Matrix, have []float64, want table, fenced bool, tolerance float64) error {
	var diff, norm, worst float64
	at := [2]int{}
	for i := range m.Rows {
		for j := range min(m.Stride, len(have)-i*m.Stride) {
			v := have[i*m.Stride+j]
			if j >= m.Cols {
				if v != fence {
					return fmt.Errorf("wrote %v behind row %d, at column %d of %d", v, i, j, m.Cols)
				}
				continue
			}
			d := v - want[i][j]
			if math.IsNaN(d) {
				return fmt.Errorf("row %d, column %d: %v, want %v", i, j, v, want[i][j])
			}
			if math.Abs(d) > worst {
				worst, at = math.Abs(d), [2]int{i, j}
			}
			diff += d * d
			norm += want[i][j] * want[i][j]
		}
	}
	if diff > tolerance*tolerance*norm {
		return fmt.Errorf("relative RMS %.3g, want at most %.3g; worst at row %d, column %d: off by %.3g from %.6g",
			math.Sqrt(diff/norm), tolerance, at[0], at[1], worst, want[at[0]][at[1]])
	}
	return nil
}

func siluOf(x float64) float64 { return x / (1 + math.Exp(-x)) }

// product is a·bᵀ.
func product(a, b table) table {
	return each(len(a), len(b), func(i, j int) float64 {
		sum := 0.0
		for k, v := range a[i] {
			sum += v * b[j][k]
		}
		return sum
	})
}

// TestManifest fails if a source has changed since the PTX was compiled, or if the PTX was changed otherwise.
func TestManifest(t *testing.T) {
	manifest, err := os.ReadFile("ptx/MANIFEST")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(manifest)) {
		hash, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("ptx/MANIFEST: line %q", line)
		}
		listed[name] = hash
	}
	var files []string
	for _, pattern := range []string{"src/*", "ptx/*.ptx", "table.go", "params.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		name = filepath.ToSlash(name)
		if listed[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not what ptx/MANIFEST lists: run make kernels", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("ptx/MANIFEST lists %s, which is not there: run make kernels", name)
	}
}
