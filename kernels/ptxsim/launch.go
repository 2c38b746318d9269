package ptxsim

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// sliceSteps is how many instructions a warp runs before the next warp of its block does.
const sliceSteps = 8192

// A launch is one launch of a kernel.
type launch struct {
	program     *program
	memory      *memory
	device      Device
	checks      struct{ Uninitialised, SkipBarrierMatch bool }
	skipRaces   bool
	budget      int64
	grid, block [3]int
	dynamic     int // bytes of dynamic shared memory
	params      []byte
	total       int          // blocks
	next        atomic.Int64 // the number of the next block
	failed      atomic.Bool
	steps       atomic.Int64
	mu          sync.Mutex
	faults      []blockFault
}

type blockFault struct {
	number int
	err    error
}

// run runs all blocks of the grid. It returns the fault of the block with the lowest number that has one.
func (l *launch) run() error {
	l.total = l.grid[0] * l.grid[1] * l.grid[2]
	workers := l.device.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	for range min(workers, l.total) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l.work()
		}()
	}
	wg.Wait()
	if len(l.faults) == 0 {
		return nil
	}
	return slices.MinFunc(l.faults, func(a, b blockFault) int { return a.number - b.number }).err
}

// work runs blocks until there are no more. After a fault, no worker starts another block.
func (l *launch) work() {
	number := 0
	defer func() {
		if r := recover(); r != nil {
			err, ok := r.(*Fault)
			if !ok {
				panic(r)
			}
			l.failed.Store(true)
			l.mu.Lock()
			l.faults = append(l.faults, blockFault{number, err})
			l.mu.Unlock()
		}
	}()
	b := newBlock(l)
	for !l.failed.Load() {
		if number = int(l.next.Add(1)) - 1; number >= l.total {
			break
		}
		b.run(number)
	}
	l.steps.Add(b.stepsDone)
}

// A block runs on one goroutine, which runs its warps in turn.
type block struct {
	*launch
	at          [3]int // the block's index in the grid
	shared      []byte
	shadow      []shadow // nil if shared memory is not checked
	readers     []uint32 // by word and agent: the agent's time at its last read
	readerCount int      // how many agents can read shared memory
	agents      int      // warps and asynchronous engines: see checks.go
	warps       []*warp
	barriers    [16]barrier
	mbarriers   map[uint32]*mbarrier
	cluster     clusterBarrier
	changes     int64 // counts changes of state that a waiting warp can wait for
	stepsDone   int64 // instructions of the warps that have finished
	wide        *wideFragments
}

func newBlock(l *launch) *block {
	p := l.program
	b := &block{launch: l, mbarriers: map[uint32]*mbarrier{}}
	threads := l.block[0] * l.block[1] * l.block[2]
	warps := (threads + 31) / 32
	b.shared = make([]byte, p.dynamicShared+l.dynamic)
	if l.dynamic == 0 {
		b.shared = b.shared[:p.staticShared]
	}
	b.agents, b.readerCount = warps, warps
	if p.asyncAgents {
		b.readerCount = 3 * warps
		b.agents = 3*warps + maxMbarriers
	}
	if l.checks.Uninitialised || !l.skipRaces {
		words := (len(b.shared) + 3) / 4
		b.shadow = make([]shadow, words)
		b.readers = make([]uint32, words*b.readerCount)
	}
	for i := range b.barriers {
		b.barriers[i].clock = make([]uint32, b.agents)
		b.barriers[i].fenced = make([]uint32, b.agents)
	}
	for i := range warps {
		w := &warp{block: b, id: i, exists: allLanes}
		if last := threads - i*32; last < 32 {
			w.exists = 1<<last - 1
		}
		w.r32, w.r64, w.p = make([][32]uint32, p.rows32), make([][32]uint64, p.rows64), make([]uint32, p.rowsP)
		w.def32, w.def64, w.defP = make([]uint32, p.rows32), make([]uint32, p.rows64), make([]uint32, p.rowsP)
		w.local, w.localInit = make([]byte, 32*p.localSize), make([]bool, 32*p.localSize)
		w.clock, w.fenced = make([]uint32, b.agents), make([]uint32, b.agents)
		if p.wgmma {
			w.wgmma = wgmmaState{owner: make([]uint32, p.rows32), source: make([]uint32, p.rows32),
				dirty: make([]bool, p.rows32)}
		}
		for v, row := range p.constant32 {
			for lane := range 32 {
				w.r32[row][lane] = v
			}
		}
		for v, row := range p.constant64 {
			for lane := range 32 {
				w.r64[row][lane] = v
			}
		}
		b.warps = append(b.warps, w)
	}
	return b
}

