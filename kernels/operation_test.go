package kernels

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// TestOperations launches every variant of every operation at its trial shapes through what the operation says of
// itself, on each target. Variants of one target give the same bits.
func TestOperations(t *testing.T) {
	onEachDevice(t, func(h *harness) { testOperations(h, SM80) })
	t.Run("sm_89", func(t *testing.T) { onAda(t, func(h *harness) { testOperations(h, SM89) }) })
}

// testOperations launches the operations that have kernels for the target `having`.
func testOperations(h *harness, having Target) {
	uncounted = true
	defer func() { uncounted = false }()
	for _, o := range Operations() {
		if len(kernelsOf(o.Families[0], having)) == 0 {
			continue
		}
		if len(o.Trials) == 0 {
			h.Errorf("%s: no trial shape, want one at least", o.Name)
		}
		for _, s := range o.Trials {
			if err := s.Check(); err != nil || s.Operation != o.Name {
				h.Errorf("%v: %v, want a shape of %s", s, err, o.Name)
				continue
			}
			target, err := h.set.targetFor(o, strict, s)
			h.must(err)
			variants := o.VariantsFor(s, target)
			if len(variants) == 0 {
				variants = []Variant{Auto}
			}
			operands := o.Operands(s)
			_, size := Layout(operands, 0)
			numbers := make([]byte, size)
			for i := range numbers {
				numbers[i] = byte(i*7%31) | 0x30*byte(i%2) // small BF16 and F32
			}
			var first []byte
			for _, v := range variants {
				at := h.memory(int(size))
				h.must(h.stream.MemcpyHtoDAsync(at, numbers))
				ms, _ := Layout(operands, at)
				if err := o.Launch(h.Queue, s, ms, v); err != nil {
					h.Errorf("%v, variant %d: %v", s, v, err)
					continue
				}
				if have := h.bytes(ms[0]); first == nil {
					first = have
				} else if !bytes.Equal(first, have) {
					h.Errorf("%v: variant %s has not the bits of the first", s, o.Variants(s)[v])
				}
			}
			if bytes.Equal(first, numbers[:len(first)]) {
				h.Errorf("%v: the launch stored nothing in its first operand", s)
			}
		}
	}
}

// TestFits makes shapes at random: what Check accepts, Launch does not refuse.
func TestFits(t *testing.T) {
	q := New(absent{}, nil).On(nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, o := range Operations() {
		accepted := 0
		for range 30000 {
			p := ConvParams{
				Height: 1 + rng.IntN(6), Width: 1 + rng.IntN(6), Kernel: rng.IntN(5), Upsample: rng.IntN(3) == 0,
				Downsample: rng.IntN(3) == 0,
			}
			pixels := p.Height * p.Width
			s := Shape{
				Operation: o.Name, Rows: []int{1 + rng.IntN(9), pixels, pixels / 4, p.outputRows()}[rng.IntN(4)],
				Cols: (1 + rng.IntN(70)) * (1 + rng.IntN(9)), Depth: rng.IntN(5) * (1 + rng.IntN(9)), Heads: rng.IntN(5),
				KVHeads: rng.IntN(5), Causal: rng.IntN(2) == 0, Conv: p, Format: Format(rng.IntN(len(formats) + 1)),
			}
			if s.Check() != nil {
				continue
			}
			accepted++
			ms, _ := Layout(o.Operands(s), 1<<20)
			if err := o.Launch(q, s, ms, Auto); err != nil {
				t.Errorf("%+v: %v, want Check to refuse the shape", s, err)
				break
			}
		}
		if accepted < 10 {
			t.Errorf("%s: %d shapes were accepted, want 10 at least", o.Name, accepted)
		}
	}
}

// TestEverySourceAndKernelBelongs: every source is a family with an operation, every kernel belongs to an operation,
// and the table lists what the PTX has.
func TestEverySourceAndKernelBelongs(t *testing.T) {
	groups, families := map[string][]string{}, map[Family]bool{}
	for _, o := range Operations() {
		families[o.Families[0]] = true
		for _, g := range o.Groups {
			groups[g] = append(groups[g], o.Name)
		}
		for _, f := range o.Families {
			if !slices.Contains(Families(), f) {
				t.Errorf("%s needs the family %s, which has no kernels", o.Name, f)
			}
		}
	}
	sources, err := filepath.Glob("src/*.cu")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		if f := Family(name); !slices.Contains(Families(), f) {
			t.Errorf("%s has no kernels in table.go: run make kernels", path)
		} else if !families[f] {
			t.Errorf("%s: no operation has the family %s: define one in %s.go", path, f, name)
		}
	}
	listed := map[string]map[string]*kernel{}
	for i := range compiled {
		k := &compiled[i]
		file := string(k.family) + "." + k.target.String() + ".ptx"
		if listed[file] == nil {
			listed[file] = map[string]*kernel{}
		}
		listed[file][k.name] = k
		if owners := groups[strings.TrimSuffix(k.group, "_wgmma")]; len(owners) != 1 {
			t.Errorf("%s: kernel %s is of the group %s, which the operations %v have, want one: "+
				"name the group in an Operation of %s.go",
				file, k.name, k.group, owners, k.family)
		}
	}
	files, err := fs.Glob(ptxFiles, "ptx/*.ptx")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := ptxFiles.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		module, err := ptx.Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		file := filepath.Base(path)
		for _, f := range module.Functions {
			k := listed[file][f.Name]
			if k == nil {
				t.Errorf("%s has the kernel %s, table.go has not: run make kernels", path, f.Name)
				continue
			}
			delete(listed[file], f.Name)
			if k.threads != f.MaxThreads[0] || k.blocks != f.MinBlocks {
				t.Errorf(
					"%s: %d threads and %d blocks, table.go has %d and %d: run make kernels", f.Name, f.MaxThreads[0], f.MinBlocks,
					k.threads, k.blocks,
				)
			}
		}
		for name := range listed[file] {
			t.Errorf("table.go has the kernel %s, %s has not: run make kernels", name, path)
		}
	}
}

