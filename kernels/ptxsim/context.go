package ptxsim

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// A Context is a software device. It implements cu.Context.
//
// Work runs when a caller waits for it, as late as CUDA allows, one stream after the other. So a missing wait between
// streams, or a host buffer that is changed too early, gives a wrong result every time. The call that waits, and every
// call after it, returns the Fault of a kernel, wrapped with cu.ErrContextLost.
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

// Open returns a new software device.
func Open(device Device) *Context {
	device = device.withDefaults()
	memory := newMemory(device.TotalBytes, device.Checks.SkipUninitialised)
	return &Context{device: device, memory: memory, pinned: map[*byte]bool{}}
}

// enter locks the context for a call. If the context is closed or lost, it returns an error and does not lock.
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

// Do calls f on the caller's thread, because any thread may use this device.
func (c *Context) Do(f func() error) error { return f() }

// MemGetInfo returns the device's total bytes and those not allocated.
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
		return 0, fmt.Errorf("allocate: %w",
			&cu.OutOfMemoryError{AskedBytes: bytes, FreeBytes: free, TotalBytes: c.memory.total})
	}
	return cu.DevicePtr(c.memory.alloc(bytes).base), nil
}

// MemFree frees an allocation after running all work.
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

// Undefine marks a range of memory as never written, after running all work. An arena calls it before it reuses memory,
// so that a read of the old content is a Fault.
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

// MemAllocHost returns ordinary memory of Go.
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

// MemFreeHost frees memory of MemAllocHost after running all work. It fills the memory with 0xff, so that a later read
// gives a wrong result.
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

// PeakBytes returns the maximum of allocated bytes since the last call of PeakBytes.
func (c *Context) PeakBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	peak := c.memory.peak
	c.memory.peak = c.memory.used
	return peak
}

// Steps returns the number of instructions that all warps have run so far.
func (c *Context) Steps() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// drain runs all work of all streams.
func (c *Context) drain(operation string) error {
	for _, s := range c.streams {
		if err := s.drain(s.issued()); err != nil {
			return fmt.Errorf("%s: %w", operation, err)
		}
	}
	return nil
}

// Synchronize runs all work.
func (c *Context) Synchronize() error {
	if err := c.enter("synchronize"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	return c.drain("synchronize")
}

// Close runs all work, unless the context is lost, and frees all memory.
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

// LoadModule parses and compiles PTX. The error for an instruction that this device does not know is a *cu.JITError.
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

// placeGlobals allocates memory for the module's variables and writes their initial values. Variables without one are
// zero.
func (m *module) placeGlobals(parsed *ptx.Module) (map[*ptx.Variable]uint64, error) {
	addresses := map[*ptx.Variable]uint64{}
	place := func(v *ptx.Variable) error {
		size := max(1, v.Size())
		if v.Extern {
			return fmt.Errorf("line %d: external variable %s: modules are not linked", v.Line, v.Name)
		}
		if int64(size) > m.context.memory.total-m.context.memory.used {
			return fmt.Errorf("line %d: variable %s of %d bytes does not fit into the device's memory", v.Line, v.Name, size)
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

// Attributes returns 0 for the number of registers, because this device does not allocate any.
func (f *function) Attributes() (cu.FunctionAttributes, error) {
	p := f.program
	return cu.FunctionAttributes{LocalBytes: p.localSize, SharedBytes: p.staticShared, MaxThreads: p.maxThreads()}, nil
}

func (f *function) SetMaxDynamicShared(bytes int) error {
	c := f.module.context
	if err := c.enter("set shared memory of " + f.Name()); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if most := c.Device().SharedBytesPerBlock - f.program.dynamicShared; bytes < 0 || bytes > most {
		return fmt.Errorf("set shared memory of %s: %d bytes, want 0 to %d", f.Name(), bytes, most)
	}
	f.maxDynamic = bytes
	return nil
}

// Launch checks the launch's arguments and appends it to the stream.
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
		err = fmt.Errorf("%d bytes of parameters, want %d", len(params), p.paramSize)
	}
	if err != nil {
		return &cu.LaunchError{Kernel: f.Name(), Grid: grid, Block: block, SharedBytes: sharedBytes, Err: err}
	}
	params = slices.Clone(params)
	s.enqueue(func() error {
		l := &launch{program: p, memory: c.memory, device: c.device, skipRaces: c.device.Checks.SkipRaces,
			budget: c.device.Budget, grid: g, block: b, dynamic: sharedBytes, params: params}
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

// MakeStream returns an empty stream.
func (c *Context) MakeStream() (cu.Stream, error) {
	if err := c.enter("make stream"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	s := &stream{context: c}
	c.streams = append(c.streams, s)
	return s, nil
}

// MakeEvent returns an event. Before it is recorded, waiting for it returns at once.
func (c *Context) MakeEvent(timing bool) (cu.Event, error) {
	if err := c.enter("make event"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	return &event{context: c, timing: timing}, nil
}

type event struct {
	context  *Context
	stream   *stream // nil before Record
	position int64   // how many pieces of the stream's work are before the event
	timing   bool
	at       time.Time // when the stream reached the event
}
