package inference

import (
	"runtime"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestBenchShapes checks that every operation of a run is measured on every path of this processor, and that the path
// in use stays. Only products are measured in int8.
func TestBenchShapes(t *testing.T) {
	before := cpu.Current()
	seen := map[string]bool{}
	shapes, err := KernelShapes(DeviceSim, picture.Size{}, true)
	if err != nil {
		t.Fatal(err)
	}
	blas, err := benchShapes(t.Context(), shapes, nil, time.Microsecond, func(r ShapeRates) {
		seen[r.Shape.Operation] = true
		if len(r.Paths) != len(cpu.Paths())+1 {
			t.Errorf("%v: %d paths, want %d and one for int8", r.Shape, len(r.Paths), len(cpu.Paths()))
		}
		for i, p := range r.Paths {
			measured := i < len(cpu.Paths()) || processorRuns[r.Shape.Operation].int8
			if (p.GFLOPS > 0) != measured || (p.Peak > 0) != measured {
				t.Errorf("%v: %+v", r.Shape, p)
			}
		}
	})
	if err != nil || blas == "" {
		t.Errorf("%q, %v", blas, err)
	}
	for _, operation := range []string{"gemm", "gemm_qk_norm_rope", "swiglu", "attention", "conv", "conv_norm"} {
		if !seen[operation] {
			t.Errorf("%s was not measured", operation)
		}
	}
	if _, err := processorPath(); err != nil || before != cpu.Current() && before.MultipliesBF16() {
		t.Errorf("the path went from %v to %v, %v", before, cpu.Current(), err)
	}
}

func TestBenchPaths(t *testing.T) {
	var paths []string
	err := BenchPaths(t.Context(), Options{Model: tinyModel(t, "distilled")}, picture.Size{Width: 64, Height: 64}, 1, nil,
		func(r PathRun) {
			paths = append(paths, r.Path)
			if len(r.Timings) == 0 || r.Whole <= 0 || !(r.Peak > 0) || r.Precision != wantPrecision(len(paths)) {
				t.Errorf("%+v", r)
			}
			if runtime.GOOS == "linux" && (r.PeakResidentBytes < 1<<20 || r.PeakResidentBytes > 1<<36) {
				t.Errorf("%s: %d bytes resident at the peak", r.Path, r.PeakResidentBytes)
			}
		})
	if err != nil || len(paths) != len(cpu.Paths())+1 {
		t.Errorf("pictures by %v, %v; want one by each of %v, and one in int8", paths, err, cpu.Paths())
	}
}

// wantPrecision returns the precision of picture n: the first is in float32, the last in int8.
func wantPrecision(n int) Precision {
	switch n {
	case 1:
		return Float32
	case len(cpu.Paths()) + 1:
		return Int8
	}
	return BF16
}
