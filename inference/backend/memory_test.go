package backend

import (
	"fmt"
	"strings"
	"testing"
)

// TestMemoryPeak checks the sizes of a run of three networks, and its peak on devices of every size that makes a
// difference. It also checks PartToEvict and the text of MemoryError.
func TestMemoryPeak(t *testing.T) {
	m := Memory{Parts: []PartMemory{{"encoder", 50}, {"vae", 2}, {"transformer", 70}}, Activations: 9, Kept: 1}
	if m.Weights() != 122 || m.Most() != 132 || m.Least() != 80 {
		t.Errorf("weights %d, most %d, least %d, want 122, 132 and 80", m.Weights(), m.Most(), m.Least())
	}
	for _, row := range []struct{ room, want int64 }{
		{1000, 132},
		{132, 132}, // exactly all weights
		{131, 82},  // the encoder is removed for the transformer
		{82, 82},
		{81, 80}, // not even the VAE fits beside the transformer
		{80, 80},
		{10, 80}, // impossible: Peak is the least memory
	} {
		if got := m.Peak(row.room); got != row.want {
			t.Errorf("room for %d: peak %d, want %d", row.room, got, row.want)
		}
	}
	if got := (Memory{Activations: 3}).Peak(5); got != 3 {
		t.Errorf("no weights: peak %d, want 3", got)
	}
	// The device has room for two lanes, but not for one of the network's three parts beside them.
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
		if got := PartToEvict(row.parts); got != row.want {
			t.Errorf("PartToEvict(%v): %d, want %d", row.parts, got, row.want)
		}
	}
	err := &MemoryError{Need: 9_330_000_000, Room: 7_500_000_000, Total: 8_000_000_000}
	if text := err.Error(); !strings.Contains(text, "needs 9.33 GB, 7.50 of 8.00 GB") {
		t.Error(text)
	}
}

// TestPlace checks that parts that use lanes are spread over the network, and that no placement exceeds the room.
func TestPlace(t *testing.T) {
	even := []int64{10, 10, 10, 10, 10, 10, 10, 10}
	for _, row := range []struct {
		name  string
		parts []int64
		room  int64
		stays string // a letter for each part: s for a part that stays, l for one that uses a lane
		lane  int64
	}{
		{"all fit", even, 80, "ssssssss", 0},
		{"one does not fit", even, 79, "slssslsl", 10},
		{"half", even, 60, "slslslsl", 10},
		{"no room for two lanes", even, 19, "ssssssss", 0},
		{"lanes alone", even, 20, "llllllll", 10},
		{"sizes that differ", []int64{10, 4, 10, 4, 10, 4}, 36, "lsslll", 10},
		{"nothing", nil, 5, "", 0},
	} {
		p := Place(row.parts, row.room)
		got, held := "", Lanes*p.LaneBytes
		for i, stays := range p.Stays {
			if stays {
				got, held = got+"s", held+row.parts[i]
			} else {
				got += "l"
			}
		}
		if got != row.stays || p.LaneBytes != row.lane {
			t.Errorf("%s: %s with lanes of %d, want %s and %d", row.name, got, p.LaneBytes, row.stays, row.lane)
		}
		if p.LaneBytes > 0 && held > row.room {
			t.Errorf("%s: %d bytes, want at most %d", row.name, held, row.room)
		}
	}
	// A small network stays beside a large one that does not fit.
	m := Memory{Parts: []PartMemory{{"vae", 5}, {"transformer", 10}, {"transformer", 10}, {"transformer", 10},
		{"transformer", 10}}}
	if p := m.Placements(39)["transformer"]; p.LaneBytes != 10 || strings.Count(fmt.Sprint(p.Stays), "true") != 1 {
		t.Errorf("beside a network of 5 in room for 39: %+v, want one part that stays", p)
	}
	if got := m.Peak(39); got != 35 {
		t.Errorf("peak %d, want 35: the small network, two lanes and one part", got)
	}
}
