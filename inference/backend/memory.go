package backend

import "fmt"

// Memory is what a run needs of a device, in bytes.
type Memory struct {
	// Parts are the weights, in the order in which a run uses them.
	Parts []PartMemory
	// Activations is the most that matrices of Alloc take at a time, Kept what Keep gives.
	Activations, Kept int64
}

// PartMemory is weights of one network that come to the device and leave it together.
type PartMemory struct {
	Network string
	Bytes   int64
}

// Weights is the sum over all parts.
func (m Memory) Weights() int64 {
	sum := int64(0)
	for _, p := range m.Parts {
		sum += p.Bytes
	}
	return sum
}

// Most is what the run takes where all weights stay on the device.
func (m Memory) Most() int64 { return m.Weights() + m.Activations + m.Kept }

// Least is what the run cannot do without: one part at a time.
func (m Memory) Least() int64 {
	largest := int64(0)
	for _, p := range m.Parts {
		largest = max(largest, p.Bytes)
	}
	return largest + m.Activations + m.Kept
}

// Lanes is the number of lanes through which parts pass that do not stay: one is read while the other is filled.
const Lanes = 2

// Placement says how a network's weights come to a device on which they do not all fit.
type Placement struct {
	// Stays has an entry for each part. A part that does not stay passes through a lane each time it is used.
	Stays []bool
	// LaneBytes is the size of a lane; 0 if there are none, because all parts fit or because there is no room for two
	// lanes. In the latter case all parts stay as long as no other part of the network needs their memory.
	LaneBytes int64
}

// Place places the parts of one network, of so many bytes each, in room bytes. It spreads the parts that pass through
// lanes evenly over the network, so that the copy of each has the computing of several parts to run beside.
func Place(parts []int64, room int64) Placement {
	total, largest := int64(0), int64(0)
	for _, bytes := range parts {
		total += bytes
		largest = max(largest, bytes)
	}
	p := Placement{Stays: make([]bool, len(parts))}
	if total <= room || Lanes*largest > room {
		for i := range p.Stays {
			p.Stays[i] = true
		}
		return p
	}
	p.LaneBytes = largest
	left := room - Lanes*largest
	share := float64(left) / float64(total)
	due := 0.0 // bytes that should stay among the parts so far, and do not
	for i, bytes := range parts {
		due += share * float64(bytes)
		if bytes <= left && due >= float64(bytes)/2 {
			p.Stays[i], left, due = true, left-bytes, due-float64(bytes)
		}
	}
	for i, bytes := range parts { // what rounding has left
		if !p.Stays[i] && bytes <= left {
			p.Stays[i], left = true, left-bytes
		}
	}
	return p
}

// Placements places each network of m, by its name, in room bytes for all but activations and what is kept. Networks smaller
// than a lane of another one keep their place beside it: every picture needs them.
func (m Memory) Placements(room int64) map[string]Placement {
	parts := map[string][]int64{}
	for _, p := range m.Parts {
		parts[p.Network] = append(parts[p.Network], p.Bytes)
	}
	placements := map[string]Placement{}
	for network, sizes := range parts {
		placed := Place(sizes, room)
		small := int64(0)
		for other, others := range parts {
			if sum := sumOf(others); other != network && sum <= placed.LaneBytes {
				small += sum
			}
		}
		placements[network] = placed
		if beside := Place(sizes, room-small); small > 0 && beside.LaneBytes > 0 { // lanes are worth more than its place
			placements[network] = beside
		}
	}
	return placements
}

func sumOf(sizes []int64) (sum int64) {
	for _, bytes := range sizes {
		sum += bytes
	}
	return sum
}

