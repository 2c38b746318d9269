package cli

import (
	"strings"
	"testing"
)

// TestBenchCPU checks that bench cpu prints a row for the picture of each path that doctor shows.
func TestBenchCPU(t *testing.T) {
	got := mustMake(t, "bench", "cpu", "--no-shapes", "-m", "demo", "--size", "64x64", "--steps", "1")
	if !strings.Contains(got.out, "kernel, GFLOP/s a thread") || !strings.Contains(got.out, "| whole, s |") {
		t.Errorf("no tables:\n%s", got.out)
	}
	if n := strings.Count(got.out, " float32 | "); n != 1 {
		t.Errorf("%d pictures in float32, want one:\n%s", n, got.out)
	}
	for _, args := range [][]string{
		{"--size", "65x64"}, {"--size", "64"}, {"--seconds", "0"}, {"--steps", "0"}, {"--python", "python3"},
		{"--path", "SSE2"},
	} {
		if got := call("", append([]string{"bench", "cpu", "--no-shapes"}, args...)...); got.code != exitUsage {
			t.Errorf("%q: %+v, want a usage error", args, got)
		}
	}
}
