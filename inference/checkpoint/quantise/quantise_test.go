package quantise

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// formats are the formats that have a function.
var formats = []tensor.DType{tensor.Q8_0, tensor.Q5_0, tensor.Q4_0, tensor.Q4_K, tensor.Q6_K}

// normal returns n values of a normal distribution, which weights usually have.
func normal(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64()) * 0.02
	}
	return x
}

// roundTrip returns the values that are stored of x.
func roundTrip(dtype tensor.DType, weighted bool, x []float32) []float32 {
	y := make([]float32, len(x))
	n, block := dtype.BlockValues(), make([]byte, dtype.BlockBytes())
	for at := 0; at < len(x); at += n {
		for i := range block { // of an earlier tensor
			block[i] = 0xa5
		}
		Blocks(dtype, weighted)(block, x[at:at+n])
		tensor.Widen(y[at:at+n], dtype, block)
	}
	return y
}

// distance returns the relative RMS of y − x.
func distance(y, x []float32) float64 {
	var e, s float64
	for i := range x {
		e += float64(y[i]-x[i]) * float64(y[i]-x[i])
		s += float64(x[i]) * float64(x[i])
	}
	return math.Sqrt(e / s)
}

// TestRoundTrip compares the error of normal values with what the formulas promise. A quantiser with the step d has an
// RMS error of d/√12. The largest magnitude of n normal values is 2.34σ for n = 32 and 2.07σ for n = 16, and a step is
// its 127th, 16th, 8th or 32nd part; in Q4_K it is a 15th of the range of 32 values, which is 4.14σ.
func TestRoundTrip(t *testing.T) {
	x := normal(256*400, 1)
	for dtype, step := range map[tensor.DType]float64{
		tensor.Q8_0: 2.34 / 127, tensor.Q5_0: 2.34 / 16, tensor.Q4_0: 2.34 / 8,
		tensor.Q6_K: 2.07 / 32, tensor.Q4_K: 4.14 / 15,
	} {
		want := step / math.Sqrt(12)
		plain := distance(roundTrip(dtype, false, x), x)
		weighted := distance(roundTrip(dtype, true, x), x)
		t.Logf("%v: plain %.5f, weighted %.5f", dtype, plain, weighted)
		if !(plain < 1.05*want && plain > 0.95*want) {
			t.Errorf("%v: relative error %.5f, want about %.5f", dtype, plain, want)
		}
		if HasWeighted(dtype) && !(weighted < 0.96*plain) {
			t.Errorf("%v: relative error %.5f weighted and %.5f plain, want less", dtype, weighted, plain)
		}
	}
}

// TestExtremes quantises blocks with special values. No value may be further off than a step.
func TestExtremes(t *testing.T) {
	for name, fill := range map[string]func(i int) float32{
		"zeros":         func(int) float32 { return 0 },
		"negative zero": func(int) float32 { return float32(math.Copysign(0, -1)) },
		"one value":     func(i int) float32 { return float32(i/77%2) * float32(1-i/77) },
		"constant":      func(int) float32 { return 0.375 },
		"negative":      func(i int) float32 { return -0.25 - float32(i%7)/64 },
		"positive":      func(i int) float32 { return 3 + float32(i%5)/8 },
		"largest":       func(i int) float32 { return Largest * float32(1-i%2*2) },
		"smallest half": func(i int) float32 { return 0x1p-24 * float32(i%3) },
		"subnormal":     func(i int) float32 { return 0x1p-140 * float32(i%3-1) },
		"two scales":    func(i int) float32 { return float32(math.Pow(10, float64(i/16%4*-2))) * float32(i%16-8) },
	} {
		x := make([]float32, 256)
		for i := range x {
			x[i] = fill(i)
		}
		for _, dtype := range formats {
			for _, weighted := range []bool{false, true} {
				step := map[tensor.DType]float64{
					tensor.Q8_0: 1. / 127, tensor.Q5_0: 1. / 16, tensor.Q4_0: 1. / 8, tensor.Q6_K: 1. / 32, tensor.Q4_K: 2. / 15,
				}[dtype]
				y := roundTrip(dtype, weighted, x)
				for i := range x {
					m := float64(max(extreme(x), -extreme(x)))
					if d := math.Abs(float64(y[i]) - float64(x[i])); !(d <= 1.1*step*m+0x1p-17) {
						t.Fatalf("%s, %v, weighted %t: value %d is %v, want %v", name, dtype, weighted, i, y[i], x[i])
					}
				}
			}
		}
	}
}

