//go:build gorgonia && cgo

package gorgonia

import (
	"encoding/binary"
	"runtime"
	"sync"
	"unsafe"

	gorgonia "gorgonia.org/cu"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
)

// library is the loaded library.
type library struct {
	has [driver.SymbolCount]bool

	mutex sync.Mutex
	// ptx is the text of each module, which declares the parameters of its kernels.
	ptx map[driver.Handle][]byte
}

// ModuleLoadDataEx implements driver.Calls.
func (l *library) ModuleLoadDataEx(ptx, log []byte, lineInfo bool) (driver.Handle, driver.Result) {
	options := []gorgonia.JITOption{&gorgonia.JITErrorLogBuffer{Buffer: log[:len(log)-1]}}
	if lineInfo {
		options = append(options, &gorgonia.JITGenerateLineInfo{Enabled: true})
	}
	m, err := gorgonia.LoadDataEx(string(ptx), options...)
	runtime.KeepAlive(options) // the driver gets the log's address as a number, which keeps nothing alive
	if err == nil {
		l.mutex.Lock()
		l.ptx[handle(m)] = ptx
		l.mutex.Unlock()
	}
	return handle(m), result(err)
}

// ModuleUnload implements driver.Calls.
func (l *library) ModuleUnload(module driver.Handle) driver.Result {
	l.mutex.Lock()
	delete(l.ptx, module)
	l.mutex.Unlock()
	return result(as[gorgonia.Module](module).Unload())
}

// ModuleGetFunction implements driver.Calls.
func (l *library) ModuleGetFunction(module driver.Handle, name string) (driver.Function, driver.Result) {
	kernel, err := as[gorgonia.Module](module).Function(name)
	if err != nil {
		return nil, result(err)
	}
	l.mutex.Lock()
	ptx := l.ptx[module]
	l.mutex.Unlock()
	f := &function{kernel: kernel}
	if all, ok := parameters(ptx, name); ok && plain(all) {
		f.plain, f.parameters = true, all
		f.values = make([]uint64, len(all))
		for i := range f.values {
			f.pointers = append(f.pointers, unsafe.Pointer(&f.values[i]))
		}
	}
	return f, driver.Success
}

type function struct {
	kernel gorgonia.Function
	// plain says that the package can launch the kernel: each parameter is a number or a pointer. values and pointers are
	// the memory of a launch, which the owner's thread uses again and again.
	plain      bool
	parameters []parameter
	values     []uint64
	pointers   []unsafe.Pointer
	extent     extent
}

// GetAttribute implements driver.Function.
func (f *function) GetAttribute(attribute int) (int, driver.Result) {
	v, err := f.kernel.Attribute(gorgonia.FunctionAttribute(attribute))
	return v, result(err)
}

// CUDA_ERROR_INVALID_VALUE
const resultInvalidValue = 1

// LaunchKernel implements driver.Function. It launches through gorgonia.org/cu if that can pass the parameters, else
// with launchPacked.
func (f *function) LaunchKernel(
	grid, block cu.Dim3, sharedBytes int, stream driver.Handle, params []byte,
) driver.Result {
	if !f.plain {
		return f.launchPacked(grid, block, sharedBytes, stream, params)
	}
	end := 0
	for i, p := range f.parameters {
		if end = p.at + p.bytes; end > len(params) {
			break
		}
		var word [8]byte
		copy(word[:], params[p.at:end])
		f.values[i] = binary.NativeEndian.Uint64(word[:])
	}
	if end != len(params) {
		// The driver refuses packed parameters of a wrong size. It does not see the size of parameters behind pointers.
		return resultInvalidValue
	}
	return result(f.kernel.Launch(grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z, sharedBytes,
		as[gorgonia.Stream](stream), f.pointers))
}
