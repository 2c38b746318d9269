package ptxsim

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kleinbild/kernels/cu"
	"kleinbild/kernels/ptxsim/ptx"
)

// A Context is a software device in use. It implements cu.Context.
//
// Streams are as lazy as a device is allowed to be: work is carried out when somebody waits for it, stream by stream,
// so that a missing wait between streams, or a host buffer changed too early, gives wrong results every time. A fault
// of a kernel comes back from the call that waits, and from every one after it, wrapped with cu.ErrContextLost.
type Context struct {
	mu      sync.Mutex
	device  Device
	memory  *memory
	streams []*stream
	pinned  map[*byte]bool
	lost    error
	closed  bool
	steps   int64
}

var _ cu.Context = (*Context)(nil)

// Open starts a software device.
func Open(device Device) *Context {
	device = device.withDefaults()
	return &Context{device: device, memory: newMemory(device.TotalBytes, device.Checks.SkipUninitialised), pinned: map[*byte]bool{}}
}

// enter locks the context for a call, and refuses where it cannot be used.
func (c *Context) enter(operation string) error {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return fmt.Errorf("%s: %w", operation, cu.ErrClosed)
	case c.lost != nil:
		c.mu.Unlock()
		return fmt.Errorf("%s: %w: %w", operation, cu.ErrContextLost, c.lost)
	}
	return nil
}

// Device describes the device.
func (c *Context) Device() cu.DeviceInfo {
	perBlock, perSM := 166912, 167936
	if c.device.Major >= 9 {
		perBlock, perSM = 232448, 233472
	}
	return cu.DeviceInfo{Name: "software device", Major: c.device.Major, Minor: c.device.Minor, DriverVersion: 13000,
		UUID: "GPU-software", PCIBusID: "", TotalBytes: c.device.TotalBytes, SMs: simulatedSMs,
		SharedBytesPerBlock: perBlock, SharedBytesPerSM: perSM, WarpSize: 32, L2Bytes: 1 << 20}
}

// Do runs f at once: any thread may call this device.
func (c *Context) Do(f func() error) error { return f() }

// MemGetInfo counts the allocations' bytes.
func (c *Context) MemGetInfo() (free, total int64, err error) {
	if err := c.enter("memory info"); err != nil {
		return 0, 0, err
	}
	defer c.mu.Unlock()
	return c.memory.total - c.memory.used, c.memory.total, nil
}

// MemAlloc returns memory in which every byte counts as never written.
func (c *Context) MemAlloc(bytes int64) (cu.DevicePtr, error) {
	if err := c.enter("allocate"); err != nil {
		return 0, err
	}
	defer c.mu.Unlock()
	if bytes <= 0 {
		return 0, fmt.Errorf("allocate: %d bytes, want a positive number", bytes)
	}
	if free := c.memory.total - c.memory.used; bytes > free {
		return 0, fmt.Errorf("allocate: %w", &cu.OutOfMemoryError{AskedBytes: bytes, FreeBytes: free, TotalBytes: c.memory.total})
	}
	return cu.DevicePtr(c.memory.alloc(bytes).base), nil
}

