package ptxsim

import (
	"math"
	"math/bits"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// convertOps convert between types.
var convertOps = map[string]func(d *decoder){"cvt": decodeCvt}

// plainConversions are faster functions for the conversions that inner loops and address computations use.
var plainConversions = map[string]exec{
	"u64.u32":     widen(func(a uint32) uint64 { return uint64(a) }),
	"s64.s32":     widen(func(a uint32) uint64 { return uint64(int64(int32(a))) }),
	"u32.u64":     narrow(func(a uint64) uint32 { return uint32(a) }),
	"rn.f32.s32":  lanes1(func(a uint32) uint32 { return u32(float32(int32(a))) }),
	"rn.f32.u32":  lanes1(func(a uint32) uint32 { return u32(float32(a)) }),
	"rn.bf16.f32": lanes1(func(a uint32) uint32 { return bf16(f32(a)) }),
	"f32.bf16":    lanes1(func(a uint32) uint32 { return a << 16 }),
	"rn.bf16x2.f32": func(w *warp, in *instr, active uint32) {
		a, b, t := &w.r32[in.a], &w.r32[in.b], w.begin32(in.d, active)
		for l := range t {
			t[l] = bf16(f32(a[l]))<<16 | bf16(f32(b[l]))
		}
		w.end32(in.d, active)
	},
}

func decodeCvt(d *decoder) {
	name := strings.Join(d.mods, ".")
	if d.has("pack") {
		d.packIntegers()
		return
	}
	from := d.typ()
	to := d.typ()
	if d.err != nil {
		return
	}
	if strings.HasSuffix(to, "x2") {
		d.convertPair(name, to, from)
		return
	}
	if !d.operands(2, 2) {
		return
	}
	integer := d.oneOf("rni", "rzi", "rmi", "rpi")
	round := d.oneOf("rn", "rz", "rm", "rp", "rna")
	mode := floatMode{round: roundings[round], ftz: d.has("ftz"), sat: d.has("sat"), relu: d.has("relu")}
	satFinite := d.has("satfinite")
	fromFloat, toFloat := isFloatType(from), isFloatType(to)
	if fromFloat && !toFloat && integer == "" || !fromFloat && toFloat && round == "" ||
		fromFloat && toFloat && integer == "" && round == "" && width(to) < width(from) {
		d.fail("cvt.%s without a rounding", name)
		return
	}
	source, target := d.operand(1), d.operand(0)
	sourceBits, targetBits := max(16, width(from)), max(16, width(to))
	// A register may be wider than the type.
	if source.Kind == ptx.RegisterOperand {
		_, sourceBits = d.register(source)
	}
	if target.Kind == ptx.RegisterOperand {
		_, targetBits = d.register(target)
	}
	if sourceBits < width(from) || targetBits < width(to) {
		d.fail("cvt.%s between registers of %d and %d bits", name, sourceBits, targetBits)
		return
	}
	d.in.d, d.in.a = d.write(0, targetBits), d.read(1, sourceBits)
	sameFiles := file(sourceBits) == file(max(16, width(from))) && file(targetBits) == file(max(16, width(to)))
	if run := plainConversions[name]; run != nil && sameFiles {
		d.in.run = run
		return
	}
	var convert func(v uint64) uint64
	switch {
	case !fromFloat && !toFloat:
		convert = convertInteger(from, to, mode.sat)
	case !fromFloat:
		convert = integerToFloat(from, to, mode)
	case !toFloat:
		convert = floatToInteger(from, to, roundings[integer], mode.ftz)
	default:
		if integer != "" {
			mode.round = roundings[integer]
		}
		convert = floatToFloat(from, to, mode, integer != "", satFinite)
	}
	wideSource, wideTarget, signed, size := sourceBits == 64, targetBits == 64, to[0] == 's', width(to)
	d.in.run = func(w *warp, in *instr, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m) & 31
			var v uint64
			if wideSource {
				v = w.r64[in.a][l]
			} else {
				v = uint64(w.r32[in.a][l])
			}
			v = convert(v)
			if signed && size < targetBits {
				v = uint64(int64(v<<(64-size))>>(64-size)) & (math.MaxUint64 >> (64 - targetBits))
			}
			if wideTarget {
				w.r64[in.d][l] = v
			} else {
				w.r32[in.d][l] = uint32(v)
			}
		}
		if wideTarget {
			w.def64[in.d] |= active
		} else {
			w.def32[in.d] |= active
		}
	}
}

