package ptxsim

import (
	"math/bits"
)

const allLanes = 0xffffffff

// membership says which lanes must reach an instruction before it runs.
type membership uint8

const (
	anyLanes  membership = iota
	liveLanes            // all lanes that have not exited: for barriers
	fullWarp             // all 32 lanes, of which none may have exited: for .aligned collectives
	maskLanes            // the lanes of the member mask in row e
)

// warpState is the state of a warp for the block's scheduler.
type warpState uint8

const (
	running warpState = iota
	atBarrier
	yielded // the warp waits in a loop, and may run again
	finished
)

// A group is the lanes of a warp that are at the same instruction. A branch splits a group, and groups that reach the
// same instruction are joined. The group with the lowest address runs first. With the usual order of code, that joins
// the lanes after a loop or an if; the results do not depend on it.
type group struct {
	pc     int // an index in program.code
	mask   uint32
	parked bool // waits at a collective for lanes of other groups
}

type warp struct {
	*block
	id           int
	r32          [][32]uint32
	r64          [][32]uint64
	p            []uint32
	def32, def64 []uint32 // a bit for each lane in which the register has a value
	defP         []uint32
	scratch32    [32]uint32
	scratch64    [32]uint64
	exists       uint32  // lanes that are threads of the block
	live         uint32  // lanes that have not exited
	active       uint32  // lanes of the running group
	pc, next     int     // of the running group
	groups       []group // the other groups
	fair         bool    // runs a group that is not the first in this slice, so that lanes that spin do not block others
	state        warpState
	barrier      int         // the barrier that the warp waits at
	barrierAt    *instr      // the instruction that waits
	waitingAt    *instr      // the last mbarrier wait that was not complete
	steps        int64       // instructions run in this block
	local        []byte      // 32 × localSize
	localInit    []bool      // by byte: it has been written
	last         *allocation // the allocation of the last access to global memory
	clock        []uint32    // by agent: see checks.go
	fenced       []uint32    // by agent: the time up to which a proxy fence has made its writes visible
	syncs        uint32      // the number of warp-wide synchronisations so far
	copies       []copyInFlight
	groupsOpen   [32]uint32 // cp.async groups committed by each lane
	bulk         bulkGroups
	wgmma        wgmmaState
}

// runSlice runs the warp until it waits, ends or has run n instructions.
func (w *warp) runSlice(n int) {
	code := w.program.code
	check := w.checks.Uninitialised
	w.state = running
	for ; n > 0 && w.state == running; n-- {
		if len(w.groups) > 0 {
			w.reconverge()
		}
		in := &code[w.pc]
		active := w.active
		w.steps++
		if in.guard >= 0 {
			if check && active&^w.defP[in.guard] != 0 {
				w.fault(in, active&^w.defP[in.guard], "the guard predicate has no value")
			}
			if in.guardNot {
				active &^= w.p[in.guard]
			} else {
				active &= w.p[in.guard]
			}
			if active == 0 {
				w.pc++
				continue
			}
		}
		if in.lanes != anyLanes && !w.gather(in, active) {
			continue
		}
		if check {
			w.checkDefined(in, active)
		}
		if w.program.wgmma {
			w.checkAccumulators(in, active)
		}
		w.next = w.pc + 1
		in.run(w, in, active)
		w.pc = w.next
	}
	if w.steps > w.budget {
		w.fault(&code[w.pc], w.active, "warp %d has run %d instructions, more than the budget of a block: an endless loop",
			w.id, w.steps)
	}
	if w.state == running || w.state == yielded {
		w.rotate()
	}
}

// checkDefined faults if a source register has no value in an active lane.
func (w *warp) checkDefined(in *instr, active uint32) {
	for _, r := range in.read32 {
		if m := active &^ w.def32[r]; m != 0 {
			w.fault(in, m, "read of a register that has no value")
		}
	}
	for _, r := range in.read64 {
		if m := active &^ w.def64[r]; m != 0 {
			w.fault(in, m, "read of a register that has no value")
		}
	}
	for _, r := range in.readP {
		if m := active &^ w.defP[r]; m != 0 {
			w.fault(in, m, "read of a predicate that has no value")
		}
	}
}

// reconverge joins the groups at the running group's instruction to the running group. If another group has a lower
// address, that group becomes the running one.
func (w *warp) reconverge() {
	lowest := -1
	for i := 0; i < len(w.groups); i++ {
		g := &w.groups[i]
		if g.pc == w.pc {
			w.active |= g.mask
			w.groups = append(w.groups[:i], w.groups[i+1:]...)
			i, lowest = -1, -1
			continue
		}
		if !g.parked && g.pc < w.pc && (lowest < 0 || g.pc < w.groups[lowest].pc) {
			lowest = i
		}
	}
	if lowest >= 0 && !w.fair {
		w.swap(lowest)
		w.reconverge()
	}
}

