package ptxsim

import (
	"math"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// wgmmaOps are the asynchronous matrix operations of four warps. Each warp computes its 16 of the 64 rows when the
// operation is issued. Until wgmma.wait_group, other instructions must not use the operation's registers, and the
// operation counts as a reader of its shared memory.
var wgmmaOps = map[string]func(d *decoder){"wgmma": decodeWgmma, "setmaxnreg": decodeSetmaxnreg}

// wgmmaState has the operations of a warp that are in flight.
type wgmmaState struct {
	group  uint32   // the number of the group that is not committed yet, from 1
	owner  []uint32 // by row of r32: the group that has the row as an accumulator, or 0
	source []uint32 // by row of r32: the group that has the row as a source, or 0
	dirty  []bool   // by row of r32: it was written since the last wgmma.fence
	busy   int      // how many entries of owner and source are not 0
}

// wideFragments are the operands and sums of one warp's 16 rows.
type wideFragments struct {
	a    [16][32]float64  // [m][k]
	b    [256][32]float64 // [n][k]
	sums [16][256]float64 // [m][n]
}

func (d *decoder) needWgmma() {
	if d.module.Target != "sm_90a" {
		d.fail("%s needs target sm_90a, the module is for %s", d.text.Opcode, d.module.Target)
	}
}

func decodeSetmaxnreg(d *decoder) {
	d.needWgmma()
	d.want("inc", "dec")
	d.want("sync")
	d.want("aligned")
	d.ignore("u32")
	if n := d.constant(0); n < 24 || n > 256 || n%8 != 0 {
		d.fail("%d registers, want a multiple of 8 from 24 to 256", n)
	}
	d.in.lanes = fullWarp
	d.in.run = nop
}

func decodeWgmma(d *decoder) {
	d.needWgmma()
	d.asyncAgents, d.wgmma = true, true
	kind := d.want("fence", "commit_group", "wait_group", "mma_async")
	d.want("sync")
	d.want("aligned")
	d.in.lanes = fullWarp
	switch kind {
	case "fence":
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) { clear(w.wgmma.dirty) }
	case "commit_group":
		d.operands(0, 0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.wgmma.group++ }
	case "wait_group":
		d.operands(1, 1)
		keep := d.constant(0)
		d.in.run = func(w *warp, in *instr, active uint32) { w.waitWgmma(keep) }
	case "mma_async":
		d.decodeMmaAsync()
	}
}

// waitWgmma ends the use of registers and shared memory by all committed groups except the newest keep ones.
func (w *warp) waitWgmma(keep int64) {
	s := &w.wgmma
	last := int64(s.group) - 1 - keep
	if last <= 0 {
		return
	}
	s.busy = 0
	for _, list := range [][]uint32{s.owner, s.source} {
		for i, g := range list {
			if int64(g) <= last {
				list[i] = 0
			} else {
				s.busy++
			}
		}
	}
	agent := 2*len(w.warps) + w.id
	w.clock[agent] = max(w.clock[agent], uint32(last))
}

// checkAccumulators faults if an instruction uses a register that is in flight, and marks the registers that it writes
// as dirty.
func (w *warp) checkAccumulators(in *instr, active uint32) {
	s := &w.wgmma
	if s.busy > 0 {
		for _, r := range in.read32 {
			if s.owner[r] != 0 {
				w.fault(in, active, "register of a wgmma in flight read before wgmma.wait_group")
			}
		}
		for _, r := range in.write32 {
			if s.owner[r] != 0 || s.source[r] != 0 {
				w.fault(in, active, "register of a wgmma in flight written before wgmma.wait_group")
			}
		}
	}
	for _, r := range in.write32 {
		s.dirty[r] = true
	}
}

// matrixOperand is a decoded matrix descriptor: 64×k or n×k elements in shared memory.
type matrixOperand struct {
	base, leading, stride uint64 // bytes
	swizzle               cu.TensorMapSwizzle
	transposed            bool // m or n is contiguous in memory instead of k
}

func decodeDescriptor(v uint64, transposed bool) matrixOperand {
	swizzles := [4]cu.TensorMapSwizzle{cu.SwizzleNone, cu.Swizzle128B, cu.Swizzle64B, cu.Swizzle32B}
	return matrixOperand{base: v & 0x3fff << 4, leading: v >> 16 & 0x3fff << 4, stride: v >> 32 & 0x3fff << 4,
		swizzle: swizzles[v>>62], transposed: transposed}
}

