package kernels

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Operation is an operation of the GPU with all that measuring, testing and benchmarking need to know of it. Each
// operation is one literal in the file of its family.
type Operation struct {
	// Name is what shapes, files and tables call the operation. The names of its kernels begin with it, unless Groups says
	// otherwise.
	Name string
	// Families are the files of all kernels that its launcher may launch. The first holds the operation's own kernels,
	// among which launches choose. All of them must be compiled before a launch on the thread that owns the device.
	Families []Family
	// Groups are the groups of kernels that belong to the operation; Name alone if nil.
	Groups []string
	// Fits says whether a shape, whose numbers are positive, is one that the operation computes on aligned operands.
	Fits func(s Shape) bool
	// Operands lists the matrices of a launch for a shape, the result first. A trial (package tune) reads the result as
	// bfloat16.
	Operands func(s Shape) []Operand
	// Launch queues the operation on the matrices that Operands describes.
	Launch func(q *Queue, s Shape, m []Matrix, v Variant) error
	// FLOP counts the floating-point operations of a launch. It is nil for operations that memory bounds.
	FLOP func(s Shape) float64
	// Int8 names the operation that computes the same in integers, for products.
	Int8 string
	// Trials are small shapes with ragged edges. Tests launch every variant at them, and kernels for one kind of GPU are
	// compared with those for sm_80 at them before they are used.
	Trials []Shape

	// tilesOf returns those of the operation's tiles that compute a shape. If it is nil, all of them do.
	tilesOf func(s Shape) []*kernel
	// tiles are the kernels of Groups that compute tiles, for all targets. There may be none.
	tiles []*kernel
}

// operations holds what define was given, by name.
var operations = map[string]*Operation{}

// define adds an operation to operations, with its tiles.
func define(o Operation) *Operation {
	if o.Groups == nil {
		o.Groups = []string{o.Name}
	}
	for _, group := range o.Groups {
		o.tiles = append(o.tiles, tilesIn(group)...)
	}
	operations[o.Name] = &o
	return &o
}

// tilesIn lists the kernels of a group that compute tiles, in the order of the table. Those for sm_90a have a group of
// their own, because they have other parameters: its name has the suffix _wgmma.
func tilesIn(group string) []*kernel {
	var tiles []*kernel
	for i := range compiled {
		if k := &compiled[i]; k.m > 0 && (k.group == group || k.group == group+"_wgmma") {
			tiles = append(tiles, k)
		}
	}
	return tiles
}