func isFloatType(t string) bool { return t[0] == 'f' || t == "bf16" || t == "tf32" }

// integerRange returns the smallest and the largest value of an integer type.
func integerRange(t string) (low, high float64) {
	size := width(t)
	if t[0] == 's' {
		return -math.Ldexp(1, size-1), math.Ldexp(1, size-1) - 1
	}
	return 0, math.Ldexp(1, size) - 1
}

// convertInteger returns a conversion that keeps the low bits, or with .sat returns the nearest value of type to.
func convertInteger(from, to string, sat bool) func(uint64) uint64 {
	fs, ts := width(from), width(to)
	mask := uint64(math.MaxUint64) >> (64 - ts)
	return func(v uint64) uint64 {
		v &= math.MaxUint64 >> (64 - fs)
		if from[0] == 's' {
			v = uint64(int64(v<<(64-fs)) >> (64 - fs))
		}
		if !sat {
			return v & mask
		}
		negative := from[0] == 's' && int64(v) < 0
		switch {
		case to[0] == 'u' && negative:
			return 0
		case to[0] == 'u':
			return min(v, mask)
		case negative:
			return uint64(max(int64(v), -1<<(ts-1))) & mask
		}
		return min(v, mask>>1)
	}
}

func integerToFloat(from, to string, mode floatMode) func(uint64) uint64 {
	fs := width(from)
	return func(v uint64) uint64 {
		v &= math.MaxUint64 >> (64 - fs)
		negative := false
		if from[0] == 's' {
			if s := int64(v<<(64-fs)) >> (64 - fs); s < 0 {
				negative, v = true, uint64(-s)
			}
		}
		// top·2^shift is the value rounded to odd, to 53 bits, so that encode rounds as if it had the exact value.
		shift := max(0, bits.Len64(v)-53)
		top := v >> shift
		if to == "f64" {
			x := float64(v)
			if negative {
				x = -x
			}
			return math.Float64bits(x)
		}
		if v&(1<<shift-1) != 0 {
			top |= 1
		}
		x := math.Ldexp(float64(top), shift)
		if negative {
			x = -x
		}
		f, _ := formatOf(to)
		return uint64(f.encode(x, mode.round, false))
	}
}

// roundToInteger rounds x to an integer.
func roundToInteger(x float64, mode rounding) float64 {
	switch mode {
	case toZero:
		return math.Trunc(x)
	case toLower:
		return math.Floor(x)
	case toUpper:
		return math.Ceil(x)
	}
	return math.RoundToEven(x)
}

// floatBits returns the value of the bits v of type t. ftz flushes subnormal f32 values to zero.
func floatBits(t string, v uint64, ftz bool) float64 {
	if t == "f64" {
		return math.Float64frombits(v)
	}
	f, _ := formatOf(t)
	if ftz && t == "f32" {
		v = uint64(flush32(uint32(v)))
	}
	if t == "f32" || t == "tf32" {
		return float64(f32(uint32(v)))
	}
	return f.decode(uint32(v) & 0xffff)
}

// floatToInteger returns a conversion to the nearest value of type to. NaN becomes 0, or 1<<63 for 64-bit types.
func floatToInteger(from, to string, round rounding, ftz bool) func(uint64) uint64 {
	low, high := integerRange(to)
	size := width(to)
	return func(v uint64) uint64 {
		x := roundToInteger(floatBits(from, v, ftz), round)
		switch {
		case x != x && size == 64:
			return 1 << 63
		case x != x:
			return 0
		case to[0] == 'u' && x >= high:
			return math.MaxUint64 >> (64 - size)
		case to[0] == 's' && x >= high:
			return math.MaxUint64 >> (65 - size)
		}
		x = max(x, low)
		if to[0] == 's' {
			return uint64(int64(x)) & (math.MaxUint64 >> (64 - size))
		}
		return uint64(x)
	}
}

