package scheduler

import "math"

// Noise returns n standard normal values, equal to torch.randn(n) in float32 with a CPU generator seeded with seed, of
// which torch uses the low 32 bits. The values agree within a few units in the last place, since torch's vectorised
// logarithm and sine round differently. n must be at least 16: for fewer values torch uses another method.
func Noise(seed uint64, n int) []float32 {
	rng := newMT19937(uint32(seed))
	out := make([]float32, n)
	for i := range out {
		out[i] = rng.uniform()
	}
	for i := 0; i+block <= n; i += block {
		boxMuller(out[i : i+block])
	}
	// If n is not a multiple of block, torch draws the last 16 values again.
	if n%block != 0 {
		last := out[n-block:]
		for i := range last {
			last[i] = rng.uniform()
		}
		boxMuller(last)
	}
	return out
}

// block is the number of values that torch transforms together.
const block = 16

// boxMuller transforms 16 uniform values to normal ones in place. Value i gives the radius and value i+8 the angle of
// the pair (i, i+8).
func boxMuller(v []float32) {
	for i := range block / 2 {
		radius := float32(math.Sqrt(float64(-2 * float32(math.Log(float64(1-v[i]))))))
		angle := float64(float32(2*math.Pi) * v[i+block/2])
		v[i], v[i+block/2] = radius*float32(math.Cos(angle)), radius*float32(math.Sin(angle))
	}
}

// mt19937 is Matsumoto and Nishimura's Mersenne Twister with 32-bit output.
type mt19937 struct {
	state [624]uint32
	next  int
}

func newMT19937(seed uint32) *mt19937 {
	m := &mt19937{next: 624}
	m.state[0] = seed
	for i := uint32(1); i < 624; i++ {
		prev := m.state[i-1]
		m.state[i] = 1812433253*(prev^prev>>30) + i
	}
	return m
}

func (m *mt19937) uint32() uint32 {
	if m.next == 624 {
		for i := range m.state {
			y := m.state[i]&0x80000000 | m.state[(i+1)%624]&0x7fffffff
			m.state[i] = m.state[(i+397)%624] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		m.next = 0
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// uniform returns the low 24 bits of the next output as a multiple of 2^-24 in [0, 1).
func (m *mt19937) uniform() float32 { return float32(m.uint32()&(1<<24-1)) * (1.0 / (1 << 24)) }
