package simd

import "time"

// Rate is the rate of a level's products on one thread, with panels in its caches, in floating-point operations per
// second.
type Rate struct {
	Level Level
	FLOPS float64
}

// Paths returns the levels of this processor among which Fastest chooses: the one with the widest vectors and products
// of float32, then those with products of bfloat16.
func Paths() []Level {
	all := []Level{widest()}
	for l := AVX512BF16; l <= Highest; l++ {
		if setOf(l) != nil {
			all = append(all, l)
		}
	}
	return all
}

const (
	// rateRounds is the number of times that each path is measured. The paths take turns, so that the load of other
	// programs affects all of them, and the best round of each counts.
	rateRounds = 6
	// rateTime is the duration of a round.
	rateTime = 200 * time.Microsecond
)

// Measure measures the rate of each of Paths, which takes about a millisecond for each.
func Measure() []Rate {
	paths := Paths()
	rates, runs := make([]Rate, len(paths)), make([]func() float64, len(paths))
	for i, l := range paths {
		rates[i].Level, runs[i] = l, setOf(l).trial()
	}
	for range rateRounds {
		for i, run := range runs {
			flop, begin := 0.0, time.Now()
			for time.Since(begin) < rateTime {
				flop += run()
			}
			rates[i].FLOPS = max(rates[i].FLOPS, flop/time.Since(begin).Seconds())
		}
	}
	return rates
}

// trial returns a function that multiplies two panels and returns the number of floating-point operations.
func (s *set) trial() func() float64 {
	k := s.f32
	if s.bf16.KC > 0 {
		k = s.bf16
	}
	return k.trial()
}

// trial returns a function that multiplies two panels and returns the number of operations.
func (k *Kernel) trial() func() float64 {
	a, b, c := make([]float32, k.KC*k.MR), make([]float32, k.KC*k.NR), make([]float32, k.MR*k.NR)
	for _, p := range [][]float32{a, b} {
		for i := range p {
			p[i] = 1 // a pair of bfloat16 reads it as 0 and 1
		}
	}
	ops := 2 * float64(k.KC*k.MR*k.NR*k.Values())
	return func() float64 {
		k.Mul(k.KC, a, b, c, k.NR, false)
		return ops
	}
}

// clearlyFaster is the ratio of rates from which Fastest prefers a path to the one before it. The path decides the
// precision of pictures, so noise must not decide the path. Ratios of processors are 0.5 (VDPBF16PS on Intel), 2
// (VDPBF16PS on Zen 4), and 8 or more (AMX).
const clearlyFaster = 1.3

// Fastest returns the level to use, given the rates of Paths in their order.
func Fastest(rates []Rate) Level {
	best := rates[0]
	for _, r := range rates[1:] {
		if r.FLOPS >= clearlyFaster*best.FLOPS {
			best = r
		}
	}
	return best.Level
}
