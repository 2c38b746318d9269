package ptxsim

import (
	"math/bits"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// asyncOps are the asynchronous copies (cp.async) and the waits for them.
var asyncOps = map[string]func(d *decoder){"cp": decodeCp}

// A copyInFlight is one lane's cp.async. Its bytes are copied at the wait, the latest time that a GPU may copy them, so
// that a kernel that changes the source too early gets a wrong result. Until then every access to the destination is a
// fault.
type copyInFlight struct {
	in    *instr
	lane  int
	group uint32 // the number of the lane's commit group
	to    int    // the offset in shared memory
	bytes int
	from  []byte // if it has fewer than bytes bytes, zeros follow
}

func decodeCp(d *decoder) {
	d.want("async")
	switch {
	case d.has("bulk"):
		d.decodeBulk()
	case d.has("commit_group"):
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) {
			for m := active; m != 0; m &= m - 1 {
				w.groupsOpen[bits.TrailingZeros32(m)&31]++
			}
		}
	case d.has("wait_group"):
		d.operands(1, 1)
		keep := d.constant(0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.waitCopies(active, keep, false) }
	case d.has("wait_all"):
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.waitCopies(active, 0, true) }
	case d.has("mbarrier"):
		d.decodeCopyArrive()
	default:
		d.decodeCopy()
	}
}

func (d *decoder) decodeCopy() {
	policy := d.want("ca", "cg")
	d.ignore("L2::64B", "L2::128B", "L2::256B")
	if d.oneOf("shared", "shared::cta") == "" || !d.has("global") {
		d.fail("cp.async wants .shared.global")
	}
	if !d.operands(3, 5) {
		return
	}
	size := d.constant(2)
	if size != 16 && (policy == "cg" || size != 4 && size != 8) {
		d.fail("cp.async.%s of %d bytes", policy, size)
	}
	d.locate(0)
	to, toWide, toOffset := d.in.a, d.in.wide, d.in.imm
	d.locate(1)
	if !d.in.wide {
		d.fail("a 32-bit address of global memory")
	}
	d.in.flag = toWide
	d.in.b = to
	source, ignore := int32(-1), int32(-1)
	for i := 3; i < len(d.text.Operands); i++ {
		o := d.operand(i)
		if o.Kind == ptx.RegisterOperand && width(d.function.Registers[o.Register].Type) == 1 {
			ignore = d.read(i, 1)
		} else {
			source = d.read(i, 32)
		}
	}
	d.in.c, d.in.e = source, ignore
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			dst := uint64(toOffset)
			if in.flag {
				dst += w.r64[in.b][l]
			} else {
				dst += uint64(w.r32[in.b][l])
			}
			n := int(size)
			if source >= 0 {
				if n = int(w.r32[source][l]); n > int(size) || n < 0 {
					w.fault(in, 1<<l, "cp.async of %d bytes with a source of %d", size, n)
				}
			}
			if ignore >= 0 && (w.p[ignore]>>l&1 != 0) != in.not {
				n = 0
			}
			w.startCopy(in, l, dst, w.r64[in.a][l]+uint64(in.imm), int(size), n)
		}
	}
}

// startCopy checks the source and the destination of a copy and adds it to w.copies. waitCopies moves the data.
func (w *warp) startCopy(in *instr, lane int, dst, src uint64, size, n int) {
	if sp, at := resolveGeneric(dst); sp == spaceShared {
		dst = at
	}
	w.view(in, lane, spaceShared, dst, size, copyIssue)
	c := copyInFlight{in: in, lane: lane, group: w.groupsOpen[lane], to: int(dst), bytes: size}
	if src&uint64(size-1) != 0 {
		w.fault(in, 1<<lane, "misaligned global access: %#x is not a multiple of %d", src, size)
	}
	for have := 0; have < n; { // in parts, because n need not be a power of two
		part := size
		for have+part > n {
			part /= 2
		}
		s := w.global(in, lane, src+uint64(have), part, load)
		if have == 0 {
			c.from = s
		} else {
			c.from = append(c.from[:have:have], s...)
		}
		have += part
	}
	if w.shadow != nil {
		for word := dst >> 2; word < (dst+uint64(size))>>2; word++ {
			w.shadow[word].pending = uint8(w.id + 1)
		}
	}
	w.copies = append(w.copies, c)
}

// waitCopies completes the copies of the active lanes, except those of the newest keep groups. If all is true, it also
// completes copies that are not committed yet.
func (w *warp) waitCopies(active uint32, keep int64, all bool) {
	rest := w.copies[:0]
	for _, c := range w.copies {
		if active>>c.lane&1 == 0 || !all && int64(c.group)+keep >= int64(w.groupsOpen[c.lane]) {
			rest = append(rest, c)
			continue
		}
		w.finishCopy(&c)
		if w.shadow == nil {
			continue
		}
		// No check is needed: an access to these words since startCopy would have been a fault.
		words := w.shadow[c.to>>2 : (c.to+c.bytes)>>2]
		for i := range words {
			s := &words[i]
			s.init, s.written, s.strong = 15, 15, false
			s.writer, s.lane, s.clock, s.syncs = uint8(w.id+1), uint8(c.lane), w.clock[w.id], w.syncs
		}
	}
	w.copies = rest
}

// finishCopy copies the bytes of c, fills the rest of the destination with zeros and allows accesses to it.
func (w *warp) finishCopy(c *copyInFlight) {
	to := w.shared[c.to : c.to+c.bytes]
	clear(to[copy(to, c.from):])
	if w.shadow != nil {
		for word := c.to >> 2; word < (c.to+c.bytes)>>2; word++ {
			w.shadow[word].pending = 0
		}
	}
}
