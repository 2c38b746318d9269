package inference

import (
	"math"
	"strings"
	"testing"
)

func TestParseSeed(t *testing.T) {
	for _, row := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"0", 0, true},
		{" 7\n", 7, true},
		{"18446744073709551615", math.MaxUint64, true},
		{"18446744073709551616", 0, false},
		{"-2", 0, false},
		{"1.5", 0, false},
		{"seven", 0, false},
		{"", 0, false},
	} {
		got, err := ParseSeed(row.text)
		if (err == nil) != row.ok || row.ok && (got == nil || *got != row.want) {
			t.Errorf("%q: %v, %v, want %d", row.text, got, err, row.want)
		}
		if err != nil && !strings.Contains(err.Error(), "0 to 18446744073709551615, or -1") {
			t.Errorf("%q: %v", row.text, err)
		}
	}
	for _, random := range []string{"-1", " -1 "} {
		if got, err := ParseSeed(random); got != nil || err != nil {
			t.Errorf("%q: %v, %v, want none", random, got, err)
		}
	}
	if a, b := RandomSeed(), RandomSeed(); a == b || a > math.MaxUint32 || b > math.MaxUint32 {
		t.Errorf("%d and %d, want two random seeds of 32 bits", a, b)
	}
}
