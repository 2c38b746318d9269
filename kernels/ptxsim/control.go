package ptxsim

import (
	"math/bits"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// controlOps are branches, calls, returns and exits.
var controlOps = map[string]func(d *decoder){
	"bra":  decodeBranch,
	"brx":  decodeIndirectBranch,
	"call": decodeCall,
	"ret":  decodeReturn,
	"exit": func(d *decoder) {
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.exit(active) }
	},
	"trap": func(d *decoder) {
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.fault(in, active, "trap") }
	},
	"brkpt": func(d *decoder) { d.in.run = nop },
	"griddepcontrol": func(d *decoder) { // does nothing, because grids run one after the other
		d.needHopper()
		d.want("launch_dependents", "wait")
		d.in.run = nop
	},
	"nanosleep": func(d *decoder) { d.ignore("u32"); d.read(0, 32); d.in.run = yield },
}

func nop(*warp, *instr, uint32) {}

// yield lets other warps run.
func yield(w *warp, _ *instr, _ uint32) { w.state = yielded }

// codeAddress returns the index in program.code of the function's instruction target. For a label behind the last
// instruction, that is the instruction of endOfFunction, which faults.
func (d *decoder) codeAddress(target int) int64 {
	return int64(d.functions[d.function].first + target)
}

func decodeBranch(d *decoder) {
	d.ignore("uni")
	if !d.operands(1, 1) {
		return
	}
	o := d.operand(0)
	if o.Kind != ptx.LabelOperand {
		d.fail("the target is not a label")
		return
	}
	d.in.imm = d.codeAddress(o.Target)
	d.in.run = func(w *warp, in *instr, active uint32) { w.branch(int(in.imm), active) }
}

// branch moves the lanes of active to the instruction target. The other lanes continue with the next instruction.
func (w *warp) branch(target int, active uint32) {
	if active == w.active {
		w.next = target
		return
	}
	w.groups = append(w.groups, group{pc: target, mask: active})
	w.active &^= active
}

func decodeIndirectBranch(d *decoder) {
	d.want("idx")
	d.ignore("uni")
	if !d.operands(2, 2) {
		return
	}
	d.in.a = d.read(0, 32)
	table := d.operand(1)
	if table.Kind != ptx.TableOperand {
		d.fail("the table is not a .branchtargets label")
		return
	}
	for _, t := range table.Targets {
		d.in.list = append(d.in.list, int32(d.codeAddress(t)))
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		all := w.active
		rest := all &^ active // lanes whose guard is false continue with the next instruction
		for active != 0 {
			l := bits.TrailingZeros32(active)
			index := w.r32[in.a][l]
			if int(index) >= len(in.list) {
				w.fault(in, 1<<l, "branch index %d of %d targets", index, len(in.list))
			}
			var same uint32
			for m := active; m != 0; m &= m - 1 {
				if k := bits.TrailingZeros32(m) & 31; w.r32[in.a][k] == index {
					same |= 1 << k
				}
			}
			active &^= same
			if active == 0 && rest == 0 {
				w.active, w.next = same, int(in.list[index])
				return
			}
			w.groups = append(w.groups, group{pc: int(in.list[index]), mask: same})
		}
		w.active = rest
	}
}

// A call copies arguments between the parameter variables of the caller and the callee, which are all in the warp's
// local memory. Because recursion is not supported, each function has its variables at fixed offsets, and its return
// address in a register of its own.
type call struct {
	callee                *placed
	in, out               []parameterCopy
	rows32, rows64, rowsP []int32 // registers of the callee, which have no value at its start
}

// A parameterCopy has offsets in local memory.
type parameterCopy struct{ from, to, bytes int }