// swap makes group i the running one and the running one group i.
func (w *warp) swap(i int) {
	g := w.groups[i]
	w.groups[i] = group{pc: w.pc, mask: w.active}
	w.pc, w.active = g.pc, g.mask
}

// rotate makes another group the running one at the end of a slice, if there is one that is not parked.
func (w *warp) rotate() {
	w.fair = false
	for i := range w.groups {
		if !w.groups[i].parked {
			g := w.groups[i]
			w.groups = append(append(w.groups[:i], w.groups[i+1:]...), group{pc: w.pc, mask: w.active})
			w.pc, w.active = g.pc, g.mask
			w.fair = true
			return
		}
	}
}

// runOtherGroup makes the group with the lowest address the running one. If there is no group, the warp is finished; if
// all are parked, it faults.
func (w *warp) runOtherGroup() {
	best := -1
	for i := range w.groups {
		if !w.groups[i].parked && (best < 0 || w.groups[i].pc < w.groups[best].pc) {
			best = i
		}
	}
	if best < 0 {
		if len(w.groups) > 0 {
			w.divergent()
		}
		w.active = 0
		w.state = finished
		return
	}
	g := w.groups[best]
	w.groups = append(w.groups[:best], w.groups[best+1:]...)
	w.pc, w.active = g.pc, g.mask
	w.next = g.pc
}

// gather reports whether all lanes that an instruction needs have reached it. If not, it parks the running group and
// runs another one.
func (w *warp) gather(in *instr, active uint32) bool {
	need := w.live
	switch in.lanes {
	case fullWarp:
		if w.live != allLanes {
			w.fault(in, active, "all 32 lanes must take part, but lanes %#x do not exist or have exited", ^w.live)
		}
	case maskLanes:
		need = 0
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			mask := w.r32[in.e][l]
			if mask>>l&1 == 0 {
				w.fault(in, 1<<l, "the member mask %#x does not name the lane itself", mask)
			}
			need |= mask
		}
		if gone := need &^ w.live; gone != 0 {
			w.fault(in, active, "the member mask names lanes %#x, which do not exist or have exited", gone)
		}
	}
	if need&^active == 0 {
		w.syncs++
		return true
	}
	if rest := w.active &^ active; rest != 0 {
		w.groups = append(w.groups, group{pc: w.pc + 1, mask: rest})
	}
	w.groups = append(w.groups, group{pc: w.pc, mask: active, parked: true})
	w.runOtherGroup()
	return false
}

// divergent faults because all groups wait for each other at collectives.
func (w *warp) divergent() {
	g := w.groups[0]
	in := &w.program.code[g.pc]
	if len(w.groups) == 1 {
		w.fault(in, g.mask, "lanes %#x wait here for lanes %#x, which have exited or will not come",
			g.mask, ^g.mask&w.exists)
	}
	other := &w.program.code[w.groups[1].pc]
	w.fault(in, g.mask, "divergent warp: lanes %#x wait here, lanes %#x at %s (%s)", g.mask, w.groups[1].mask,
		w.program.position(other.source), other.source.Text)
}

// begin32 returns the array for the results of row d: the row itself if all lanes are active, or a scratch row. The
// caller writes all 32 lanes and calls end32.
func (w *warp) begin32(d int32, active uint32) *[32]uint32 {
	if active == allLanes {
		return &w.r32[d]
	}
	return &w.scratch32
}

// end32 copies the active lanes from the scratch row to row d if needed, and marks them as having values.
func (w *warp) end32(d int32, active uint32) {
	w.def32[d] |= active
	if active == allLanes {
		return
	}
	r := &w.r32[d]
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m) & 31
		r[l] = w.scratch32[l]
	}
}

func (w *warp) begin64(d int32, active uint32) *[32]uint64 {
	if active == allLanes {
		return &w.r64[d]
	}
	return &w.scratch64
}

func (w *warp) end64(d int32, active uint32) {
	w.def64[d] |= active
	if active == allLanes {
		return
	}
	r := &w.r64[d]
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m) & 31
		r[l] = w.scratch64[l]
	}
}

// setPredicate writes the active lanes of a predicate.
func (w *warp) setPredicate(d int32, active, value uint32) {
	w.p[d] = w.p[d]&^active | value&active
	w.defP[d] |= active
}
