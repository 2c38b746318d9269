package ptxsim

import (
	"math/bits"
)

// integerOps are the arithmetic operations of integers, including those whose names floats share.
var integerOps = map[string]func(d *decoder){
	"add":   func(d *decoder) { d.arithmetic("add") },
	"sub":   func(d *decoder) { d.arithmetic("sub") },
	"mul":   func(d *decoder) { d.arithmetic("mul") },
	"mad":   func(d *decoder) { d.arithmetic("mad") },
	"min":   func(d *decoder) { d.arithmetic("min") },
	"max":   func(d *decoder) { d.arithmetic("max") },
	"abs":   func(d *decoder) { d.arithmetic("abs") },
	"neg":   func(d *decoder) { d.arithmetic("neg") },
	"div":   func(d *decoder) { d.arithmetic("div") },
	"rem":   func(d *decoder) { d.arithmetic("rem") },
	"addc":  func(d *decoder) { d.carry(false, true) },
	"subc":  func(d *decoder) { d.carry(true, true) },
	"mul24": decodeMul24,
	"mad24": decodeMul24,
	"sad":   decodeSad,
	"dp4a":  decodeDotProduct,
	"dp2a":  decodeDotProduct,
}

// arithmetic decodes an operation of integers or floats, depending on its type.
func (d *decoder) arithmetic(name string) {
	t := d.typ()
	switch t {
	case "f32", "f64", "f16", "f16x2", "bf16", "bf16x2":
		d.float(name, t)
	case "u16", "s16", "u32", "s32", "u64", "s64":
		d.integer(name, t)
	default:
		d.fail("type .%s of %s is not supported", t, name)
	}
}

func (d *decoder) integer(name, t string) {
	signed, size := t[0] == 's', width(t)
	switch name {
	case "abs", "neg":
		d.elementwise(size, 1)
		negate := name == "neg"
		d.in.run = lanes1(func(a uint32) uint32 {
			if s := signExtend(a, size); negate || s < 0 {
				return truncate(uint32(-s), size)
			}
			return a
		})
		if size == 64 {
			d.in.run = lanes1wide(func(a uint64) uint64 {
				if negate || int64(a) < 0 {
					return -a
				}
				return a
			})
		}
	case "mul", "mad":
		d.multiply(name, signed, size)
	case "add", "sub":
		if d.has("cc") {
			d.mods = append(d.mods, "cc", t)
			d.carry(name == "sub", false)
			return
		}
		if d.has("sat") {
			if t != "s32" {
				d.fail("saturation of type .%s", t)
			}
			name += ".sat"
		}
		d.elementwise(size, 2)
		d.in.run = integer2(name, signed, size)
	default:
		d.elementwise(size, 2)
		d.in.run = integer2(name, signed, size)
		if name == "div" || name == "rem" {
			d.in.run = refuseZero(d.in.run, size)
		}
	}
}

// integer2 returns an operation on two integers of size bits: 16, 32 or 64.
func integer2(name string, signed bool, size int) exec {
	if size == 64 {
		return integer2wide(name, signed)
	}
	if size == 32 {
		switch name {
		case "add":
			return add32
		case "sub":
			return sub32
		}
	}
	var f func(a, b int64) int64
	switch name {
	case "add":
		f = func(a, b int64) int64 { return a + b }
	case "sub":
		f = func(a, b int64) int64 { return a - b }
	case "add.sat":
		f = func(a, b int64) int64 { return min(max(a+b, -1<<31), 1<<31-1) }
	case "sub.sat":
		f = func(a, b int64) int64 { return min(max(a-b, -1<<31), 1<<31-1) }
	case "min":
		f = func(a, b int64) int64 { return min(a, b) }
	case "max":
		f = func(a, b int64) int64 { return max(a, b) }
	case "div":
		f = func(a, b int64) int64 { return a / b }
	case "rem":
		f = func(a, b int64) int64 { return a % b }
	}
	return lanes2(func(a, b uint32) uint32 {
		if signed {
			return truncate(uint32(f(int64(signExtend(a, size)), int64(signExtend(b, size)))), size)
		}
		return truncate(uint32(f(int64(a), int64(b))), size)
	})
}

func integer2wide(name string, signed bool) exec {
	switch name {
	case "add":
		return add64
	case "sub":
		return lanes2wide(func(a, b uint64) uint64 { return a - b })
	}
	unsigned := map[string]func(a, b uint64) uint64{
		"min": func(a, b uint64) uint64 { return min(a, b) },
		"max": func(a, b uint64) uint64 { return max(a, b) },
		"div": func(a, b uint64) uint64 { return a / b },
		"rem": func(a, b uint64) uint64 { return a % b },
	}
	if !signed {
		return lanes2wide(unsigned[name])
	}
	f := map[string]func(a, b int64) int64{
		"min": func(a, b int64) int64 { return min(a, b) },
		"max": func(a, b int64) int64 { return max(a, b) },
		"div": func(a, b int64) int64 { return a / b },
		"rem": func(a, b int64) int64 { return a % b },
	}[name]
	return lanes2wide(func(a, b uint64) uint64 { return uint64(f(int64(a), int64(b))) })
}