// Peak is what the run takes in all where it can have so much room: parts come in their order, bring along those after
// them that fit, and make Victim leave where they do not fit themselves.
func (m Memory) Peak(room int64) int64 {
	f := forecast{m: m, room: room - m.Activations - m.Kept, here: make([]bool, len(m.Parts)), used: make([]int64, len(m.Parts)),
		lanes: map[string]int64{}}
	placements := m.Placements(f.room)
	stays := make([]bool, len(m.Parts))
	counted := map[string]int{}
	for i, p := range m.Parts {
		stays[i] = placements[p.Network].Stays[counted[p.Network]]
		counted[p.Network]++
	}
	for range 2 { // what the first run leaves is there for the second
		for i, p := range m.Parts {
			f.clock++
			f.used[i] = f.clock
			switch {
			case !stays[i] && f.lanes[p.Network] == 0:
				bytes := Lanes * placements[p.Network].LaneBytes
				f.fit(p.Network, bytes)
				f.lanes[p.Network] = bytes
				f.take(bytes)
			case stays[i] && !f.here[i]:
				f.fit(p.Network, p.Bytes)
				f.bring(i)
				for j := i + 1; j < len(m.Parts) && stays[j] && (f.here[j] || f.sum+m.Parts[j].Bytes <= f.room); j++ {
					f.bring(j)
				}
			}
		}
	}
	return f.peak + m.Activations + m.Kept
}

// forecast follows what lies on a device.
type forecast struct {
	m               Memory
	room, sum, peak int64
	here            []bool
	used            []int64
	clock           int64
	lanes           map[string]int64 // the bytes of each network's lanes
}

func (f *forecast) take(bytes int64) {
	f.sum += bytes
	f.peak = max(f.peak, f.sum)
}

func (f *forecast) bring(part int) {
	if !f.here[part] {
		f.here[part] = true
		f.take(f.m.Parts[part].Bytes)
	}
}

// fit makes room for bytes of a network as far as it can.
func (f *forecast) fit(network string, bytes int64) {
	for f.sum+bytes > f.room {
		var candidates []PartUse
		for j, other := range f.m.Parts {
			if f.here[j] {
				candidates = append(candidates, PartUse{j, other.Network != network, other.Bytes, f.used[j]})
			}
		}
		victim := Victim(candidates)
		if victim >= 0 && f.m.Parts[victim].Network != network {
			f.here[victim], f.sum = false, f.sum-f.m.Parts[victim].Bytes
			continue
		}
		freed := false
		for other, bytes := range f.lanes {
			if other != network && bytes > 0 {
				f.lanes[other], f.sum, freed = 0, f.sum-bytes, true
			}
		}
		switch {
		case freed:
		case victim >= 0:
			f.here[victim], f.sum = false, f.sum-f.m.Parts[victim].Bytes
		default:
			return
		}
	}
}

// PartUse is a part on the device that could leave it.
type PartUse struct {
	Part int
	// Other says that it belongs to another network than the one that is being worked with.
	Other bool
	Bytes int64
	// Used is the time of its last use.
	Used int64
}

// Victim returns the part that leaves, −1 where there is none: the largest of other networks, of which the small ones would
// make little room; else the one used last, as a network's parts are used in a circle, and it has the longest way to its turn.
func Victim(parts []PartUse) int {
	best := -1
	for i, p := range parts {
		switch {
		case best < 0 || p.Other && !parts[best].Other:
			best = i
		case p.Other != parts[best].Other:
		case p.Other && p.Bytes > parts[best].Bytes, !p.Other && p.Used > parts[best].Used:
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	return parts[best].Part
}

// Planned is a backend on a device whose memory a run must fit.
type Planned interface {
	Backend
	// Rehearsal returns a backend that computes nothing and takes no memory.
	Rehearsal() Rehearsal
	// Room is the device's memory that a run can have, and all of it.
	Room() (room, total int64, err error)
	// Reserve makes room for a run that needs m, between Begin and its first Alloc, or fails with *MemoryError.
	Reserve(m Memory) error
}

// Rehearsal is a backend on which stages find out what memory they need.
type Rehearsal interface {
	Backend
	// Memory is what the weights need, and the run since Begin.
	Memory() Memory
}

// MemoryError says that a run does not fit the device, in bytes.
type MemoryError struct {
	Need, Room, Total int64
}

// Error gives all figures in GB.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("not enough graphics memory: this picture needs %.2f GB, %.2f of %.2f GB can be had", gb(e.Need), gb(e.Room), gb(e.Total))
}

func gb(bytes int64) float64 { return float64(bytes) / 1e9 }
