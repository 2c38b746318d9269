package ptxsim

import (
	"fmt"
	"math/bits"
	"path"

	"kleinbild/kernels/ptxsim/ptx"
)

// Checks says which checks are left out. The zero value makes all of them; bounds, alignment and lifetime are always
// checked.
type Checks struct {
	SkipUninitialised bool // reads of registers and memory that were never written
	SkipRaces         bool // unordered accesses to shared memory, asynchronous copies touched before their wait
	SkipBarrierMatch  bool // bar.sync 0 met at different places by different warps
}

// A Fault is what a kernel did wrong, and where.
type Fault struct {
	Kernel      string
	Block       [3]int
	Thread      [3]int // the first lane concerned
	Message     string
	Source      string // "gemm.cu:42", empty where the PTX has no .loc
	PTXLine     int
	Instruction string
}

// Error is one line: kernel, block, thread, place, message, instruction.
func (f *Fault) Error() string {
	place := fmt.Sprintf("ptx line %d", f.PTXLine)
	if f.Source != "" {
		place = f.Source + " (" + place + ")"
	}
	return fmt.Sprintf("kernel %s: block (%d,%d,%d) thread (%d,%d,%d): %s: %s: %s", f.Kernel, f.Block[0], f.Block[1], f.Block[2],
		f.Thread[0], f.Thread[1], f.Thread[2], place, f.Message, f.Instruction)
}

// position names the line of the source, or of the PTX where that is all there is.
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
	return fmt.Sprintf("%s:%d", path.Base(name), in.Source.Line)
}

// fault ends the launch. It unwinds to the worker that runs the block.
func (w *warp) fault(in *instr, lanes uint32, format string, args ...any) {
	thread := w.id*32 + bits.TrailingZeros32(lanes)&31
	dim := w.launch.block
	panic(&Fault{Kernel: w.program.name, Block: w.at, Thread: [3]int{thread % dim[0], thread / dim[0] % dim[1], thread / dim[0] / dim[1]},
		Message: fmt.Sprintf(format, args...), Source: w.program.sourceOf(in.source), PTXLine: in.source.Line, Instruction: in.source.Text})
}

// Races are found by vector clocks. An agent is a warp, or one of the asynchronous engines that work for a warp or a
// barrier. Each warp has a clock of its own, which it advances whenever it releases what it did (it arrives at a
// barrier), and knows for every other agent up to which of its times things happened before now. An access is ordered
// after one that agent v made at time c if the warp knows v's time c.

// shadow is what is known of four bytes of shared memory.
type shadow struct {
	clock   uint32 // of the writer, at the last write
	syncs   uint32 // of the writing warp, at the last write
	writer  uint8  // agent + 1
	lane    uint8
	written uint8 // bytes of the last write
	init    uint8 // bytes that have a value
	pending uint8 // warp + 1 of a cp.async in flight to here
	partial bool  // has been accessed by the byte: readers say too little
	strong  bool  // the last write was atomic, volatile or relaxed
}

type access uint8

const (
	load access = iota
	store
	strongLoad // volatile, relaxed, acquire: no race with a strong store
	strongStore
	atomicAccess
	copyIssue // cp.async takes the destination: checked as a store, valued later
)

// join makes everything known that another clock knows.
func join(into, from []uint32) {
	for i, v := range from {
		if v > into[i] {
			into[i] = v
		}
	}
}

// release hands what the warp did to whoever gets a copy of its clock now, and starts a new time.
func (w *warp) release(into, fenced []uint32) {
	join(into, w.clock)
	if fenced != nil {
		join(fenced, w.fenced)
	}
	w.clock[w.id]++
}

// acquire takes over what a released clock knows.
func (w *warp) acquire(clock, fenced []uint32) {
	own := w.clock[w.id]
	join(w.clock, clock)
	w.clock[w.id] = own
	if fenced != nil {
		join(w.fenced, fenced)
	}
}

