package inference

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// RandomSeed returns a random seed of 32 bits, because torch's generator uses only 32 bits of a seed.
func RandomSeed() uint64 { return rand.Uint64() >> 32 }

// ParseSeed reads a seed for Ask.Seed: a whole number of 64 bits, or -1 for a random seed, for which it returns nil.
func ParseSeed(text string) (*uint64, error) {
	text = strings.TrimSpace(text)
	if text == "-1" {
		return nil, nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, Unreadable(FieldSeed, text)
	}
	return &seed, nil
}
