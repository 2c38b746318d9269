package cu

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/ebitengine/purego"
)

type module struct {
	c      *driverContext
	handle uintptr
	name   string
}

// Values of CUjit_option.
const (
	jitErrorLog      = 5
	jitErrorLogBytes = 6
	jitLineInfo      = 13
)

// jitRequest is what cuModuleLoadDataEx reads and writes, in one object so that all of it stays where it is.
type jitRequest struct {
	module  uintptr
	options [3]uint32
	values  [3]uintptr
	log     [16 << 10]byte
}

// LoadModule implements Context. The header of the PTX is read first, so that what can be said of an old driver or
// GPU is said in those words.
func (c *driverContext) LoadModule(ptx []byte, options ModuleOptions) (Module, error) {
	h, err := parseHeader(ptx)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", options.Name, err)
	}
	if err := h.fits(c.info, options.Name); err != nil {
		return nil, err
	}
	m := &module{c: c, name: options.Name}
	err = c.wait(func() error {
		image := append(bytes.Clone(ptx), 0)
		q := &jitRequest{options: [3]uint32{jitErrorLog, jitErrorLogBytes, jitLineInfo}}
		q.values = [3]uintptr{uintptr(unsafe.Pointer(&q.log)), uintptr(len(q.log) - 1), 1}
		n := 2
		if options.LineInfo {
			n = 3
		}
		r := c.call(cuModuleLoadDataEx, uintptr(unsafe.Pointer(&q.module)), uintptr(unsafe.Pointer(&image[0])),
			uintptr(n), uintptr(unsafe.Pointer(&q.options)), uintptr(unsafe.Pointer(&q.values)))
		runtime.KeepAlive(q)
		switch {
		case r == success:
			m.handle = q.module
			c.made(cuModuleUnload, m.handle)
			return nil
		case r == resultPTXVersion && ptxNeeds(h.major, h.minor) > c.version:
			return h.driverTooOld(c.version)
		case r == resultOutOfMemory || r.sticky():
			return fmt.Errorf("load %s: %w", m.name, c.check(cuModuleLoadDataEx, r))
		}
		return &JITError{Module: m.name, Log: cString(&q.log[0]), Err: c.error(cuModuleLoadDataEx, r)}
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Function implements Module.
func (m *module) Function(name string) (Function, error) {
	f := &function{c: m.c, module: m, name: name}
	err := m.c.Do(func() error {
		if err := m.alive(); err != nil {
			return err
		}
		cName := append([]byte(name), 0)
		r := m.c.call(cuModuleGetFunction, uintptr(unsafe.Pointer(&f.handle)), m.handle, uintptr(unsafe.Pointer(&cName[0])))
		if r == resultNotFound {
			return fmt.Errorf("%s: %w: %s", m.name, ErrNotFound, name)
		}
		return m.c.check(cuModuleGetFunction, r)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// alive refuses what an unloaded module has taken along.
func (m *module) alive() error {
	if m.handle == 0 {
		return fmt.Errorf("%s: %w", m.name, ErrClosed)
	}
	return nil
}

// Unload implements Module.
func (m *module) Unload() error { return m.c.destroyOnce(cuModuleUnload, &m.handle) }

type function struct {
	c      *driverContext
	module *module
	handle uintptr
	name   string
}

// Values of CUfunction_attribute.
const (
	functionMaxThreads       = 0
	functionSharedBytes      = 1
	functionLocalBytes       = 3
	functionRegisters        = 4
	functionMaxDynamicShared = 8
)

// Name implements Function.
func (f *function) Name() string { return f.name }

// Attributes implements Function.
func (f *function) Attributes() (a FunctionAttributes, err error) {
	err = f.c.Do(func() error {
		if err := f.module.alive(); err != nil {
			return err
		}
		for _, want := range []struct {
			to        *int
			attribute uintptr
		}{
			{&a.MaxThreads, functionMaxThreads}, {&a.SharedBytes, functionSharedBytes},
			{&a.LocalBytes, functionLocalBytes}, {&a.Registers, functionRegisters},
		} {
			var v int32
			r := f.c.call(cuFuncGetAttribute, uintptr(unsafe.Pointer(&v)), want.attribute, f.handle)
			if err := f.c.check(cuFuncGetAttribute, r); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			*want.to = int(v)
		}
		return nil
	})
	return a, err
}

// SetMaxDynamicShared implements Function.
func (f *function) SetMaxDynamicShared(bytes int) error {
	return f.c.Do(func() error {
		if err := f.module.alive(); err != nil {
			return err
		}
		r := f.c.call(cuFuncSetAttribute, f.handle, functionMaxDynamicShared, uintptr(bytes))
		if err := f.c.check(cuFuncSetAttribute, r); err != nil {
			return fmt.Errorf("%s: %d bytes of dynamic shared memory, the GPU has %d for a block: %w",
				f.name, bytes, f.c.info.SharedBytesPerBlock, err)
		}
		return nil
	})
}

// maxParamBytes is the size of all parameters of a kernel before PTX 8.1.
const maxParamBytes = 4096

// launchBlock is the memory of one call of cuLaunchKernel, used by the owner's thread again and again, so that a
// launch allocates nothing.
type launchBlock struct {
	// args serves queue too.
	args   [11]uintptr
	extra  [5]uintptr
	bytes  uintptr
	params [maxParamBytes]byte
}

// Values for cuLaunchKernel's extra.
const (
	launchParamEnd     = 0
	launchParamPointer = 1
	launchParamBytes   = 2
)

// Launch implements Function.
func (f *function) Launch(grid, block Dim3, sharedBytes int, s Stream, params []byte) error {
	c := f.c
	if !c.here() {
		return c.Do(func() error { return f.Launch(grid, block, sharedBytes, s, params) })
	}
	on, err := c.stream(s)
	if err == nil {
		err = f.module.alive()
	}
	if err == nil {
		err = checkLaunch(grid, block, sharedBytes, params)
	}
	if err != nil {
		return &LaunchError{f.name, grid, block, sharedBytes, err}
	}
	l := &c.launch
	l.bytes = uintptr(copy(l.params[:], params))
	l.extra = [5]uintptr{launchParamPointer, uintptr(unsafe.Pointer(&l.params)), launchParamBytes, uintptr(unsafe.Pointer(&l.bytes)), launchParamEnd}
	l.args = [11]uintptr{
		f.handle, uintptr(grid.X), uintptr(grid.Y), uintptr(grid.Z), uintptr(block.X), uintptr(block.Y), uintptr(block.Z),
		uintptr(sharedBytes), on, 0, uintptr(unsafe.Pointer(&l.extra)),
	}
	if len(params) == 0 {
		l.args[10] = 0
	}
	r, _, _ := purego.SyscallN(c.entry[cuLaunchKernel], l.args[:]...)
	runtime.KeepAlive(c)
	if r := result(r); r != success {
		err := c.check(cuLaunchKernel, r)
		if r.sticky() {
			return err // the fault of an earlier kernel
		}
		return &LaunchError{f.name, grid, block, sharedBytes, err}
	}
	c.last.Store(f)
	return nil
}

// checkLaunch refuses what would not survive the way into 32-bit arguments.
func checkLaunch(grid, block Dim3, sharedBytes int, params []byte) error {
	for _, n := range [...]int{grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z} {
		if n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("extent %d, want 1 … %d", n, math.MaxInt32)
		}
	}
	if sharedBytes < 0 || sharedBytes > math.MaxInt32 {
		return fmt.Errorf("shared memory of %d bytes", sharedBytes)
	}
	if len(params) > maxParamBytes {
		return fmt.Errorf("parameters of %d bytes, want %d at most", len(params), maxParamBytes)
	}
	return nil
}

// header is what PTX says of itself in its first lines.
type header struct {
	// major and minor are the PTX version's.
	major, minor int
	// target is the architecture: "sm_90a", with sm the number in it and exact for names that end in a letter.
	target string
	sm     int
	exact  bool
}

// parseHeader reads ".version 8.0" and ".target sm_90a".
func parseHeader(ptx []byte) (h header, err error) {
	for line := range bytes.Lines(ptx) {
		word := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == ',' })
		if len(word) < 2 {
			continue
		}
		switch string(word[0]) {
		case ".version":
			if _, err := fmt.Sscanf(string(word[1]), "%d.%d", &h.major, &h.minor); err != nil {
				return h, fmt.Errorf("PTX version %q, want a number", word[1])
			}
		case ".target":
			h.target = string(word[1])
			digits, _ := bytes.CutPrefix(word[1], []byte("sm_"))
			number := bytes.TrimRight(digits, "abcdefghijklmnopqrstuvwxyz")
			h.exact = len(number) < len(digits)
			if h.sm, err = strconv.Atoi(string(number)); err != nil || h.major == 0 {
				return h, fmt.Errorf("PTX target %q, want sm_ and a number after .version", word[1])
			}
			return h, nil
		}
	}
	return h, fmt.Errorf("no .version and .target: this is no PTX")
}

// fits says why a module cannot run on a device.
func (h header) fits(info DeviceInfo, name string) error {
	if want := ptxNeeds(h.major, h.minor); want > info.DriverVersion {
		return h.driverTooOld(info.DriverVersion)
	}
	has := info.Major*10 + info.Minor
	switch {
	case h.exact && has != h.sm:
		return &TargetError{name, h.target, info.Name, info.Major, info.Minor}
	case has < h.sm:
		return &DeviceTooOldError{info.Name, info.Major, info.Minor, h.sm / 10, h.sm % 10}
	}
	return nil
}

func (h header) driverTooOld(found int) error {
	return &DriverTooOldError{Need: fmt.Sprintf("PTX %d.%d", h.major, h.minor), Found: found, Want: ptxNeeds(h.major, h.minor)}
}
