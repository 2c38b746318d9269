package ptxsim

import (
	"math/bits"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// bulkGroups are the bulk copies from shared to global memory that a warp has started.
type bulkGroups struct {
	clock  uint32   // the clock of the warp's agent for these copies: their number
	groups []uint32 // the clock at each commit_group that has not been waited for
}

// decodeBulk decodes cp.async.bulk: copies of bytes and of tensors in both directions, and the groups of copies to
// global memory.
func (d *decoder) decodeBulk() {
	d.needHopper()
	d.asyncAgents = true
	switch {
	case d.has("commit_group"):
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) {
			w.bulk.groups = append(w.bulk.groups, w.bulk.clock)
		}
		return
	case d.has("wait_group"):
		d.has("read") // makes no difference: the writes happen when the copy is issued
		d.operands(1, 1)
		keep := int(d.constant(0))
		d.in.run = func(w *warp, in *instr, active uint32) {
			if n := len(w.bulk.groups) - keep; n > 0 {
				agent := len(w.warps) + w.id
				w.clock[agent] = max(w.clock[agent], w.bulk.groups[n-1])
				w.bulk.groups = slices.Delete(w.bulk.groups, 0, n)
			}
		}
		return
	case d.has("prefetch"):
		d.mods = nil
		d.in.run = nop
		return
	}
	rank := 0
	if d.has("tensor") {
		rank = map[string]int{"1d": 1, "2d": 2, "3d": 3, "4d": 4, "5d": 5}[d.want("1d", "2d", "3d", "4d", "5d")]
		d.ignore("tile")
	}
	if len(d.mods) < 2 {
		d.fail("cp.async.bulk without its spaces")
		return
	}
	to, from := d.mods[0], d.mods[1]
	d.mods = d.mods[2:]
	switch {
	case spaceByName[to] == spaceShared && from == "global":
		d.want("mbarrier::complete_tx::bytes")
		d.bulkLoad(rank)
	case to == "global" && spaceByName[from] == spaceShared:
		d.want("bulk_group")
		d.bulkStore(rank)
	default:
		d.fail("cp.async.bulk from %s to %s", from, to)
	}
}

// addressOperand is an address operand of an instruction that has several.
type addressOperand struct {
	row    int32
	wide   bool // row is one of r64
	offset int64
}

func (d *decoder) addressOperand(i int) addressOperand {
	d.locate(i)
	return addressOperand{d.in.a, d.in.wide, d.in.imm}
}

// at returns a lane's address.
func (p addressOperand) at(w *warp, lane int) uint64 {
	if p.wide {
		return w.r64[p.row][lane] + uint64(p.offset)
	}
	return uint64(w.r32[p.row][lane]) + uint64(p.offset)
}

// sharedAt returns a lane's address in shared memory. The operand has it as it is or as a generic address.
func (p addressOperand) sharedAt(w *warp, lane int) uint64 {
	at := p.at(w, lane)
	if sp, within := resolveGeneric(at); sp == spaceShared {
		return within
	}
	return at
}

// coordinates returns the rows of x, y, … in the operand [map, {x, y, …}].
func (d *decoder) coordinates(i, rank int) []int32 {
	o := d.operand(i)
	if o.Kind != ptx.AddressOperand || len(o.List) != 2 {
		d.fail("want [map, {coordinates}]")
		return make([]int32, rank)
	}
	list := vector(&o.List[1])
	if len(list) != rank {
		d.fail("%d coordinates, want %d", len(list), rank)
		return make([]int32, rank)
	}
	rows := make([]int32, rank)
	for j := range list {
		rows[j] = d.readFrom(&list[j], 32)
	}
	return rows
}

func (d *decoder) bulkLoad(rank int) {
	if rank > 0 {
		if !d.operands(3, 3) {
			return
		}
		to, tensor, barrier := d.addressOperand(0), d.addressOperand(1), d.addressOperand(2)
		coordinates := d.coordinates(1, rank)
		d.in.run = func(w *warp, in *instr, active uint32) {
			for m := active; m != 0; m &= m - 1 {
				l := bits.TrailingZeros32(m) & 31
				t := w.tensorMapAt(in, l, tensor.at(w, l), rank)
				w.loadTensor(in, l, to.sharedAt(w, l), &t, w.coordinateValues(coordinates, l), barrier.sharedAt(w, l))
			}
		}
		return
	}
	if !d.operands(4, 4) {
		return
	}
	to, from, barrier := d.addressOperand(0), d.addressOperand(1), d.addressOperand(3)
	size := d.read(2, 32)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			n, dst, src := int(w.r32[size][l]), to.sharedAt(w, l), from.at(w, l)
			w.checkBulk(in, l, dst, n, 16)
			if n&15 != 0 || src&15 != 0 {
				w.fault(in, 1<<l, "bulk copy of %d bytes from %#x: both want multiples of 16", n, src)
			}
			b := w.beginBulk(in, l, barrier.sharedAt(w, l))
			for i := 0; i < n; i += 16 {
				copy(w.shared[dst+uint64(i):], w.global(in, l, src+uint64(i), 16, load))
			}
			w.endBulk(in, b, dst, n)
		}
	}
}

func (w *warp) coordinateValues(rows []int32, lane int) []int32 {
	v := make([]int32, len(rows))
	for i, row := range rows {
		v[i] = int32(w.r32[row][lane])
	}
	return v
}