// chunk returns the address of the 16 bytes with the elements from k on of row r, or if transposed, with the rows from
// r on of column k. size is the bytes of an element. The layouts are the canonical ones of the PTX manual's "Shared
// Memory Matrix Layout": they consist of atoms of 8 rows, each as wide as the swizzle, or 16 bytes without a swizzle.
func (m *matrixOperand) chunk(r, k, size int) uint64 {
	per := 16 / size // elements in a chunk
	width := uint64(16 << m.swizzle)
	var at uint64
	switch {
	case !m.transposed && m.swizzle == cu.SwizzleNone:
		at = uint64(r/8)*m.stride + uint64(r%8)*16 + uint64(k/per)*m.leading
	case !m.transposed:
		at = uint64(r/8)*m.stride + uint64(r%8)*width + uint64(k*size)
	case m.swizzle == cu.SwizzleNone:
		at = uint64(r/per)*m.stride + uint64(k%8)*16 + uint64(k/8)*m.leading
	default:
		wide := int(width) / size
		at = uint64(r/wide)*m.leading + uint64(r%wide*size) + uint64(k%8)*width + uint64(k/8)*m.stride
	}
	return swizzled(m.base+at, m.swizzle)
}

// decodeMmaAsync decodes wgmma.mma_async with float32 accumulators and f16, bf16, tf32, e4m3 and e5m2, and with s32
// accumulators and 8-bit integers. Only 16-bit elements may be transposed, and only products of floats have signs.
func (d *decoder) decodeMmaAsync() {
	shape := ""
	for _, m := range d.mods {
		if strings.HasPrefix(m, "m64n") {
			shape = m
		}
	}
	d.has(shape)
	saturate := d.has("satfinite")
	names := d.mods
	d.mods = nil
	n, k := 0, 0
	if head, tail, ok := strings.Cut(strings.TrimPrefix(shape, "m64n"), "k"); ok {
		n, k = digits(head), digits(tail)
	}
	size := 0
	if len(names) == 3 {
		size = elementBits(names[0], names[1], names[2]) / 8
	}
	integer := size != 0 && names[0] == "s32"
	step := 8
	if integer && n > 32 {
		step = 16
	}
	if size == 0 || k != 32/size || n%step != 0 || n < 8 || n > 256 || saturate && !integer {
		d.fail("wgmma of shape %s and types %s is not supported", shape, strings.Join(names, "."))
		return
	}
	if integer && names[1] != names[2] {
		d.needVersion("wgmma of types "+strings.Join(names, "."), "8.4")
	}
	if !d.operands(4, 8) {
		return
	}
	out := d.writeVector(0, n/2, 32)
	d.in.write32 = nil // no check, because several wgmma in flight may use the same accumulators
	var a []int32
	descriptorA := int32(0)
	if d.operand(1).Kind == ptx.VectorOperand {
		a = d.readVector(1, 4, 32)
	} else {
		descriptorA = d.read(1, 64)
	}
	descriptorB := d.read(2, 64)
	keep := int32(-1) // the predicate that tells whether to add to the old value of d
	constantKeep := true
	if o := d.operand(3); o.Kind == ptx.ImmediateOperand {
		constantKeep = o.Value != 0
	} else {
		keep = d.read(3, 1)
	}
	product := wideProduct{out: out, n: n, k: k, sign: 1, integer: integer, saturate: saturate}
	transA, transB := false, false
	rest := len(d.text.Operands) - 4
	if !integer {
		signA, signB := float64(d.constant(4)), float64(d.constant(5))
		if signA*signA != 1 || signB*signB != 1 {
			d.fail("scales %g and %g, want 1 or -1", signA, signB)
		}
		product.sign = signA * signB
		rest -= 2
	}
	switch {
	case size != 2 && rest == 0:
	case size == 2 && a == nil && rest == 2:
		transA, transB = d.constant(6) != 0, d.constant(7) != 0
	case size == 2 && a != nil && rest == 1:
		transB = d.constant(6) != 0
	default:
		d.fail("%d operands", len(d.text.Operands))
	}
	valueA, valueB := elementDecoder(names[1]), elementDecoder(names[2])
	d.in.run = func(w *warp, in *instr, active uint32) {
		if w.wide == nil {
			w.wide = new(wideFragments)
		}
		if len(w.warps) < w.id/4*4+4 {
			w.fault(in, active, "wgmma wants groups of four warps, the block has %d", len(w.warps))
		}
		for _, row := range out {
			if w.wgmma.dirty[row] {
				w.fault(in, active, "accumulator written with no wgmma.fence since")
			}
		}
		f := w.wide
		if a != nil {
			w.fragmentA(in, a, k, size, valueA)
		} else {
			m := decodeDescriptor(w.r64[descriptorA][0], transA)
			w.readMatrix(in, &m, w.id%4*16, f.a[:], k, size, valueA)
		}
		m := decodeDescriptor(w.r64[descriptorB][0], transB)
		w.readMatrix(in, &m, 0, f.b[:n], k, size, valueB)
		add := constantKeep
		if keep >= 0 {
			add = (w.p[keep]&1 != 0) != in.not
		}
		w.multiplyWide(in, &product, add)
	}
}

