package driver

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

type module struct {
	c      *driverContext
	handle Handle
	name   string
}

// logBytes is the size of the buffer for the log of the PTX compiler.
const logBytes = 16 << 10

// LoadModule implements Context. It reads the header of the PTX first, so that its error can say that the driver or the
// GPU is too old.
func (c *driverContext) LoadModule(ptx []byte, options cu.ModuleOptions) (cu.Module, error) {
	h, err := parseHeader(ptx)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", options.Name, err)
	}
	if err := h.fits(c.info, options.Name); err != nil {
		return nil, err
	}
	m := &module{c: c, name: options.Name}
	err = c.wait(func() error {
		log := make([]byte, logBytes)
		handle, r := c.ModuleLoadDataEx(ptx, log, options.LineInfo)
		switch {
		case r == Success:
			m.handle = handle
			c.made(CuModuleUnload, m.handle)
			return nil
		case r == resultPTXVersion && cu.PTXNeeds(h.major, h.minor) > c.version:
			return h.driverTooOld(c.version)
		case r == resultOutOfMemory || r.sticky():
			return fmt.Errorf("load %s: %w", m.name, c.check(CuModuleLoadDataEx, r))
		}
		log, _, _ = bytes.Cut(log, []byte{0})
		return &cu.JITError{Module: m.name, Log: string(log), Err: c.error(CuModuleLoadDataEx, r)}
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Function implements Module.
func (m *module) Function(name string) (cu.Function, error) {
	f := &function{c: m.c, module: m, name: name}
	err := m.c.Do(func() error {
		if err := m.alive(); err != nil {
			return err
		}
		var r Result
		f.kernel, r = m.c.ModuleGetFunction(m.handle, name)
		if r == resultNotFound {
			return fmt.Errorf("%s: %w: %s", m.name, cu.ErrNotFound, name)
		}
		return m.c.check(CuModuleGetFunction, r)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// alive returns an error if the module was unloaded.
func (m *module) alive() error {
	if m.handle == 0 {
		return fmt.Errorf("%s: %w", m.name, cu.ErrClosed)
	}
	return nil
}

// Unload implements Module.
func (m *module) Unload() error { return m.c.destroyOnce(CuModuleUnload, &m.handle) }

type function struct {
	c      *driverContext
	module *module
	kernel Function
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
func (f *function) Attributes() (a cu.FunctionAttributes, err error) {
	err = f.c.Do(func() error {
		if err := f.module.alive(); err != nil {
			return err
		}
		for _, want := range []struct {
			to        *int
			attribute int
		}{
			{&a.MaxThreads, functionMaxThreads}, {&a.SharedBytes, functionSharedBytes},
			{&a.LocalBytes, functionLocalBytes}, {&a.Registers, functionRegisters},
		} {
			var r Result
			*want.to, r = f.kernel.GetAttribute(want.attribute)
			if err := f.c.check(CuFuncGetAttribute, r); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
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
		r := f.kernel.SetAttribute(functionMaxDynamicShared, bytes)
		if err := f.c.check(CuFuncSetAttribute, r); err != nil {
			return fmt.Errorf("%s: %d bytes of dynamic shared memory, the GPU has %d for a block: %w",
				f.name, bytes, f.c.info.SharedBytesPerBlock, err)
		}
		return nil
	})
}

// Launch implements Function.
func (f *function) Launch(grid, block cu.Dim3, sharedBytes int, s cu.Stream, params []byte) error {
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
		return &cu.LaunchError{Kernel: f.name, Grid: grid, Block: block, SharedBytes: sharedBytes, Err: err}
	}
	if r := f.kernel.LaunchKernel(grid, block, sharedBytes, on, params); r != Success {
		err := c.check(CuLaunchKernel, r)
		if r.sticky() {
			return err // the fault of an earlier kernel
		}
		return &cu.LaunchError{Kernel: f.name, Grid: grid, Block: block, SharedBytes: sharedBytes, Err: err}
	}
	c.last.Store(f)
	return nil
}

// checkLaunch returns an error if an extent does not fit the 32-bit arguments of the driver.
func checkLaunch(grid, block cu.Dim3, sharedBytes int, params []byte) error {
	for _, n := range [...]int{grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z} {
		if n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("extent %d, want 1 … %d", n, math.MaxInt32)
		}
	}
	if sharedBytes < 0 || sharedBytes > math.MaxInt32 {
		return fmt.Errorf("shared memory of %d bytes", sharedBytes)
	}
	if len(params) > MaxParamBytes {
		return fmt.Errorf("parameters of %d bytes, want %d at most", len(params), MaxParamBytes)
	}
	return nil
}

// header is the content of the first lines of PTX.
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
		word := bytes.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
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

// fits returns an error that says why a module cannot run on a device.
func (h header) fits(info cu.DeviceInfo, name string) error {
	if want := cu.PTXNeeds(h.major, h.minor); want > info.DriverVersion {
		return h.driverTooOld(info.DriverVersion)
	}
	has := info.Major*10 + info.Minor
	switch {
	case h.exact && has != h.sm:
		return &cu.TargetError{Module: name, Target: h.target, Name: info.Name, Major: info.Major, Minor: info.Minor}
	case has < h.sm:
		return &cu.DeviceTooOldError{
			Name: info.Name, FoundMajor: info.Major, FoundMinor: info.Minor, WantMajor: h.sm / 10, WantMinor: h.sm % 10,
		}
	}
	return nil
}

func (h header) driverTooOld(found int) error {
	return &cu.DriverTooOldError{
		Need: fmt.Sprintf("PTX %d.%d", h.major, h.minor), Found: found, Want: cu.PTXNeeds(h.major, h.minor),
	}
}
