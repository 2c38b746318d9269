package simd

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Processor returns the name of the processor's model: its signature (family, model, stepping) and its brand string.
func Processor() string {
	a, _, _, _ := cpuid(1, 0)
	name := fmt.Sprintf("%06x", a)
	if top, _, _, _ := cpuid(1<<31, 0); top < 1<<31+4 {
		return name
	}
	var text []byte
	for leaf := uint32(1<<31 + 2); leaf <= 1<<31+4; leaf++ {
		a, b, c, d := cpuid(leaf, 0)
		for _, r := range []uint32{a, b, c, d} {
			text = binary.LittleEndian.AppendUint32(text, r)
		}
	}
	return name + " " + strings.Join(strings.Fields(strings.Trim(string(text), "\x00")), " ")
}
