package cli

import (
	"regexp"
	"strings"
	"testing"
)

// TestBenchTune checks that bench tune prints a line for each shape. The device is the software device, whose times
// mean nothing and are not kept.
func TestBenchTune(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	got := call("", "bench", "tune", "--device", "sim")
	if got.code != exitOK || !strings.Contains(got.err, "software device: products for sm_80") ||
		!strings.Contains(got.err, "say nothing") {
		t.Fatalf("%d, %s", got.code, got.err)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	row := regexp.MustCompile(`^(gemm|gemm_qk_norm_rope|swiglu|attention|conv|conv_norm) \d+×\d+×\d+` +
		`(, [^ ].*?)?  +((?:gemm|swiglu|attention|conv)_\w+) +[\d.e-]+  +(.+)$`)
	seen := map[string]int{}
	for _, line := range lines[1:] {
		m := row.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("line %q", line)
			continue
		}
		seen[m[1]]++
		if !strings.Contains(m[4], m[3]+" ") {
			t.Errorf("%s is chosen without a time: %s", m[3], m[4])
		}
	}
	for operation, least := range map[string]int{"gemm": 12, "gemm_qk_norm_rope": 5, "swiglu": 3, "attention": 2,
		"conv": 3, "conv_norm": 2} {
		if seen[operation] < least {
			t.Errorf("%d lines of %s, want %d at least", seen[operation], operation, least)
		}
	}

	if got := call("", "bench", "tune", "--device", "sim", "--width", "65"); got.code != exitUsage ||
		!strings.Contains(got.err, "--width 65, --height 1024") {
		t.Errorf("a width of 65: %d, %s", got.code, got.err)
	}
	if got := call("", "bench", "tune", "--device", "abacus"); got.code != exitUsage {
		t.Errorf("another device: %d, %s", got.code, got.err)
	}
}
