package inference

import (
	"runtime"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestBenchShapes checks that every operation of a run is measured on every path of this processor, and that the path
// in use stays.
func TestBenchShapes(t *testing.T) {
	before := cpu.Current()
	seen := map[string]bool{}
	shapes, err := KernelShapes(DeviceSim, picture.Size{}, true)
	if err != nil {
		t.Fatal(err)
	}
	blas, err := benchShapes(t.Context(), shapes, nil, time.Microsecond, func(r ShapeRates) {
		seen[r.Shape.Operation] = true
		paths := benchedPaths(nil)
		if len(r.Paths) != len(paths) {
			t.Fatalf("%v: %d paths, want %d", r.Shape, len(r.Paths), len(paths))
		}
		for i, p := range r.Paths {
			measured := !paths[i].ints || processorRuns[r.Shape.Operation].int8
			if p.GFLOPS > 0 != measured || p.Peak > 0 != measured {
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
			path := benchedPaths(nil)[len(paths)]
			paths = append(paths, r.Path)
			want := Float32
			switch {
			case path.ints:
				want = Int8
			case path.path.MultipliesBF16():
				want = BF16
			}
			if len(r.Timings) == 0 || r.Whole <= 0 || !(r.Peak > 0) || r.Precision != want {
				t.Errorf("%+v, want %v", r, want)
			}
			if runtime.GOOS == "linux" && (r.PeakResidentBytes < 1<<20 || r.PeakResidentBytes > 1<<36) {
				t.Errorf("%s: %d bytes resident at the peak", r.Path, r.PeakResidentBytes)
			}
		})
	if all := benchedPaths(nil); err != nil || len(paths) != len(all) {
		t.Errorf("pictures by %v, %v; want one by each of %v", paths, err, all)
	}
}