func decodeCall(d *decoder) {
	d.ignore("uni")
	if !d.operands(1, 3) {
		return
	}
	ops := d.text.Operands
	var returns, args []ptx.Operand
	if ops[0].Kind == ptx.TupleOperand {
		returns, ops = ops[0].List, ops[1:]
	}
	if len(ops) == 0 || ops[0].Kind != ptx.FunctionOperand {
		d.fail("indirect calls are not supported")
		return
	}
	if len(ops) > 1 && ops[1].Kind == ptx.TupleOperand {
		args = ops[1].List
	}
	f := d.module.Function(ops[0].Name)
	if len(returns) != len(f.Returns) || len(args) != len(f.Params) {
		d.fail("%d results and %d arguments, want %d and %d", len(returns), len(args), len(f.Returns), len(f.Params))
		return
	}
	c := &call{callee: d.functions[f]}
	match := func(actual ptx.Operand, formal *ptx.Variable) (int, int, int) {
		if actual.Kind != ptx.SymbolOperand || actual.Variable.Space != "param" || actual.Variable.Size() != formal.Size() {
			d.fail("an argument that is not a parameter variable of the same size")
			return 0, 0, 0
		}
		at, _ := d.address(&actual)
		return int(at), d.local[formal], formal.Size()
	}
	for i, v := range f.Params {
		from, to, n := match(args[i], v)
		c.in = append(c.in, parameterCopy{from, to, n})
	}
	for i, v := range f.Returns {
		to, from, n := match(returns[i], v)
		c.out = append(c.out, parameterCopy{from, to, n})
	}
	for i, r := range f.Registers {
		row := c.callee.rows[i]
		switch file(width(r.Type)) {
		case 1:
			c.rowsP = append(c.rowsP, row)
		case 32:
			c.rows32 = append(c.rows32, row)
		case 64:
			c.rows64 = append(c.rows64, row)
		}
	}
	d.in.detail = c
	d.in.run = runCall
}

func runCall(w *warp, in *instr, active uint32) {
	c := in.detail.(*call)
	w.copyParameters(c.in, active)
	for _, r := range c.rows32 {
		w.def32[r] &^= active
	}
	for _, r := range c.rows64 {
		w.def64[r] &^= active
	}
	for _, r := range c.rowsP {
		w.defP[r] &^= active
	}
	for m := active; m != 0; m &= m - 1 {
		w.r32[c.callee.ret][bits.TrailingZeros32(m)&31] = uint32(w.pc)
	}
	w.branch(c.callee.first, active)
}

func (w *warp) copyParameters(list []parameterCopy, active uint32) {
	for m := active; m != 0; m &= m - 1 {
		base := bits.TrailingZeros32(m) * w.program.localSize
		for _, c := range list {
			copy(w.local[base+c.to:base+c.to+c.bytes], w.local[base+c.from:])
			copy(w.localInit[base+c.to:base+c.to+c.bytes], w.localInit[base+c.from:])
		}
	}
}

func decodeReturn(d *decoder) {
	d.ignore("uni")
	d.operands(0, 0)
	if d.function.Entry {
		d.in.run = func(w *warp, in *instr, active uint32) { w.exit(active) }
		return
	}
	d.in.a = d.functions[d.function].ret
	d.in.run = func(w *warp, in *instr, active uint32) {
		rest := w.active &^ active
		for active != 0 { // one group for each call that the lanes came from
			from := w.r32[in.a][bits.TrailingZeros32(active)]
			var same uint32
			for m := active; m != 0; m &= m - 1 {
				if l := bits.TrailingZeros32(m) & 31; w.r32[in.a][l] == from {
					same |= 1 << l
				}
			}
			w.copyParameters(w.program.code[from].detail.(*call).out, same)
			active &^= same
			if active == 0 && rest == 0 {
				w.active, w.next = same, int(from)+1
				return
			}
			w.groups = append(w.groups, group{pc: int(from) + 1, mask: same})
		}
		w.active = rest
	}
}

// exit ends lanes. Lanes that are parked at a collective check it again, because they may have waited for these lanes.
func (w *warp) exit(active uint32) {
	w.live &^= active
	w.active &^= active
	for i := range w.groups {
		w.groups[i].parked = false
	}
	if w.active == 0 {
		w.runOtherGroup()
	}
}
