package backend

import (
	"strings"
	"testing"
)

// TestMemoryPeak follows networks through devices of every size that makes a difference.
func TestMemoryPeak(t *testing.T) {
	m := Memory{Parts: []PartMemory{{"encoder", 50}, {"vae", 2}, {"transformer", 70}}, Activations: 9, Kept: 1}
	if m.Weights() != 122 || m.Most() != 132 || m.Least() != 80 {
		t.Errorf("weights %d, most %d, least %d, want 122, 132 and 80", m.Weights(), m.Most(), m.Least())
	}
	for _, row := range []struct{ room, want int64 }{
		{1000, 132},
		{132, 132}, // to the byte
		{131, 82},  // the encoder leaves for the transformer
		{82, 82},
		{81, 80}, // even the smallest has no place beside the transformer
		{80, 80},
		{10, 80}, // does not fit: what it would need
	} {
		if got := m.Peak(row.room); got != row.want {
			t.Errorf("room for %d: peak %d, want %d", row.room, got, row.want)
		}
	}
	if got := (Memory{Activations: 3}).Peak(5); got != 3 {
		t.Errorf("no weights: peak %d, want 3", got)
	}
	// Of a network in three parts on a device that holds two, one comes and goes.
	m = Memory{Parts: []PartMemory{{"a", 10}, {"a", 10}, {"a", 10}}}
	if got := m.Peak(29); got != 20 {
		t.Errorf("three parts in room for two: peak %d, want 20", got)
	}
	for _, row := range []struct {
		parts []PartUse
		want  int
	}{
		{nil, -1},
		{[]PartUse{{4, false, 1, 7}, {5, false, 9, 8}, {6, false, 5, 2}}, 5},
		{[]PartUse{{4, false, 9, 9}, {5, true, 1, 1}, {6, true, 3, 2}, {7, true, 2, 8}}, 6},
	} {
		if got := Victim(row.parts); got != row.want {
			t.Errorf("of %v leaves %d, want %d", row.parts, got, row.want)
		}
	}
	err := &MemoryError{Need: 9_330_000_000, Room: 7_500_000_000, Total: 8_000_000_000}
	if text := err.Error(); !strings.Contains(text, "needs 9.33 GB, 7.50 of 8.00 GB") {
		t.Error(text)
	}
}
