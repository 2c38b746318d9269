package inference

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// RandomSeed draws a seed of the 32 bits that torch's generator keeps of one.
func RandomSeed() uint64 { return rand.Uint64() >> 32 }

// ParseSeed reads a seed: a whole number of 64 bits, or -1 for a random one, which it draws.
func ParseSeed(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "-1" {
		return RandomSeed(), nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("seed: found %q, want a whole number from 0 to %d, or -1 for a random one", text, uint64(math.MaxUint64))
	}
	return seed, nil
}