func floatToFloat(from, to string, mode floatMode, whole, satFinite bool) func(uint64) uint64 {
	f, _ := formatOf(to)
	return func(v uint64) uint64 {
		x := floatBits(from, v, mode.ftz)
		if whole {
			x = roundToInteger(x, mode.round)
		}
		if mode.sat {
			if !(x > 0) {
				x = 0
			}
			x = min(x, 1)
		}
		if mode.relu && (x < 0 || x == 0) {
			x = 0
		}
		if to == "f64" {
			return math.Float64bits(x)
		}
		r := f.encode(x, mode.round, satFinite)
		if to == "tf32" && r != f.nan {
			r <<= 13
		} else if to == "tf32" {
			r = 0x7fffffff
		}
		if mode.ftz && to == "f32" {
			r = flush32(r)
		}
		return uint64(r)
	}
}

// convertPair decodes conversions of two float32 sources to a packed pair, and of a packed pair to another type.
func (d *decoder) convertPair(name, to, from string) {
	round, ok := roundings[d.want("rn", "rz")]
	relu, satFinite := d.has("relu"), d.has("satfinite")
	f, known := formatOf(to)
	if !ok || !known {
		d.fail("conversion cvt.%s", name)
		return
	}
	half := f.exponent + f.mantissa + 1
	if half == 8 || strings.HasPrefix(from, "e") { // e4m3x2 or e5m2x2
		d.needTarget("cvt."+name, 89)
		if targetNumber(d.module.Target) < 90 {
			d.needVersion("cvt."+name, "8.1")
		}
	}
	convert := func(x float64) uint32 {
		if relu && (x < 0 || x == 0) {
			x = 0
		}
		return f.encode(x, round, satFinite)
	}
	if strings.HasSuffix(from, "x2") { // e4m3x2 and e5m2x2 from f16x2, and back
		if !d.operands(2, 2) {
			return
		}
		g, _ := formatOf(from)
		quarter := g.exponent + g.mantissa + 1
		d.in.d, d.in.a = d.write(0, width(to)), d.read(1, width(from))
		d.in.run = lanes1(func(a uint32) uint32 {
			return convert(g.decode(a&(1<<quarter-1))) | convert(g.decode(a>>quarter&(1<<quarter-1)))<<half
		})
		return
	}
	if from != "f32" || !d.operands(3, 3) {
		d.fail("conversion cvt.%s", name)
		return
	}
	d.in.d, d.in.a, d.in.b = d.write(0, width(to)), d.read(1, 32), d.read(2, 32)
	if d.in.run = plainConversions[name]; d.in.run != nil {
		return
	}
	d.in.run = lanes2(func(a, b uint32) uint32 {
		return convert(float64(f32(a)))<<half | convert(float64(f32(b)))
	})
}

// packIntegers decodes cvt.pack, which converts two s32 to the nearest values of a narrow type and puts the first above
// the second. Values of 8 bits are put below the lower half of a third operand.
func (d *decoder) packIntegers() {
	d.want("sat")
	low := d.has("b32")
	from, to := d.typ(), d.typ()
	size := width(to)
	operands := 3
	if low {
		operands = 4
	}
	if from != "s32" || to != "s8" && to != "u8" && to != "s16" && to != "u16" || low != (size == 8) ||
		!d.operands(operands, operands) {
		d.fail("cvt.pack to .%s from .%s is not supported", to, from)
		return
	}
	least, most := integerRange(to)
	convert := func(v uint32) uint32 {
		return truncate(uint32(min(max(int64(int32(v)), int64(least)), int64(most))), size)
	}
	d.in.d, d.in.a, d.in.b = d.write(0, 32), d.read(1, 32), d.read(2, 32)
	if !low {
		d.in.run = lanes2(func(a, b uint32) uint32 { return convert(a)<<size | convert(b) })
		return
	}
	d.in.c = d.read(3, 32)
	d.in.run = lanes3(func(a, b, c uint32) uint32 { return c<<(2*size) | convert(a)<<size | convert(b) })
}
