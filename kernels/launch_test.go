package kernels

import (
	"errors"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// absent is a device whose kernels do nothing.
type absent struct{ cu.Context }

func (a absent) LoadModule([]byte, cu.ModuleOptions) (cu.Module, error)        { return absentModule{}, nil }
func (absentFunction) SetMaxDynamicShared(int) error                           { return nil }
func (absentModule) Function(string) (cu.Function, error)                      { return absentFunction{}, nil }
func (absentFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, _ []byte) error { return nil }

func (absent) Device() cu.DeviceInfo { return cu.DeviceInfo{SMs: 4, Major: 8, Minor: 9} }

type (
	absentModule   struct{ cu.Module }
	absentFunction struct{ cu.Function }
)

// imagine returns a matrix whose memory does not exist.
func imagine(rows, cols int, dtype DType) Matrix {
	return Matrix{Data: 1 << 20, Rows: rows, Cols: cols, Stride: cols, DType: dtype}
}

// TestRefusals launches operands that do not fit each other.
func TestRefusals(t *testing.T) {
	q := New(absent{}, nil).On(nil)
	m := func(rows, cols int) Matrix { return imagine(rows, cols, BF16) }
	moved := func(m Matrix, by cu.DevicePtr) Matrix { m.Data += by; return m }
	spaced := func(m Matrix, stride int) Matrix { m.Stride = stride; return m }
	ints := func(rows, cols int) Quantised { return Quantised{Values: imagine(rows, cols, I8), Scales: 16} }
	beside := func(rows, cols, r int) Quantised {
		q := ints(rows, cols)
		q.Beside = m(rows, r)
		return q
	}
	packed := func(f Format, rows, cols int) Packed { return Packed{Format: f, Data: 1 << 20, Rows: rows, Cols: cols} }
	rope := RoPE{Cos: imagine(4, 8, F32), Sin: imagine(4, 8, F32)}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"shapes", q.Copy(m(4, 8), m(4, 9)), "copy: operand BF16 [4 9], want the shape of BF16 [4 8]"},
		{
			"nothing", q.Copy(m(4, 8), Matrix{Rows: 4, Cols: 8, Stride: 8}),
			"copy: BF16 [4 8] with rows 8 values apart at 0x0: want",
		},
		{"overlapping rows", q.Copy(m(4, 8), spaced(m(4, 8), 7)), "want rows that do not overlap"},
		{"odd address", q.AddScaled(m(4, 8), m(4, 8), moved(m(4, 8), 1), 1), "want an address that is a multiple of 2"},
		{"too large", q.Lerp(m(1<<16, 1<<15), m(1<<16, 1<<15), m(1<<16, 1<<15), 1), "want fewer than 2147483648 values"},
		{"affine row", q.Affine(m(4, 8), m(4, 8), m(1, 7), m(1, 8), false), "affine: scale BF16 [1 7], want [1 8]"},
		{"silu mul", q.SiLUMul(m(4, 8), m(4, 8), m(4, 7)), "silu_mul: operand BF16 [4 7], want the shape of BF16 [4 8]"},
		{"transpose rows", q.TransposeRows(m(4, 8), m(4, 8), 3), "want a divisor of the columns"},
		{
			"widen part of a block", q.Widen(m(4, 48), packed(Q4_0, 4, 48)),
			"widen: q4_0 4×48 at 0x100000, want rows of whole blocks",
		},
		{"widen no format", q.Widen(m(4, 32), packed(0, 4, 32)), "widen: format(0) 4×32"},
		{"widen into gaps", q.Widen(spaced(m(4, 32), 40), packed(Q8_0, 4, 32)), "want BF16 of that shape without gaps"},
		{"widen with scales twice", q.Widen(m(4, 32), Packed{
			Format: Q8_0, Data: 1 << 20, Rows: 4, Cols: 32, RowScales: 1 << 20,
		}), "widen: q8_0 with scales beside its blocks"},
		{"widen with narrow blocks", q.Widen(m(4, 32), Packed{
			Format: E4M3, Data: 1 << 20, Rows: 4, Cols: 32,
			Blocks: Blocks{Data: 1 << 20, Height: 1, Width: 4, Stride: 8, Rows: 4},
		}), "want blocks of a multiple of 8 columns"},
		{"rotate groups of 8", q.Rotate(m(4, 32), m(4, 32), 8), "rotate: groups of 8 columns of BF16 [4 32], want 4, 16, 64"},
		{"gemm of I8", q.GEMM(m(4, 8), imagine(4, 16, I8), m(8, 16), Epilogue{}, Auto), "gemm: I8 [4 16], want BF16 or F32"},
		{
			"quantise too narrow", q.Quantise(ints(4, 16), m(4, 17), 0),
			"quantise: BF16 [4 17] into I8 [4 16], want as many rows",
		},
		{"quantise groups of 8", q.Quantise(ints(4, 32), m(4, 32), 8), "quantise: groups of 8 columns of BF16 [4 32]"},
		{"quantise into BF16", q.Quantise(Quantised{Values: m(4, 16), Scales: 16}, m(4, 16), 0), "want I8 whose rows begin"},
		{
			"product of other depths", q.NarrowGEMM(m(4, 8), ints(4, 16), ints(8, 32), Epilogue{}, Auto),
			"int8_gemm: I8 [4 16] by I8 [8 32] into BF16 [4 8], want [m k], [n k] and [m n]",
		},
		{"product without scales", q.NarrowGEMM(
			m(4, 8), ints(4, 16), Quantised{Values: imagine(8, 16, I8)}, Epilogue{}, Auto,
		), "with scales at 0x0"},
		{
			"product that is too deep",
			q.NarrowGEMM(m(1, 1), ints(1, MaxInt8Depth+16), ints(1, MaxInt8Depth+16), Epilogue{}, Auto), "with k up to 131072",
		},
		{
			"product in integers with columns beside it",
			q.NarrowGEMM(m(4, 8), ints(4, 16), ints(8, 16), Epilogue{Beside: m(8, 8)}, Auto),
			"beside the weight, want them in Quantised",
		},
		{
			"columns beside one factor only", q.NarrowGEMM(m(4, 8), ints(4, 16), beside(8, 16, 8), Epilogue{}, Auto),
			"beside the factors, want as many columns",
		},
		{
			"nine columns beside", q.NarrowGEMM(m(4, 8), beside(4, 16, 9), beside(8, 16, 9), Epilogue{}, Auto),
			"int8_gemm: BF16 [4 9] beside I8 [4 16], want BF16 of as many rows",
		},
		{
			"swiglu of two strides",
			q.NarrowSwiGLU(
				m(4, 8), ints(4, 16), ints(8, 16), Quantised{Values: spaced(imagine(8, 16, I8), 32), Scales: 16}, Auto,
			),
			"int8_swiglu: rows of 16 and of 32 bytes",
		},
		{
			"product of fp8 and int8",
			q.NarrowGEMM(m(4, 8), Quantised{Values: imagine(4, 16, F8), Scales: 16}, ints(8, 16), Epilogue{}, Auto),
			"fp8_gemm: I8 [8 16] at 0x100000 with scales at 0x10, want F8",
		},
		{"gemm of F8", q.GEMM(m(4, 8), imagine(4, 16, F8), m(8, 16), Epilogue{}, Auto), "gemm: F8 [4 16], want BF16 or F32"},
		{"patchify", q.Patchify(m(1, 12), m(6, 3), 3, 2), "sides that n divides"},
		{"rms norm", q.RMSNorm(m(4, 8), m(4, 8), m(2, 8), 0), "rms_norm: weight BF16 [2 8], want [1 8]"},
		{"layer norm", q.LayerNorm(m(4, 8), m(4, 8), m(1, 8), m(1, 4), 0), "layer_norm: shift BF16 [1 4], want [1 8]"},
		{
			"rope angles", q.QKNormRoPE(m(4, 32), m(1, 16), RoPE{Cos: rope.Cos, Sin: m(4, 8)}, 0),
			"angles BF16 [4 8], want F32 [4 8]",
		},
		{"rope heads of no columns", q.QKNormRoPE(m(4, 32), m(1, 0), rope, 0), "want an even width that divides the columns"},
		{"rope heads", q.QKNormRoPE(m(4, 30), m(1, 16), rope, 0), "want an even width that divides the columns"},
		{
			"groups", q.GroupNorm(m(4, 8), m(4, 8), GroupNormParams{Groups: 3, Gamma: m(1, 8), Beta: m(1, 8), Work: 16}),
			"want a divisor of the columns",
		},
		{
			"group columns",
			q.GroupNorm(m(4, 4096), m(4, 4096), GroupNormParams{Groups: 32, Gamma: m(1, 4096), Beta: m(1, 4096), Work: 16}),
			"2048 columns at most",
		},
		{
			"group norm's memory",
			q.GroupNorm(m(4, 8), m(4, 8), GroupNormParams{Groups: 2, Gamma: m(1, 8), Beta: m(1, 8), Work: 8}),
			"want a multiple of 16",
		},
		{
			"gemm", q.GEMM(m(4, 8), m(4, 16), m(8, 24), Epilogue{}, Auto),
			"gemm: BF16 [4 16] by BF16 [8 24] into BF16 [4 8], want [m k], [n k] and [m n]",
		},
		{"gemm of F32", q.GEMM(m(4, 8), imagine(4, 16, F32), m(8, 16), Epilogue{}, Auto), "gemm: F32 [4 16], want BF16"},
		{"bias", q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{Bias: m(1, 4)}, Auto), "gemm: bias BF16 [1 4], want [1 8]"},
		{"gate alone", q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{Gate: m(1, 8)}, Auto), "want Add"},
		{
			"silu and a bias", q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{SiLU: true, Bias: m(1, 8)}, Auto),
			"silu: SiLU or QKNormRoPE with another field",
		},
		{"heads of too many columns", q.GEMM(
			m(4, 32), m(4, 16), m(32, 16), Epilogue{QKNormRoPE: QKNormRoPE{Cols: 48, Weight: m(1, 16), RoPE: rope}}, Auto,
		), "gemm: 48 columns of heads, want 0 to 32"},
		{"half a head", q.GEMM(
			m(4, 32), m(4, 16), m(32, 16), Epilogue{QKNormRoPE: QKNormRoPE{Cols: 24, Weight: m(1, 16), RoPE: rope}}, Auto,
		), "want an even width that divides"},
		{"variant", q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{}, 99), "gemm: variant 99, want 0 to"},
		{
			"swiglu", q.SwiGLU(m(4, 8), m(4, 16), m(8, 16), spaced(m(8, 16), 24), Auto),
			"want [m k], twice [n k] of one stride",
		},
		{
			"heads",
			q.Attention(m(4, 96), m(4, 96), m(4, 64), m(4, 64), AttentionParams{Heads: 3, KVHeads: 2, Keys: 4}, Auto),
			"want divisors of each other",
		},
		{
			"wide heads",
			q.Attention(m(4, 520), m(4, 520), m(4, 520), m(4, 520), AttentionParams{Heads: 1, KVHeads: 1, Keys: 4}, Auto),
			"512 columns at most",
		},
		{
			"no keys", q.Attention(m(4, 64), m(4, 64), m(4, 64), m(4, 64), AttentionParams{Heads: 1, KVHeads: 1}, Auto),
			"attention: 0 keys of BF16 [4 64], want 1 to 4",
		},
		{
			"attention's variant",
			q.Attention(m(4, 64), m(4, 64), m(4, 64), m(4, 64), AttentionParams{Heads: 1, KVHeads: 1, Keys: 1}, 2),
			"variant 2, want 0 to 1",
		},
		{
			"kernel", q.Conv(m(4, 8), m(4, 8), m(8, 200), Matrix{}, ConvParams{Height: 2, Width: 2, Kernel: 5}, false, Auto),
			"want 1 or 3",
		},
		{"picture", q.Conv(
			m(4, 8), m(4, 8), m(8, 72), Matrix{}, ConvParams{Height: 2, Width: 2, Kernel: 3, Upsample: true}, false, Auto,
		), "[16 out]"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want … %s …", c.name, c.err, c.want)
		}
	}
}

