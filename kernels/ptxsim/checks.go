package ptxsim

import (
	"fmt"
	"math/bits"
	"path"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// Checks says which checks to skip. The zero value skips none. Bounds, alignment and lifetime are always checked.
type Checks struct {
	SkipUninitialised bool // reads of registers and memory that were never written
	SkipRaces         bool // unordered accesses to shared memory, and to asynchronous copies before the wait for them
	SkipBarrierMatch  bool // warps that arrive at a barrier of all threads from different instructions
}

// A Fault is an error of a kernel: what it did, and where.
type Fault struct {
	Kernel      string
	Block       [3]int
	Thread      [3]int // the first thread that did it
	Message     string
	Source      string // "gemm.cu:42", "device.h:7 in gemm.cu:42" for inlined code, or "" if the PTX has no .loc
	PTXLine     int
	Instruction string
}

// Error returns one line with the kernel, block, thread, source line, message and instruction.
func (f *Fault) Error() string {
	place := fmt.Sprintf("ptx line %d", f.PTXLine)
	if f.Source != "" {
		place = f.Source + " (" + place + ")"
	}
	return fmt.Sprintf("kernel %s: block (%d,%d,%d) thread (%d,%d,%d): %s: %s: %s", f.Kernel,
		f.Block[0], f.Block[1], f.Block[2], f.Thread[0], f.Thread[1], f.Thread[2], place, f.Message, f.Instruction)
}

// position returns the line of the source that an instruction was compiled from, or its PTX line if that is not known.
func (p *program) position(in *ptx.Instruction) string {
	if s := p.sourceOf(in); s != "" {
		return s
	}
	return fmt.Sprintf("ptx line %d", in.Line)
}

func (p *program) sourceOf(in *ptx.Instruction) string {
	name, ok := p.module.Files[in.Source.File]
	if !ok || in.Source.Line == 0 {
		return ""
	}
	place := fmt.Sprintf("%s:%d", path.Base(name), in.Source.Line)
	if in.Source.Caller != "" {
		place += " in " + path.Base(in.Source.Caller)
	}
	return place
}

// fault ends the launch with a Fault at the first of the given lanes. It panics; launch.work recovers.
func (w *warp) fault(in *instr, lanes uint32, format string, args ...any) {
	thread := w.id*32 + bits.TrailingZeros32(lanes)&31
	dim := w.launch.block
	panic(&Fault{Kernel: w.program.name, Block: w.at,
		Thread:  [3]int{thread % dim[0], thread / dim[0] % dim[1], thread / dim[0] / dim[1]},
		Message: fmt.Sprintf(format, args...),
		Source:  w.program.sourceOf(in.source), PTXLine: in.source.Line, Instruction: in.source.Text})
}

// Races are found by vector clocks. An agent is a warp, or an asynchronous engine that works for a warp or an mbarrier.
// Each agent has a time. A warp advances its own time whenever it releases its earlier accesses, for example when it
// arrives at a barrier. A warp's clock has, for every agent, the latest time of that agent that happened before now. An
// access of the warp is ordered after an access that agent v made at time c if the warp's clock has at least c for v.

// shadow is the state of four bytes of shared memory.
type shadow struct {
	clock   uint32 // the writer's time at the last write
	syncs   uint32 // warp.syncs of the writing warp at the last write
	writer  uint8  // the agent of the last write + 1, or 0
	lane    uint8  // the lane of the last write
	written uint8  // a bit for each byte of the last write
	init    uint8  // a bit for each byte that has a value
	pending uint8  // the warp of a cp.async in flight to these bytes + 1, or 0
	partial bool   // single bytes have been accessed, so that readers, which are kept by word, cannot be checked
	strong  bool   // the last write was atomic, volatile or relaxed
}

type access uint8

const (
	load access = iota
	store
	strongLoad // volatile, relaxed, acquire: no race with a strong store
	strongStore
	atomicAccess
	copyIssue // the destination of a cp.async: checked as a store, but the bytes have no value yet
)

// join raises each time of the clock into to that of from.
func join(into, from []uint32) {
	for i, v := range from {
		if v > into[i] {
			into[i] = v
		}
	}
}

// release joins the warp's clock into the clock into, and its fenced clock into fenced, and advances the warp's time.
func (w *warp) release(into, fenced []uint32) {
	join(into, w.clock)
	if fenced != nil {
		join(fenced, w.fenced)
	}
	w.clock[w.id]++
}

// acquire joins the clocks of others into the warp's.
func (w *warp) acquire(clock, fenced []uint32) {
	own := w.clock[w.id]
	join(w.clock, clock)
	w.clock[w.id] = own
	if fenced != nil {
		join(w.fenced, fenced)
	}
}

// agentName returns the name of an agent for messages.
func (b *block) agentName(agent int) string {
	n := len(b.warps)
	switch {
	case agent < n:
		return fmt.Sprintf("warp %d", agent)
	case agent < 2*n:
		return fmt.Sprintf("a bulk copy of warp %d", agent-n)
	case agent < 3*n:
		return fmt.Sprintf("a wgmma of warp %d", agent-2*n)
	}
	return fmt.Sprintf("a bulk copy to the mbarrier at %#x", b.mbarrierAddress(agent-3*n))
}

// touch checks and records an access of n bytes of shared memory from at on, which must be in bounds.
func (w *warp) touch(in *instr, lane int, at uint64, n int, kind access) {
	if kind == load && at&3 == 0 && n&3 == 0 && !w.skipRaces {
		w.touchLoad(in, lane, at, n)
		return
	}
	for n > 0 {
		within := int(at & 3)
		size := min(n, 4-within)
		w.touchWord(in, lane, at>>2, uint8(1<<size-1)<<within, kind)
		at += uint64(size)
		n -= size
	}
}

// touchLoad is touch for reads of whole words. It is faster if the words have no possible error.
func (w *warp) touchLoad(in *instr, lane int, at uint64, n int) {
	now, me := w.clock[w.id], uint8(w.id+1)
	first := int(at >> 2)
	words := w.shadow[first : first+n>>2]
	for i := range words {
		s := &words[i]
		if s.init == 15 && s.pending == 0 && s.writer != me && s.clock <= w.clock[s.writer-1] {
			w.readers[(first+i)*w.readerCount+w.id] = now
			continue
		}
		w.touchWord(in, lane, uint64(first+i), 15, load)
	}
}

// touchWord is touch for some bytes of one word; bytes has a bit for each of them.
func (w *warp) touchWord(in *instr, lane int, word uint64, bytes uint8, kind access) {
	s := &w.shadow[word]
	races := !w.skipRaces
	if races {
		if s.pending != 0 {
			w.fault(in, 1<<lane, "shared memory at %#x accessed while a cp.async of warp %d to it is in flight",
				word*4, s.pending-1)
		}
		w.checkWriter(in, lane, word, s, bytes, kind)
	}
	me := uint8(w.id + 1)
	switch kind {
	case load, strongLoad, atomicAccess:
		if s.init&bytes != bytes && w.checks.Uninitialised {
			w.fault(in, 1<<lane, "read of shared memory at %#x, which has not been written",
				word*4+uint64(bits.TrailingZeros8(bytes&^s.init)))
		}
		if races && kind != atomicAccess {
			w.readers[int(word)*w.readerCount+w.id] = w.clock[w.id]
		}
	}
	if bytes != 15 {
		s.partial = true
	}
	if kind == load || kind == strongLoad {
		return
	}
	if races && !s.partial {
		readers := w.readers[int(word)*w.readerCount:][:w.readerCount]
		for v, c := range readers {
			if c > w.clock[v] && v != w.id {
				w.fault(in, 1<<lane, "race on shared memory at %#x: read by %s with no barrier between",
					word*4, w.agentName(v))
			}
		}
	}
	if s.writer == me && s.clock == w.clock[w.id] && s.syncs == w.syncs && int(s.lane) == lane {
		s.written |= bytes
	} else {
		s.written = bytes
	}
	s.writer, s.lane, s.clock, s.syncs = me, uint8(lane), w.clock[w.id], w.syncs
	s.strong = kind == atomicAccess || kind == strongStore
	if kind != copyIssue {
		s.init |= bytes
	}
}

// checkWriter faults if the last write is not ordered before this access.
func (w *warp) checkWriter(in *instr, lane int, word uint64, s *shadow, bytes uint8, kind access) {
	if s.writer == 0 || s.written&bytes == 0 || s.strong && kind >= strongLoad && kind <= atomicAccess {
		return
	}
	by := int(s.writer) - 1
	if by != w.id {
		if s.clock > w.clock[by] {
			w.fault(in, 1<<lane, "race on shared memory at %#x: written by %s with no %s between",
				word*4, w.agentName(by), w.missingSync(by))
		}
		return
	}
	if int(s.lane) != lane && s.syncs == w.syncs && (kind == load || kind == strongLoad) {
		w.fault(in, 1<<lane, "race on shared memory at %#x: written by lane %d of the same warp with no bar.warp.sync "+
			"between", word*4, s.lane)
	}
}

// missingSync returns what should order an access after one of the agent.
func (b *block) missingSync(agent int) string {
	if agent < len(b.warps) {
		return "barrier"
	}
	return "wait"
}

// asyncRead records that an asynchronous engine of the warp reads shared memory. It checks that the bytes were written,
// that the write is ordered before now, and that a fence has made it visible to the asynchronous proxy.
func (w *warp) asyncRead(in *instr, agent int, clock uint32, at uint64, n int) {
	for word := at >> 2; word < (at+uint64(n)+3)>>2; word++ {
		s := &w.shadow[word]
		if s.init != 15 && w.checks.Uninitialised {
			w.fault(in, w.active, "asynchronous read of shared memory at %#x, which has not been written", word*4)
		}
		if w.skipRaces {
			continue
		}
		if s.pending != 0 {
			w.fault(in, w.active, "shared memory at %#x read while a cp.async of warp %d to it is in flight",
				word*4, s.pending-1)
		}
		if s.writer != 0 {
			by := int(s.writer) - 1
			if by != w.id && s.clock > w.clock[by] {
				w.fault(in, w.active, "race on shared memory at %#x: written by %s with no %s between",
					word*4, w.agentName(by), w.missingSync(by))
			}
			if by < len(w.warps) && s.clock > w.fenced[by] {
				w.fault(in, w.active, "shared memory at %#x was written by %s with no fence.proxy.async since",
					word*4, w.agentName(by))
			}
		}
		w.readers[int(word)*w.readerCount+agent] = clock
	}
}

// asyncWrite records a write of shared memory by the engine of an mbarrier, and checks that earlier accesses to it are
// ordered before the instruction that issued the write.
func (w *warp) asyncWrite(in *instr, agent int, clock uint32, at uint64, n int) {
	for word := at >> 2; word < (at+uint64(n)+3)>>2; word++ {
		s := &w.shadow[word]
		s.init = 15
		if w.skipRaces {
			continue
		}
		if s.pending != 0 {
			w.fault(in, w.active, "shared memory at %#x overwritten while a cp.async of warp %d to it is in flight",
				word*4, s.pending-1)
		}
		if by := int(s.writer) - 1; by >= 0 && by != w.id && s.clock > w.clock[by] && by != agent {
			w.fault(in, w.active, "race on shared memory at %#x: written by %s with no %s between",
				word*4, w.agentName(by), w.missingSync(by))
		} else if by == agent && s.clock > w.clock[by] {
			w.fault(in, w.active, "race on shared memory at %#x: written by an earlier copy of the same mbarrier with no wait "+
				"between", word*4)
		}
		readers := w.readers[int(word)*w.readerCount:][:w.readerCount]
		for v, c := range readers {
			if c > w.clock[v] && v != w.id {
				w.fault(in, w.active, "race on shared memory at %#x: still read by %s", word*4, w.agentName(v))
			}
		}
		s.writer, s.lane, s.clock, s.syncs, s.written, s.strong = uint8(agent+1), 0, clock, 0, 15, false
	}
}
