package ptxsim

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// A space is one of PTX's state spaces.
type space uint8

const (
	spaceGeneric space = iota
	spaceGlobal
	spaceShared
	spaceLocal
	spaceParam
	spaceConst // read-only allocations of global memory
	spaceCount
)

var spaceByName = map[string]space{"global": spaceGlobal,
	"shared": spaceShared, "shared::cta": spaceShared, "shared::cluster": spaceShared, "local": spaceLocal,
	"param": spaceParam, "param::entry": spaceParam, "param::func": spaceParam, "const": spaceConst}

var spaceNames = [spaceCount]string{"generic", "global", "shared", "local", "param", "const"}

// windows has the first generic address of each space. Each window has windowSize bytes. For global memory, generic
// addresses are those of the space.
var windows = [spaceCount]uint64{spaceShared: 0x6000 << 32, spaceLocal: 0x6100 << 32, spaceParam: 0x6200 << 32}

const windowSize = 1 << 32

// resolveGeneric returns the space of a generic address, and the address in that space.
func resolveGeneric(a uint64) (space, uint64) {
	for _, sp := range []space{spaceShared, spaceLocal, spaceParam} {
		if a-windows[sp] < windowSize {
			return sp, a - windows[sp]
		}
	}
	return spaceGlobal, a
}

// An allocation is one allocation of device memory. Addresses are never used again, so that an access to freed memory
// can be recognised.
type allocation struct {
	base     uint64
	data     []byte
	init     []uint64 // a bit for each byte that has a value; nil if that is not checked
	readOnly bool
	freed    bool
	size     int // the size of data, which is nil after free
}

// define sets or clears the init bits of n bytes.
func (a *allocation) define(at, n int, value bool) {
	if a.init == nil {
		return
	}
	for i := at; i < at+n; {
		if i&63 == 0 && at+n-i >= 64 {
			a.init[i>>6] = 0
			if value {
				a.init[i>>6] = ^uint64(0)
			}
			i += 64
			continue
		}
		if value {
			a.init[i>>6] |= 1 << (i & 63)
		} else {
			a.init[i>>6] &^= 1 << (i & 63)
		}
		i++
	}
}

// memoryOps are loads, stores and prefetches.
var memoryOps = map[string]func(d *decoder){
	"ld":       decodeLoad,
	"ldu":      decodeLoad,
	"st":       decodeStore,
	"prefetch": decodePrefetch, "prefetchu": decodePrefetch,
}

// cacheHints are modifiers without an effect on this device. L2::cache_hint, which has one more operand, is not
// supported.
var cacheHints = []string{"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc",
	"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B",
	"L2::128B", "L2::256B", "L2::evict_first", "L2::evict_last", "L2::evict_normal", "unified"}