// reset prepares the block to run as the given number of the grid. Only constants and special registers have values.
func (b *block) reset(number int) {
	b.at = [3]int{number % b.grid[0], number / b.grid[0] % b.grid[1], number / b.grid[0] / b.grid[1]}
	clear(b.shadow)
	clear(b.readers)
	clear(b.mbarriers)
	b.cluster = clusterBarrier{clock: make([]uint32, b.agents)}
	for i := range b.shared {
		b.shared[i] = 0xff
	}
	for i := range b.barriers {
		b.barriers[i].warps, b.barriers[i].waiting = 0, b.barriers[i].waiting[:0]
	}
	p := b.program
	for _, w := range b.warps {
		clear(w.def32)
		clear(w.def64)
		clear(w.defP)
		clear(w.localInit)
		clear(w.clock)
		clear(w.fenced)
		clear(w.groupsOpen[:])
		for _, row := range p.constant32 {
			w.def32[row] = allLanes
		}
		for _, row := range p.constant64 {
			w.def64[row] = allLanes
		}
		for name, row := range p.special {
			w.def32[row] = allLanes
			for lane := range 32 {
				w.r32[row][lane] = w.specialValue(name, lane)
			}
		}
		w.clock[w.id] = 1
		w.live, w.active, w.pc, w.groups = w.exists, w.exists, 0, w.groups[:0]
		w.fair, w.state, w.steps, w.syncs, w.last = false, running, 0, 0, nil
		w.copies = w.copies[:0]
		w.waitingAt = nil
		w.bulk = bulkGroups{}
		w.wgmma.group, w.wgmma.busy = 1, 0
		clear(w.wgmma.owner)
		clear(w.wgmma.source)
		clear(w.wgmma.dirty)
	}
}

// run runs the block with the given number.
func (b *block) run(number int) {
	b.reset(number)
	idle := 0
	for {
		before, left, ready := b.changes, 0, false
		for _, w := range b.warps {
			if w.state == finished {
				continue
			}
			left++
			if w.state == atBarrier {
				continue
			}
			start := w.steps
			w.runSlice(sliceSteps)
			if w.state == finished {
				b.changes++
				b.stepsDone += w.steps
				for id := range b.barriers {
					b.completeBarrier(id)
				}
			}
			// A warp that yields after a few instructions is polling.
			ready = ready || w.state != yielded && w.state != atBarrier || w.steps-start > 256
		}
		if left == 0 {
			return
		}
		if ready || b.changes != before {
			idle = 0
		} else if idle++; idle > 64 {
			b.stuck()
		}
	}
}

// axes has the index of each component of a special register.
var axes = map[byte]int{'x': 0, 'y': 1, 'z': 2}

