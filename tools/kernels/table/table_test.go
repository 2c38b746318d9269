package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// entry is a kernel of PTX with the given parameters.
func entry(name, params string) string {
	return fmt.Sprintf(".visible .entry %s(%s)\n.maxntid 256\n.minnctapersm 2\n{\n\tret;\n}\n", name, params)
}

// declared is a kernel of a syntax tree: params are names and types in turn, tile is what TILE says.
func declared(name, tile string, params ...string) string {
	nodes := []string{`{"kind": "CUDAGlobalAttr"}`}
	for i := 0; i < len(params); i += 2 {
		nodes = append(
			nodes, fmt.Sprintf(`{"kind": "ParmVarDecl", "name": %q, "type": {"qualType": %q}}`, params[i], params[i+1]),
		)
	}
	if tile != "" {
		nodes = append(nodes, annotation(tile))
	}
	return fmt.Sprintf(`{"kind": "FunctionDecl", "name": %q, "inner": [%s]}`, name, strings.Join(nodes, ", "))
}

func annotation(values string) string {
	var nodes []string
	for v := range strings.FieldsSeq(values) {
		nodes = append(nodes, fmt.Sprintf(`{"kind": "ConstantExpr", "value": %q}`, v))
	}
	return `{"kind": "AnnotateAttr", "inner": [` + strings.Join(nodes, ", ") + `]}`
}

func exported(name, value string) string {
	return fmt.Sprintf(`{"kind": "FunctionDecl", "name": "constant_%s", "inner": [%s]}`, name, annotation(value))
}

const (
	matAndInt = ".param .align 8 .b8 p0[16], .param .u32 p1"
	plainMat  = ".param .u64 .ptr .align 1 p0, .param .u32 p1, .param .u32 p2"
	pointer   = ".param .u64 .ptr .align 1 p0"
)

// TestTargetIsAConstant: a target that kernels/set.go does not have is an undefined name there.
func TestTargetIsAConstant(t *testing.T) {
	for target, want := range map[string]string{"sm_80": "SM80", "sm_90a": "SM90a", "sm_120a": "SM120a"} {
		text := tableText([]kernel{{name: "f_any", family: "x", target: target}}, nil)
		if !strings.Contains(text, "target: "+want+", takes: unaligned") {
			t.Errorf("%s: no constant %s in\n%s", target, want, text)
		}
	}
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name, ptx string
		nodes     []string
		want      []string // of the two files together; or the end of the error if it begins with "!"
	}{
		{
			"rows and tiles", entry("scale_bias_any", matAndInt) + entry("gemm_wgmma_64x32_deep", matAndInt),
			[]string{
				declared("scale_bias_any", "", "dst", "Mat", "row_count", "int"),
				declared("gemm_wgmma_64x32_deep", "64 32 16 3 9000 1", "dst", "Mat", "rows", "int"), exported("max_cols", "128"),
			},
			[]string{
				`name: "scale_bias_any", group: "scale_bias", family: "x", target: SM80, takes: unaligned`,
				`takes: unaligned, threads: 256, blocks: 2}`,
				`group: "gemm_wgmma", family: "x", target: SM80, takes: loose, threads: 256, blocks: 2, m: 64`,
				`m: 64, n: 32, k: 16, stages: 3, sharedBytes: 9000}`,
				"maxCols = 128", "type scaleBiasParams struct", "rowCount int", "launchGEMMWGMMA(k *kernel, p gemmWGMMAParams,",
			},
		},
		{
			"another size", entry("f", matAndInt), []string{declared("f", "", "dst", "Mat", "p", "const float *")},
			[]string{"!f: parameter p: 8 bytes aligned to 8, in the PTX 4 aligned to 4"},
		},
		{
			"another number", entry("f", pointer), []string{declared("f", "", "p", "int *", "n", "int")},
			[]string{"!f: parameter n is not in the PTX"},
		},
		{
			"a parameter too few", entry("f", matAndInt), []string{declared("f", "", "dst", "Mat")},
			[]string{"!f: 1 parameters, the PTX has 1 more"},
		},
		{
			"a matrix as its three fields", entry("f", plainMat), []string{declared("f", "", "dst", "Mat")},
			[]string{`name: "f"`, "dst Matrix"},
		},
		{
			"another type", entry("f", pointer), []string{declared("f", "", "p", "double")},
			[]string{`!f: parameter p: type "double", want Mat, TensorMap, a pointer, int or float`},
		},
		{
			"not compiled", entry("f", pointer), []string{declared("g", "", "p", "int *")},
			[]string{"!g: the PTX has no such kernel"},
		},
		{
			"a group with two lists", entry("f_64x64", pointer) + entry("f_any", matAndInt),
			[]string{declared("f_64x64", "", "p", "int *"), declared("f_any", "", "dst", "Mat", "n", "int")},
			[]string{"!f_64x64 and f_any are of the group f and have different parameters: want another name for one"},
		},
		{
			"half a tile", entry("f", pointer), []string{declared("f", "64 64", "p", "int *")},
			[]string{"!f: TILE has the values [64 64], want m, n, k, stages, bytes and takes"},
		},
		{
			"two values of a constant", entry("f", pointer),
			[]string{declared("f", "", "p", "int *"), exported("width", "16"), exported("width", "32")},
			[]string{"!EXPORT of width: 32, another source has 16"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				path := filepath.Join(out, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("ptx/x.sm_80.ptx", ".version 7.0\n.target sm_80\n.address_size 64\n"+c.ptx)
			// extern "C" is a node around the functions.
			write("tree.json", `{"kind": "TranslationUnitDecl", "inner": [{"kind": "LinkageSpecDecl", "inner": [`+
				strings.Join(c.nodes, ", ")+`]}]}`)
			err := run(out, []string{"x.sm_80=" + filepath.Join(out, "tree.json")})
			if end, fails := strings.CutPrefix(c.want[0], "!"); fails {
				if err == nil || !strings.HasSuffix(err.Error(), end) {
					t.Errorf("%v, want … %s", err, end)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var text string
			for _, name := range []string{"table.go", "params.go"} {
				b, err := os.ReadFile(filepath.Join(out, name))
				if err != nil {
					t.Fatal(err)
				}
				text += string(b)
			}
			folded := strings.Join(strings.Fields(text), " ")
			for _, part := range c.want {
				if !strings.Contains(folded, part) {
					t.Errorf("no %q in\n%s", part, text)
				}
			}
		})
	}
}
