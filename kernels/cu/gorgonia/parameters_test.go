//go:build gorgonia && cgo

package gorgonia

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParameters(t *testing.T) {
	const ptx = `
// .entry fills nothing here
.visible .entry fill(
	.param .u64 .ptr .align 1 fill_param_0,
	.param .u32 fill_param_1,
	.param .align 8 .b8 fill_param_2[16],
	.param .f32 fill_param_3
)
{ ret; }
.visible .entry filling(.param .u16 a, .param .u64 b) { ret; }
.entry bare { ret; }
.entry empty() { ret; }
.entry odd(.reg .u32 a) { ret; }
.entry open(.param .u32 a`
	for _, row := range []struct {
		name  string
		want  []parameter
		ok    bool
		plain bool
	}{
		{"fill", []parameter{{0, 8}, {8, 4}, {16, 16}, {32, 4}}, true, false},
		{"filling", []parameter{{0, 2}, {8, 8}}, true, true},
		{"bare", nil, true, true},
		{"empty", nil, true, true},
		{"odd", nil, false, false},
		{"open", nil, false, false},
		{"fil", nil, false, false},
	} {
		all, ok := parameters([]byte(ptx), row.name)
		if ok != row.ok || ok && (!slices.Equal(all, row.want) || plain(all) != row.plain) {
			t.Errorf("%s: found %v, %v, want %v, %v; plain: %v", row.name, all, ok, row.want, row.ok, row.plain)
		}
	}
}

// TestParametersOfShippedKernels: what the compiler writes is understood, and kernels for sm_80 are launched through
// gorgonia.org/cu.
func TestParametersOfShippedKernels(t *testing.T) {
	files, err := filepath.Glob("../../ptx/*.ptx")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		ptx, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\.entry (\w+)`).FindAllSubmatch(ptx, -1) {
			all, ok := parameters(ptx, string(m[1]))
			if !ok || len(all) == 0 {
				t.Errorf("%s: %s: found %v, %v", filepath.Base(file), m[1], all, ok)
			}
			if strings.HasSuffix(file, ".sm_80.ptx") && !plain(all) {
				t.Errorf("%s: %s: parameters %v, want none above 8 bytes", filepath.Base(file), m[1], all)
			}
		}
	}
}