// tensorMapAt reads a tensor map from a parameter or from global memory.
func (w *warp) tensorMapAt(in *instr, lane int, at uint64, rank int) tensorMap {
	sp, within := resolveGeneric(at)
	var b []byte
	switch {
	case at&63 != 0:
		w.fault(in, 1<<lane, "tensor map at %#x, want a multiple of 64", at)
	case sp == spaceParam && within+cu.TensorMapBytes <= uint64(len(w.params)):
		b = w.params[within:]
	case sp == spaceGlobal:
		if a, o, err := w.memory.span(at, cu.TensorMapBytes); err == nil {
			b = a.data[o:]
		}
	}
	t, ok := decodeTensorMap(b)
	if !ok {
		w.fault(in, 1<<lane, "found no tensor map of this device at %#x", at)
	}
	if len(t.dims) != rank {
		w.fault(in, 1<<lane, "tensor map of %d dimensions in a copy of %d", len(t.dims), rank)
	}
	return t
}

// checkBulk checks the bounds and the alignment of the shared memory that a bulk copy reads or writes.
func (w *warp) checkBulk(in *instr, lane int, at uint64, n int, align uint64) {
	if at > uint64(len(w.shared)) || uint64(n) > uint64(len(w.shared))-at {
		w.fault(in, 1<<lane, "shared access out of bounds: bulk copy of %d bytes at %#x of %#x", n, at, len(w.shared))
	}
	if at&(align-1) != 0 {
		w.fault(in, 1<<lane, "misaligned shared access: bulk copy at %#x, want a multiple of %d", at, align)
	}
}

// beginBulk returns the mbarrier at an address for a new copy, whose clock is mbarrier.copies. It faults if no fence
// has made the initialisation of the mbarrier visible to the asynchronous proxy.
func (w *warp) beginBulk(in *instr, lane int, at uint64) *mbarrier {
	b := w.mbarrierAt(in, lane, w.checkMbarrierAddress(in, lane, spaceShared, at))
	if w.shadow != nil && !w.skipRaces {
		s := &w.shadow[b.address>>2]
		if by := int(s.writer) - 1; by >= 0 && by < len(w.warps) && s.clock > w.fenced[by] {
			w.fault(in, 1<<lane, "mbarrier at %#x was initialised by %s with no fence.proxy.async or fence.mbarrier_init since",
				b.address, w.agentName(by))
		}
	}
	b.copies++
	return b
}

// endBulk records what a copy wrote, and subtracts its bytes from those that the mbarrier expects. The data is written
// when the copy is issued; the clocks find a read that has not waited for the mbarrier.
func (w *warp) endBulk(in *instr, b *mbarrier, at uint64, n int) {
	if w.shadow != nil {
		w.asyncWrite(in, b.agent, b.copies, at, n)
	}
	b.arrived[b.agent] = b.copies
	b.bytes -= int64(n)
	w.completePhase(b)
}

// tileAlign returns the alignment of a tile in shared memory, in bytes: the size of the swizzle's pattern, or 128.
func tileAlign(s cu.TensorMapSwizzle) uint64 {
	switch s {
	case cu.Swizzle128B:
		return 1024
	case cu.Swizzle64B:
		return 512
	case cu.Swizzle32B:
		return 256
	}
	return 128
}

func (w *warp) loadTensor(in *instr, lane int, to uint64, t *tensorMap, coordinates []int32, barrier uint64) {
	n := t.bytes()
	w.checkBulk(in, lane, to, n, tileAlign(t.swizzle))
	b := w.beginBulk(in, lane, barrier)
	t.each(coordinates, func(offset int, address uint64, inside bool) {
		dst := w.shared[swizzled(to+uint64(offset), t.swizzle):][:t.element]
		switch {
		case inside:
			copy(dst, w.global(in, lane, address, t.element, load))
		case t.fillNaN:
			for i := range dst {
				dst[i] = byte(t.nan >> (8 * i))
			}
		default:
			clear(dst)
		}
	})
	w.endBulk(in, b, to, n)
}

func (d *decoder) bulkStore(rank int) {
	if rank > 0 {
		if !d.operands(2, 2) {
			return
		}
		tensor, from := d.addressOperand(0), d.addressOperand(1)
		coordinates := d.coordinates(0, rank)
		d.in.run = func(w *warp, in *instr, active uint32) {
			for m := active; m != 0; m &= m - 1 {
				l := bits.TrailingZeros32(m) & 31
				t := w.tensorMapAt(in, l, tensor.at(w, l), rank)
				src := from.sharedAt(w, l)
				w.checkBulk(in, l, src, t.bytes(), tileAlign(t.swizzle))
				w.readBulk(in, src, t.bytes())
				t.each(w.coordinateValues(coordinates, l), func(offset int, address uint64, inside bool) {
					if inside {
						at := swizzled(src+uint64(offset), t.swizzle)
						copy(w.global(in, l, address, t.element, store), w.shared[at:][:t.element])
					}
				})
			}
		}
		return
	}
	if !d.operands(3, 3) {
		return
	}
	to, from := d.addressOperand(0), d.addressOperand(1)
	size := d.read(2, 32)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			n, dst, src := int(w.r32[size][l]), to.at(w, l), from.sharedAt(w, l)
			w.checkBulk(in, l, src, n, 16)
			if n&15 != 0 || dst&15 != 0 {
				w.fault(in, 1<<l, "bulk copy of %d bytes to %#x: both want multiples of 16", n, dst)
			}
			w.readBulk(in, src, n)
			for i := 0; i < n; i += 16 {
				copy(w.global(in, l, dst+uint64(i), 16, store), w.shared[src+uint64(i):])
			}
		}
	}
}

// readBulk records that a copy reads shared memory until the wait for its group.
func (w *warp) readBulk(in *instr, at uint64, n int) {
	w.bulk.clock++
	if w.shadow != nil {
		w.asyncRead(in, len(w.warps)+w.id, w.bulk.clock, at, n)
	}
}
