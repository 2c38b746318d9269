package purego

import (
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

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
}

// ModuleLoadDataEx implements driver.Calls.
func (l *library) ModuleLoadDataEx(ptx, log []byte, lineInfo bool) (driver.Handle, driver.Result) {
	image := append(append(make([]byte, 0, len(ptx)+1), ptx...), 0)
	q := &jitRequest{options: [3]uint32{jitErrorLog, jitErrorLogBytes, jitLineInfo}}
	q.values = [3]uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log) - 1), 1}
	n := 2
	if lineInfo {
		n = 3
	}
	r := l.call(driver.CuModuleLoadDataEx, uintptr(unsafe.Pointer(&q.module)), uintptr(unsafe.Pointer(&image[0])),
		uintptr(n), uintptr(unsafe.Pointer(&q.options)), uintptr(unsafe.Pointer(&q.values)))
	runtime.KeepAlive(log)
	return driver.Handle(q.module), r
}

// ModuleUnload implements driver.Calls.
func (l *library) ModuleUnload(module driver.Handle) driver.Result {
	return l.call(driver.CuModuleUnload, uintptr(module))
}

// ModuleGetFunction implements driver.Calls.
func (l *library) ModuleGetFunction(module driver.Handle, name string) (driver.Function, driver.Result) {
	f := &function{library: l}
	cName := append([]byte(name), 0)
	r := l.call(driver.CuModuleGetFunction, uintptr(unsafe.Pointer(&f.handle)), uintptr(module),
		uintptr(unsafe.Pointer(&cName[0])))
	return f, r
}

type function struct {
	*library
	handle uintptr
	launch launchBlock
}

// GetAttribute implements driver.Function.
func (f *function) GetAttribute(attribute int) (int, driver.Result) {
	var v int32
	r := f.call(driver.CuFuncGetAttribute, uintptr(unsafe.Pointer(&v)), uintptr(attribute), f.handle)
	return int(v), r
}

// SetAttribute implements driver.Function.
func (f *function) SetAttribute(attribute, value int) driver.Result {
	return f.call(driver.CuFuncSetAttribute, f.handle, uintptr(attribute), uintptr(value))
}

// launchBlock is the memory of one call of cuLaunchKernel, used by the owner's thread again and again, so that a
// launch allocates nothing.
type launchBlock struct {
	args   [11]uintptr
	extra  [5]uintptr
	bytes  uintptr
	params [driver.MaxParamBytes]byte
}

// Values for cuLaunchKernel's extra.
const (
	launchParamEnd     = 0
	launchParamPointer = 1
	launchParamBytes   = 2
)

// LaunchKernel implements driver.Function.
func (f *function) LaunchKernel(
	grid, block cu.Dim3, sharedBytes int, stream driver.Handle, params []byte,
) driver.Result {
	l := &f.launch
	l.bytes = uintptr(copy(l.params[:], params))
	l.extra = [5]uintptr{
		launchParamPointer, uintptr(unsafe.Pointer(&l.params)), launchParamBytes, uintptr(unsafe.Pointer(&l.bytes)),
		launchParamEnd,
	}
	l.args = [11]uintptr{
		f.handle, uintptr(grid.X), uintptr(grid.Y), uintptr(grid.Z), uintptr(block.X), uintptr(block.Y), uintptr(block.Z),
		uintptr(sharedBytes), uintptr(stream), 0, uintptr(unsafe.Pointer(&l.extra)),
	}
	if len(params) == 0 {
		l.args[10] = 0
	}
	r, _, _ := purego.SyscallN(f.entry[driver.CuLaunchKernel], l.args[:]...)
	runtime.KeepAlive(f)
	return driver.Result(r)
}
