package ptxsim

import (
	"fmt"
	"math/bits"
	"slices"
)

// mbarrierOps are the operations on mbarriers: barriers in shared memory that count arrivals and bytes.
var mbarrierOps = map[string]func(d *decoder){"mbarrier": decodeMbarrier}

// maxMbarriers bounds how many mbarriers a block may initialise, because each is an agent of the race check.
const maxMbarriers = 64

// An mbarrier is the state of an mbarrier object. Its eight bytes of shared memory are not used.
type mbarrier struct {
	address       uint32
	agent         int      // the agent of the copies that report to this mbarrier
	count         int64    // arrivals in each phase
	pending       int64    // arrivals that this phase still waits for
	bytes         int64    // bytes that this phase still waits for; negative if copies came before their expect_tx
	phase         uint32   // phases completed
	arrived       []uint32 // the joined clocks of the arrivals
	released      []uint32 // the clock that a wait for the last completed phase acquires
	arrivedFenced []uint32 // the same for the fenced clocks
	fenced        []uint32
	copies        uint32 // the agent's time: the number of copies
	dead          bool   // mbarrier.inval
}

func decodeMbarrier(d *decoder) {
	kind := d.want("init", "inval", "arrive", "arrive_drop", "expect_tx", "complete_tx", "test_wait", "try_wait",
		"pending_count")
	d.asyncAgents = true
	expect, parity := d.has("expect_tx"), d.has("parity")
	noComplete := d.has("noComplete")
	d.ignore("release", "acquire", "relaxed", "cta", "cluster")
	inShared := d.oneOf("shared", "shared::cta", "shared::cluster") != ""
	if t := d.typ(); t != "b64" || noComplete {
		d.fail("this form of mbarrier is not supported")
		return
	}
	if kind != "init" && kind != "inval" && kind != "arrive" && kind != "arrive_drop" || expect {
		d.needHopper()
	}
	address, result := 0, -1
	switch kind {
	case "arrive", "arrive_drop":
		result, address = 0, 1
	case "test_wait", "try_wait":
		result, address = 0, 1
	case "pending_count":
		if d.operands(2, 2) {
			d.in.d, d.in.a = d.write(0, 32), d.read(1, 64)
			d.in.run = narrow(func(a uint64) uint32 { return uint32(a >> 32) })
		}
		return
	}
	d.in.space = spaceGeneric
	if inShared {
		d.in.space = spaceShared
	}
	d.locate(address)
	rest := len(d.text.Operands) - address - 1
	switch kind {
	case "init", "expect_tx", "complete_tx":
		d.operands(2, 2)
		d.in.b = d.read(1, 32)
	case "inval":
		d.operands(1, 1)
	case "arrive", "arrive_drop":
		d.in.d = d.write(result, 64)
		if rest > 1 {
			d.fail("%d operands", len(d.text.Operands))
		}
		d.in.b = d.value32(1)
		if rest == 1 {
			d.in.b = d.read(address+1, 32)
		}
	case "test_wait", "try_wait":
		d.in.d = d.write(result, 1)
		if parity {
			d.in.b = d.read(address+1, 32)
		} else {
			d.in.c = d.read(address+1, 64)
		}
		if rest > 2 || rest == 2 && kind != "try_wait" {
			d.fail("%d operands", len(d.text.Operands))
		} else if rest == 2 {
			d.read(address+2, 32) // the time limit of the wait, which is ignored
		}
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			at := w.mbarrierOperand(in, l)
			switch kind {
			case "init":
				w.initMbarrier(in, l, at, w.r32[in.b][l])
			case "inval":
				w.mbarrierAt(in, l, at).dead = true
			case "arrive", "arrive_drop":
				b := w.mbarrierAt(in, l, at)
				w.r64[in.d][l] = uint64(b.phase) | uint64(b.pending)<<32
				w.def64[in.d] |= 1 << l
				n := int64(w.r32[in.b][l])
				if expect {
					b.bytes += n
					n = 1
				}
				if kind == "arrive_drop" {
					b.count -= n
				}
				w.arriveMbarrier(in, l, b, n)
			case "expect_tx":
				w.mbarrierAt(in, l, at).bytes += int64(w.r32[in.b][l])
				w.changes++
			case "complete_tx":
				b := w.mbarrierAt(in, l, at)
				b.bytes -= int64(w.r32[in.b][l])
				w.completePhase(b)
			case "test_wait", "try_wait":
				b := w.mbarrierAt(in, l, at)
				done := !parity && b.phase != uint32(w.r64[in.c][l])
				if parity {
					p := w.r32[in.b][l]
					if p > 1 {
						w.fault(in, 1<<l, "mbarrier phase parity %d, want 0 or 1", p)
					}
					done = b.phase&1 != p
				}
				w.setPredicate(in.d, 1<<l, one(done)<<l)
				if done {
					w.acquire(b.released, b.fenced)
				} else {
					w.state, w.waitingAt = yielded, in
				}
			}
		}
	}
}

