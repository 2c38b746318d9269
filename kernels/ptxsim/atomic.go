package ptxsim

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync/atomic"
)

func loadBits(p *uint64) uint64     { return atomic.LoadUint64(p) }
func orBits(p *uint64, mask uint64) { atomic.OrUint64(p, mask) }

// atomicOps read, change and write memory in one step. The lanes of a warp do that in their order, and the blocks in
// any order, so that sums of floats can differ between runs.
var atomicOps = map[string]func(d *decoder){"atom": decodeAtomic, "red": decodeAtomic}

func decodeAtomic(d *decoder) {
	d.lastType = d.typ()
	t := d.lastType
	d.order(load, load)
	d.ignore("noftz")
	op := d.want("add", "min", "max", "and", "or", "xor", "inc", "dec", "exch", "cas")
	result := d.text.Opcode == "atom"
	shift := 0
	if result {
		shift = 1
	}
	d.memoryShape(shift)
	sources := 1
	if op == "cas" {
		sources = 2
	}
	if !d.operands(1+shift+sources, 1+shift+sources) {
		return
	}
	if d.in.space == spaceLocal || d.in.space == spaceParam || d.in.space == spaceConst || d.in.count != 1 {
		d.fail("atomic on %s memory", spaceNames[d.in.space])
	}
	size := width(t)
	f := atomicFunction(op, t)
	if f == nil || !result && (op == "exch" || op == "cas") {
		d.fail("%s.%s.%s is not supported", d.text.Opcode, op, t)
		return
	}
	if result {
		d.in.d = d.write(0, size)
	}
	d.in.b = d.read(1+shift, size)
	if op == "cas" {
		d.in.c = d.read(2+shift, size)
	}
	d.in.run = func(w *warp, in *instr, active uint32) { w.atomically(in, active, size, result, f) }
}

// atomically runs an atomic operation for each active lane. size is the width of the element in bits, and result tells
// whether the old value is written to row in.d.
func (w *warp) atomically(in *instr, active uint32, size int, result bool, f func(old, b, c uint64) uint64) {
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m) & 31
		sp, at := in.space, w.address(in, l)
		if sp == spaceGeneric {
			sp, at = resolveGeneric(at)
		}
		var b, c, old uint64
		if size == 64 {
			b, c = w.r64[in.b][l], w.r64[in.c][l]
		} else {
			b, c = uint64(w.r32[in.b][l]), uint64(w.r32[in.c][l])
		}
		s := w.view(in, l, sp, at, size/8, atomicAccess)
		lock := &w.memory.locks[at>>3%uint64(len(w.memory.locks))]
		if sp == spaceGlobal {
			lock.Lock()
		}
		switch size {
		case 16:
			old = uint64(binary.LittleEndian.Uint16(s))
			binary.LittleEndian.PutUint16(s, uint16(f(old, b, c)))
		case 32:
			old = uint64(binary.LittleEndian.Uint32(s))
			binary.LittleEndian.PutUint32(s, uint32(f(old, b, c)))
		case 64:
			old = binary.LittleEndian.Uint64(s)
			binary.LittleEndian.PutUint64(s, f(old, b, c))
		}
		if sp == spaceGlobal {
			lock.Unlock()
		}
		if result && size == 64 {
			w.r64[in.d][l] = old
		} else if result {
			w.r32[in.d][l] = uint32(old)
		}
	}
	if result && size == 64 {
		w.def64[in.d] |= active
	} else if result {
		w.def32[in.d] |= active
	}
	w.changes++
}

// atomicFunction returns the function that computes the new value from the old value and the operands b and c. It
// returns nil if PTX has no such operation.
func atomicFunction(op, t string) func(old, b, c uint64) uint64 {
	size := width(t)
	switch op + "." + t {
	case "and.b32", "and.b64":
		return func(old, b, _ uint64) uint64 { return old & b }
	case "or.b32", "or.b64":
		return func(old, b, _ uint64) uint64 { return old | b }
	case "xor.b32", "xor.b64":
		return func(old, b, _ uint64) uint64 { return old ^ b }
	case "exch.b32", "exch.b64":
		return func(_, b, _ uint64) uint64 { return b }
	case "cas.b16", "cas.b32", "cas.b64":
		return func(old, b, c uint64) uint64 {
			if old == b {
				return c
			}
			return old
		}
	case "add.u32", "add.s32", "add.u64", "add.s64":
		return func(old, b, _ uint64) uint64 { return old + b }
	case "inc.u32":
		return func(old, b, _ uint64) uint64 {
			if old >= b {
				return 0
			}
			return old + 1
		}
	case "dec.u32":
		return func(old, b, _ uint64) uint64 {
			if old == 0 || old > b {
				return b
			}
			return old - 1
		}
	case "min.u32", "min.u64":
		return func(old, b, _ uint64) uint64 { return min(old, b) }
	case "max.u32", "max.u64":
		return func(old, b, _ uint64) uint64 { return max(old, b) }
	case "min.s32", "min.s64", "max.s32", "max.s64":
		return func(old, b, _ uint64) uint64 {
			less := int64(old<<(64-size)) < int64(b<<(64-size))
			if less == (op == "min") {
				return old
			}
			return b
		}
	case "add.f32":
		return func(old, b, _ uint64) uint64 { return uint64(u32(f32(uint32(old)) + f32(uint32(b)))) }
	case "add.f64":
		return func(old, b, _ uint64) uint64 {
			return math.Float64bits(math.Float64frombits(old) + math.Float64frombits(b))
		}
	case "add.f16", "add.bf16", "add.f16x2", "add.bf16x2":
		f, _ := formatOf(t)
		return func(old, b, _ uint64) uint64 {
			var r uint64
			for i := 0; i < size; i += 16 {
				x, y := f.decode(uint32(old>>i)&0xffff), f.decode(uint32(b>>i)&0xffff)
				r |= uint64(f.encode(roundToOdd(x, y), toNearest, false)) << i
			}
			return r
		}
	}
	return nil
}
