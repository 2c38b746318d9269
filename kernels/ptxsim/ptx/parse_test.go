package ptx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const head = ".version 7.0\n.target sm_80\n.address_size 64\n"

func TestParse(t *testing.T) {
	m, err := Parse(head + `
.file 1 "dir/k.cu"
.const .align 4 .b8 table[6] = {1, 2, 0xff};
.global .u64 where = generic(table)+4;
.visible .entry k(.param .u64 .ptr .global .align 16 k_p0, .param .align 64 .b8 k_p1[128])
.maxntid 64, 2
.minnctapersm 3
{
	.reg .pred %p<3>;
	.reg .b32 %r<5>;
	.shared .align 16 .b8 tile[64];
	.loc 1 7 3 // k.cu:7:3 @[ dir/other.cu:8:9 @[ dir/k.cu:70:1 ] ]
again: // a label
	@!%p1 ld.shared.v2.b32 {%r1, %r2}, [tile + 8];
	{
		.reg .b32 %r1, own;
		again: mov.u32 own, %tid.x;
		bra again;
	}
	.loc 1 0 0
	shfl.sync.bfly.b32 %r1|%p2, %r2, -1, 0x1f, 0f3F800000;
	@%p1 bra again;
	ret;
}
`)
	if err != nil {
		t.Fatal(err)
	}
	k := m.Function("k")
	in := k.Instructions
	switch {
	case m.Version != "7.0" || m.Target != "sm_80" || m.Files[1] != "dir/k.cu":
		t.Errorf("module %+v", m)
	case len(m.Variables) != 2 || m.Variables[0].Size() != 6 || m.Variables[1].Init[0].Offset != 4:
		t.Errorf("variables %+v", m.Variables)
	case k.Params[0].Align != 8 || k.Params[1].Align != 64 || k.Params[1].Size() != 128 ||
		k.MaxThreads != [3]int{64, 2, 1} || k.MinBlocks != 3:
		t.Errorf("kernel %+v", k)
	case len(in) != 6 || len(k.Registers) != 10:
		t.Errorf("%d instructions, %d registers", len(in), len(k.Registers))
	case in[0].Guard != 1 || !in[0].GuardNot || in[0].Operands[1].Offset != 8 ||
		in[0].Operands[1].List[0].Variable.Name != "tile":
		t.Errorf("%+v", in[0])
	case in[0].Source != Position{1, 7, "dir/k.cu:70"} || in[3].Source != in[0].Source || in[0].Line != 17:
		t.Errorf("position %+v, %+v, line %d", in[0].Source, in[3].Source, in[0].Line)
	case in[1].Operands[0].Register != 9 || in[2].Operands[0].Target != 1:
		t.Errorf("inner scope: %+v, %+v", in[1], in[2])
	case in[3].Operands[2].Value != 1<<64-1 || in[3].Operands[4].Float != 32 ||
		in[3].Operands[0].Kind != PairOperand || in[3].Operands[0].List[0].Register != 4:
		t.Errorf("%+v", in[3])
	case in[4].Operands[0].Target != 0 || in[4].Text != "@%p1 bra again":
		t.Errorf("%+v", in[4])
	}
}

func TestParseErrors(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"empty", "", ".version"},
		{"no end", head + ".entry k() { ret;", "found the end of the text, want }"},
		{"register", head + ".entry k() { mov.b32 x, 1; }", "not declared"},
		{"label", head + ".entry k() { bra away; }", "not declared"},
		{"twice", head + ".entry k() { a: a: ret; }", "twice"},
		{"guard", head + ".entry k() { .reg .b32 r; @r ret; }", "not a predicate"},
		{"texture", head + ".tex .u32 t;", ".tex"},
		{"address size", ".address_size 32", "address size"},
		{"wide register", head + ".entry k() { .reg .b128 q; }", "b128"},
		{"huge", head + ".entry k() { .reg .b32 r<2000000000>; }", "registers"},
		{"huge array", head + ".global .b32 a[1000000][1000000];", "elements"},
		{"initialisers", head + ".global .b8 a[1] = {1, 2};", "initialisers"},
		{"comment", head + "/* ", "comment"},
		{"string", head + ".file 1 \"abc\n", "string"},
		{"character", head + "#", "character"},
		{"decimal", head + ".global .f32 a = 1.5;", "not supported"},
	} {
		_, err := Parse(row.text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want a syntax error with %q", row.name, err, row.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../testdata/*/*.ptx")
	if err != nil || len(files) == 0 {
		f.Fatalf("no texts to start from: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text[:min(len(text), 4000)]))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if (m == nil) == (err == nil) {
			t.Errorf("module %v and error %v", m, err)
		}
	})
}
