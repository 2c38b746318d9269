package ptxsim

import (
	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// moveOps copy between registers and take addresses.
var moveOps = map[string]func(d *decoder){
	"mov":      decodeMov,
	"cvta":     decodeCvta,
	"isspacep": decodeIsspacep,
}

// decodeMov decodes mov, which copies, packs or unpacks registers. A source without a value is not a fault: the
// destination then has no value either, and its use in a computation is a fault.
func decodeMov(d *decoder) {
	t := d.typ()
	if !d.operands(2, 2) {
		return
	}
	to, from := d.operand(0), d.operand(1)
	switch {
	case to.Kind == ptx.VectorOperand:
		d.unpack(t, to.List, from)
	case from.Kind == ptx.VectorOperand:
		d.pack(t, to, from.List)
	case from.Kind == ptx.SpecialOperand:
		d.moveSpecial(t, to, from.Name)
	case t == "pred":
		d.movePredicate(to, from)
	case width(t) == 64:
		d.in.d, d.in.a = d.writeTo(to, 64), d.peek(from, 64)
		d.in.run = func(w *warp, in *instr, active uint32) {
			a, defined, t := &w.r64[in.a], w.def64[in.a], w.begin64(in.d, active)
			*t = *a
			w.end64(in.d, active)
			w.def64[in.d] &= defined | ^active
		}
	case width(t) >= 16:
		d.in.d, d.in.a = d.writeTo(to, width(t)), d.peek(from, width(t))
		d.in.run = func(w *warp, in *instr, active uint32) {
			a, defined, t := &w.r32[in.a], w.def32[in.a], w.begin32(in.d, active)
			*t = *a
			w.end32(in.d, active)
			w.def32[in.d] &= defined | ^active
		}
	default:
		d.fail("type .%s of mov", t)
	}
}

func (d *decoder) movePredicate(to, from *ptx.Operand) {
	d.in.d = d.writeTo(to, 1)
	if from.Kind == ptx.ImmediateOperand { // mov.pred %p, -1
		value := -uint32(one(from.Value != 0))
		d.in.run = func(w *warp, in *instr, active uint32) { w.setPredicate(in.d, active, value) }
		return
	}
	d.in.a = d.peek(from, 1)
	d.in.run = func(w *warp, in *instr, active uint32) {
		v, defined := w.p[in.a], w.defP[in.a]
		if in.not {
			v = ^v
		}
		w.setPredicate(in.d, active, v)
		w.defP[in.d] &= defined | ^active
	}
}

// unpack decodes a mov from one register to several, the lowest bits first.
func (d *decoder) unpack(t string, to []ptx.Operand, from *ptx.Operand) {
	size, n := width(t), len(to)
	if size < 32 || n != 2 && n != 4 || size/n < 16 {
		d.fail("mov.%s to %d registers", t, n)
		return
	}
	part := size / n
	if size == 64 {
		d.in.a = d.peek(from, 64)
	} else {
		d.in.a = d.peek(from, 32)
	}
	for i := range to {
		if to[i].Kind == ptx.SinkOperand {
			d.in.list = append(d.in.list, -1)
		} else {
			d.in.list = append(d.in.list, d.writeTo(&to[i], part))
		}
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		var source [32]uint64
		var defined uint32
		if size == 64 {
			source, defined = w.r64[in.a], w.def64[in.a]
		} else {
			defined = w.def32[in.a]
			for l, v := range w.r32[in.a] {
				source[l] = uint64(v)
			}
		}
		for i, row := range in.list {
			if row < 0 {
				continue
			}
			t := w.begin32(row, active)
			for l := range t {
				t[l] = truncate(uint32(source[l]>>(i*part)), part)
			}
			w.end32(row, active)
			w.def32[row] &= defined | ^active
		}
	}
}

// pack decodes a mov from several registers to one.
func (d *decoder) pack(t string, to *ptx.Operand, from []ptx.Operand) {
	size, n := width(t), len(from)
	if size < 32 || n != 2 && n != 4 || size/n < 16 {
		d.fail("mov.%s from %d registers", t, n)
		return
	}
	part := size / n
	d.in.d = d.writeTo(to, size)
	for i := range from {
		d.in.list = append(d.in.list, d.peek(&from[i], part))
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		var sum [32]uint64
		defined := uint32(allLanes)
		for i, row := range in.list {
			defined &= w.def32[row]
			for l, v := range w.r32[row] {
				sum[l] |= uint64(v) << (i * part)
			}
		}
		if size == 64 {
			*w.begin64(in.d, active) = sum
			w.end64(in.d, active)
			w.def64[in.d] &= defined | ^active
			return
		}
		t := w.begin32(in.d, active)
		for l := range t {
			t[l] = uint32(sum[l])
		}
		w.end32(in.d, active)
		w.def32[in.d] &= defined | ^active
	}
}

// moveSpecial decodes a mov from a special register. Clocks are read when the instruction runs; the other special
// registers are rows.
func (d *decoder) moveSpecial(t string, to *ptx.Operand, name string) {
	size := width(t)
	switch name {
	case "%clock", "%clock_hi", "%clock64", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi":
		// The time is the number of instructions that the warp has run.
		d.in.d = d.writeTo(to, size)
		d.in.run = func(w *warp, in *instr, active uint32) {
			v := uint64(w.steps)
			if name == "%clock_hi" || name == "%globaltimer_hi" {
				v >>= 32
			}
			if size == 64 {
				t := w.begin64(in.d, active)
				for l := range t {
					t[l] = v
				}
				w.end64(in.d, active)
				return
			}
			t := w.begin32(in.d, active)
			for l := range t {
				t[l] = uint32(v)
			}
			w.end32(in.d, active)
		}
		return
	}
	d.in.d = d.writeTo(to, size)
	d.in.a = d.specialRow(name, 32)
	switch {
	case size == 1:
		d.in.run = func(w *warp, in *instr, active uint32) { w.setPredicate(in.d, active, -w.r32[in.a][0]) }
	case size == 64:
		d.in.run = widen(func(a uint32) uint64 { return uint64(a) })
	default:
		d.in.run = lanes1(func(a uint32) uint32 { return truncate(a, size) })
	}
}

// decodeCvta decodes cvta, which converts between the addresses of a space and generic ones.
func decodeCvta(d *decoder) {
	to := d.has("to")
	sp := spaceByName[d.want("global", "shared", "shared::cta", "shared::cluster", "local", "const", "param")]
	if t := d.typ(); t != "u64" || !d.operands(2, 2) {
		d.fail("type .%s of cvta, want .u64", t)
		return
	}
	d.in.d = d.write(0, 64)
	// The source is a register, or the name of a variable or parameter, whose value is its address in its space.
	d.in.a = d.read(1, 64)
	base := windows[sp]
	if to {
		base = -base
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		a, t := &w.r64[in.a], w.begin64(in.d, active)
		for l := range t {
			t[l] = a[l] + base
		}
		w.end64(in.d, active)
	}
}

func decodeIsspacep(d *decoder) {
	sp := spaceByName[d.want("global", "shared", "shared::cta", "shared::cluster", "local", "const", "param")]
	if !d.operands(2, 2) {
		return
	}
	d.in.d, d.in.a = d.write(0, 1), d.read(1, 64)
	d.in.run = func(w *warp, in *instr, active uint32) {
		var m uint32
		for l, a := range w.r64[in.a] {
			found, _ := resolveGeneric(a)
			m |= one(found == sp || sp == spaceConst && found == spaceGlobal) << l
		}
		w.setPredicate(in.d, active, m)
	}
}
