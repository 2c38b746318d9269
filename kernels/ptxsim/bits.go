package ptxsim

import "math/bits"

// bitOps are logic operations, shifts and bit fields.
var bitOps = map[string]func(d *decoder){
	"and":   func(d *decoder) { d.logic("and") },
	"or":    func(d *decoder) { d.logic("or") },
	"xor":   func(d *decoder) { d.logic("xor") },
	"not":   decodeNot,
	"cnot":  decodeNot,
	"shl":   decodeShift,
	"shr":   decodeShift,
	"shf":   decodeFunnel,
	"lop3":  decodeLop3,
	"prmt":  decodePrmt,
	"popc":  func(d *decoder) { d.count(bits.OnesCount64) },
	"clz":   func(d *decoder) { d.count(bits.LeadingZeros64) },
	"brev":  decodeReverse,
	"bfind": decodeBfind,
	"bfe":   decodeBfe,
	"bfi":   decodeBfi,
	"bmsk":  decodeBmsk,
	"szext": decodeSzext,
}

func (d *decoder) logic(name string) {
	t := d.typ()
	switch t {
	case "pred":
		if !d.operands(3, 3) {
			return
		}
		d.in.d, d.in.a, d.in.b = d.write(0, 1), d.read(1, 1), d.read(2, 1)
		d.in.run = func(w *warp, in *instr, active uint32) {
			v := w.p[in.a]
			switch name {
			case "and":
				v &= w.p[in.b]
			case "or":
				v |= w.p[in.b]
			default:
				v ^= w.p[in.b]
			}
			w.setPredicate(in.d, active, v)
		}
	case "b64":
		d.elementwise(64, 2)
		d.in.run = lanes2wide(map[string]func(a, b uint64) uint64{
			"and": func(a, b uint64) uint64 { return a & b },
			"or":  func(a, b uint64) uint64 { return a | b },
			"xor": func(a, b uint64) uint64 { return a ^ b },
		}[name])
	case "b16", "b32":
		d.elementwise(width(t), 2)
		d.in.run = map[string]exec{"and": and32, "or": or32, "xor": xor32}[name]
	default:
		d.fail("type .%s", t)
	}
}

func and32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] & b[l]
	}
	w.end32(in.d, active)
}

func or32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] | b[l]
	}
	w.end32(in.d, active)
}

func xor32(w *warp, in *instr, active uint32) {
	a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
	for l := range t {
		t[l] = a[l] ^ b[l]
	}
	w.end32(in.d, active)
}

func decodeNot(d *decoder) {
	t := d.typ()
	logical := d.text.Opcode == "cnot"
	switch {
	case t == "pred" && !logical:
		if d.operands(2, 2) {
			d.in.d, d.in.a = d.write(0, 1), d.read(1, 1)
			d.in.run = func(w *warp, in *instr, active uint32) { w.setPredicate(in.d, active, ^w.p[in.a]) }
		}
	case t == "b64":
		d.elementwise(64, 1)
		d.in.run = lanes1wide(func(a uint64) uint64 {
			if logical {
				return uint64(one(a == 0))
			}
			return ^a
		})
	case t == "b16" || t == "b32":
		size := width(t)
		d.elementwise(size, 1)
		d.in.run = lanes1(func(a uint32) uint32 {
			if logical {
				return one(a == 0)
			}
			return truncate(^a, size)
		})
	default:
		d.fail("type .%s", t)
	}
}

func one(v bool) uint32 {
	if v {
		return 1
	}
	return 0
}

// decodeShift decodes shl and shr. If the amount is at least the width, the result is zero, or the sign for signed shr.
func decodeShift(d *decoder) {
	t := d.typ()
	size := width(t)
	if size < 16 || !d.operands(3, 3) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a, d.in.b = d.write(0, size), d.read(1, size), d.read(2, 32)
	left, signed := d.text.Opcode == "shl", t[0] == 's'
	switch {
	case size == 64 && left:
		d.in.run = shiftWide(func(a uint64, n uint32) uint64 { return a << n })
	case size == 64 && signed:
		d.in.run = shiftWide(func(a uint64, n uint32) uint64 { return uint64(int64(a) >> n) })
	case size == 64:
		d.in.run = shiftWide(func(a uint64, n uint32) uint64 { return a >> n })
	case left && size == 32:
		d.in.run = func(w *warp, in *instr, active uint32) {
			a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
			for l := range t {
				t[l] = a[l] << b[l]
			}
			w.end32(in.d, active)
		}
	case left:
		d.in.run = lanes2(func(a, n uint32) uint32 { return truncate(a<<n, size) })
	case signed:
		d.in.run = lanes2(func(a, n uint32) uint32 { return truncate(uint32(signExtend(a, size)>>n), size) })
	default:
		d.in.run = func(w *warp, in *instr, active uint32) {
			a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
			for l := range t {
				t[l] = a[l] >> b[l]
			}
			w.end32(in.d, active)
		}
	}
}