func digits(s string) int {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > 1000 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// fragmentA reads matrix a from registers, which have the layout of mma's a.
func (w *warp) fragmentA(in *instr, rows []int32, k, size int, value func(uint32) float64) {
	per := 4 / size
	mask := uint32(allLanes) >> (32 - 8*size)
	for h, row := range rows {
		if w.wgmma.dirty[row] {
			w.fault(in, allLanes, "source register written with no wgmma.fence since")
		}
		if w.wgmma.source[row] == 0 {
			w.wgmma.busy++
		}
		w.wgmma.source[row] = w.wgmma.group
		for l, v := range w.r32[row] {
			for e := range per {
				w.wide.a[l>>2+h&1*8][l&3*per+h>>1*4*per+e] = value(v >> (e * 8 * size) & mask)
			}
		}
	}
}

// readMatrix reads len(to) rows of a matrix in shared memory, from row first on.
func (w *warp) readMatrix(in *instr, m *matrixOperand, first int, to [][32]float64, k, size int,
	value func(uint32) float64) {
	per := 16 / size
	agent := 2*len(w.warps) + w.id
	read := func(r, c int, element func(e int, v float64)) {
		at := m.chunk(r, c, size)
		w.checkBulk(in, 0, at, 16, 16)
		if w.shadow != nil {
			w.asyncRead(in, agent, w.wgmma.group, at, 16)
		}
		for e := range per {
			var v uint32
			for i := range size {
				v |= uint32(w.shared[at+uint64(e*size+i)]) << (8 * i)
			}
			element(e, value(v))
		}
	}
	if m.transposed {
		for c := range k {
			for r := 0; r < len(to); r += per {
				read(first+r, c, func(e int, v float64) { to[r+e][c] = v })
			}
		}
		return
	}
	for r := range to {
		for c := 0; c < k; c += per {
			read(first+r, c, func(e int, v float64) { to[r][c+e] = v })
		}
	}
}

// wideProduct says what a wgmma computes: 16 × n sums of k products for each warp, to the rows out of r32.
type wideProduct struct {
	out      []int32
	n, k     int
	sign     float64 // 1 or -1, of each product
	integer  bool    // the accumulators are s32
	saturate bool    // their overflow is clamped
}

// accumulator returns the value of the bits v of an accumulator.
func (p *wideProduct) accumulator(v uint32) float64 {
	if p.integer {
		return float64(int32(v))
	}
	return float64(f32(v))
}

// bits returns a sum as an accumulator. A sum of integers is exact in float64, since its magnitude is below 2^32.
func (p *wideProduct) bits(sum float64) uint32 {
	switch {
	case p.integer && p.saturate:
		return uint32(int32(min(max(sum, math.MinInt32), math.MaxInt32)))
	case p.integer:
		return uint32(int64(sum))
	}
	return u32(float32(sum))
}

// multiplyWide computes the sums in the order of mma, and rounds them once as mma does (see matrixOps).
func (w *warp) multiplyWide(in *instr, p *wideProduct, add bool) {
	f := w.wide
	for i := range f.a {
		for j := range f.b[:p.n] {
			sum := 0.0
			if add {
				row := p.out[j/8*4+i/8*2+j%2]
				sum = p.accumulator(w.r32[row][i%8*4+j%8/2])
			}
			x, y := f.a[i][:p.k], f.b[j][:p.k]
			for c, v := range x {
				sum += float64(p.sign * v * y[c])
			}
			f.sums[i][j] = sum
		}
	}
	s := &w.wgmma
	for h, row := range p.out {
		if add && w.checks.Uninitialised && w.def32[row] != allLanes {
			w.fault(in, ^w.def32[row], "accumulator without a value")
		}
		r := &w.r32[row]
		for l := range r {
			r[l] = p.bits(f.sums[l>>2+h>>1&1*8][h>>2*8+l&3*2+h&1])
		}
		w.def32[row] = allLanes
		if s.owner[row] == 0 {
			s.busy++
		}
		s.owner[row] = s.group
	}
}