// TestLaunchesDoNotAllocate also finds out whether something is refused by mistake.
func TestLaunchesDoNotAllocate(t *testing.T) {
	q := New(absent{}, nil).On(nil)
	m := func(rows, cols int) Matrix { return imagine(rows, cols, BF16) }
	rope := RoPE{Cos: imagine(4, 8, F32), Sin: imagine(4, 8, F32)}
	for name, launch := range map[string]func() error{
		"copy":   func() error { return q.Copy(m(4, 8), m(4, 8)) },
		"affine": func() error { return q.Affine(m(4, 8), m(4, 8), m(1, 8), m(1, 8), true) },
		"norm":   func() error { return q.LayerNorm(m(4, 8), m(4, 8), m(1, 8), m(1, 8), 1e-6) },
		"rope":   func() error { return q.QKNormRoPE(m(4, 32), m(1, 16), rope, 1e-6) },
		"group": func() error {
			return q.GroupNorm(
				m(4, 8), m(4, 8), GroupNormParams{Groups: 2, Gamma: m(1, 8), Beta: m(1, 8), Eps: 1e-6, SiLU: true, Work: 16},
			)
		},
		"normalised conv": func() error {
			n := GroupNormParams{Groups: 2, Gamma: m(1, 8), Beta: m(1, 8), Eps: 1e-6, SiLU: true, Work: 16}
			return q.ConvNorm(
				m(4, 8), m(4, 8), m(8, 72), m(1, 8), ConvParams{Height: 2, Width: 2, Kernel: 3}, true, n, m(4, 8), Auto,
			)
		},
		"heads": func() error {
			return q.GEMM(m(4, 128), m(4, 16), m(128, 16), Epilogue{QKNormRoPE: QKNormRoPE{
				Cols: 128, Weight: m(1, 128), RoPE: RoPE{Cos: imagine(4, 64, F32), Sin: imagine(4, 64, F32)},
			}}, Auto)
		},
		"gemm": func() error {
			return q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{Bias: m(1, 8), Add: true, Gate: m(1, 8)}, Auto)
		},
		"swiglu": func() error { return q.SwiGLU(m(4, 8), m(4, 16), m(8, 16), m(8, 16), Auto) },
		"quantise": func() error {
			return q.Quantise(Quantised{Values: imagine(4, 16, I8), Scales: 16}, m(4, 16), 16)
		},
		"int8": func() error {
			a, b := Quantised{Values: imagine(4, 16, I8), Scales: 16}, Quantised{Values: imagine(8, 16, I8), Scales: 16}
			return errors.Join(
				q.NarrowGEMM(m(4, 8), a, b, Epilogue{Bias: m(1, 8)}, Auto), q.NarrowSwiGLU(m(4, 8), a, b, b, Auto),
			)
		},
		"fp8": func() error {
			a, b := Quantised{Values: imagine(4, 16, F8), Scales: 16}, Quantised{Values: imagine(8, 16, F8), Scales: 16}
			return errors.Join(
				q.Quantise(a, m(4, 16), 0), q.NarrowGEMM(m(4, 8), a, b, Epilogue{Bias: m(1, 8)}, Auto),
				q.NarrowSwiGLU(m(4, 8), a, b, b, Auto),
			)
		},
		"attention": func() error {
			return q.Attention(m(4, 64), m(4, 64), m(4, 64), m(4, 64), AttentionParams{Heads: 1, KVHeads: 1, Keys: 4}, Auto)
		},
		"conv": func() error {
			return q.Conv(m(4, 8), m(4, 8), m(8, 72), m(1, 8), ConvParams{Height: 2, Width: 2, Kernel: 3}, true, Auto)
		},
		"no rows": func() error { return q.GEMM(m(0, 8), m(0, 16), m(8, 16), Epilogue{}, Auto) },
	} {
		if err := launch(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(100, func() { launch() }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestDescriptorsAreRemembered: launches for sm_90a make each descriptor once and then allocate nothing. The number of
// remembered descriptors is bounded.
func TestDescriptorsAreRemembered(t *testing.T) {
	q := New(nameOfLast{ptxsim.Open(ptxsim.Device{Major: 9})}, nil).Only(SM90a).On(nil)
	m := func(rows, cols int) Matrix { return imagine(rows, cols, BF16) }
	conv := ConvParams{Height: 2, Width: 2, Kernel: 3}
	ints := func(rows, cols int) Quantised { return Quantised{Values: imagine(rows, cols, I8), Scales: 16} }
	for want, launch := range map[string]func() error{
		"int8_gemm":   func() error { return q.NarrowGEMM(m(4, 8), ints(4, 16), ints(8, 16), Epilogue{}, Auto) },
		"int8_swiglu": func() error { return q.NarrowSwiGLU(m(4, 8), ints(4, 16), ints(8, 16), ints(8, 16), Auto) },
		"gemm":        func() error { return q.GEMM(m(4, 8), m(4, 16), m(8, 16), Epilogue{}, Auto) },
		"swiglu":      func() error { return q.SwiGLU(m(4, 8), m(4, 16), m(8, 16), m(8, 16), Auto) },
		"conv":        func() error { return q.Conv(m(4, 8), m(4, 8), m(8, 72), m(1, 8), conv, true, Auto) },
		"attention": func() error {
			return q.Attention(m(4, 128), m(4, 128), m(4, 128), m(4, 128), AttentionParams{Heads: 1, KVHeads: 1, Keys: 4}, Auto)
		},
	} {
		if err := launch(); err != nil || !strings.HasPrefix(lastLaunched, want+"_wgmma") {
			t.Errorf("%s: launched %s, %v", want, lastLaunched, err)
		}
		if n := testing.AllocsPerRun(100, func() { launch() }); n > 0 {
			t.Errorf("%s: %v allocations", want, n)
		}
	}
	for rows := range maxTensors + 10 {
		if err := q.GEMM(m(rows+1, 8), m(rows+1, 16), m(8, 16), Epilogue{}, 7); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(q.maps); n == 0 || n > maxTensors {
		t.Errorf("%d descriptors, want %d at most", n, maxTensors)
	}
}

// TestChoice checks which kernel Auto takes, for shapes where the answer is clear.
func TestChoice(t *testing.T) {
	heads := Shape{Operation: attention, Heads: 24}
	for _, c := range []struct {
		shape      Shape
		have       alignment
		best       Target
		rows, cols int
		want       string
	}{
		{Shape{Operation: gemm}, strict, SM80, 4608, 9216, "gemm_128x256"},
		{Shape{Operation: gemm}, strict, SM80, 1, 18432, "gemm_64x64"},
		{Shape{Operation: gemm}, loose, SM90a, 4096, 128, "gemm_loose"},
		{Shape{Operation: gemm}, unaligned, SM90a, 4096, 4096, "gemm_any"},
		{Shape{Operation: swiglu}, strict, SM80, 4608, 9216, "swiglu_128x256"},
		{Shape{Operation: int8GEMM}, strict, SM80, 4608, 9216, "int8_gemm_128x256"},
		{Shape{Operation: int8GEMM}, strict, SM90a, 4608, 9216, "int8_gemm_wgmma_128x256"},
		{Shape{Operation: int8GEMM, Beside: 32}, strict, SM90a, 4608, 9216, "int8_gemm_128x256"},
		{Shape{Operation: fp8GEMM}, strict, SM89, 4608, 9216, "fp8_gemm_128x128"},
		{Shape{Operation: int8GEMM}, loose, SM80, 4608, 9216, "int8_gemm_loose"},
		{Shape{Operation: conv}, strict, SM80, 1 << 20, 128, "conv_256x128"},
		{Shape{Operation: gemm}, strict, SM90a, 4096, 4096, "gemm_wgmma_128x256"},
		{Shape{Operation: gemm}, strict, SM90a, 4608, 3072, "gemm_wgmma_192x192"}, // three rounds, where 128×256 needs four
		{Shape{Operation: gemm}, strict, SM90a, 1, 18432, "gemm_wgmma_64x128"},
		{heads, strict, SM80, 4608, 3072, "attention_128x128"},
		{heads, strict, SM90a, 4608, 3072, "attention_wgmma_128"},
		{heads, unaligned, SM90a, 4608, 3072, "attention_128_any"},
		{Shape{Operation: conv}, strict, SM90a, 1 << 20, 128, "conv_wgmma_256x128"},
		{Shape{Operation: conv}, loose, SM90a, 1 << 20, 3, "conv_128x32"},
		{Shape{Operation: conv, Conv: ConvParams{Downsample: true}}, strict, SM90a, 1 << 20, 128, "conv_256x128"},
	} {
		c.shape.Rows, c.shape.Cols = c.rows, c.cols
		tiles := Find(c.shape.Operation).tilesFor(c.shape)
		got, err := choose(tiles, Auto, c.have, targetOf(tiles, c.have, c.best), c.shape, 132)
		if err != nil || got.name != c.want {
			t.Errorf("%v: %+v, %v, want %s", c.shape, got, err, c.want)
		}
	}
}

// TestNoKernels: operations whose family has no kernels for the device say so, and others are not disturbed.
func TestNoKernels(t *testing.T) {
	for _, d := range []ptxsim.Device{{}, {Major: 8, Minor: 6}, {Major: 9}} {
		q := New(ptxsim.Open(d), nil).On(nil)
		x := Quantised{Values: imagine(4, 16, F8), Scales: 16}
		w := Quantised{Values: imagine(8, 16, F8), Scales: 16}
		err := q.NarrowGEMM(imagine(4, 8, BF16), x, w, Epilogue{}, Auto)
		if !errors.Is(err, ErrNoKernels) || !strings.Contains(err.Error(), "kernels: fp8: sm_") {
			t.Errorf("sm_%d%d: %v, want no kernels", d.Major, d.Minor, err)
		}
	}
}

// nameOfLast is a device that only remembers the name of the kernel launched last.
type nameOfLast struct{ cu.Context }

type namedModule struct{ cu.Module }

type namedFunction struct {
	cu.Function
	name string
}

var lastLaunched string

func (nameOfLast) LoadModule([]byte, cu.ModuleOptions) (cu.Module, error) { return namedModule{}, nil }
func (namedModule) Function(name string) (cu.Function, error)             { return namedFunction{name: name}, nil }
func (namedFunction) SetMaxDynamicShared(int) error                       { return nil }
func (f namedFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, _ []byte) error {
	lastLaunched = f.name
	return nil
}
