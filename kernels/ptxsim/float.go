package ptxsim

import "math"

// floatOps are the operations that exist for floats only. add, sub, mul, mad, min, max, abs, neg and div are in
// integerOps, and arithmetic passes float types to decoder.float.
//
// Approximations (.approx) are computed in float64 and rounded. A GPU's result may differ by the few units in the last
// place that the PTX manual allows.
var floatOps = map[string]func(d *decoder){
	"fma":      func(d *decoder) { d.floatByType("fma") },
	"rcp":      func(d *decoder) { d.floatByType("rcp") },
	"sqrt":     func(d *decoder) { d.floatByType("sqrt") },
	"rsqrt":    func(d *decoder) { d.floatByType("rsqrt") },
	"sin":      func(d *decoder) { d.floatByType("sin") },
	"cos":      func(d *decoder) { d.floatByType("cos") },
	"lg2":      func(d *decoder) { d.floatByType("lg2") },
	"ex2":      func(d *decoder) { d.floatByType("ex2") },
	"tanh":     func(d *decoder) { d.floatByType("tanh") },
	"copysign": func(d *decoder) { d.floatByType("copysign") },
	"testp":    decodeTestp,
}

func (d *decoder) floatByType(name string) {
	t := d.typ()
	switch t {
	case "f32", "f64", "f16", "f16x2", "bf16", "bf16x2":
		d.float(name, t)
	default:
		d.fail("type .%s of %s", t, name)
	}
}

// floatSources has the number of sources of each operation.
var floatSources = map[string]int{"add": 2, "sub": 2, "mul": 2, "div": 2, "min": 2, "max": 2, "fma": 3, "mad": 3,
	"copysign": 2, "abs": 1, "neg": 1, "rcp": 1, "sqrt": 1, "rsqrt": 1, "sin": 1, "cos": 1, "lg2": 1, "ex2": 1, "tanh": 1}

// floatMode has the modifiers of a float operation.
type floatMode struct {
	round                        rounding
	ftz, sat, relu, nan, xorsign bool
}

func (d *decoder) float(name, t string) {
	var mode floatMode
	if r := d.oneOf("rn", "rz", "rm", "rp"); r != "" {
		mode.round = roundings[r]
	}
	approximate := d.has("approx") || name == "div" && d.has("full")
	switch name {
	case "rsqrt", "sin", "cos", "lg2", "ex2", "tanh":
		if !approximate {
			d.fail("%s without .approx", name)
		}
	case "fma", "mad", "div", "rcp", "sqrt":
		if r := d.text.Modifiers; !approximate && (len(r) == 0 || mode.round == toNearest && r[0] != "rn") {
			d.fail("%s without a rounding", name)
		}
	}
	mode.ftz, mode.sat, mode.relu = d.has("ftz"), d.has("sat"), d.has("relu")
	if name == "min" || name == "max" {
		mode.nan = d.has("NaN")
		if mode.xorsign = d.has("xorsign"); mode.xorsign && !d.has("abs") {
			d.fail("xorsign without abs")
		}
	}
	if mode.round != toNearest && (t != "f32" || name == "div" || name == "rcp" || name == "sqrt") {
		d.fail("a directed rounding of %s.%s is not supported", name, t)
	}
	sources := floatSources[name]
	switch t {
	case "f32":
		d.elementwise(32, sources)
		if d.in.run = plainFloat32[name]; d.in.run == nil || mode != (floatMode{}) {
			d.in.run = float32Exec(name, sources, mode)
		}
	case "f64":
		if mode.sat || mode.relu || name == "copysign" {
			d.fail("this form of %s.f64 is not supported", name)
		}
		d.elementwise(64, sources)
		d.in.run = float64Exec(name, sources)
	default:
		f, _ := formatOf(t)
		d.elementwise(width(t), sources)
		d.in.run = halfExec(name, sources, f, width(t) == 32, mode)
	}
}

