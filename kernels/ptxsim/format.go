package ptxsim

import "math"

// A rounding is one of PTX's rounding modifiers.
type rounding uint8

const (
	toNearest rounding = iota // ties to even
	toZero
	toLower
	toUpper
	toNearestAway // ties away from zero: cvt.rna
)

var roundings = map[string]rounding{"rn": toNearest, "rz": toZero, "rm": toLower, "rp": toUpper, "rna": toNearestAway,
	"rni": toNearest, "rzi": toZero, "rmi": toLower, "rpi": toUpper}

// A format is a binary floating-point format narrower than float64.
type format struct {
	exponent, mantissa int    // widths in bits
	finite             bool   // e4m3: it has no infinity, and only the all-ones pattern is NaN
	nan                uint32 // the canonical NaN
}

var (
	formatF32  = format{exponent: 8, mantissa: 23, nan: 0x7fffffff}
	formatTF32 = format{exponent: 8, mantissa: 10, nan: 0x3ffff} // the upper 19 bits of a float32
	formatF16  = format{exponent: 5, mantissa: 10, nan: 0x7fff}
	formatBF16 = format{exponent: 8, mantissa: 7, nan: 0x7fff}
	formatE4M3 = format{exponent: 4, mantissa: 3, finite: true, nan: 0x7f}
	formatE5M2 = format{exponent: 5, mantissa: 2, nan: 0x7f}
)

func formatOf(t string) (format, bool) {
	switch t {
	case "f32":
		return formatF32, true
	case "f16", "f16x2":
		return formatF16, true
	case "bf16", "bf16x2":
		return formatBF16, true
	case "tf32":
		return formatTF32, true
	case "e4m3x2", "e4m3":
		return formatE4M3, true
	case "e5m2x2", "e5m2":
		return formatE5M2, true
	}
	return format{}, false
}

// decode returns the value of the bits b.
func (f format) decode(b uint32) float64 {
	sign := b >> (f.exponent + f.mantissa) & 1
	top := uint32(1)<<f.exponent - 1
	e, m := b>>f.mantissa&top, b&(1<<f.mantissa-1)
	bias := int(top >> 1)
	var v float64
	switch {
	case e == top && f.finite && m != 1<<f.mantissa-1:
		v = math.Ldexp(float64(m|1<<f.mantissa), int(e)-bias-f.mantissa)
	case e == top && m != 0:
		return math.NaN()
	case e == top:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(float64(m), 1-bias-f.mantissa)
	default:
		v = math.Ldexp(float64(m|1<<f.mantissa), int(e)-bias-f.mantissa)
	}
	if sign != 0 {
		v = -v
	}
	return v
}

// encode rounds x to the format and returns its bits. If satFinite is true, a value that overflows becomes the largest
// finite one.
func (f format) encode(x float64, mode rounding, satFinite bool) uint32 {
	if x != x {
		return f.nan
	}
	u := math.Float64bits(x)
	sign := uint32(u>>63) << (f.exponent + f.mantissa)
	magnitude := u &^ (1 << 63)
	top := uint32(1)<<f.exponent - 1
	bias := int(top >> 1)
	largest := top<<f.mantissa - 1
	infinity := top << f.mantissa
	if f.finite {
		largest = top<<f.mantissa | (1<<f.mantissa - 2)
		infinity = f.nan
	}
	if magnitude == 0 {
		return sign
	}
	away := mode == toLower && sign != 0 || mode == toUpper && sign == 0
	overflow := func() uint32 {
		if satFinite || mode == toZero || (mode == toLower || mode == toUpper) && !away {
			return sign | largest
		}
		return sign | infinity
	}
	if magnitude == 0x7ff<<52 {
		if satFinite {
			return sign | largest
		}
		return sign | infinity
	}
	e := int(magnitude>>52) - 1023
	m := magnitude&(1<<52-1) | 1<<52
	if magnitude>>52 == 0 { // a subnormal float64 is below half of every format's smallest number
		m, e = 1, -1100
	}
	drop := 52 - f.mantissa
	exponent := e + bias
	if exponent < 1 {
		drop += 1 - exponent
		exponent = 0
	}
	var kept, rest, half uint64
	if drop > 62 {
		kept, rest, half = 0, 1, 2
	} else {
		kept, rest, half = m>>drop, m&(1<<drop-1), 1<<(drop-1)
	}
	up := false
	switch mode {
	case toNearest:
		up = rest > half || rest == half && kept&1 != 0
	case toNearestAway:
		up = rest >= half
	default:
		up = away && rest != 0
	}
	if up {
		kept++
	}
	// kept contains the hidden bit of a normal number, which adds 1 to the exponent; so does a carry out of the
	// mantissa.
	if exponent > 0 {
		exponent--
	}
	if exponent > int(top)+1 {
		return overflow()
	}
	r := uint32(exponent)<<f.mantissa + uint32(kept)
	if r > largest {
		return overflow()
	}
	return sign | r
}

func f32(u uint32) float32 { return math.Float32frombits(u) }
func u32(f float32) uint32 { return math.Float32bits(f) }

// bf16 rounds to the nearest bfloat16, ties to even. NaN becomes 0x7fff.
func bf16(f float32) uint32 {
	u := u32(f)
	if u&0x7fffffff > 0x7f800000 {
		return 0x7fff
	}
	return (u + 0x7fff + u>>16&1) >> 16
}

// fma32 returns a·b+c, rounded once. The product is exact in float64. Rounding the float64 sum to float32 is wrong only
// if that sum is midway between two float32 values or subnormal as a float32; then the sum is rounded to odd first.
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	u := math.Float64bits(s)
	if u&0x1fffffff == 0x10000000 || u>>52&0x7ff < 1023-126 {
		return float32(roundToOdd(p, float64(c)))
	}
	return float32(s)
}

// roundToOdd returns a+b, with the last bit set if the sum is inexact. Rounding the result to fewer than 51 bits gives
// the same as rounding the exact sum once.
func roundToOdd(a, b float64) float64 {
	s := a + b
	if math.IsInf(s, 0) || s != s {
		return s
	}
	t := s - a
	lost := (a - (s - t)) + (b - t)
	u := math.Float64bits(s)
	if lost != 0 && u&1 == 0 {
		if (lost > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return math.Float64frombits(u)
}

// flush32 turns a subnormal into a zero of its sign.
func flush32(u uint32) uint32 {
	if u&0x7f800000 == 0 {
		return u & 0x80000000
	}
	return u
}
