package backend

import "fmt"

// Memory is what a run needs of a device, in bytes.
type Memory struct {
	// Networks are the weights, in the order in which a run uses them.
	Networks []NetworkMemory
	// Activations is the most that matrices of Alloc take at a time, Kept what Keep gives.
	Activations, Kept int64
}

// NetworkMemory is the weights of one network.
type NetworkMemory struct {
	Name  string
	Bytes int64
}

// Weights is the sum over all networks.
func (m Memory) Weights() int64 {
	sum := int64(0)
	for _, n := range m.Networks {
		sum += n.Bytes
	}
	return sum
}

// Most is what the run takes where all networks stay on the device.
func (m Memory) Most() int64 { return m.Weights() + m.Activations + m.Kept }

// Least is what the run needs where networks take turns.
func (m Memory) Least() int64 {
	largest := int64(0)
	for _, n := range m.Networks {
		largest = max(largest, n.Bytes)
	}
	return largest + m.Activations + m.Kept
}

// Peak is what the run takes in all where it can have so much room: networks come in their order, bring along those
// after them that fit, and make the largest leave that they need the room of.
func (m Memory) Peak(room int64) int64 {
	room -= m.Activations + m.Kept
	here := make([]bool, len(m.Networks))
	sum, peak := int64(0), int64(0)
	for range 2 { // what the first run leaves is there for the second
		for i, n := range m.Networks {
			if here[i] {
				continue
			}
			for sum+n.Bytes > room && sum > 0 {
				largest := -1
				for j, other := range m.Networks {
					if here[j] && (largest < 0 || other.Bytes > m.Networks[largest].Bytes) {
						largest = j
					}
				}
				here[largest], sum = false, sum-m.Networks[largest].Bytes
			}
			for j := i; j < len(m.Networks) && (j == i || sum+m.Networks[j].Bytes <= room); j++ {
				if !here[j] {
					here[j], sum = true, sum+m.Networks[j].Bytes
				}
			}
			peak = max(peak, sum)
		}
	}
	return peak + m.Activations + m.Kept
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