// plainFloat32 are faster functions for the float32 operations of inner loops, without modifiers.
var plainFloat32 = map[string]exec{
	"add": func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
		for l := range t {
			t[l] = u32(f32(a[l]) + f32(b[l]))
		}
		w.end32(in.d, active)
	},
	"sub": func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
		for l := range t {
			t[l] = u32(f32(a[l]) - f32(b[l]))
		}
		w.end32(in.d, active)
	},
	"mul": func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
		for l := range t {
			t[l] = u32(f32(a[l]) * f32(b[l]))
		}
		w.end32(in.d, active)
	},
	"fma": func(w *warp, in *instr, active uint32) {
		a, b, c, t := &w.r32[in.a], &w.r32[in.b], &w.r32[in.c], w.begin32(in.d, active)
		for l := range t {
			t[l] = u32(fma32(f32(a[l]), f32(b[l]), f32(c[l])))
		}
		w.end32(in.d, active)
	},
}

// float32Exec returns an operation on float32 with its modifiers.
func float32Exec(name string, sources int, mode floatMode) exec {
	return floatLanes(sources, func(a, b, c uint32) uint32 {
		if mode.ftz {
			a, b, c = flush32(a), flush32(b), flush32(c)
		}
		var r uint32
		switch name {
		case "abs":
			r = a &^ (1 << 31)
		case "neg":
			r = a ^ 1<<31
		case "copysign": // the sign of the first source on the second
			r = b&^(1<<31) | a&(1<<31)
		case "min", "max":
			r = minMax(name == "max", a, b, formatF32, mode)
		case "div":
			r = u32(f32(a) / f32(b))
		default:
			v := floatValue(name, float64(f32(a)), float64(f32(b)), float64(f32(c)))
			if r = u32(float32(v)); mode.round != toNearest || v != v {
				r = formatF32.encode(v, mode.round, false)
			}
		}
		if mode.ftz {
			r = flush32(r)
		}
		if mode.sat {
			if v := f32(r); !(v > 0) {
				r = 0
			} else if v > 1 {
				r = u32(1)
			}
		}
		return r
	})
}

func floatLanes(sources int, f func(a, b, c uint32) uint32) exec {
	switch sources {
	case 1:
		return lanes1(func(a uint32) uint32 { return f(a, 0, 0) })
	case 2:
		return lanes2(func(a, b uint32) uint32 { return f(a, b, 0) })
	}
	return lanes3(f)
}

// floatValue computes an operation on values of float32 or a narrower format in float64. Products are exact and sums
// are rounded to odd, so that rounding such a result to the format is as if the exact one were rounded. The other
// operations have the precision of float64.
func floatValue(name string, a, b, c float64) float64 {
	switch name {
	case "add":
		return roundToOdd(a, b)
	case "sub":
		return roundToOdd(a, -b)
	case "mul":
		return a * b
	case "fma", "mad":
		return roundToOdd(a*b, c)
	case "div":
		return a / b
	case "rcp":
		return 1 / a
	case "sqrt":
		return math.Sqrt(a)
	case "rsqrt":
		return 1 / math.Sqrt(a)
	case "sin":
		return math.Sin(a)
	case "cos":
		return math.Cos(a)
	case "lg2":
		return math.Log2(a)
	case "ex2":
		return math.Exp2(a)
	case "tanh":
		return math.Tanh(a)
	}
	return math.NaN()
}

// minMax computes IEEE 754's minimumNumber or maximumNumber: of a NaN and a number it returns the number, unless
// mode.nan is set, and −0 < +0.
func minMax(larger bool, a, b uint32, f format, mode floatMode) uint32 {
	signBit := uint32(1) << (f.exponent + f.mantissa)
	sign := (a ^ b) & signBit
	if mode.xorsign {
		a, b = a&^signBit, b&^signBit
	}
	x, y := f.decode(a), f.decode(b)
	var r uint32
	switch {
	case x != x && y != y || mode.nan && (x != x || y != y):
		return f.nan
	case x != x:
		r = b
	case y != y:
		r = a
	case x == y:
		if r = a; larger == (a&signBit != 0) {
			r = b
		}
	case (x > y) == larger:
		r = a
	default:
		r = b
	}
	if mode.xorsign {
		r |= sign
	}
	return r
}