// TestWeightedError compares the error that the weighted functions minimise with that of the plain ones, block by
// block: a search that includes the plain scale may lose to it only by the rounding of the scale.
func TestWeightedError(t *testing.T) {
	x := normal(256*200, 2)
	for i := range x {
		if i%97 == 0 {
			x[i] *= 6 // outliers, which the plain formula follows
		}
	}
	for _, dtype := range []tensor.DType{tensor.Q4_0, tensor.Q5_0, tensor.Q4_K, tensor.Q6_K} {
		sub := 32
		if dtype == tensor.Q6_K {
			sub = 16
		}
		n := dtype.BlockValues()
		plain, weighted := roundTrip(dtype, false, x), roundTrip(dtype, true, x)
		worse := 0
		var sums [2]float64
		for at := 0; at < len(x); at += n {
			var e [2]float64
			for from := at; from < at+n; from += sub {
				w := weigh(make([]float32, sub), x[from:from+sub])
				for i, y := range [2][]float32{plain, weighted} {
					for j := range sub {
						d := float64(y[from+j] - x[from+j])
						e[i] += float64(w[j]) * d * d
					}
				}
			}
			sums[0], sums[1] = sums[0]+e[0], sums[1]+e[1]
			if e[1] > 1.02*e[0] {
				worse++
			}
		}
		t.Logf("%v: %.3f of the plain error, %d blocks are worse", dtype, sums[1]/sums[0], worse)
		if worse > 0 || !(sums[1] < 0.97*sums[0]) {
			t.Errorf("%v: %.3f of the plain error, %d blocks worse, want less than 0.97, and none",
				dtype, sums[1]/sums[0], worse)
		}
	}
}

// TestKnownBytes has blocks whose bytes follow from the formulas by hand.
func TestKnownBytes(t *testing.T) {
	ramp := make([]float32, 32) // −16 … 15
	for i := range ramp {
		ramp[i] = float32(i - 16)
	}
	for _, row := range []struct {
		dtype tensor.DType
		want  string
	}{
		// d = −16/−8 = 2 (0x4000), code = trunc(v/2 + 8.5).
		{tensor.Q4_0, "0040" + "809191a2a2b3b3c4c4d5d5e6e6f7f7f8"},
		// d = −16/−16 = 1 (0x3c00): codes 0 … 31, so that the lower half has the lower bits 0 … 15 and no fifth bit.
		{tensor.Q5_0, "003c" + "0000ffff" + "00112233445566778899aabbccddeeff"},
	} {
		block := make([]byte, row.dtype.BlockBytes())
		Blocks(row.dtype, false)(block, ramp)
		if have := hex.EncodeToString(block); have != row.want {
			t.Errorf("%v: %s, want %s", row.dtype, have, row.want)
		}
	}
}

func TestCheckFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for i, v := range []float32{nan, inf, -inf, 65505, -65505} {
		if err := CheckFinite([]float32{0, 1, v}, Largest, 40); err == nil {
			t.Errorf("%d: %v is accepted", i, v)
		}
	}
	if err := CheckFinite([]float32{0, Largest, -Largest}, Largest, 0); err != nil {
		t.Error(err)
	}
}

func BenchmarkBlocks(b *testing.B) {
	x := normal(4096, 3)
	for _, dtype := range formats {
		for name, weighted := range map[string]bool{"plain": false, "weighted": true} {
			if weighted && !HasWeighted(dtype) {
				continue
			}
			b.Run(dtype.String()+"/"+name, func(b *testing.B) {
				n, block := dtype.BlockValues(), make([]byte, dtype.BlockBytes())
				quantise := Blocks(dtype, weighted)
				for b.Loop() {
					for at := 0; at < len(x); at += n {
						quantise(block, x[at:at+n])
					}
				}
				b.ReportMetric(float64(len(x))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
			})
		}
	}
}