// refuseZero returns run with a fault for a zero divisor, for which PTX defines no result.
func refuseZero(run exec, size int) exec {
	return func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			if size == 64 && w.r64[in.b][l] == 0 || size != 64 && w.r32[in.b][l] == 0 {
				w.fault(in, 1<<l, "integer division by zero")
			}
		}
		run(w, in, active)
	}
}

func add32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] + b[l]
	}
	w.end32(in.d, active)
}

func sub32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] - b[l]
	}
	w.end32(in.d, active)
}

func add64(w *warp, in *instr, active uint32) {
	a, b, t := &w.r64[in.a], &w.r64[in.b], w.begin64(in.d, active)
	for l := range t {
		t[l] = a[l] + b[l]
	}
	w.end64(in.d, active)
}

func mulLow32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] * b[l]
	}
	w.end32(in.d, active)
}

func madLow32(w *warp, in *instr, active uint32) {
	a, b, c, t := &w.r32[in.a], &w.r32[in.b], &w.r32[in.c], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l]*b[l] + c[l]
	}
	w.end32(in.d, active)
}

// mulWide returns the operation with 64-bit products of 32-bit factors.
func mulWide(signed bool) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin64(in.d, active)
		if signed {
			for l := range t {
				t[l] = uint64(int64(int32(a[l])) * int64(int32(b[l])))
			}
		} else {
			for l := range t {
				t[l] = uint64(a[l]) * uint64(b[l])
			}
		}
		w.end64(in.d, active)
	}
}

func madWide(signed bool) exec {
	return func(w *warp, in *instr, active uint32) {
		a, b, c, t := &w.r32[in.a], &w.r32[in.b], &w.r64[in.c], w.begin64(in.d, active)
		for l := range t {
			if signed {
				t[l] = uint64(int64(int32(a[l]))*int64(int32(b[l]))) + c[l]
			} else {
				t[l] = uint64(a[l])*uint64(b[l]) + c[l]
			}
		}
		w.end64(in.d, active)
	}
}

// multiply decodes mul and mad in their lo, hi and wide forms.
func (d *decoder) multiply(name string, signed bool, size int) {
	part := d.want("lo", "hi", "wide")
	mad := name == "mad"
	if part == "wide" {
		sources := 2
		if mad {
			sources = 3
		}
		if size == 64 || !d.operands(sources+1, sources+1) {
			d.fail("a product wider than 64 bits")
			return
		}
		d.in.d, d.in.a, d.in.b = d.write(0, 2*size), d.read(1, size), d.read(2, size)
		if mad {
			d.in.c = d.read(3, 2*size)
		}
		switch {
		case size == 32 && mad:
			d.in.run = madWide(signed)
		case size == 32:
			d.in.run = mulWide(signed)
		case mad:
			d.in.run = lanes3(func(a, b, c uint32) uint32 { return extend(a, signed, 16)*extend(b, signed, 16) + c })
		default:
			d.in.run = lanes2(func(a, b uint32) uint32 { return extend(a, signed, 16) * extend(b, signed, 16) })
		}
		return
	}
	if mad {
		d.elementwise(size, 3)
	} else {
		d.elementwise(size, 2)
	}
	switch {
	case part == "lo" && size == 32 && mad:
		d.in.run = madLow32
	case part == "lo" && size == 32:
		d.in.run = mulLow32
	case size == 64:
		product := func(a, b uint64) uint64 { return a * b }
		if part == "hi" {
			product = func(a, b uint64) uint64 {
				hi, _ := bits.Mul64(a, b)
				if signed {
					hi -= uint64(int64(a)>>63)&b + uint64(int64(b)>>63)&a
				}
				return hi
			}
		}
		d.in.run = lanes2wide(product)
		if mad {
			d.in.run = lanes3wide(func(a, b, c uint64) uint64 { return product(a, b) + c })
		}
	default:
		shift := 0
		if part == "hi" {
			shift = size
		}
		product := func(a, b uint32) uint32 {
			if signed {
				return uint32(int64(signExtend(a, size)) * int64(signExtend(b, size)) >> shift)
			}
			return uint32(uint64(a) * uint64(b) >> shift)
		}
		d.in.run = lanes2(func(a, b uint32) uint32 { return truncate(product(a, b), size) })
		if mad {
			d.in.run = lanes3(func(a, b, c uint32) uint32 { return truncate(product(a, b)+c, size) })
		}
	}
}