func float64Exec(name string, sources int) exec {
	bits, from := math.Float64bits, math.Float64frombits
	switch name {
	case "abs":
		return lanes1wide(func(a uint64) uint64 { return a &^ (1 << 63) })
	case "neg":
		return lanes1wide(func(a uint64) uint64 { return a ^ 1<<63 })
	case "min", "max":
		return lanes2wide(func(a, b uint64) uint64 {
			x, y := from(a), from(b)
			switch {
			case x != x:
				return b
			case y != y:
				return a
			case name == "max":
				return bits(math.Max(x, y))
			}
			return bits(math.Min(x, y))
		})
	case "add":
		return lanes2wide(func(a, b uint64) uint64 { return bits(from(a) + from(b)) })
	case "sub":
		return lanes2wide(func(a, b uint64) uint64 { return bits(from(a) - from(b)) })
	case "fma", "mad":
		return lanes3wide(func(a, b, c uint64) uint64 { return bits(math.FMA(from(a), from(b), from(c))) })
	}
	if sources == 1 {
		return lanes1wide(func(a uint64) uint64 { return bits(floatValue(name, from(a), 0, 0)) })
	}
	return lanes2wide(func(a, b uint64) uint64 { return bits(floatValue(name, from(a), from(b), 0)) })
}

// halfExec returns an operation on f16 or bf16, or on pairs of them.
func halfExec(name string, sources int, f format, packed bool, mode floatMode) exec {
	sign := uint32(0x8000)
	half := func(a, b, c uint32) uint32 {
		var r uint32
		switch name {
		case "abs":
			r = a &^ sign
		case "neg":
			r = a ^ sign
		case "min", "max":
			r = minMax(name == "max", a, b, f, mode)
		default:
			r = f.encode(floatValue(name, f.decode(a), f.decode(b), f.decode(c)), toNearest, false)
		}
		if mode.ftz && r&(1<<(f.exponent+f.mantissa)-1) < 1<<f.mantissa {
			r &= sign
		}
		if mode.relu {
			if v := f.decode(r); v < 0 || r == sign {
				r = 0
			}
		}
		if mode.sat {
			if v := f.decode(r); !(v > 0) {
				r = 0
			} else if v > 1 {
				r = f.encode(1, toNearest, false)
			}
		}
		return r
	}
	if !packed {
		return floatLanes(sources, half)
	}
	return floatLanes(sources, func(a, b, c uint32) uint32 {
		return half(a&0xffff, b&0xffff, c&0xffff) | half(a>>16, b>>16, c>>16)<<16
	})
}

// decodeTestp decodes testp, which tests the class of a float.
func decodeTestp(d *decoder) {
	kind := d.want("finite", "infinite", "number", "notanumber", "normal", "subnormal")
	t := d.typ()
	if t != "f32" && t != "f64" || !d.operands(2, 2) {
		d.fail("type .%s", t)
		return
	}
	d.in.d, d.in.a = d.write(0, 1), d.read(1, width(t))
	d.in.run = func(w *warp, in *instr, active uint32) {
		var set uint32
		for l := range 32 {
			v, smallest := float64(0), 0x1p-126
			if t == "f64" {
				v, smallest = math.Float64frombits(w.r64[in.a][l]), 0x1p-1022
			} else {
				v = float64(f32(w.r32[in.a][l]))
			}
			a := math.Abs(v)
			var is bool
			switch kind {
			case "finite":
				is = a <= math.MaxFloat64
			case "infinite":
				is = a > math.MaxFloat64
			case "number":
				is = v == v
			case "notanumber":
				is = v != v
			case "normal":
				is = a >= smallest && a <= math.MaxFloat64
			case "subnormal":
				is = a > 0 && a < smallest
			}
			set |= one(is) << l
		}
		w.setPredicate(in.d, active, set)
	}
}
