package tune

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// picky is a software device that returns err for modules of sm_90a, if not nil, or does not run one of their kernels.
type picky struct {
	cu.Context
	err    error
	broken string
	loaded *[]string
}

type pickyModule struct {
	cu.Module
	broken string
}

// brokenFunction does nothing.
type brokenFunction struct{ cu.Function }

func (p picky) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	*p.loaded = append(*p.loaded, o.Name)
	if strings.Contains(o.Name, "sm_90a") && p.err != nil {
		return nil, p.err
	}
	m, err := p.Context.LoadModule(text, o)
	return pickyModule{m, p.broken}, err
}

func (m pickyModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	if name == m.broken {
		f = brokenFunction{f}
	}
	return f, err
}

func (brokenFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, _ []byte) error { return nil }

// TestTargets checks which target each GPU uses, and that it falls back to sm_80 if the driver refuses the PTX or a
// kernel computes nonsense.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name         string
		major, minor int
		err          error
		broken       string
		operation    *kernels.Operation
		want         string
	}{
		{"A100", 8, 0, nil, "", kernels.OpAttention, "sm_80"},
		{"H200", 9, 0, nil, "", kernels.OpGEMM, "sm_90a"},
		{"H200", 9, 0, nil, "", kernels.OpAttention, "sm_90a"},
		{"H200", 9, 0, nil, "", kernels.OpConv, "sm_90a"},
		{"H200, a family without its own", 9, 0, nil, "", kernels.OpLayerNorm, "sm_80"},
		{"B200", 10, 0, nil, "", kernels.OpAttention, "sm_80"},
		{"RTX 5090", 12, 0, nil, "", kernels.OpAttention, "sm_80"},
		{"PTX not accepted", 9, 0, &cu.JITError{Module: "m", Err: errors.New("no")}, "", kernels.OpAttention, "sm_80"},
		{"an old driver", 9, 0, &cu.DriverTooOldError{}, "", kernels.OpAttention, "sm_80"},
		{"a product that does nothing", 9, 0, nil, "swiglu_wgmma_64x128", kernels.OpGEMM, "sm_80"},
		{"an attention that does nothing", 9, 0, nil, "attention_wgmma_128_turns", kernels.OpAttention, "sm_80"},
		{"a convolution that does nothing", 9, 0, nil, "conv_wgmma_256x128", kernels.OpConv, "sm_80"},
	} {
		var loaded []string
		ctx := ptxsim.Open(ptxsim.Device{Major: c.major, Minor: c.minor})
		set := New(picky{ctx, c.err, c.broken, &loaded}).Set()
		family := c.operation.Families[0]
		if err := set.Load(family); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		files := []string{string(family) + ".sm_80.ptx"}
		if c.major == 9 && c.operation != kernels.OpLayerNorm {
			files = append([]string{string(family) + ".sm_90a.ptx"}, files...)
		}
		if got, err := set.Target(c.operation); got.String() != c.want || err != nil || !slices.Equal(loaded, files) {
			t.Errorf("%s: %s, %v, loaded %v, want %s and %v", c.name, got, err, loaded, c.want, files)
		}
		if free, total, err := ctx.MemGetInfo(); err != nil || free != total {
			t.Errorf("%s: %d of %d bytes are free, %v", c.name, free, total, err)
		}
		if err := ctx.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}

	var loaded []string
	set := New(picky{Context: ptxsim.Open(ptxsim.Device{Major: 9}), err: &cu.OutOfMemoryError{}, loaded: &loaded}).Set()
	for range 2 {
		if err := set.Load("gemm"); !errors.Is(err, cu.ErrOutOfMemory) {
			t.Errorf("out of memory while compiling: %v", err)
		}
	}
	if len(loaded) != 1 {
		t.Errorf("loaded %v, want one try", loaded)
	}
}

// witness is a software device that remembers the kernels for sm_90a, and whether they were launched.
type witness struct {
	cu.Context
	launched map[string]bool
}

type witnessModule struct {
	cu.Module
	launched map[string]bool
}

type witnessFunction struct {
	cu.Function
	launched map[string]bool
}

func (w witness) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	m, err := w.Context.LoadModule(text, o)
	if strings.Contains(o.Name, "sm_90a") {
		m = witnessModule{m, w.launched}
	}
	return m, err
}

func (m witnessModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	m.launched[name] = false
	return witnessFunction{f, m.launched}, err
}

func (f witnessFunction) Launch(grid, block cu.Dim3, shared int, s cu.Stream, params []byte) error {
	f.launched[f.Name()] = true
	return f.Function.Launch(grid, block, shared, s, params)
}

// TestEveryKernelIsTried: no kernel for one kind of GPU is used that a trial has not launched.
func TestEveryKernelIsTried(t *testing.T) {
	w := witness{ptxsim.Open(ptxsim.Device{Major: 9}), map[string]bool{}}
	set := New(w).Set()
	for _, f := range kernels.Families() {
		if err := set.Load(f); err != nil && !errors.Is(err, kernels.ErrNoKernels) {
			t.Error(err)
		}
	}
	for name, launched := range w.launched {
		if !launched {
			t.Errorf("%s was not tried: want a trial shape of its operation that it computes", name)
		}
	}
	if len(w.launched) == 0 {
		t.Error("found no kernels for sm_90a")
	}
}