// mbarrierOperand returns the address in shared memory of a lane's mbarrier.
func (w *warp) mbarrierOperand(in *instr, lane int) uint32 {
	sp, at := in.space, w.address(in, lane)
	if sp == spaceGeneric {
		sp, at = resolveGeneric(at)
	}
	return w.checkMbarrierAddress(in, lane, sp, at)
}

func (w *warp) checkMbarrierAddress(in *instr, lane int, sp space, at uint64) uint32 {
	if sp != spaceShared || at&7 != 0 || at+8 > uint64(len(w.shared)) {
		w.fault(in, 1<<lane, "mbarrier at %#x, want a multiple of 8 within %#x bytes of shared memory", at, len(w.shared))
	}
	return uint32(at)
}

func (w *warp) initMbarrier(in *instr, lane int, at, count uint32) {
	if count == 0 || count >= 1<<20 {
		w.fault(in, 1<<lane, "mbarrier for %d arrivals, want 1 to 2^20−1", count)
	}
	old := w.mbarriers[at]
	if old != nil && !old.dead {
		w.fault(in, 1<<lane, "mbarrier at %#x initialised twice without mbarrier.inval", at)
	}
	agent := 3*len(w.warps) + len(w.mbarriers)
	if old != nil {
		agent = old.agent
	} else if len(w.mbarriers) == maxMbarriers {
		w.fault(in, 1<<lane, "more than %d mbarriers in a block", maxMbarriers)
	}
	if w.shadow != nil {
		w.touch(in, lane, uint64(at), 8, store)
	}
	b := &mbarrier{address: at, agent: agent, count: int64(count), pending: int64(count)}
	for _, clock := range []*[]uint32{&b.arrived, &b.released, &b.arrivedFenced, &b.fenced} {
		*clock = make([]uint32, w.agents)
	}
	if old != nil {
		b.copies = old.copies
	}
	w.mbarriers[at] = b
}

// mbarrierAt returns the mbarrier at an address. It faults if there is none, or if its initialisation is not ordered
// before this instruction.
func (w *warp) mbarrierAt(in *instr, lane int, at uint32) *mbarrier {
	b := w.mbarriers[at]
	if b == nil || b.dead {
		w.fault(in, 1<<lane, "no mbarrier has been initialised at %#x", at)
	}
	if w.shadow != nil && !w.skipRaces {
		s := &w.shadow[at>>2]
		w.checkWriter(in, lane, uint64(at>>2), s, 15, load)
	}
	return b
}

func (w *warp) arriveMbarrier(in *instr, lane int, b *mbarrier, n int64) {
	if n < 1 || n > b.pending {
		w.fault(in, 1<<lane, "%d arrivals at the mbarrier at %#x, which waits for %d more in this phase",
			n, b.address, b.pending)
	}
	b.pending -= n
	w.release(b.arrived, b.arrivedFenced)
	w.completePhase(b)
}

