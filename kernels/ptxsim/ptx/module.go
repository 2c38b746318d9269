// Package ptx reads the text of PTX modules: what enters is the assembly that a compiler wrote, what leaves is a Module
// whose names are resolved: registers are indices, labels are instruction numbers, and every instruction carries the
// position in the source file that its .loc directive names.
//
// The package knows the grammar (PTX ISA 9.0, chapters 4, 5, 7, 10 and 11), not the instructions: an opcode is a name
// with modifiers and operands, and what they mean is the reader's business. It refuses what it cannot place: undeclared
// names, aliases, indirect calls, 128-bit registers, textures and surfaces.
package ptx

import "fmt"

// A Module is one PTX text.
type Module struct {
	Version   string         // of the language, as written: "7.0"
	Target    string         // "sm_80"
	Files     map[int]string // .file directives: what Position.File refers to
	Variables []*Variable    // of module scope: .global, .const and .shared
	Functions []*Function    // kernels and device functions in the order of the text; declarations without a body included
}

// Function returns the function of that name, preferring a definition to a declaration, or nil.
func (m *Module) Function(name string) *Function {
	var found *Function
	for _, f := range m.Functions {
		if f.Name == name && (found == nil || f.Defined) {
			found = f
		}
	}
	return found
}

// A Variable is a declaration outside the registers. Param variables are those of a function's head and those that a
// call sequence declares in a body.
type Variable struct {
	Name   string
	Space  string // "global", "const", "shared", "local" or "param"
	Type   string // of an element: "b8", "f32", …
	Align  int    // bytes
	Count  int    // elements; 0 for the extern array whose size the launch gives
	Extern bool
	Init   []Operand // leading elements; the rest is zero. Immediates, and symbols where an address is stored
	Line   int
}

// Size is the variable's extent in bytes.
func (v *Variable) Size() int { return v.Count * TypeBytes(v.Type) }

// A Function is a kernel (.entry) or a device function (.func).
type Function struct {
	Name         string
	Entry        bool
	Defined      bool // has a body
	Returns      []*Variable
	Params       []*Variable
	Registers    []Register
	Variables    []*Variable // shared, local and param variables of the body
	Instructions []Instruction
	MaxThreads   [3]int // .maxntid; zero where absent
	ReqThreads   [3]int // .reqntid; zero where absent
	MinBlocks    int    // .minnctapersm; zero where absent
	Line         int
}

// A Register is a virtual register of a function.
type Register struct {
	Name string
	Type string // "pred", "b16", "f32", …
}

// A Position is a place in the source that the PTX was compiled from; Line 0 where the text has none.
type Position struct {
	File, Line int
	// Caller is where the outermost call stands that the line was inlined into, "gemm.cu:42", if any. PTX before 7.2
	// has no directive for it: it is what clang's comment behind .loc says.
	Caller string
}

// An Instruction is one operation.
type Instruction struct {
	Opcode    string   // up to the first dot
	Modifiers []string // between the dots
	Guard     int      // index of the predicate register, -1 where always executed
	GuardNot  bool
	Operands  []Operand
	Text      string // as written, spaces folded
	Line      int    // in the PTX text
	Source    Position
}

// An OperandKind says which fields of an Operand hold.
type OperandKind uint8

// The kinds of operands.
const (
	RegisterOperand  OperandKind = iota // Register; Not
	ImmediateOperand                    // Value, Float
	SymbolOperand                       // Variable + Offset
	LabelOperand                        // Target
	FunctionOperand                     // Name
	SpecialOperand                      // Name, with its "%"
	VectorOperand                       // List: {a, b}
	AddressOperand                      // List[0] + Offset; further items are the coordinate vectors of [a, {x, y}]
	PairOperand                         // List: a|b
	TupleOperand                        // List: (a, b)
	SinkOperand                         // _
	TableOperand                        // Targets of .branchtargets
)

// An Operand is one argument of an instruction.
type Operand struct {
	Kind     OperandKind
	Register int
	Not      bool // !p
	Value    uint64
	Float    int // 32 or 64 where the immediate was written as a float's bits, else 0
	Variable *Variable
	Offset   int64
	Target   int
	Targets  []int
	Name     string
	List     []Operand
}

// TypeBytes returns the size of a fundamental type by its name without the dot, 0 for a predicate or an unknown name.
func TypeBytes(name string) int {
	switch name {
	case "b8", "u8", "s8":
		return 1
	case "b16", "u16", "s16", "f16", "bf16", "e4m3x2", "e5m2x2":
		return 2
	case "b32", "u32", "s32", "f32", "f16x2", "bf16x2", "tf32":
		return 4
	case "b64", "u64", "s64", "f64":
		return 8
	case "b128":
		return 16
	}
	return 0
}

// A SyntaxError is a text that is not PTX as this package reads it.
type SyntaxError struct {
	Line    int
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("ptx: line %d: %s", e.Line, e.Message) }