// order removes the memory order and the scope from the modifiers. It returns weak or strong, depending on the order.
func (d *decoder) order(weak, strong access) access {
	order := d.oneOf("weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "mmio")
	scope := d.oneOf("cta", "cluster", "gpu", "sys")
	if scope != "" && (order == "" || order == "weak" || order == "volatile") {
		d.fail("scope .%s without a memory order", scope)
	}
	if order == "" || order == "weak" {
		return weak
	}
	return strong
}

// memoryShape decodes the space and the vector size of an access of type lastType, and locates its address operand.
func (d *decoder) memoryShape(address int) {
	d.ignore(cacheHints...)
	d.in.space = spaceByName[d.oneOf("global", "shared", "shared::cta", "local", "param", "param::entry", "param::func",
		"const")]
	d.in.count = map[string]uint8{"": 1, "v2": 2, "v4": 4, "v8": 8}[d.oneOf("v2", "v4", "v8")]
	d.in.bits = uint8(width(d.lastType))
	if d.in.bits < 8 {
		d.fail("type .%s in memory", d.lastType)
	}
	if int(d.in.count)*int(d.in.bits) > 128 {
		d.fail("access of %d bits", int(d.in.count)*int(d.in.bits))
	}
	sp := d.locate(address)
	switch {
	case sp == spaceLocal && d.in.space == spaceParam: // the parameter variables of calls are in local memory
		d.in.space = spaceLocal
	case d.in.space == spaceParam && !d.function.Entry:
		d.in.space = spaceLocal
	case sp == spaceGlobal && (d.in.space == spaceConst || d.in.space == spaceGeneric):
	case sp != 0 && d.in.space == spaceGeneric:
		d.fail("a %s variable in a generic access", spaceNames[sp])
	case sp != 0 && sp != d.in.space:
		d.fail("a %s variable in a %s access", spaceNames[sp], spaceNames[d.in.space])
	}
	if !d.in.wide && d.in.space != spaceShared && d.in.space != spaceLocal && d.in.space != spaceParam &&
		d.in.space != spaceConst {
		d.fail("a 32-bit address of %s memory", spaceNames[d.in.space])
	}
}

// memoryRegister returns the row of a register that a memory operation reads or writes. The register may be wider than
// the type. For the 64-bit file, it returns the complement ^row.
func (d *decoder) memoryRegister(o *ptx.Operand, write bool) int32 {
	size := max(16, int(d.in.bits))
	if o.Kind == ptx.RegisterOperand {
		if _, have := d.register(o); have >= size {
			size = have
		}
	}
	d.in.c = int32(min(size, 32)) // the width that narrow signed loads extend to
	row := int32(0)
	if write {
		row = d.writeTo(o, size)
	} else {
		row = d.readFrom(o, size)
	}
	if size == 64 {
		return ^row
	}
	return row
}

func decodeLoad(d *decoder) {
	d.lastType = d.typ()
	kind := d.order(load, strongLoad)
	d.memoryShape(1)
	if !d.operands(2, 2) {
		return
	}
	list := vector(d.operand(0))
	if len(list) != int(d.in.count) {
		d.fail("%d registers for %d elements", len(list), d.in.count)
		return
	}
	for i := range list {
		d.in.list = append(d.in.list, d.memoryRegister(&list[i], true))
	}
	signed := strings.HasPrefix(d.lastType, "s")
	d.in.run = func(w *warp, in *instr, active uint32) { w.loadVector(in, active, kind, signed) }
}

func decodeStore(d *decoder) {
	d.lastType = d.typ()
	kind := d.order(store, strongStore)
	d.memoryShape(0)
	if !d.operands(2, 2) {
		return
	}
	if d.in.space == spaceConst {
		d.fail("store to constant memory")
	}
	list := vector(d.operand(1))
	if len(list) != int(d.in.count) {
		d.fail("%d registers for %d elements", len(list), d.in.count)
		return
	}
	for i := range list {
		d.in.list = append(d.in.list, d.memoryRegister(&list[i], false))
	}
	d.in.run = func(w *warp, in *instr, active uint32) { w.storeVector(in, active, kind) }
}

func decodePrefetch(d *decoder) {
	d.ignore("global", "local", "L1", "L2", "L2::evict_last", "L2::evict_normal")
	d.in.run = nop
}

// address returns a lane's address: base register plus offset.
func (w *warp) address(in *instr, lane int) uint64 {
	if in.wide {
		return w.r64[in.a][lane] + uint64(in.imm)
	}
	return uint64(w.r32[in.a][lane]) + uint64(in.imm)
}

// view returns n bytes of memory, after checking the access and recording it. n is a power of two, at most 16.
func (w *warp) view(in *instr, lane int, sp space, at uint64, n int, kind access) []byte {
	if sp == spaceGeneric {
		sp, at = resolveGeneric(at)
	}
	if at&uint64(n-1) != 0 {
		w.fault(in, 1<<lane, "misaligned %s access: %#x is not a multiple of %d", spaceNames[sp], at, n)
	}
	switch sp {
	case spaceShared:
		if at > uint64(len(w.shared)) || uint64(n) > uint64(len(w.shared))-at {
			w.fault(in, 1<<lane, "shared access out of bounds: %d bytes at %#x of %#x", n, at, len(w.shared))
		}
		if w.shadow != nil {
			w.touch(in, lane, at, n, kind)
		}
		return w.shared[at : at+uint64(n)]
	case spaceLocal:
		size := uint64(w.program.localSize)
		if at > size || uint64(n) > size-at {
			w.fault(in, 1<<lane, "local access out of bounds: %d bytes at %#x of %#x", n, at, size)
		}
		at += uint64(lane) * size
		init := w.localInit[at : at+uint64(n)]
		for i := range init {
			if kind == store || kind == strongStore {
				init[i] = true
			} else if !init[i] && w.checks.Uninitialised {
				w.fault(in, 1<<lane, "read of local memory at %#x, which has not been written",
					at-uint64(lane)*size+uint64(i))
			}
		}
		return w.local[at : at+uint64(n)]
	case spaceParam:
		if at > uint64(len(w.params)) || uint64(n) > uint64(len(w.params))-at || kind != load && kind != strongLoad {
			w.fault(in, 1<<lane, "access to the parameters out of bounds or for writing: %d bytes at %#x of %#x",
				n, at, len(w.params))
		}
		return w.params[at : at+uint64(n)]
	}
	return w.global(in, lane, at, n, kind)
}

// global is view for global memory.
func (w *warp) global(in *instr, lane int, at uint64, n int, kind access) []byte {
	a := w.last
	if a == nil || at < a.base || at-a.base > uint64(len(a.data)) || uint64(n) > uint64(len(a.data))-(at-a.base) {
		if a = w.memory.find(at); a == nil || at-a.base > uint64(len(a.data)) || uint64(n) > uint64(len(a.data))-(at-a.base) {
			w.fault(in, 1<<lane, "%s", w.memory.describe(at, n))
		}
		w.last = a
	}
	o := at - a.base
	if kind == load || kind == strongLoad || kind == atomicAccess {
		if a.init != nil {
			want := (uint64(1)<<n - 1) << (o & 63)
			if loadBits(&a.init[o>>6])&want != want {
				w.fault(in, 1<<lane, "read of global memory at %#x (byte %d of an allocation of %d), which has not been written",
					at, o, len(a.data))
			}
		}
	}
	if kind == store || kind == strongStore || kind == atomicAccess {
		if a.readOnly {
			w.fault(in, 1<<lane, "store to constant memory at %#x", at)
		}
		if a.init != nil {
			want := (uint64(1)<<n - 1) << (o & 63)
			if loadBits(&a.init[o>>6])&want != want {
				orBits(&a.init[o>>6], want)
			}
		}
	}
	return a.data[o : o+uint64(n)]
}

func (w *warp) loadVector(in *instr, active uint32, kind access, signed bool) {
	size := int(in.bits / 8)
	n := size * int(in.count)
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m) & 31
		s := w.view(in, l, in.space, w.address(in, l), n, kind)
		for i, row := range in.list {
			var v uint64
			switch size {
			case 4:
				if row >= 0 {
					w.r32[row][l] = binary.LittleEndian.Uint32(s[i*4:])
					continue
				}
				v = uint64(binary.LittleEndian.Uint32(s[i*4:]))
			case 8:
				w.r64[^row][l] = binary.LittleEndian.Uint64(s[i*8:])
				continue
			case 2:
				v = uint64(binary.LittleEndian.Uint16(s[i*2:]))
			case 1:
				v = uint64(s[i])
			}
			if signed {
				v = uint64(int64(v<<(64-size*8)) >> (64 - size*8))
			}
			if row >= 0 {
				w.r32[row][l] = truncate(uint32(v), int(in.c))
			} else {
				w.r64[^row][l] = v
			}
		}
	}
	for _, row := range in.list {
		if row >= 0 {
			w.def32[row] |= active
		} else {
			w.def64[^row] |= active
		}
	}
}

func (w *warp) storeVector(in *instr, active uint32, kind access) {
	size := int(in.bits / 8)
	n := size * int(in.count)
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m) & 31
		s := w.view(in, l, in.space, w.address(in, l), n, kind)
		for i, row := range in.list {
			var v uint64
			if row >= 0 {
				v = uint64(w.r32[row][l])
			} else {
				v = w.r64[^row][l]
			}
			switch size {
			case 4:
				binary.LittleEndian.PutUint32(s[i*4:], uint32(v))
			case 8:
				binary.LittleEndian.PutUint64(s[i*8:], v)
			case 2:
				binary.LittleEndian.PutUint16(s[i*2:], uint16(v))
			case 1:
				s[i] = byte(v)
			}
		}
	}
}