// decodeFunnel decodes shf, which shifts the 64-bit value b:a. The amount is taken modulo 32 (.wrap) or limited to 32
// (.clamp).
func decodeFunnel(d *decoder) {
	if d.typ() != "b32" {
		d.fail("shf wants .b32")
	}
	left := d.want("l", "r") == "l"
	wrap := d.want("wrap", "clamp") == "wrap"
	d.elementwise(32, 3)
	d.in.run = lanes3(func(a, b, n uint32) uint32 {
		if wrap {
			n &= 31
		} else {
			n = min(n, 32)
		}
		v := uint64(b)<<32 | uint64(a)
		if left {
			return uint32(v << n >> 32)
		}
		return uint32(v >> n)
	})
}

func decodeLop3(d *decoder) {
	if d.typ() != "b32" {
		d.fail("lop3 wants .b32")
	}
	if !d.operands(5, 5) {
		return
	}
	d.in.d, d.in.a, d.in.b, d.in.c = d.write(0, 32), d.read(1, 32), d.read(2, 32), d.read(3, 32)
	table := d.constant(4)
	d.in.run = lanes3(func(a, b, c uint32) uint32 {
		var r uint32
		for i := range 8 {
			if table>>i&1 == 0 {
				continue
			}
			x, y, z := a, b, c
			if i&4 == 0 {
				x = ^x
			}
			if i&2 == 0 {
				y = ^y
			}
			if i&1 == 0 {
				z = ^z
			}
			r |= x & y & z
		}
		return r
	})
}

