package simd

import "testing"

// TestFastest uses rates of real processors. A path with products of bfloat16 must be chosen only if it is clearly
// faster.
func TestFastest(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates []Rate
		want  Level
	}{
		{"plain", []Rate{{Generic, 2e9}}, Generic},
		{"AVX2 alone", []Rate{{AVX2, 1e11}}, AVX2},
		{"Zen 4: VDPBF16PS at twice the rate", []Rate{{AVX512, 117e9}, {AVX512BF16, 230e9}}, AVX512BF16},
		{"Xeon without AMX: at half the rate", []Rate{{AVX512, 111e9}, {AVX512BF16, 55e9}}, AVX512},
		{"Xeon with AMX", []Rate{{AVX512, 204e9}, {AVX512BF16, 109e9}, {AMX, 1663e9}}, AMX},
		{"as fast, and noise in favour", []Rate{{AVX512, 100e9}, {AVX512BF16, 125e9}}, AVX512},
		{"as fast, and noise against", []Rate{{AVX512, 125e9}, {AVX512BF16, 100e9}}, AVX512},
	} {
		for range 2 {
			if got := Fastest(c.rates); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

func TestMeasure(t *testing.T) {
	before := Current()
	rates, paths := Measure(), Paths()
	if len(rates) != len(paths) || len(rates) == 0 {
		t.Fatalf("%d rates of %d paths", len(rates), len(paths))
	}
	for i, r := range rates {
		if r.Level != paths[i] || !(r.FLOPS > 0) {
			t.Errorf("rate %d is %+v, want one of %v", i, r, paths[i])
		}
		t.Logf("%v: %.1f GFLOP/s", r.Level, r.FLOPS*1e-9)
	}
	if rates[0].Level.MultipliesBF16() {
		t.Errorf("the first path is %v, want one of float32", rates[0].Level)
	}
	if Current() != before {
		t.Errorf("Measure changed the current level from %v to %v", before, Current())
	}
}

// TestStartsWithFloat32 checks that the program does not start with products of bfloat16, even if the processor has
// them.
func TestStartsWithFloat32(t *testing.T) {
	if Current().MultipliesBF16() {
		t.Errorf("the program starts with %v", Current())
	}
}

func TestParseLevel(t *testing.T) {
	for l := Generic; l <= Highest; l++ {
		if got, err := ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	if got, err := ParseLevel("avx-512"); err != nil || got != AVX512 {
		t.Errorf("avx-512: %v, %v", got, err)
	}
	if _, err := ParseLevel("SSE2"); err == nil {
		t.Error("SSE2: no error")
	}
}
