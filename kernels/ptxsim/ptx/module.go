// Package ptx parses PTX modules. Parse takes the text that a compiler wrote and returns a Module whose names are
// resolved: registers are indices, labels are instruction numbers, and every instruction has the source position of its
// .loc directive.
//
// The package knows the grammar (PTX ISA 9.0, chapters 4, 5, 7, 10 and 11), but not the instructions: an Instruction
// has an opcode, modifiers and operands, and the caller must know what they mean. Undeclared names, aliases, indirect
// calls, 128-bit registers, textures and surfaces are errors.
package ptx

import "fmt"

// A Module is a parsed PTX text.
type Module struct {
	Version   string         // of the language, as written: "7.0"
	Target    string         // "sm_80"
	Files     map[int]string // .file directives: what Position.File refers to
	Variables []*Variable    // of module scope: .global, .const and .shared
	Functions []*Function    // kernels and device functions in the order of the text, including declarations
}

// Function returns the function called name, or nil. If the text has a definition and declarations of it, it returns
// the definition.
func (m *Module) Function(name string) *Function {
	var found *Function
	for _, f := range m.Functions {
		if f.Name == name && (found == nil || f.Defined) {
			found = f
		}
	}
	return found
}

// A Variable is a declared variable in memory. Variables of the space "param" are the parameters of a function, and the
// arguments and results of a call, which a body declares.
type Variable struct {
	Name   string
	Space  string // "global", "const", "shared", "local" or "param"
	Type   string // of an element: "b8", "f32", …
	Align  int    // bytes
	Count  int    // elements; 0 for an extern array, whose size is set at the launch
	Extern bool
	Init   []Operand // the values of the first elements (immediates, or symbols for addresses); the others are zero
	Line   int
}

// Size returns the size of the variable in bytes.
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

// A Position is a line of the source that the PTX was compiled from. Line is 0 if it is not known.
type Position struct {
	File, Line int
	// Caller is the place of the outermost call that the line was inlined at, such as "gemm.cu:42", or "". It is from
	// clang's comment after .loc, because PTX before 7.2 has no directive for it.
	Caller string
}

// An Instruction is one operation.
type Instruction struct {
	Opcode    string   // the name up to the first dot
	Modifiers []string // without their dots
	Guard     int      // the index of the guard's predicate register, or -1
	GuardNot  bool
	Operands  []Operand
	Text      string // as written, spaces folded
	Line      int    // in the PTX text
	Source    Position
}

// An OperandKind is the kind of an operand. It determines which fields of the Operand are used.
type OperandKind uint8

// The kinds of operands, and the fields that they use.
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
	Float    int // 32 or 64 if the immediate is a float, whose bits Value has; 0 for an integer
	Variable *Variable
	Offset   int64
	Target   int
	Targets  []int
	Name     string
	List     []Operand
}

// TypeBytes returns the size in bytes of a fundamental type, given by its name without the dot. It returns 0 for pred
// and for an unknown name.
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

// A SyntaxError is the error for a text that this package cannot parse.
type SyntaxError struct {
	Line    int
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("ptx: line %d: %s", e.Line, e.Message) }
