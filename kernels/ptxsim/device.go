package ptxsim

import (
	"fmt"
	"slices"
	"sort"
	"sync"
)

// memory is a device's global memory.
type memory struct {
	allocations []*allocation // by address, freed ones included
	next        uint64
	used, total int64          // bytes
	peak        int64          // the maximum of used
	locks       [64]sync.Mutex // of atomics, by address
	unchecked   bool           // does not record which bytes were written
}

const (
	firstAddress = 0x7f00 << 32
	redZone      = 4096 // unused bytes after each allocation, so that a small overrun is not inside the next one
	allocAlign   = 256
)

func newMemory(total int64, unchecked bool) *memory {
	return &memory{next: firstAddress, total: total, unchecked: unchecked}
}

func (m *memory) alloc(bytes int64) *allocation {
	a := &allocation{base: m.next, data: make([]byte, bytes), size: int(bytes)}
	if !m.unchecked {
		a.init = make([]uint64, (bytes+63)/64)
	}
	m.allocations = append(m.allocations, a)
	m.next += uint64(roundUp(int(bytes), allocAlign) + redZone)
	m.used += bytes
	m.peak = max(m.peak, m.used)
	return a
}

// free frees an allocation, but keeps its range of addresses, so that an access to it is reported as a use after free.
func (m *memory) free(a *allocation) {
	m.used -= int64(a.size)
	a.freed, a.data, a.init = true, nil, nil
}

// at returns the allocation, freed or not, with the highest base that is at most address, or nil.
func (m *memory) at(address uint64) *allocation {
	i := sort.Search(len(m.allocations), func(i int) bool { return m.allocations[i].base > address }) - 1
	if i < 0 {
		return nil
	}
	return m.allocations[i]
}

// find is at, but returns nil for a freed allocation.
func (m *memory) find(address uint64) *allocation {
	if a := m.at(address); a != nil && !a.freed {
		return a
	}
	return nil
}

// span returns the allocation with the n bytes from address on, and their offset in it.
func (m *memory) span(address uint64, n int64) (*allocation, int, error) {
	a := m.find(address)
	if a == nil || address-a.base > uint64(len(a.data)) || uint64(n) > uint64(len(a.data))-(address-a.base) {
		return nil, 0, fmt.Errorf("%s", m.describe(address, int(n)))
	}
	return a, int(address - a.base), nil
}

// describe returns the error text for an access that is not inside an allocation.
func (m *memory) describe(address uint64, n int) string {
	a := m.at(address)
	switch {
	case a == nil && address < 1<<16:
		return fmt.Sprintf("global access out of bounds: %d bytes at %#x, a null pointer", n, address)
	case a == nil:
		return fmt.Sprintf("global access out of bounds: %d bytes at %#x, below all memory", n, address)
	case a.freed && address-a.base < uint64(a.size):
		return fmt.Sprintf("use after free: %d bytes at %#x, byte %d of a freed allocation of %d",
			n, address, address-a.base, a.size)
	}
	return fmt.Sprintf("global access out of bounds: %d bytes at byte %d of an allocation of %d",
		n, address-a.base, a.size)
}

// A Device is the configuration of a software device. The zero value is a device of compute capability 8.0 with 64 GiB
// that uses every core and makes all checks.
type Device struct {
	Major, Minor int   // compute capability; 0 for 8.0
	TotalBytes   int64 // memory; 0 for 64 GiB
	Workers      int   // how many blocks run at the same time; 0 for the number of cores
	Budget       int64 // how many instructions one warp may run in one block; 0 for 1<<27
	Checks       Checks
}

func (d Device) withDefaults() Device {
	if d.Major == 0 {
		d.Major = 8
	}
	if d.TotalBytes == 0 {
		d.TotalBytes = 64 << 30
	}
	if d.Budget == 0 {
		d.Budget = 1 << 27
	}
	return d
}

// forget removes the oldest freed allocations from the list if there are many, so that it does not grow without bound.
func (m *memory) forget() {
	const keep = 4096
	freed := 0
	for _, a := range m.allocations {
		freed += int(one(a.freed))
	}
	if freed <= 2*keep {
		return
	}
	m.allocations = slices.DeleteFunc(m.allocations, func(a *allocation) bool {
		if a.freed && freed > keep {
			freed--
			return true
		}
		return false
	})
}
