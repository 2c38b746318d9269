package ptxsim

import (
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// A decoder converts one PTX instruction to an instr. It keeps the first error; after that its methods return harmless
// values, so that the function that decodes an operation need not check each result.
type decoder struct {
	*program
	function *ptx.Function
	text     *ptx.Instruction
	mods     []string // the modifiers that no method has removed yet
	in       instr
	err      error
	lastType string // of the memory operation being decoded
}

// operation returns the function that decodes an opcode, or nil.
func operation(name string) func(d *decoder) {
	for _, table := range []map[string]func(d *decoder){integerOps, bitOps, floatOps, compareOps, moveOps, convertOps,
		memoryOps, atomicOps, controlOps, warpOps, barrierOps, mbarrierOps, asyncOps, matrixOps, wgmmaOps} {
		if f := table[name]; f != nil {
			return f
		}
	}
	return nil
}

// decode converts instruction index of f. It returns an error if a modifier is left or the operation has set no run.
func (p *program) decode(f *ptx.Function, index int) (instr, error) {
	text := &f.Instructions[index]
	d := &decoder{program: p, function: f, text: text, mods: slices.Clone(text.Modifiers)}
	d.in.source = text
	d.in.guard = -1
	if text.Guard >= 0 {
		d.in.guard, d.in.guardNot = p.functions[f].rows[text.Guard], text.GuardNot
	}
	op := operation(text.Opcode)
	if op == nil {
		return d.in, fmt.Errorf("unknown instruction %s", text.Opcode)
	}
	op(d)
	if d.err == nil && len(d.mods) > 0 {
		d.fail("modifier .%s of %s is not supported", d.mods[0], text.Opcode)
	}
	if d.err == nil && d.in.run == nil {
		d.fail("this form of %s is not supported", text.Opcode)
	}
	return d.in, d.err
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// has removes the modifier mod, and reports whether the instruction had it.
func (d *decoder) has(mod string) bool {
	i := slices.Index(d.mods, mod)
	if i >= 0 {
		d.mods = slices.Delete(d.mods, i, i+1)
	}
	return i >= 0
}

// ignore removes modifiers that make no difference on this device, such as cache hints.
func (d *decoder) ignore(mods ...string) {
	for _, m := range mods {
		d.has(m)
	}
}

// oneOf removes the instruction's first modifier that is among mods, and returns it, or "".
func (d *decoder) oneOf(mods ...string) string {
	for _, m := range d.mods {
		if slices.Contains(mods, m) {
			d.has(m)
			return m
		}
	}
	return ""
}

// want is oneOf, but it is an error if the instruction has none of mods.
func (d *decoder) want(mods ...string) string {
	m := d.oneOf(mods...)
	if m == "" {
		d.fail("%s without one of %v", d.text.Opcode, mods)
	}
	return m
}

// typ removes and returns the last modifier, which is the type.
func (d *decoder) typ() string {
	if len(d.mods) > 0 {
		t := d.mods[len(d.mods)-1]
		if ptx.TypeBytes(t) > 0 || t == "pred" {
			d.mods = d.mods[:len(d.mods)-1]
			return t
		}
	}
	d.fail("%s without a type", d.text.Opcode)
	return "b32"
}

// width returns the size of a type in bits. It is 1 for predicates.
func width(t string) int {
	if t == "pred" {
		return 1
	}
	return ptx.TypeBytes(t) * 8
}

// operands checks the number of operands. It returns false if there is an error, this one or an earlier one.
func (d *decoder) operands(least, most int) bool {
	if n := len(d.text.Operands); n < least || n > most {
		d.fail("%d operands, want %d", n, least)
		return false
	}
	return d.err == nil
}

func (d *decoder) operand(i int) *ptx.Operand {
	if i >= len(d.text.Operands) {
		d.fail("%d operands, want at least %d", len(d.text.Operands), i+1)
		return &ptx.Operand{Kind: ptx.SinkOperand}
	}
	return &d.text.Operands[i]
}

// register returns the row of a register operand and its size in bits.
func (d *decoder) register(o *ptx.Operand) (row int32, bits int) {
	return d.functions[d.function].rows[o.Register], width(d.function.Registers[o.Register].Type)
}

// write returns the row for operand i, a result of the given number of bits. For the sink _ that is a new row.
func (d *decoder) write(i, bits int) int32 { return d.writeTo(d.operand(i), bits) }

func (d *decoder) writeTo(o *ptx.Operand, bits int) int32 {
	if o.Kind == ptx.SinkOperand {
		if bits == 1 {
			d.rowsP++
			return int32(d.rowsP - 1)
		}
		if bits == 64 {
			return d.newRow64()
		}
		return d.newRow32()
	}
	if o.Kind != ptx.RegisterOperand {
		d.fail("the result is not a register")
		return 0
	}
	row, have := d.register(o)
	if file(have) != file(bits) {
		d.fail("a result of %d bits in register %s of %d", bits, d.function.Registers[o.Register].Name, have)
		return 0
	}
	if file(bits) == 32 {
		d.in.write32 = append(d.in.write32, row)
	}
	return row
}

// file returns the width of the register file for values of the given number of bits: 1, 32 or 64.
func file(bits int) int {
	if bits == 8 || bits == 16 {
		return 32
	}
	return bits
}

// read returns the row of operand i, a source of the given number of bits. The row is checked for a value whenever the
// instruction runs.
func (d *decoder) read(i, bits int) int32 { return d.readFrom(d.operand(i), bits) }

func (d *decoder) readFrom(o *ptx.Operand, bits int) int32 {
	row := d.peek(o, bits)
	switch file(bits) {
	case 1:
		d.in.readP = append(d.in.readP, row)
	case 32:
		d.in.read32 = append(d.in.read32, row)
	case 64:
		d.in.read64 = append(d.in.read64, row)
	}
	return row
}

// peek is readFrom without the check for a value.
func (d *decoder) peek(o *ptx.Operand, bits int) int32 {
	switch o.Kind {
	case ptx.RegisterOperand:
		row, have := d.register(o)
		if file(have) != file(bits) {
			d.fail("a source of %d bits in register %s of %d", bits, d.function.Registers[o.Register].Name, have)
			return 0
		}
		if o.Not {
			if bits != 1 || d.in.not {
				d.fail("! before this operand is not supported")
			}
			d.in.not = true
		}
		return row
	case ptx.ImmediateOperand:
		return d.immediate(o, bits)
	case ptx.SymbolOperand:
		v, _ := d.address(o)
		return d.immediate(&ptx.Operand{Value: v + uint64(o.Offset)}, bits)
	case ptx.SpecialOperand:
		d.fail("special register %s outside mov", o.Name)
		return 0
	}
	d.fail("this kind of source is not supported")
	return 0
}

func (d *decoder) immediate(o *ptx.Operand, bits int) int32 {
	switch {
	case bits == 64:
		if o.Float == 32 {
			d.fail("found a 32-bit float, want 64 bits")
		}
		return d.value64(o.Value)
	case bits == 1:
		d.fail("an immediate predicate is not supported here")
		return 0
	case bits == 16:
		return d.value32(uint32(o.Value & 0xffff))
	case o.Float == 64:
		d.fail("found a 64-bit float, want %d bits", bits)
	}
	return d.value32(uint32(o.Value))
}

// address returns the address and the space of a variable.
func (d *decoder) address(o *ptx.Operand) (uint64, space) {
	v := o.Variable
	if at, ok := d.shared[v]; ok {
		return uint64(at), spaceShared
	}
	if at, ok := d.local[v]; ok {
		return uint64(at), spaceLocal
	}
	if at, ok := d.params[v]; ok {
		return uint64(at), spaceParam
	}
	if at, ok := d.globals[v]; ok {
		return at, spaceGlobal
	}
	d.fail("variable %s cannot be used here", v.Name)
	return 0, 0
}

// locate decodes the address operand i into in.a, in.wide and in.imm. It returns the space of the variable that it
// names, or 0 if it names none.
func (d *decoder) locate(i int) space { return d.locateOperand(d.operand(i)) }

func (d *decoder) locateOperand(o *ptx.Operand) space {
	if o.Kind != ptx.AddressOperand {
		d.fail("found no address in brackets")
		return 0
	}
	base := &o.List[0]
	d.in.imm = o.Offset
	switch base.Kind {
	case ptx.RegisterOperand:
		row, bits := d.register(base)
		d.in.a, d.in.wide = row, bits == 64
		if bits == 64 {
			d.in.read64 = append(d.in.read64, row)
		} else if bits == 32 {
			d.in.read32 = append(d.in.read32, row)
		} else {
			d.fail("an address in a register of %d bits", bits)
		}
	case ptx.SymbolOperand:
		at, sp := d.address(base)
		d.in.a, d.in.wide = d.value64(at), true
		return sp
	case ptx.ImmediateOperand:
		d.in.a, d.in.wide = d.value64(base.Value), true
	default:
		d.fail("an address of this kind is not supported")
	}
	return 0
}

// vector returns the elements of {a, b, …}, or the operand itself.
func vector(o *ptx.Operand) []ptx.Operand {
	if o.Kind == ptx.VectorOperand {
		return o.List
	}
	return []ptx.Operand{*o}
}

func (d *decoder) readVector(i, count, bits int) []int32 {
	list := vector(d.operand(i))
	if len(list) != count {
		d.fail("a vector of %d registers, want %d", len(list), count)
		return make([]int32, count)
	}
	rows := make([]int32, count)
	for j := range list {
		rows[j] = d.readFrom(&list[j], bits)
	}
	return rows
}

func (d *decoder) writeVector(i, count, bits int) []int32 {
	list := vector(d.operand(i))
	if len(list) != count {
		d.fail("a vector of %d registers, want %d", len(list), count)
		return make([]int32, count)
	}
	rows := make([]int32, count)
	for j := range list {
		rows[j] = d.writeTo(&list[j], bits)
	}
	return rows
}

// constant returns the value of an immediate operand.
func (d *decoder) constant(i int) int64 {
	o := d.operand(i)
	if o.Kind != ptx.ImmediateOperand || o.Float != 0 {
		d.fail("operand %d is not a constant", i+1)
	}
	return int64(o.Value)
}

// needHopper fails unless the module's target is sm_90 or newer.
func (d *decoder) needHopper() { d.needTarget(d.text.Opcode, 90) }

// needTarget fails unless the module's target is sm_number or newer.
func (d *decoder) needTarget(what string, number int) {
	if targetNumber(d.module.Target) < number {
		d.fail("%s needs target sm_%d or newer, the module is for %s", what, number, d.module.Target)
	}
}

// needVersion fails if the module's PTX version is older than version.
func (d *decoder) needVersion(what, version string) {
	if versionNumber(d.module.Version) < versionNumber(version) {
		d.fail("%s needs PTX %s or newer, the module has %s", what, version, d.module.Version)
	}
}
