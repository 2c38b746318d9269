package kernels

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kleinbild/kernels/cu"
)

// picky is a device of some compute capability that answers what it is told to modules for sm_90a.
type picky struct {
	absent
	major, minor int
	err          error
	loaded       *[]string
}

func (p picky) Device() cu.DeviceInfo {
	return cu.DeviceInfo{Name: "picky", Major: p.major, Minor: p.minor, SMs: 4}
}

func (p picky) LoadModule(_ []byte, o cu.ModuleOptions) (cu.Module, error) {
	*p.loaded = append(*p.loaded, o.Name)
	if strings.Contains(o.Name, "sm_90a") && p.err != nil {
		return nil, p.err
	}
	return absentModule{}, nil
}

// TestTargets tries what each GPU is offered, and what happens where the driver does not take it.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name         string
		major, minor int
		err          error
		family       Family
		want         string
		loaded       []string
	}{
		{"A100", 8, 0, nil, GEMM, "sm_80", []string{"gemm.sm_80.ptx"}},
		{"H200", 9, 0, nil, GEMM, "sm_90a", []string{"gemm.sm_90a.ptx", "gemm.sm_80.ptx"}},
		{"H200", 9, 0, nil, Attention, "sm_90a", []string{"attention.sm_90a.ptx", "attention.sm_80.ptx"}},
		{"H200, a family without its own", 9, 0, nil, Norm, "sm_80", []string{"norm.sm_80.ptx"}},
		{"B200", 10, 0, nil, GEMM, "sm_80", []string{"gemm.sm_80.ptx"}},
		{"RTX 5090", 12, 0, nil, Attention, "sm_80", []string{"attention.sm_80.ptx"}},
		{"PTX not accepted", 9, 0, &cu.JITError{Module: "m", Err: errors.New("no")}, GEMM, "sm_80", []string{"gemm.sm_90a.ptx", "gemm.sm_80.ptx"}},
		{"an old driver", 9, 0, &cu.DriverTooOldError{}, GEMM, "sm_80", []string{"gemm.sm_90a.ptx", "gemm.sm_80.ptx"}},
	} {
		var loaded []string
		set := New(picky{major: c.major, minor: c.minor, err: c.err, loaded: &loaded})
		if err := set.Load(c.family); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, err := set.Target(c.family); got != c.want || err != nil || !slices.Equal(loaded, c.loaded) {
			t.Errorf("%s: %s, %v, loaded %v, want %s and %v", c.name, got, err, loaded, c.want, c.loaded)
		}
	}

	var loaded []string
	set := New(picky{major: 9, err: &cu.OutOfMemoryError{}, loaded: &loaded})
	for range 2 {
		if err := set.Load(GEMM); !errors.Is(err, cu.ErrOutOfMemory) {
			t.Errorf("out of memory while compiling: %v", err)
		}
	}
	if len(loaded) != 1 {
		t.Errorf("loaded %v, want one try", loaded)
	}
}
