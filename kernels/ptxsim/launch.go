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

// slice is how many instructions a warp runs before another one's turn.
const slice = 8192

// A launch is one grid.
type launch struct {
	program *program
	memory  *memory
	device  Device
	checks  struct{ Uninitialised, SkipBarrierMatch bool }
	// skipRaces is apart, for being asked for at every access.
	skipRaces   bool
	budget      int64
	grid, block [3]int
	dynamic     int // bytes of dynamic shared memory
	params      []byte
	total       int
	next        atomic.Int64
	failed      atomic.Bool
	steps       atomic.Int64
	mu          sync.Mutex
	faults      []blockFault
}

type blockFault struct {
	number int
	err    error
}

// run carries out the grid, and returns the fault of the lowest block that has one.
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

// work runs blocks until there are no more. A fault ends all of the launch's later blocks.
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

// A block runs on one goroutine, its warps in turn.
type block struct {
	*launch
	at          [3]int
	shared      []byte
	shadow      []shadow // nil where nothing of it is checked
	readers     []uint32 // by word and agent: the agent's clock at its last read
	readerCount int
	agents      int
	warps       []*warp
	barriers    [16]barrier
	mbarriers   map[uint32]*mbarrier
	cluster     clusterBarrier
	changes     int64 // of state that a waiting warp may look at
	stepsDone   int64
	matrices    fragments
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
			w.wgmma = wgmmaState{owner: make([]uint32, p.rows32), source: make([]uint32, p.rows32), dirty: make([]bool, p.rows32)}
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

// reset makes everything undefined again but for the constants and the special registers.
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

// run carries out one block.
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
			w.runSlice(slice)
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

// axes of the special registers with components.
var axes = map[byte]int{'x': 0, 'y': 1, 'z': 2}

// specialValue computes the special registers that do not change during a block.
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

// simulatedSMs is what the device says it has; kernels that size their grid by it get a small one.
const simulatedSMs = 4

// specialRow gives a special register a row.
func (d *decoder) specialRow(name string, bits int) int32 {
	base, component, dotted := strings.Cut(name, ".")
	known := false
	switch base {
	case "%tid", "%ntid", "%ctaid", "%nctaid", "%clusterid", "%nclusterid", "%cluster_nctaid", "%cluster_ctaid":
		_, ok := axes[(component + " ")[0]]
		known = dotted && ok && len(component) == 1
	case "%laneid", "%warpid", "%nwarpid", "%nsmid", "%smid", "%dynamic_smem_size", "%total_smem_size", "%lanemask_eq", "%lanemask_lt",
		"%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%cluster_nctarank", "%cluster_ctarank", "%is_explicit_cluster", "%gridid":
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

// checkShape refuses what no device would launch.
func (p *program) checkShape(grid, block [3]int, dynamic, most int) error {
	threads := 1
	for i, limit := range [3]int{1024, 1024, 64} {
		if block[i] < 1 || block[i] > limit || grid[i] < 1 || grid[i] > [3]int{1<<31 - 1, 65535, 65535}[i] {
			return fmt.Errorf("grid %v, block %v: out of the device's limits", grid, block)
		}
		threads *= block[i]
	}
	if most := p.maxThreads(); threads > most {
		return fmt.Errorf("%d threads, the kernel allows %d", threads, most)
	}
	if want := p.entry.ReqThreads; want != [3]int{} && want != block {
		return fmt.Errorf("block %v, the kernel requires %v", block, want)
	}
	if dynamic < 0 || dynamic > most {
		return fmt.Errorf("%d bytes of dynamic shared memory, want at most %d: see SetMaxDynamicShared", dynamic, most)
	}
	return nil
}

func (p *program) maxThreads() int {
	m := p.entry.MaxThreads
	if m == [3]int{} {
		return 1024
	}
	return min(1024, m[0]*m[1]*m[2])
}
