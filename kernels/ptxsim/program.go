package ptxsim

import (
	"fmt"
	"slices"

	"kleinbild/kernels/ptxsim/ptx"
)

// exec carries out one instruction for the lanes of active.
type exec func(w *warp, in *instr, active uint32)

// An instr is an instruction ready to run. Registers are rows of the warp's files: r32 holds everything up to 32 bits,
// r64 the 64-bit registers, p the predicates. Constants and special registers are rows like any other.
type instr struct {
	run        exec
	guard      int32 // predicate row, -1 for none
	guardNot   bool
	not        bool // a negated predicate operand
	flag       bool // meaning is the operation's own
	wide       bool // an address in a 64-bit row
	space      space
	bits       uint8 // of an element, or a small number of the operation's own
	count      uint8 // of vector elements
	d, a, b, c int32
	e          int32 // fourth source or second destination
	imm        int64
	list       []int32 // vectors, fragments
	lanes      membership
	detail     any // rarer operations keep their description here
	// Rows whose definedness is checked, and rows written: what wgmma may still own must be in neither.
	read32, read64, readP []int32
	write32               []int32
	source                *ptx.Instruction
}

// A program is one kernel with the device functions that it calls.
type program struct {
	name       string
	module     *ptx.Module
	entry      *ptx.Function
	code       []instr
	rows32     int
	rows64     int
	rowsP      int
	constant32 map[uint32]int32
	constant64 map[uint64]int32
	special    map[string]int32 // rows of r32

	registers int // of the kernel's own declaration, for Attributes
	params    map[*ptx.Variable]int
	paramSize int
	shared    map[*ptx.Variable]int
	// Static shared bytes, and where the dynamic part begins.
	staticShared, dynamicShared int
	local                       map[*ptx.Variable]int
	localSize                   int
	globals                     map[*ptx.Variable]uint64 // addresses, of the loaded module
	functions                   map[*ptx.Function]*placed
	asyncAgents                 bool  // uses bulk copies or wgmma: their reads need agents of their own
	wgmma                       bool  // registers may be in flight
	hopper                      bool  // the target has sm_90's instructions
	carryFlag                   int32 // row of the carry + 1, 0 where not used
}

// placed is where a function's registers and code went.
type placed struct {
	rows  []int32 // by register index, in the file of its type
	first int     // of code
	ret   int32   // row of r32 that holds the return address
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// compile turns a kernel into a program. Its errors name the line of the PTX text.
func compile(m *ptx.Module, entry *ptx.Function, globals map[*ptx.Variable]uint64) (*program, error) {
	p := &program{name: entry.Name, module: m, entry: entry, registers: len(entry.Registers), globals: globals,
		constant32: map[uint32]int32{}, constant64: map[uint64]int32{}, special: map[string]int32{},
		params: map[*ptx.Variable]int{}, shared: map[*ptx.Variable]int{}, local: map[*ptx.Variable]int{},
		functions: map[*ptx.Function]*placed{}, hopper: targetNumber(m.Target) >= 90}
	for _, v := range entry.Params {
		p.paramSize = roundUp(p.paramSize, v.Align)
		p.params[v] = p.paramSize
		p.paramSize += v.Size()
	}
	order, err := p.reach(entry)
	if err != nil {
		return nil, err
	}
	p.layoutShared(order)
	at := 0
	for _, f := range order {
		pl := &placed{first: at, rows: make([]int32, len(f.Registers)), ret: p.newRow32()}
		for i, r := range f.Registers {
			switch {
			case r.Type == "pred":
				pl.rows[i] = int32(p.rowsP)
				p.rowsP++
			case ptx.TypeBytes(r.Type) == 8:
				pl.rows[i] = p.newRow64()
			default:
				pl.rows[i] = p.newRow32()
			}
		}
		p.functions[f] = pl
		at += len(f.Instructions) + 1
		vars := f.Variables
		if !f.Entry {
			vars = slices.Concat(vars, f.Params, f.Returns)
		}
		for _, v := range vars {
			if v.Space == "local" || v.Space == "param" {
				p.localSize = roundUp(p.localSize, v.Align)
				p.local[v] = p.localSize
				p.localSize += v.Size()
			}
		}
	}
	p.localSize = roundUp(p.localSize, 16)
	for _, f := range order {
		for i := range f.Instructions {
			in, err := p.decode(f, i)
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %s: %w", f.Name, f.Instructions[i].Line, f.Instructions[i].Text, err)
			}
			p.code = append(p.code, in)
		}
		p.code = append(p.code, endOfFunction(f))
	}
	return p, nil
}

