package ptxsim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// exec runs one instruction for the lanes of active.
type exec func(w *warp, in *instr, active uint32)

// An instr is a decoded instruction. Registers are rows of the warp's register files: r32 for registers of up to 32
// bits, r64 for those of 64 bits, and p for predicates. Constants and special registers are rows too.
type instr struct {
	run        exec
	guard      int32 // the row of the guard predicate, or -1
	guardNot   bool
	not        bool // the predicate operand is negated
	flag       bool // cp.async: the destination's address is in a 64-bit row
	wide       bool // the address is in a 64-bit row
	space      space
	bits       uint8 // of an element in memory
	count      uint8 // of vector elements
	d, a, b, c int32 // rows of the destination and the sources
	e          int32 // the row of a fourth source, a second destination or the member mask
	imm        int64
	list       []int32 // rows of a vector or a fragment; targets of brx
	lanes      membership
	detail     any // *call for a call
	// Rows that must have values, and rows that are written. A wgmma in flight must not own any of them.
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

	params    map[*ptx.Variable]int
	paramSize int
	shared    map[*ptx.Variable]int
	// The size of the static shared memory, and the offset of the dynamic one.
	staticShared, dynamicShared int
	local                       map[*ptx.Variable]int
	localSize                   int
	globals                     map[*ptx.Variable]uint64 // addresses, of the loaded module
	functions                   map[*ptx.Function]*placed
	// the kernel uses mbarriers, bulk copies or wgmma, which are agents of the race check
	asyncAgents bool
	wgmma       bool  // the kernel uses wgmma, so that registers may be in flight
	carryFlag   int32 // the row of the carry flag + 1, or 0
}

// placed has the rows and the code address of a function.
type placed struct {
	rows  []int32 // by register index, in the file of its type
	first int     // the index of the first instruction in program.code
	ret   int32   // the row of r32 with the return address
}

// maxStaticShared is the largest static shared memory of a kernel, in bytes. More must be dynamic.
const maxStaticShared = 48 << 10

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// compile compiles a kernel and the functions that it calls. Its errors name the line of the PTX text.
func compile(m *ptx.Module, entry *ptx.Function, globals map[*ptx.Variable]uint64) (*program, error) {
	p := &program{name: entry.Name, module: m, entry: entry, globals: globals,
		constant32: map[uint32]int32{}, constant64: map[uint64]int32{}, special: map[string]int32{},
		params: map[*ptx.Variable]int{}, shared: map[*ptx.Variable]int{}, local: map[*ptx.Variable]int{},
		functions: map[*ptx.Function]*placed{}}
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
	if p.staticShared > maxStaticShared {
		return nil, fmt.Errorf("%s: %d bytes of static shared memory, want at most %d",
			entry.Name, p.staticShared, maxStaticShared)
	}
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

// reach returns the kernel and the functions that it calls. It returns an error for recursion and for a call of a
// function without a body.
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

// layoutShared assigns offsets to the static shared variables that are used, in the order of declaration, and to the
// dynamic array after them, with their declared alignments.
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

// targetNumber returns 90 for "sm_90a".
func targetNumber(target string) int {
	n := 0
	for _, c := range target {
		if '0' <= c && c <= '9' {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

// versionNumber returns 804 for the PTX version "8.4".
func versionNumber(version string) int {
	major, minor, _ := strings.Cut(version, ".")
	return digits(major)*100 + digits(minor)
}

// endOfFunction returns an instruction behind the last one of f, which faults.
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