// completePhase begins the next phase if this one waits for no more arrivals and bytes.
func (b *block) completePhase(m *mbarrier) {
	b.changes++
	if m.pending > 0 || m.bytes != 0 {
		return
	}
	m.phase++
	m.pending = m.count
	join(m.released, m.arrived)
	join(m.fenced, m.arrivedFenced)
}

// mbarrierAddress returns the address of the mbarrier with the given index among the agents, or 0.
func (b *block) mbarrierAddress(index int) uint32 {
	for _, m := range b.mbarriers {
		if m.agent == 3*len(b.warps)+index {
			return m.address
		}
	}
	return 0
}

// describeMbarrier returns what up to three mbarriers of the block wait for, for a fault's message.
func (b *block) describeMbarrier() string {
	text := ""
	var list []*mbarrier
	for _, m := range b.mbarriers {
		if !m.dead && (m.pending != m.count || m.bytes != 0) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(x, y *mbarrier) int { return int(x.address) - int(y.address) })
	for _, m := range list[:min(3, len(list))] {
		text += fmt.Sprintf("; the mbarrier at %#x has completed %d phases and waits for %d arrivals and %d bytes",
			m.address, m.phase, m.pending, m.bytes)
	}
	return text
}

// decodeCopyArrive decodes cp.async.mbarrier.arrive: after the lane's earlier copies, the mbarrier gets an arrival.
// This device completes the copies at once, as writes of the mbarrier's agent, so that a wait for the mbarrier orders
// them.
func (d *decoder) decodeCopyArrive() {
	d.want("arrive")
	noIncrement := d.has("noinc")
	d.asyncAgents = true
	d.in.space = spaceGeneric
	if d.oneOf("shared", "shared::cta") != "" {
		d.in.space = spaceShared
	}
	if d.typ() != "b64" || !d.operands(1, 1) {
		d.fail("cp.async.mbarrier.arrive wants .b64")
		return
	}
	d.locate(0)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			b := w.mbarrierAt(in, l, w.mbarrierOperand(in, l))
			b.copies++
			w.copies = slices.DeleteFunc(w.copies, func(c copyInFlight) bool {
				if c.lane != l {
					return false
				}
				w.finishCopy(&c)
				if w.shadow != nil {
					w.asyncWrite(c.in, b.agent, b.copies, uint64(c.to), c.bytes)
				}
				return true
			})
			b.arrived[b.agent] = b.copies
			if !noIncrement {
				b.pending++
			}
			w.arriveMbarrier(in, l, b, 1)
		}
	}
}

// decodeClusterBarrier decodes barrier.cluster. A cluster is one block here, so that its barrier is one more barrier of
// the block, with arrive and wait as two instructions.
func (d *decoder) decodeClusterBarrier() {
	d.needHopper()
	kind := d.want("arrive", "wait")
	d.ignore("release", "acquire", "relaxed", "aligned")
	d.operands(0, 0)
	d.in.lanes = liveLanes
	d.in.run = func(w *warp, in *instr, active uint32) {
		c := &w.cluster
		if kind == "arrive" {
			if c.arrived>>w.id&1 != 0 {
				w.fault(in, active, "warp %d arrives twice at the cluster's barrier", w.id)
			}
			c.arrived |= 1 << w.id
			w.release(c.clock, nil)
			w.changes++
			return
		}
		if !w.clusterDone() {
			w.state, w.waitingAt, w.next = yielded, in, w.pc
			return
		}
		w.acquire(c.clock, nil)
		c.left |= 1 << w.id
		if c.left == c.arrived {
			c.arrived, c.left = 0, 0
		}
		w.changes++
	}
}

// clusterBarrier is the state of barrier.cluster. It resets when all warps that have arrived have also left.
type clusterBarrier struct {
	arrived, left uint32   // a bit for each warp
	clock         []uint32 // the joined clocks of the arrived warps
}

// clusterDone reports whether all live warps have arrived.
func (w *warp) clusterDone() bool {
	for _, o := range w.warps {
		if o.live != 0 && w.cluster.arrived>>o.id&1 == 0 {
			return false
		}
	}
	return true
}