// MemFree waits for all work first.
func (c *Context) MemFree(p cu.DevicePtr) error {
	if err := c.enter("free"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if err := c.drain("free"); err != nil {
		return err
	}
	a := c.memory.find(uint64(p))
	if a == nil || a.base != uint64(p) || a.readOnly {
		return fmt.Errorf("free: %#x is not the beginning of an allocation", uint64(p))
	}
	c.memory.free(a)
	c.memory.forget()
	return nil
}

// Undefine makes a range of memory count as never written again: what an arena that reuses its memory calls between
// two users, so that reads of the first one's leftovers are caught.
func (c *Context) Undefine(p cu.DevicePtr, bytes int64) error {
	if err := c.enter("undefine"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if err := c.drain("undefine"); err != nil {
		return err
	}
	a, at, err := c.memory.span(uint64(p), bytes)
	if err != nil {
		return fmt.Errorf("undefine: %w", err)
	}
	a.define(at, int(bytes), false)
	return nil
}

// MemAllocHost returns memory like any other.
func (c *Context) MemAllocHost(bytes int) ([]byte, error) {
	if err := c.enter("allocate host memory"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	if bytes <= 0 {
		return nil, fmt.Errorf("allocate host memory: %d bytes, want a positive number", bytes)
	}
	b := make([]byte, bytes)
	c.pinned[&b[0]] = true
	return b, nil
}

// MemFreeHost waits for all work, and fills the memory with ones: who still reads it sees that.
func (c *Context) MemFreeHost(b []byte) error {
	if err := c.enter("free host memory"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if len(b) == 0 || !c.pinned[&b[0]] {
		return errors.New("free host memory: not memory of this context")
	}
	if err := c.drain("free host memory"); err != nil {
		return err
	}
	delete(c.pinned, &b[0])
	for i := range b {
		b[i] = 0xff
	}
	return nil
}

// PeakBytes returns the most memory that was allocated at a time, and starts to count anew.
func (c *Context) PeakBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	peak := c.memory.peak
	c.memory.peak = c.memory.used
	return peak
}

// Steps returns how many instructions warps have run so far.
func (c *Context) Steps() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// drain carries out all work of all streams.
func (c *Context) drain(operation string) error {
	for _, s := range c.streams {
		if err := s.drain(s.issued()); err != nil {
			return fmt.Errorf("%s: %w", operation, err)
		}
	}
	return nil
}

// Synchronize carries out all work.
func (c *Context) Synchronize() error {
	if err := c.enter("synchronize"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	return c.drain("synchronize")
}

// Close carries out all work unless the context is lost, and frees everything.
func (c *Context) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	var err error
	if c.lost == nil {
		err = c.drain("close")
	}
	c.closed, c.memory, c.streams = true, nil, nil
	return err
}

// LoadModule reads and compiles PTX: an instruction that this device does not know is an error here, not at its launch.
func (c *Context) LoadModule(text []byte, options cu.ModuleOptions) (cu.Module, error) {
	if err := c.enter("load " + options.Name); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	m, err := c.load(string(text))
	if err != nil {
		return nil, &cu.JITError{Module: options.Name, Log: err.Error(), Err: errors.New("PTX not accepted")}
	}
	return m, nil
}

func (c *Context) load(text string) (*module, error) {
	parsed, err := ptx.Parse(text)
	if err != nil {
		return nil, err
	}
	need, have := targetNumber(parsed.Target), c.device.Major*10+c.device.Minor
	if exact := parsed.Target[len(parsed.Target)-1] == 'a'; need > have || exact && need != have {
		return nil, fmt.Errorf("module for %s, the device is sm_%d", parsed.Target, have)
	}
	m := &module{context: c, programs: map[string]*program{}}
	addresses, err := m.placeGlobals(parsed)
	if err != nil {
		return nil, err
	}
	for _, f := range parsed.Functions {
		if !f.Entry || !f.Defined {
			continue
		}
		p, err := compile(parsed, f, addresses)
		if err != nil {
			return nil, err
		}
		m.programs[f.Name] = p
	}
	return m, nil
}

type module struct {
	context  *Context
	programs map[string]*program
	globals  []*allocation
	unloaded bool
}

// placeGlobals gives the module's variables memory with their initial values. What has none is zero.
func (m *module) placeGlobals(parsed *ptx.Module) (map[*ptx.Variable]uint64, error) {
	addresses := map[*ptx.Variable]uint64{}
	place := func(v *ptx.Variable) error {
		size := max(1, v.Size())
		if v.Extern {
			return fmt.Errorf("line %d: external variable %s: modules are not linked", v.Line, v.Name)
		}
		if int64(size) > m.context.memory.total-m.context.memory.used {
			return fmt.Errorf("line %d: variable %s of %d bytes does not fit the device", v.Line, v.Name, size)
		}
		a := m.context.memory.alloc(int64(size))
		a.define(0, size, true)
		a.readOnly = v.Space == "const"
		m.globals = append(m.globals, a)
		addresses[v] = a.base
		return nil
	}
	for _, v := range parsed.Variables {
		if v.Space == "shared" {
			continue
		}
		if err := place(v); err != nil {
			return nil, err
		}
	}
	for _, v := range parsed.Variables {
		step := ptx.TypeBytes(v.Type)
		for i, o := range v.Init {
			value := o.Value
			if o.Kind == ptx.SymbolOperand {
				target, ok := addresses[o.Variable]
				if !ok || step != 8 {
					return nil, fmt.Errorf("line %d: the initialiser of %s is not a 64-bit address of a global", v.Line, v.Name)
				}
				value = target + uint64(o.Offset)
			}
			a := m.context.memory.find(addresses[v])
			for b := range step {
				a.data[i*step+b] = byte(value >> (8 * b))
			}
		}
	}
	return addresses, nil
}

func (m *module) Function(name string) (cu.Function, error) {
	if err := m.context.enter("function " + name); err != nil {
		return nil, err
	}
	defer m.context.mu.Unlock()
	p := m.programs[name]
	if p == nil || m.unloaded {
		return nil, fmt.Errorf("function %s: %w", name, cu.ErrNotFound)
	}
	return &function{module: m, program: p, maxDynamic: maxStaticShared - p.staticShared}, nil
}

func (m *module) Unload() error {
	if err := m.context.enter("unload"); err != nil {
		return err
	}
	defer m.context.mu.Unlock()
	if m.unloaded {
		return nil
	}
	if err := m.context.drain("unload"); err != nil {
		return err
	}
	m.unloaded = true
	for _, a := range m.globals {
		m.context.memory.free(a)
	}
	return nil
}

type function struct {
	module     *module
	program    *program
	maxDynamic int
}

func (f *function) Name() string { return f.program.name }

// Attributes gives no registers: nothing allocates them here.
func (f *function) Attributes() (cu.FunctionAttributes, error) {
	return cu.FunctionAttributes{LocalBytes: f.program.localSize, SharedBytes: f.program.staticShared, MaxThreads: f.program.maxThreads()}, nil
}

func (f *function) SetMaxDynamicShared(bytes int) error {
	c := f.module.context
	if err := c.enter("set shared memory of " + f.Name()); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if most := c.Device().SharedBytesPerBlock - f.program.dynamicShared; bytes < 0 || bytes > most {
		return fmt.Errorf("set shared memory of %s: %d bytes, the device has %d", f.Name(), bytes, most)
	}
	f.maxDynamic = bytes
	return nil
}

// Launch checks the launch now and runs it when it is waited for.
func (f *function) Launch(grid, block cu.Dim3, sharedBytes int, on cu.Stream, params []byte) error {
	c := f.module.context
	if err := c.enter("launch " + f.Name()); err != nil {
		return err
	}
	defer c.mu.Unlock()
	p := f.program
	g, b := [3]int{grid.X, grid.Y, grid.Z}, [3]int{block.X, block.Y, block.Z}
	s, ok := on.(*stream)
	err := p.checkShape(g, b, sharedBytes, f.maxDynamic)
	switch {
	case !ok || s.context != c || s.destroyed:
		err = errors.New("the stream is not of this context")
	case f.module.unloaded:
		err = fmt.Errorf("the module: %w", cu.ErrClosed)
	case err == nil && len(params) != p.paramSize:
		err = fmt.Errorf("%d bytes of parameters, the kernel takes %d", len(params), p.paramSize)
	}
	if err != nil {
		return &cu.LaunchError{Kernel: f.Name(), Grid: grid, Block: block, SharedBytes: sharedBytes, Err: err}
	}
	params = slices.Clone(params)
	s.enqueue(func() error {
		l := &launch{program: p, memory: c.memory, device: c.device, skipRaces: c.device.Checks.SkipRaces, budget: c.device.Budget,
			grid: g, block: b, dynamic: sharedBytes, params: params}
		l.checks.Uninitialised = !c.device.Checks.SkipUninitialised
		l.checks.SkipBarrierMatch = c.device.Checks.SkipBarrierMatch
		err := l.run()
		c.steps += l.steps.Load()
		if err != nil {
			c.lost = err
			return fmt.Errorf("%w: %w", cu.ErrContextLost, err)
		}
		return nil
	})
	return nil
}

// MakeStream returns an empty queue.
func (c *Context) MakeStream() (cu.Stream, error) {
	if err := c.enter("make stream"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	s := &stream{context: c}
	c.streams = append(c.streams, s)
	return s, nil
}

// MakeEvent returns a mark that counts as passed.
func (c *Context) MakeEvent(timing bool) (cu.Event, error) {
	if err := c.enter("make event"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	return &event{context: c, timing: timing}, nil
}

type event struct {
	context  *Context
	stream   *stream
	position int64
	timing   bool
	at       time.Time
}