// TestParametersAreThoseOfThePTX compares the number of bytes of the parameters that launchers pack with that of the
// PTX, for each kernel that is launched at a trial shape, on a GPU with kernels for sm_89 and on one with kernels for
// sm_90a.
func TestParametersAreThoseOfThePTX(t *testing.T) {
	sizes := map[string]int{}
	files, err := fs.Glob(ptxFiles, "ptx/*.ptx")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, _ := ptxFiles.ReadFile(path)
		module, err := ptx.Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, f := range module.Functions {
			n := 0
			for _, p := range f.Params {
				n = (n+p.Align-1)/p.Align*p.Align + p.Size()
			}
			sizes[f.Name] = n
		}
	}
	seen := 0
	for _, version := range [][2]int{{8, 9}, {9, 0}} {
		packed := packedSizes{major: version[0], minor: version[1], seen: map[string]int{}}
		q := New(packed, nil).On(nil)
		for _, o := range Operations() {
			for _, s := range o.Trials {
				ms, _ := Layout(o.Operands(s), 1<<20)
				for v := range max(len(o.Variants(s)), 1) {
					if err := o.Launch(q, s, ms, Variant(v)); err != nil && !errors.Is(err, ErrNoKernels) {
						t.Errorf("%v: %v", s, err)
					}
				}
			}
		}
		for name, n := range packed.seen {
			if seen++; n != sizes[name] {
				t.Errorf("%s: %d bytes of parameters are packed, the PTX has %d", name, n, sizes[name])
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d kernels were launched, want all that take aligned operands", seen)
	}
}

// packedSizes is a device that remembers the size of the parameters of every kernel.
type packedSizes struct {
	absent
	major, minor int
	seen         map[string]int
}

type packedModule struct {
	cu.Module
	seen map[string]int
}

type packedFunction struct {
	cu.Function
	name string
	seen map[string]int
}

func (p packedSizes) Device() cu.DeviceInfo {
	return cu.DeviceInfo{SMs: 4, Major: p.major, Minor: p.minor}
}
func (p packedSizes) LoadModule([]byte, cu.ModuleOptions) (cu.Module, error) {
	return packedModule{seen: p.seen}, nil
}
func (packedSizes) TensorMapEncodeTiled(cu.TensorMapTiled) (cu.TensorMap, error) {
	return cu.TensorMap{}, nil
}
func (m packedModule) Function(name string) (cu.Function, error) {
	return packedFunction{name: name, seen: m.seen}, nil
}
func (packedFunction) SetMaxDynamicShared(int) error { return nil }
func (f packedFunction) Launch(_, _ cu.Dim3, _ int, _ cu.Stream, params []byte) error {
	f.seen[f.name] = len(params)
	return nil
}

// TestNoSwitchOnOperations counts the places outside of tests that compare something with the name of an operation:
// what differs between operations stands in the Operation.
func TestNoSwitchOnOperations(t *testing.T) {
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Skip("the sources are not here")
	}
	names := map[string]bool{}
	for _, o := range Operations() {
		names[strconv.Quote(o.Name)] = true
	}
	type source struct {
		*ast.File
		positions *token.FileSet
	}
	var sources []source
	constants := map[string]string{}
	for _, dir := range []string{".", "tune", "../inference", "../inference/cuda", "../tools/gpu/bench", "../cli"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, source{file, set})
			if dir == "." {
				constantsIn(file, names, constants)
			}
		}
	}
	for _, file := range sources {
		ast.Inspect(file.File, func(n ast.Node) bool {
			var compared []ast.Expr
			switch n := n.(type) {
			case *ast.CaseClause:
				compared = n.List
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					compared = []ast.Expr{n.X, n.Y}
				}
			}
			for _, e := range compared {
				if name := namedBy(e, constants); names[name] {
					t.Errorf("%s: compares with the operation %s, want a field of Operation that says what differs",
						file.positions.Position(e.Pos()), name)
				}
			}
			return true
		})
	}
	if len(constants) != len(names) {
		t.Errorf("found the constants %v, want one for each of %v", constants, names)
	}
	if len(sources) < 20 {
		t.Errorf("%d files were read, want those of the kernels and of all that use them", len(sources))
	}
}

// constantsIn adds the constants of a file whose values are names of operations.
func constantsIn(file *ast.File, names map[string]bool, constants map[string]string) {
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, spec := range decl.Specs {
			values := spec.(*ast.ValueSpec)
			for i, id := range values.Names {
				if i >= len(values.Values) || values.Type != nil {
					continue
				}
				if value, ok := values.Values[i].(*ast.BasicLit); ok && names[value.Value] {
					constants[id.Name] = value.Value
				}
			}
		}
	}
}

// namedBy is the quoted name of an operation that an expression stands for: a literal, a constant, or OpX.Name.
func namedBy(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value
	case *ast.Ident:
		return constants[e.Name]
	case *ast.SelectorExpr:
		op := e.X
		if inner, ok := op.(*ast.SelectorExpr); ok {
			op = inner.Sel
		}
		if id, ok := op.(*ast.Ident); ok && e.Sel.Name == "Name" && strings.HasPrefix(id.Name, "Op") {
			return strconv.Quote(gemm) // whichever it is
		}
	}
	return ""
}