// reach lists the kernel and the functions it calls, and refuses recursion and calls of what has no body.
func (p *program) reach(entry *ptx.Function) ([]*ptx.Function, error) {
	var order []*ptx.Function
	state := map[*ptx.Function]int{}
	var visit func(f *ptx.Function) error
	visit = func(f *ptx.Function) error {
		state[f] = 1
		order = append(order, f)
		for i := range f.Instructions {
			in := &f.Instructions[i]
			for _, o := range in.Operands {
				if o.Kind != ptx.FunctionOperand {
					continue
				}
				callee := p.module.Function(o.Name)
				switch {
				case in.Opcode != "call" || callee == nil:
					return fmt.Errorf("%s: line %d: %s: the address of a function is not supported", f.Name, in.Line, in.Text)
				case !callee.Defined:
					return fmt.Errorf("%s: line %d: call of %s, which has no body here", f.Name, in.Line, o.Name)
				case state[callee] == 1:
					return fmt.Errorf("%s: line %d: call of %s: recursion is not supported", f.Name, in.Line, o.Name)
				case state[callee] == 0:
					if err := visit(callee); err != nil {
						return err
					}
				}
			}
		}
		state[f] = 2
		return nil
	}
	return order, visit(entry)
}

// layoutShared places the static shared variables, those with the widest alignment first as declared, and the dynamic
// array behind them at its declared alignment.
func (p *program) layoutShared(order []*ptx.Function) {
	vars := slices.Clone(p.module.Variables)
	for _, f := range order {
		vars = append(vars, f.Variables...)
	}
	dynamicAlign := 16
	var dynamic []*ptx.Variable
	used := map[*ptx.Variable]bool{}
	var mark func(list []ptx.Operand)
	mark = func(list []ptx.Operand) {
		for _, o := range list {
			if o.Variable != nil {
				used[o.Variable] = true
			}
			mark(o.List)
		}
	}
	for _, f := range order {
		for i := range f.Instructions {
			mark(f.Instructions[i].Operands)
		}
	}
	for _, v := range vars {
		switch {
		case v.Space != "shared" || !used[v]:
		case v.Extern && v.Count == 0:
			dynamic = append(dynamic, v)
			dynamicAlign = max(dynamicAlign, v.Align)
		default:
			p.staticShared = roundUp(p.staticShared, v.Align)
			p.shared[v] = p.staticShared
			p.staticShared += v.Size()
		}
	}
	p.dynamicShared = roundUp(p.staticShared, dynamicAlign)
	for _, v := range dynamic {
		p.shared[v] = p.dynamicShared
	}
}

func (p *program) newRow32() int32 { p.rows32++; return int32(p.rows32 - 1) }
func (p *program) newRow64() int32 { p.rows64++; return int32(p.rows64 - 1) }

func (p *program) value32(v uint32) int32 {
	r, ok := p.constant32[v]
	if !ok {
		r = p.newRow32()
		p.constant32[v] = r
	}
	return r
}

func (p *program) value64(v uint64) int32 {
	r, ok := p.constant64[v]
	if !ok {
		r = p.newRow64()
		p.constant64[v] = r
	}
	return r
}

// targetNumber reads the number of "sm_90a".
func targetNumber(target string) int {
	n := 0
	for _, c := range target {
		if '0' <= c && c <= '9' {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

func endOfFunction(f *ptx.Function) instr {
	end := &ptx.Instruction{Opcode: "end", Text: "the end of " + f.Name, Line: f.Line, Guard: -1}
	if n := len(f.Instructions); n > 0 {
		end.Source, end.Line = f.Instructions[n-1].Source, f.Instructions[n-1].Line
	}
	return instr{guard: -1, source: end,
		run: func(w *warp, in *instr, active uint32) {
			w.fault(in, active, "%s runs past its end: ret or exit is missing", f.Name)
		}}
}
