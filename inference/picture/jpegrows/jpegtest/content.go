package jpegtest

// Noise generates test blocks of all kinds, from uniform ones to blocks in which few coefficients are 0. A block is the
// same on every machine.
func Noise(component, x, y int, b *[64]int) {
	state := uint64(component)<<40 ^ uint64(x)<<20 ^ uint64(y)
	random := func(n int) int { // splitmix64
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) >> 33 % uint64(n))
	}
	b[0] = (x*13+y*7)%97 - 48 + random(200) - 100
	switch random(5) {
	case 0: // uniform
	case 1:
		b[1+random(63)] = random(31) - 15
	case 2: // low frequencies
		for i := 1; i < 1+random(15); i++ {
			b[i] = (random(61) - 30) / i
		}
	case 3:
		for range 1 + random(20) {
			b[1+random(63)] = random(9) - 4
		}
	case 4:
		for i := 1; i < 64; i++ {
			b[i] = random(7) - 3
		}
	}
}

// Photo generates blocks as in a photograph of good quality, with a handful of coefficients each, for tests of speed.
func Photo(component, x, y int, b *[64]int) {
	state := uint32(component)*2654435761 ^ uint32(x)*40503 ^ uint32(y)*2246822519
	next := func() int {
		state = state*1664525 + 1013904223
		return int(state >> 16)
	}
	b[0] = (x+2*y)%160 - 80 + next()%9
	if component > 0 {
		b[0] /= 4
	}
	n := next() % 12
	if component > 0 {
		n /= 3
	}
	for i := 1; i <= n; i++ {
		b[i] = next()%(2+24/i) - 12/i
	}
}
