package backend

import "fmt"

// Memory is the memory of a device that a run needs, in bytes.
type Memory struct {
	// Parts are the parts of the networks' weights, in the order in which a run uses them.
	Parts []PartMemory
	// Activations is the most that all matrices of Alloc take at the same time, and Kept the size of those of Keep.
	Activations, Kept int64
}

// PartMemory describes a part of a network's weights. A part is copied to the device, and removed from it, as a whole.
type PartMemory struct {
	Network string
	Bytes   int64
}

// Weights returns the size of all parts.
func (m Memory) Weights() int64 {
	sum := int64(0)
	for _, p := range m.Parts {
		sum += p.Bytes
	}
	return sum
}

// Most returns the memory that the run takes if all weights stay on the device.
func (m Memory) Most() int64 { return m.Weights() + m.Activations + m.Kept }

// Least returns the least memory with which the run is possible: the device holds one part at a time.
func (m Memory) Least() int64 {
	largest := int64(0)
	for _, p := range m.Parts {
		largest = max(largest, p.Bytes)
	}
	return largest + m.Activations + m.Kept
}

// Lanes is the number of lanes. A lane is a buffer on the device into which a part that does not stay there is copied
// before each use. With two lanes the device computes with one part while the next is copied.
const Lanes = 2

// Placement says which parts of a network stay on a device that cannot hold them all.
type Placement struct {
	// Stays has an entry for each part. A part that does not stay is copied into a lane each time it is used.
	Stays []bool
	// LaneBytes is the size of a lane. It is 0 if there are no lanes: because all parts fit, or because two lanes do
	// not fit. In both cases Stays is true for all parts; in the second case a part is removed when another part of the
	// network needs its memory.
	LaneBytes int64
}

// Place decides which parts of a network stay in room bytes; parts holds the size of each in bytes. It spreads the
// parts that use lanes evenly over the network, so that several parts are computed with while one is copied.
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
	due := 0.0 // bytes that an even spread would have kept of the parts so far, minus those that stay
	for i, bytes := range parts {
		due += share * float64(bytes)
		if bytes <= left && due >= float64(bytes)/2 {
			p.Stays[i], left, due = true, left-bytes, due-float64(bytes)
		}
	}
	for i, bytes := range parts { // use the memory that the even spread has left
		if !p.Stays[i] && bytes <= left {
			p.Stays[i], left = true, left-bytes
		}
	}
	return p
}

// Placements returns the placement of each network of m, by name. room is the memory in bytes for weights: without
// activations and kept matrices. A network that is smaller than a lane of another one stays on the device beside that
// one, since every picture needs it.
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
		// Lanes matter more than the small networks: these give their memory up if no lanes would fit beside them.
		if beside := Place(sizes, room-small); small > 0 && beside.LaneBytes > 0 {
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

// Peak returns the most memory in bytes that the run takes at a time, on a device that gives it room bytes. It
// simulates the run: a part that is not on the device is copied to it, and with it the parts that follow, as far as
// they fit. If the part does not fit, the one that PartToEvict returns is removed. The lanes of a network are allocated
// when the first part needs one. The result exceeds room if the run is impossible.
func (m Memory) Peak(room int64) int64 {
	f := forecast{
		m: m, room: room - m.Activations - m.Kept,
		here: make([]bool, len(m.Parts)), used: make([]int64, len(m.Parts)), lanes: map[string]int64{},
	}
	placements := m.Placements(f.room)
	stays := make([]bool, len(m.Parts))
	counted := map[string]int{}
	for i, p := range m.Parts {
		stays[i] = placements[p.Network].Stays[counted[p.Network]]
		counted[p.Network]++
	}
	for range 2 { // the second run starts with the parts that the first has left on the device
		for i, p := range m.Parts {
			f.clock++
			f.used[i] = f.clock
			switch {
			case !stays[i] && f.lanes[p.Network] == 0:
				bytes := Lanes * placements[p.Network].LaneBytes
				f.fit(p.Network, bytes)
				f.lanes[p.Network] = bytes
				f.add(bytes)
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

// forecast simulates the weights on a device.
type forecast struct {
	m               Memory
	room, sum, peak int64            // in bytes: the limit, the weights and lanes on the device, and the highest sum
	here            []bool           // for each part: it is on the device
	used            []int64          // for each part: the clock at its last use
	clock           int64            // the number of uses so far
	lanes           map[string]int64 // for each network: the bytes of its lanes
}

func (f *forecast) add(bytes int64) {
	f.sum += bytes
	f.peak = max(f.peak, f.sum)
}

func (f *forecast) bring(part int) {
	if !f.here[part] {
		f.here[part] = true
		f.add(f.m.Parts[part].Bytes)
	}
}

// fit removes parts and lanes from the device until bytes more fit, or nothing is left to remove. First it removes
// parts of other networks, then their lanes, then parts of network itself.
func (f *forecast) fit(network string, bytes int64) {
	for f.sum+bytes > f.room {
		var candidates []PartUse
		for j, other := range f.m.Parts {
			if f.here[j] {
				candidates = append(candidates, PartUse{j, other.Network != network, other.Bytes, f.used[j]})
			}
		}
		evicted := PartToEvict(candidates)
		if evicted >= 0 && f.m.Parts[evicted].Network != network {
			f.here[evicted], f.sum = false, f.sum-f.m.Parts[evicted].Bytes
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
		case evicted >= 0:
			f.here[evicted], f.sum = false, f.sum-f.m.Parts[evicted].Bytes
		default:
			return
		}
	}
}

// PartUse describes a part that is on the device and may be removed.
type PartUse struct {
	// Part is the index of the part.
	Part int
	// Other is true if the part does not belong to the network in use.
	Other bool
	Bytes int64
	// Used is the time of the last use, in any unit.
	Used int64
}

// PartToEvict returns the index of the part to remove, or −1 if parts is empty. It prefers parts of other networks, and
// of these the largest, since a small one frees little memory. If there are none, it takes the part that was used last:
// a network's parts are used in turn, so that this part is needed again last.
func PartToEvict(parts []PartUse) int {
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

// Planned is a backend whose device has limited memory, so that the memory of a run is reserved before the run.
type Planned interface {
	Backend
	// Rehearsal returns a backend that computes nothing and takes no memory. A run on it finds out the memory that the
	// same run needs on this backend.
	Rehearsal() Rehearsal
	// Room returns the device's memory in bytes: the part that a run can have, and the total.
	Room() (room, total int64, err error)
	// Reserve reserves memory for a run that needs m. It must be called after Begin and before the first Alloc. The
	// error is a *MemoryError if the device has too little memory.
	Reserve(m Memory) error
}

// Rehearsal is a backend that records the memory that the stages ask for. Its operations look at sizes only.
type Rehearsal interface {
	Backend
	// Rehearses returns true.
	Rehearses() bool
	// Memory returns the memory for all weights so far, and for the activations since Begin.
	Memory() Memory
}

// Rehearses says whether b is a Rehearsal. The stages prepare no values for one.
func Rehearses(b Backend) bool {
	r, ok := b.(interface{ Rehearses() bool })
	return ok && r.Rehearses()
}

// MemoryError is the error for a run that needs more memory than the device has. All sizes are in bytes.
type MemoryError struct {
	Need, Room, Total int64
}

// Error returns the message, with sizes in GB.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("not enough graphics memory: this picture needs %.2f GB, %.2f of %.2f GB are available",
		gb(e.Need), gb(e.Room), gb(e.Total))
}

func gb(bytes int64) float64 { return float64(bytes) / 1e9 }