// carry decodes additions and subtractions that read or write the carry flag. The flag is a predicate row, which the
// first such instruction of a program creates.
func (d *decoder) carry(subtract, in bool) {
	t := d.typ()
	out := d.has("cc")
	size := width(t)
	if size < 32 {
		d.fail("type .%s with a carry", t)
		return
	}
	d.elementwise(size, 2)
	row := d.carryRow()
	d.in.imm = int64(row)
	if in {
		d.in.readP = append(d.in.readP, row)
	}
	d.in.run = func(w *warp, ins *instr, active uint32) {
		var left uint32
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			var c, carry uint64
			if in {
				c = uint64(w.p[row] >> l & 1)
			}
			if size == 64 {
				a, b := w.r64[ins.a][l], w.r64[ins.b][l]
				if subtract {
					w.r64[ins.d][l], carry = bits.Sub64(a, b, c)
				} else {
					w.r64[ins.d][l], carry = bits.Add64(a, b, c)
				}
			} else {
				a, b := w.r32[ins.a][l], w.r32[ins.b][l]
				var carry32 uint32
				if subtract {
					w.r32[ins.d][l], carry32 = bits.Sub32(a, b, uint32(c))
				} else {
					w.r32[ins.d][l], carry32 = bits.Add32(a, b, uint32(c))
				}
				carry = uint64(carry32)
			}
			left |= uint32(carry) << l
		}
		if size == 64 {
			w.def64[ins.d] |= active
		} else {
			w.def32[ins.d] |= active
		}
		if out {
			w.setPredicate(row, active, left)
		}
	}
}

func (p *program) carryRow() int32 {
	if p.carryFlag == 0 {
		p.rowsP++
		p.carryFlag = int32(p.rowsP) // one more than the row
	}
	return p.carryFlag - 1
}

func decodeMul24(d *decoder) {
	mad := d.text.Opcode == "mad24"
	t := d.typ()
	signed := t == "s32"
	if t != "u32" && t != "s32" {
		d.fail("type .%s", t)
	}
	shift := 0
	if d.want("lo", "hi") == "hi" {
		shift = 16
	}
	product := func(a, b uint32) uint32 {
		if signed {
			return uint32(int64(int32(a<<8)>>8) * int64(int32(b<<8)>>8) >> shift)
		}
		return uint32(uint64(a&0xffffff) * uint64(b&0xffffff) >> shift)
	}
	if mad {
		d.elementwise(32, 3)
		d.in.run = lanes3(func(a, b, c uint32) uint32 { return product(a, b) + c })
		return
	}
	d.elementwise(32, 2)
	d.in.run = lanes2(product)
}

func decodeSad(d *decoder) {
	t := d.typ()
	if t != "u32" && t != "s32" {
		d.fail("type .%s", t)
	}
	d.elementwise(32, 3)
	signed := t == "s32"
	d.in.run = lanes3(func(a, b, c uint32) uint32 {
		if signed && int32(a) < int32(b) || !signed && a < b {
			a, b = b, a
		}
		return a - b + c
	})
}

// decodeDotProduct decodes dp4a (four products of bytes) and dp2a (two products of a 16-bit half and a byte).
func decodeDotProduct(d *decoder) {
	tb, ta := d.typ(), d.typ()
	if (ta != "u32" && ta != "s32") || (tb != "u32" && tb != "s32") {
		d.fail("types .%s.%s", ta, tb)
	}
	sa, sb := ta == "s32", tb == "s32"
	half := 0
	if d.text.Opcode == "dp2a" {
		if d.want("lo", "hi") == "hi" {
			half = 16
		}
		d.elementwise(32, 3)
		d.in.run = lanes3(func(a, b, c uint32) uint32 {
			b >>= half
			return c + extend(a&0xffff, sa, 16)*extend(b&0xff, sb, 8) + extend(a>>16, sa, 16)*extend(b>>8&0xff, sb, 8)
		})
		return
	}
	d.elementwise(32, 3)
	d.in.run = lanes3(func(a, b, c uint32) uint32 {
		for i := 0; i < 32; i += 8 {
			c += extend(a>>i&0xff, sa, 8) * extend(b>>i&0xff, sb, 8)
		}
		return c
	})
}

// signExtend returns the low size bits of v as a signed number.
func signExtend(v uint32, size int) int32 { return int32(v<<(32-size)) >> (32 - size) }

// extend is signExtend for signed types and the identity for others.
func extend(v uint32, signed bool, size int) uint32 {
	if signed {
		return uint32(signExtend(v, size))
	}
	return v
}

// truncate returns the low size bits of v. Rows contain narrow values in this form.
func truncate(v uint32, size int) uint32 { return v & (allLanes >> (32 - size)) }
