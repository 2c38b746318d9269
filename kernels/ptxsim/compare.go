package ptxsim

import (
	"math"
	"math/bits"
	"slices"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// compareOps are comparisons and selections.
var compareOps = map[string]func(d *decoder){
	"setp": decodeSetp,
	"set":  decodeSet,
	"selp": decodeSelp,
	"slct": decodeSlct,
}

// orders has, for each comparison operator, its results for the outcomes less, equal, greater and unordered.
var orders = map[string][4]bool{
	"eq": {false, true, false, false}, "ne": {true, false, true, false}, "lt": {true, false, false, false},
	"le": {true, true, false, false}, "gt": {false, false, true, false}, "ge": {false, true, true, false},
	"equ": {false, true, false, true}, "neu": {true, false, true, true}, "ltu": {true, false, false, true},
	"leu": {true, true, false, true}, "gtu": {false, false, true, true}, "geu": {false, true, true, true},
	"num": {true, true, true, false}, "nan": {false, false, false, true},
	"lo": {true, false, false, false}, "ls": {true, true, false, false}, "hi": {false, false, true, false},
	"hs": {false, true, true, false},
}

// A comparison compares rows a and b and returns a bit for each lane in which it holds.
type comparison func(w *warp, a, b int32) uint32

// comparison decodes the operator and .ftz for operands of type t. For packed types, low compares the lower halves and
// high the upper ones; for others high is nil.
func (d *decoder) comparison(t string) (low, high comparison) {
	op := d.text.Modifiers[0]
	if !d.has(op) {
		d.fail("comparison without a type")
	}
	when, ok := orders[op]
	if !ok {
		d.fail("comparison .%s is not known", op)
		return nil, nil
	}
	pick := func(less, equal, unordered uint32) uint32 {
		var m uint32
		if when[0] {
			m |= less
		}
		if when[1] {
			m |= equal
		}
		if when[2] {
			m |= ^(less | equal | unordered)
		}
		if when[3] {
			m |= unordered
		}
		return m
	}
	ftz := d.has("ftz")
	isFloat := t[0] == 'f' || slices.Contains([]string{"bf16", "bf16x2"}, t)
	if !isFloat && (len(op) == 3 || ftz) || isFloat && (op == "lo" || op == "ls" || op == "hi" || op == "hs") {
		d.fail("comparison .%s of type .%s", op, t)
	}
	switch t {
	case "f32":
		return func(w *warp, a, b int32) uint32 {
			x, y := &w.r32[a], &w.r32[b]
			var less, equal, unordered uint32
			for l := range x {
				u, v := x[l], y[l]
				if ftz {
					u, v = flush32(u), flush32(v)
				}
				p, q := f32(u), f32(v)
				switch {
				case p < q:
					less |= 1 << l
				case p == q:
					equal |= 1 << l
				case !(p > q):
					unordered |= 1 << l
				}
			}
			return pick(less, equal, unordered)
		}, nil
	case "f64":
		return func(w *warp, a, b int32) uint32 {
			return pick(compareFloats(func(l int) (float64, float64) {
				return math.Float64frombits(w.r64[a][l]), math.Float64frombits(w.r64[b][l])
			}))
		}, nil
	case "f16", "bf16", "f16x2", "bf16x2":
		f, _ := formatOf(t)
		half := func(shift int) comparison {
			return func(w *warp, a, b int32) uint32 {
				return pick(compareFloats(func(l int) (float64, float64) {
					return f.decode(w.r32[a][l] >> shift & 0xffff), f.decode(w.r32[b][l] >> shift & 0xffff)
				}))
			}
		}
		if width(t) == 32 {
			return half(0), half(16)
		}
		return half(0), nil
	case "s64", "u64", "b64":
		var bias uint64 // turns the order of signed numbers into that of unsigned ones
		if t == "s64" {
			bias = 1 << 63
		}
		return func(w *warp, a, b int32) uint32 {
			x, y := &w.r64[a], &w.r64[b]
			var less, equal uint32
			for l := range x {
				if x[l] == y[l] {
					equal |= 1 << l
				} else if x[l]^bias < y[l]^bias {
					less |= 1 << l
				}
			}
			return pick(less, equal, 0)
		}, nil
	case "s32", "u32", "b32", "s16", "u16", "b16":
		var bias uint32
		if t[0] == 's' {
			bias = 1 << (width(t) - 1)
		}
		return func(w *warp, a, b int32) uint32 {
			x, y := &w.r32[a], &w.r32[b]
			var less, equal uint32
			for l := range x {
				u, v := x[l]^bias, y[l]^bias
				_, borrow := bits.Sub32(u, v, 0)
				less |= borrow << l
				equal |= one(u == v) << l
			}
			return pick(less, equal, 0)
		}, nil
	}
	d.fail("comparison of type .%s", t)
	return nil, nil
}

func compareFloats(lane func(l int) (float64, float64)) (less, equal, unordered uint32) {
	for l := range 32 {
		switch a, b := lane(l); {
		case a < b:
			less |= 1 << l
		case a == b:
			equal |= 1 << l
		case a != a || b != b:
			unordered |= 1 << l
		}
	}
	return
}

// combiner decodes .and, .or or .xor and its predicate operand. The returned function combines a comparison's result
// with the predicate.
func (d *decoder) combiner(operand int) func(w *warp, in *instr, m uint32) uint32 {
	op := d.oneOf("and", "or", "xor")
	if op == "" {
		d.operands(operand, operand)
		return func(w *warp, in *instr, m uint32) uint32 { return m }
	}
	if !d.operands(operand+1, operand+1) {
		return nil
	}
	d.in.c = d.read(operand, 1)
	return func(w *warp, in *instr, m uint32) uint32 {
		c := w.p[in.c]
		if in.not {
			c = ^c
		}
		switch op {
		case "and":
			return m & c
		case "or":
			return m | c
		}
		return m ^ c
	}
}

func decodeSetp(d *decoder) {
	t := d.typ()
	if len(d.mods) == 0 {
		d.fail("setp without a comparison")
		return
	}
	low, high := d.comparison(t)
	combine := d.combiner(3)
	if d.err != nil {
		return
	}
	first, second := d.operand(0), (*ptx.Operand)(nil)
	if first.Kind == ptx.PairOperand {
		first, second = &first.List[0], &first.List[1]
	}
	if (high != nil) != (second != nil) && high != nil {
		d.fail("a packed comparison wants two results")
		return
	}
	d.in.d = d.writeTo(first, 1)
	d.in.e = -1
	if second != nil {
		d.in.e = d.writeTo(second, 1)
	}
	d.in.a, d.in.b = d.read(1, width(t)), d.read(2, width(t))
	d.in.run = func(w *warp, in *instr, active uint32) {
		m := low(w, in.a, in.b)
		other := ^m
		if high != nil {
			other = high(w, in.a, in.b)
		}
		c := combine(w, in, m)
		if in.e >= 0 {
			other = combine(w, in, other)
			w.setPredicate(in.e, active, other)
		}
		w.setPredicate(in.d, active, c)
	}
}

func decodeSet(d *decoder) {
	t := d.typ()
	to := d.typ()
	if to != "u32" && to != "s32" && to != "f32" || len(d.mods) == 0 || width(t) < 16 {
		d.fail("set to type .%s", to)
		return
	}
	low, high := d.comparison(t)
	if high != nil {
		d.fail("set of type .%s", t)
	}
	combine := d.combiner(3)
	if d.err != nil {
		return
	}
	d.in.d, d.in.a, d.in.b = d.write(0, 32), d.read(1, width(t)), d.read(2, width(t))
	yes := uint32(allLanes)
	if to == "f32" {
		yes = u32(1)
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		m := combine(w, in, low(w, in.a, in.b))
		r := w.begin32(in.d, active)
		for l := range r {
			r[l] = yes & -(m >> l & 1)
		}
		w.end32(in.d, active)
	}
}

// decodeSelp decodes selp. The result has no value in the lanes where the chosen source has none; that is not a fault,
// because compilers emit such a selp.
func decodeSelp(d *decoder) {
	t := d.typ()
	size := width(t)
	if size < 16 || !d.operands(4, 4) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a, d.in.b = d.write(0, size), d.peek(d.operand(1), size), d.peek(d.operand(2), size)
	d.in.c = d.read(3, 1)
	if size == 64 {
		d.in.run = func(w *warp, in *instr, active uint32) {
			a, b, m := &w.r64[in.a], &w.r64[in.b], w.selector(in)
			defined := w.def64[in.a]&m | w.def64[in.b]&^m
			t := w.begin64(in.d, active)
			for l := range t {
				v := b[l]
				if m>>l&1 != 0 {
					v = a[l]
				}
				t[l] = v
			}
			w.end64(in.d, active)
			w.def64[in.d] &= defined | ^active
		}
		return
	}
	d.in.run = func(w *warp, in *instr, active uint32) {
		a, b, m := &w.r32[in.a], &w.r32[in.b], w.selector(in)
		defined := w.def32[in.a]&m | w.def32[in.b]&^m
		t := w.begin32(in.d, active)
		for l := range t {
			v := b[l]
			if m>>l&1 != 0 {
				v = a[l]
			}
			t[l] = v
		}
		w.end32(in.d, active)
		w.def32[in.d] &= defined | ^active
	}
}

// selector returns the predicate operand c, negated if the instruction says so.
func (w *warp) selector(in *instr) uint32 {
	if in.not {
		return ^w.p[in.c]
	}
	return w.p[in.c]
}

// decodeSlct decodes slct, which selects by the sign of the third source.
func decodeSlct(d *decoder) {
	by, t := d.typ(), d.typ()
	ftz := d.has("ftz")
	if by != "s32" && by != "f32" || width(t) < 16 || !d.operands(4, 4) {
		d.fail("types .%s.%s", t, by)
		return
	}
	size := width(t)
	d.in.d, d.in.a, d.in.b, d.in.c = d.write(0, size), d.read(1, size), d.read(2, size), d.read(3, 32)
	first := func(c uint32) bool {
		if by == "s32" {
			return int32(c) >= 0
		}
		if ftz {
			c = flush32(c)
		}
		return f32(c) >= 0
	}
	if size == 64 {
		d.in.run = func(w *warp, in *instr, active uint32) {
			for m := active; m != 0; m &= m - 1 {
				l := bits.TrailingZeros32(m) & 31
				if first(w.r32[in.c][l]) {
					w.r64[in.d][l] = w.r64[in.a][l]
				} else {
					w.r64[in.d][l] = w.r64[in.b][l]
				}
			}
			w.def64[in.d] |= active
		}
		return
	}
	d.in.run = lanes3(func(a, b, c uint32) uint32 {
		if first(c) {
			return a
		}
		return b
	})
}