// agentName names an agent in a message.
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

// touch checks an access of n bytes at an offset that is in bounds, and records it.
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

// touchLoad is touch for reads of whole words, quick where nothing is wrong.
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

func (w *warp) touchWord(in *instr, lane int, word uint64, bytes uint8, kind access) {
	s := &w.shadow[word]
	races := !w.skipRaces
	if races {
		if s.pending != 0 {
			w.fault(in, 1<<lane, "shared memory at %#x touched while a cp.async of warp %d to it is in flight", word*4, s.pending-1)
		}
		w.checkWriter(in, lane, word, s, bytes, kind)
	}
	me := uint8(w.id + 1)
	switch kind {
	case load, strongLoad, atomicAccess:
		if s.init&bytes != bytes && w.checks.Uninitialised {
			w.fault(in, 1<<lane, "read of shared memory at %#x, which has not been written", word*4+uint64(bits.TrailingZeros8(bytes&^s.init)))
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
				w.fault(in, 1<<lane, "race on shared memory at %#x: read by %s with no barrier between", word*4, w.agentName(v))
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

// checkWriter faults where the last write is not ordered before this access.
func (w *warp) checkWriter(in *instr, lane int, word uint64, s *shadow, bytes uint8, kind access) {
	if s.writer == 0 || s.written&bytes == 0 || s.strong && kind >= strongLoad && kind <= atomicAccess {
		return
	}
	by := int(s.writer) - 1
	if by != w.id {
		if s.clock > w.clock[by] {
			w.fault(in, 1<<lane, "race on shared memory at %#x: written by %s with no %s between", word*4, w.agentName(by), w.missingSync(by))
		}
		return
	}
	if int(s.lane) != lane && s.syncs == w.syncs && (kind == load || kind == strongLoad) {
		w.fault(in, 1<<lane, "race on shared memory at %#x: written by lane %d of the same warp with no bar.warp.sync between", word*4, s.lane)
	}
}

func (b *block) missingSync(agent int) string {
	if agent < len(b.warps) {
		return "barrier"
	}
	return "wait"
}

// asyncRead records that an engine working for the warp reads shared memory, and checks that what it reads was
// written, is ordered before now, and has been made visible to the asynchronous proxy.
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
			w.fault(in, w.active, "shared memory at %#x read while a cp.async of warp %d to it is in flight", word*4, s.pending-1)
		}
		if s.writer != 0 {
			by := int(s.writer) - 1
			if by != w.id && s.clock > w.clock[by] {
				w.fault(in, w.active, "race on shared memory at %#x: written by %s with no %s between", word*4, w.agentName(by), w.missingSync(by))
			}
			if by < len(w.warps) && s.clock > w.fenced[by] {
				w.fault(in, w.active, "shared memory at %#x was written by %s with no fence.proxy.async since", word*4, w.agentName(by))
			}
		}
		w.readers[int(word)*w.readerCount+agent] = clock
	}
}

// asyncWrite records a write by a barrier's engine, ordered after what the issuing warp knows.
func (w *warp) asyncWrite(in *instr, agent int, clock uint32, at uint64, n int) {
	for word := at >> 2; word < (at+uint64(n)+3)>>2; word++ {
		s := &w.shadow[word]
		s.init = 15
		if w.skipRaces {
			continue
		}
		if s.pending != 0 {
			w.fault(in, w.active, "shared memory at %#x overwritten while a cp.async of warp %d to it is in flight", word*4, s.pending-1)
		}
		if by := int(s.writer) - 1; by >= 0 && by != w.id && s.clock > w.clock[by] && by != agent {
			w.fault(in, w.active, "race on shared memory at %#x: written by %s with no %s between", word*4, w.agentName(by), w.missingSync(by))
		} else if by == agent && s.clock > w.clock[by] {
			w.fault(in, w.active, "race on shared memory at %#x: an earlier copy of the same mbarrier to it has not been waited for", word*4)
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