// decodePrmt decodes prmt, whose result is four selected bytes of the eight bytes b:a.
func decodePrmt(d *decoder) {
	mode := d.oneOf("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
	if d.typ() != "b32" {
		d.fail("prmt wants .b32")
	}
	d.elementwise(32, 3)
	d.in.run = lanes3(func(a, b, c uint32) uint32 {
		v := uint64(b)<<32 | uint64(a)
		var r uint32
		for i := range uint32(4) {
			n := c & 3
			var s uint32
			switch mode {
			case "":
				s = c >> (4 * i) & 15
			case "f4e":
				s = n + i
			case "b4e":
				s = (n - i) & 7
			case "rc8":
				s = n
			case "ecl":
				s = max(n, i)
			case "ecr":
				s = min(n, i)
			case "rc16":
				s = n&1*2 + i&1
			}
			byt := uint32(v>>(8*(s&7))) & 0xff
			if mode == "" && s&8 != 0 {
				byt = uint32(int32(byt<<24)>>31) & 0xff
			}
			r |= byt << (8 * i)
		}
		return r
	})
}

// count decodes popc and clz, which have a 32-bit result and a 32-bit or 64-bit source.
func (d *decoder) count(f func(uint64) int) {
	t := d.typ()
	if !d.operands(2, 2) {
		return
	}
	d.in.d = d.write(0, 32)
	switch t {
	case "b32":
		d.in.a = d.read(1, 32)
		bias := f(0) / 2 // for clz 32: f also counts the 32 zeros above the source
		d.in.run = lanes1(func(a uint32) uint32 { return uint32(f(uint64(a)) - bias) })
	case "b64":
		d.in.a = d.read(1, 64)
		d.in.run = narrow(func(a uint64) uint32 { return uint32(f(a)) })
	default:
		d.fail("type .%s", t)
	}
}

func decodeReverse(d *decoder) {
	switch t := d.typ(); t {
	case "b32":
		d.elementwise(32, 1)
		d.in.run = lanes1(bits.Reverse32)
	case "b64":
		d.elementwise(64, 1)
		d.in.run = lanes1wide(bits.Reverse64)
	default:
		d.fail("type .%s", t)
	}
}

// decodeBfind decodes bfind: the position of the highest bit that differs from the sign bit, or with .shiftamt its
// distance from the top.
func decodeBfind(d *decoder) {
	t := d.typ()
	shift := d.has("shiftamt")
	size, signed := width(t), t[0] == 's'
	if t[0] == 'b' || size < 32 || !d.operands(2, 2) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a = d.write(0, 32), d.read(1, size)
	find := func(a uint64) uint32 {
		n := bits.Len64(a) - 1
		if n >= 0 && shift {
			n = size - 1 - n
		}
		return uint32(n)
	}
	if size == 64 {
		d.in.run = narrow(func(a uint64) uint32 {
			if signed && int64(a) < 0 {
				a = ^a
			}
			return find(a)
		})
		return
	}
	d.in.run = lanes1(func(a uint32) uint32 {
		if signed && int32(a) < 0 {
			a = ^a
		}
		return find(uint64(a))
	})
}

// decodeBfe decodes bfe, which extracts c bits from bit b on. Signed types repeat the top bit of the field.
func decodeBfe(d *decoder) {
	t := d.typ()
	size, signed := width(t), t[0] == 's'
	if t[0] == 'b' || size < 32 || !d.operands(4, 4) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a, d.in.b, d.in.c = d.write(0, size), d.read(1, size), d.read(2, 32), d.read(3, 32)
	extract := func(v uint64, pos, length uint32) uint64 {
		pos, length = pos&0xff, length&0xff
		if length == 0 {
			return 0
		}
		top := uint64(size - 1)
		var fill uint64
		if signed && v>>min(uint64(pos)+uint64(length)-1, top)&1 != 0 {
			fill = ^uint64(0)
		}
		if uint64(pos) > top {
			return fill
		}
		length = min(length, uint32(size)-pos)
		mask := uint64(1)<<length - 1
		return v>>pos&mask | fill&^mask
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			if size == 64 {
				w.r64[in.d][l] = extract(w.r64[in.a][l], w.r32[in.b][l], w.r32[in.c][l])
			} else {
				w.r32[in.d][l] = uint32(extract(uint64(w.r32[in.a][l]), w.r32[in.b][l], w.r32[in.c][l]))
			}
		}
		if size == 64 {
			w.def64[in.d] |= active
		} else {
			w.def32[in.d] |= active
		}
	}
}

// decodeBfi decodes bfi, which inserts the low bits of a into b.
func decodeBfi(d *decoder) {
	t := d.typ()
	size := width(t)
	if t[0] != 'b' || size < 32 || !d.operands(5, 5) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a, d.in.b = d.write(0, size), d.read(1, size), d.read(2, size)
	d.in.c, d.in.e = d.read(3, 32), d.read(4, 32)
	insert := func(a, b uint64, pos, length uint32) uint64 {
		pos, length = pos&0xff, length&0xff
		mask := (uint64(1)<<length - 1) << pos // both shifts give 0 beyond 64
		return b&^mask | a<<pos&mask
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			pos, length := w.r32[in.c][l], w.r32[in.e][l]
			if size == 64 {
				w.r64[in.d][l] = insert(w.r64[in.a][l], w.r64[in.b][l], pos, length)
			} else {
				w.r32[in.d][l] = uint32(insert(uint64(w.r32[in.a][l]), uint64(w.r32[in.b][l]), pos, length))
			}
		}
		if size == 64 {
			w.def64[in.d] |= active
		} else {
			w.def32[in.d] |= active
		}
	}
}

func decodeBmsk(d *decoder) {
	clamp := d.want("clamp", "wrap") == "clamp"
	if d.typ() != "b32" {
		d.fail("bmsk wants .b32")
	}
	d.elementwise(32, 2)
	d.in.run = lanes2(func(a, b uint32) uint32 {
		if !clamp {
			a, b = a&31, b&31
		}
		return (uint32(1)<<min(b, 32) - 1) << a
	})
}

func decodeSzext(d *decoder) {
	clamp := d.want("clamp", "wrap") == "clamp"
	signed := d.want("u32", "s32") == "s32"
	d.elementwise(32, 2)
	d.in.run = lanes2(func(a, b uint32) uint32 {
		if !clamp {
			b &= 31
		}
		switch {
		case b == 0:
			return 0
		case b >= 32:
			return a
		}
		return extend(a&(1<<b-1), signed, int(b))
	})
}