// Operations lists all operations by name.
func Operations() []*Operation {
	var all []*Operation
	for _, o := range operations {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *Operation) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Find returns the operation with a name, or nil if there is none.
func Find(name string) *Operation { return operations[name] }

// tilesFor lists the tiles among which launches of a shape choose, for all targets. A Variant is an index into them.
func (o *Operation) tilesFor(s Shape) []*kernel {
	if o.tilesOf != nil {
		return o.tilesOf(s)
	}
	return o.tiles
}

// Variants names the kernels among which launches of a shape choose, by Variant, for all targets. It is empty for an
// operation without a choice.
func (o *Operation) Variants(s Shape) []string {
	var names []string
	for _, t := range o.tilesFor(s) {
		names = append(names, t.name)
	}
	return names
}

// VariantsFor lists the variants that a target has for a shape's aligned operands.
func (o *Operation) VariantsFor(s Shape, t Target) []Variant {
	var all []Variant
	for v, tile := range o.tilesFor(s) {
		if tile.fits(strict, t) {
			all = append(all, Variant(v))
		}
	}
	return all
}

// Operand describes one matrix of a launch.
type Operand struct {
	Rows, Cols int
	DType      DType
}

// SizeBytes is the memory of an operand whose rows lie without gaps.
func (o Operand) SizeBytes() int64 { return int64(o.Rows) * int64(o.Cols) * int64(o.DType.SizeBytes()) }

// operandAlign divides the distances of the operands that Layout places.
const operandAlign = 256

// Layout places operands one behind the other from an address on, and returns the bytes that they take. Only if the
// address is a multiple of 256 are the operands aligned.
func Layout(operands []Operand, at cu.DevicePtr) (ms []Matrix, bytes int64) {
	for _, o := range operands {
		ms = append(ms, Matrix{Data: at + cu.DevicePtr(bytes), Rows: o.Rows, Cols: o.Cols, Stride: o.Cols, DType: o.DType})
		bytes = (bytes + o.SizeBytes() + operandAlign - 1) / operandAlign * operandAlign
	}
	return ms, bytes
}

// Shape is what the time of a launch depends on.
type Shape struct {
	// Operation is the Name of an Operation.
	Operation string
	// Rows and Cols are the result's. Depth is the number of values in a sum: a product's k, attention's keys, the
	// channels that enter a convolution. For qk_norm_rope it is the width of a head, for group_norm the number of groups,
	// for rotate the number of columns in a group.
	Rows, Cols, Depth int
	// Heads, KVHeads and Causal describe an attention, Conv a convolution or the picture of patchify.
	Heads, KVHeads int        `json:",omitempty"`
	Causal         bool       `json:",omitempty"`
	Conv           ConvParams `json:",omitzero"`
	// Beside is how many of the Depth columns of a product's weights are in another matrix: see Epilogue.Beside.
	Beside int `json:",omitempty"`
	// Format is that of the weight which widen reads.
	Format Format `json:",omitempty"`
}

// String describes the shape in one cell of a table: "gemm 4608×3072×3072".
func (s Shape) String() string {
	text := fmt.Sprintf("%s %d×%d", s.Operation, s.Rows, s.Cols)
	if s.Depth > 0 {
		text += fmt.Sprintf("×%d", s.Depth)
	}
	switch {
	case s.Format != 0:
		return fmt.Sprintf("%s of %v", text, s.Format)
	case s.Causal:
		return fmt.Sprintf("%s, %d heads on %d, causal", text, s.Heads, s.KVHeads)
	case s.Heads > 0:
		return fmt.Sprintf("%s, %d heads on %d", text, s.Heads, s.KVHeads)
	case s.Conv.Upsample:
		return text + ", 3×3 upsampling"
	case s.Conv.Downsample:
		return text + ", 3×3 downsampling"
	case s.Conv.Kernel > 0:
		return fmt.Sprintf("%s, %d×%d", text, s.Conv.Kernel, s.Conv.Kernel)
	}
	return text
}

// Check returns an error unless an operation computes the shape on aligned operands.
func (s Shape) Check() error {
	o := Find(s.Operation)
	if o == nil {
		return fmt.Errorf("kernels: shape of operation %q, want one of %v", s.Operation, operationNames())
	}
	ok := s.Rows > 0 && s.Cols > 0
	for _, n := range []int{
		s.Rows, s.Cols, s.Depth, s.Beside, s.Heads, s.KVHeads, s.Conv.Height, s.Conv.Width, s.Conv.Kernel,
	} {
		ok = ok && n >= 0 && n < maxElements
	}
	if ok = ok && o.Fits(s); ok {
		for _, m := range o.Operands(s) {
			ok = ok && m.Rows*m.Cols < maxElements
		}
	}
	if !ok {
		return fmt.Errorf("kernels: shape %v: want one that %s computes on aligned operands", s, s.Operation)
	}
	return nil
}

func operationNames() []string {
	var names []string
	for _, o := range Operations() {
		names = append(names, o.Name)
	}
	return names
}

// FLOP counts the floating-point operations of a launch of the shape if it had this number of rows. It returns 0 if
// memory bounds the operation.
func (s Shape) FLOP(rows int) float64 {
	o := Find(s.Operation)
	if o == nil || o.FLOP == nil {
		return 0
	}
	return o.FLOP(s) * float64(rows) / float64(s.Rows)
}

// Half returns the shape with about half as many rows. For a convolution it halves the picture's height, which it keeps
// even, as downsampling wants it. Shapes of patchify and unpatchify cannot be halved.
func (s Shape) Half() Shape {
	if s.Conv == (ConvParams{}) {
		s.Rows /= 2
		return s
	}
	s.Conv.Height = max(s.Conv.Height/4*2, 2)
	s.Rows = s.Conv.outputRows()
	return s
}
