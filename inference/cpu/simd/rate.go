package simd

import "time"

// Rate is what a level's products do on one thread, on panels in its caches, in floating-point operations a second.
type Rate struct {
	Level Level
	FLOPS float64
}

// Paths lists the levels that compete on this processor: the widest vectors with products of float32, then the
// levels that multiply bfloat16 by instructions of their own.
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
	// rateRounds is how often each path is timed, one path after the other, so that another program's work meets all
	// of them. The best round counts.
	rateRounds = 6
	// rateTime is the time of one round.
	rateTime = 200 * time.Microsecond
)

// Measure times the products of each of Paths, which takes about a millisecond for each.
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

// trial returns a function that multiplies panels and returns the number of operations that took.
func (s *set) trial() func() float64 {
	k := s.f32
	if s.bf16.KC > 0 {
		k = s.bf16
	}
	a, b, c := make([]float32, k.KC*k.MR), make([]float32, k.KC*k.NR), make([]float32, k.MR*k.NR)
	for _, p := range [][]float32{a, b} {
		for i := range p {
			p[i] = 1 // as a pair of bfloat16: 0 and 1
		}
	}
	flop := 2 * float64(k.KC*k.MR*k.NR)
	if k.Pairs {
		flop *= 2
	}
	return func() float64 {
		k.Mul(k.KC, a, b, c, k.NR, false)
		return flop
	}
}

// clearlyFaster is how many times faster a path must be to displace the one before it. A path changes the precision of
// a picture, so noise must not decide: the ratios that processors have are 0.5 (VDPBF16PS on Intel), 2 (on Zen 4), and
// 8 and more (AMX).
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