// specialValue returns the value of a special register that does not change while a block runs.
func (w *warp) specialValue(name string, lane int) uint32 {
	thread := w.id*32 + lane
	dim, grid := w.launch.block, w.launch.grid
	base, component, _ := strings.Cut(name, ".")
	axis := 0
	if component != "" {
		axis = axes[component[0]]
	}
	switch base {
	case "%tid":
		return uint32([3]int{thread % dim[0], thread / dim[0] % dim[1], thread / dim[0] / dim[1]}[axis])
	case "%ntid":
		return uint32(dim[axis])
	case "%ctaid", "%clusterid":
		return uint32(w.at[axis])
	case "%nctaid", "%nclusterid":
		return uint32(grid[axis])
	case "%cluster_nctaid", "%cluster_nctarank":
		return 1
	case "%laneid":
		return uint32(lane)
	case "%warpid":
		return uint32(w.id)
	case "%nwarpid":
		return uint32(len(w.warps))
	case "%nsmid":
		return uint32(simulatedSMs)
	case "%smid":
		return uint32((w.at[0] + w.at[1]*grid[0] + w.at[2]*grid[0]*grid[1]) % simulatedSMs)
	case "%dynamic_smem_size":
		return uint32(w.dynamic)
	case "%total_smem_size":
		return uint32(len(w.shared))
	case "%lanemask_eq":
		return 1 << lane
	case "%lanemask_lt":
		return 1<<lane - 1
	case "%lanemask_le":
		return 1<<lane | (1<<lane - 1)
	case "%lanemask_gt":
		return ^(1<<lane | (1<<lane - 1))
	case "%lanemask_ge":
		return ^(uint32(1)<<lane - 1)
	}
	return 0 // %cluster_ctaid, %cluster_ctarank, %is_explicit_cluster, %gridid
}

// simulatedSMs is the number of multiprocessors that the device reports. It is small, because some kernels choose the
// size of their grid by it.
const simulatedSMs = 4

// specialRow returns the row of a special register, which it creates at the first use.
func (d *decoder) specialRow(name string, bits int) int32 {
	base, component, dotted := strings.Cut(name, ".")
	known := false
	switch base {
	case "%tid", "%ntid", "%ctaid", "%nctaid", "%clusterid", "%nclusterid", "%cluster_nctaid", "%cluster_ctaid":
		_, ok := axes[(component + " ")[0]]
		known = dotted && ok && len(component) == 1
	case "%laneid", "%warpid", "%nwarpid", "%nsmid", "%smid", "%dynamic_smem_size", "%total_smem_size",
		"%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge",
		"%cluster_nctarank", "%cluster_ctarank", "%is_explicit_cluster", "%gridid":
		known = !dotted
	}
	if !known {
		d.fail("unknown register or special register %s", strconv.Quote(name))
	}
	if bits != 32 {
		d.fail("special register %s as an operand of %d bits", name, bits)
	}
	row, ok := d.special[name]
	if !ok {
		row = d.newRow32()
		d.special[name] = row
	}
	return row
}

// checkShape returns an error for a grid, a block or a size of dynamic shared memory that the kernel or a GPU does not
// allow.
func (p *program) checkShape(grid, block [3]int, dynamic, most int) error {
	threads := 1
	for i, limit := range [3]int{1024, 1024, 64} {
		if block[i] < 1 || block[i] > limit || grid[i] < 1 || grid[i] > [3]int{1<<31 - 1, 65535, 65535}[i] {
			return fmt.Errorf("grid %v, block %v: above the device's limits or below 1", grid, block)
		}
		threads *= block[i]
	}
	if most := p.maxThreads(); threads > most {
		return fmt.Errorf("%d threads, the kernel allows at most %d", threads, most)
	}
	if want := p.entry.ReqThreads; want != [3]int{} && want != block {
		return fmt.Errorf("block %v, the kernel requires %v", block, want)
	}
	if dynamic < 0 || dynamic > most {
		return fmt.Errorf("%d bytes of dynamic shared memory, want at most %d: see SetMaxDynamicShared", dynamic, most)
	}
	return nil
}

// maxThreads returns the largest number of threads of a block.
func (p *program) maxThreads() int {
	m := p.entry.MaxThreads
	if m == [3]int{} {
		return 1024
	}
	return min(1024, m[0]*m[1]*m[2])
}
