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

// Peak is what the run takes in all where it can have so much room: parts come in their order, bring along those after
// them that fit, and make Victim leave where they do not fit themselves.
func (m Memory) Peak(room int64) int64 {
	room -= m.Activations + m.Kept
	here, used := make([]bool, len(m.Parts)), make([]int64, len(m.Parts))
	sum, peak, clock := int64(0), int64(0), int64(0)
	for range 2 { // what the first run leaves is there for the second
		for i, p := range m.Parts {
			clock++
			used[i] = clock
			if here[i] {
				continue
			}
			for sum+p.Bytes > room {
				var candidates []PartUse
				for j, other := range m.Parts {
					if here[j] {
						candidates = append(candidates, PartUse{j, other.Network != p.Network, other.Bytes, used[j]})
					}
				}
				victim := Victim(candidates)
				if victim < 0 {
					break
				}
				here[victim], sum = false, sum-m.Parts[victim].Bytes
			}
			for j := i; j < len(m.Parts) && (j == i || here[j] || sum+m.Parts[j].Bytes <= room); j++ {
				if !here[j] {
					here[j], sum = true, sum+m.Parts[j].Bytes
				}
			}
			peak = max(peak, sum)
		}
	}
	return peak + m.Activations + m.Kept
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
