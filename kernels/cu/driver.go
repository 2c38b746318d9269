package cu

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// driver is the loaded library.
type driver struct {
	entry [symbolCount]uintptr
	// version is the newest CUDA version it knows: 12080 for 12.8.
	version int
}

var loaded struct {
	sync.Mutex
	driver *driver
	path   string
}

// installed returns the machine's driver. Failures are not remembered: a driver may still be starting.
func installed() (*driver, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.driver != nil {
		return loaded.driver, nil
	}
	path := loaded.path
	if path == "" {
		path = libraryName
	}
	d, err := openDriver(path)
	if err != nil {
		return nil, err
	}
	loaded.driver = d
	return d, nil
}

func openDriver(path string) (*driver, error) {
	library, err := openLibrary(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be loaded (%v); NVIDIA's driver %s or newer is needed",
			ErrNoDriver, path, err, driverRelease(base.cuda))
	}
	d := &driver{}
	if entry, err := findSymbol(library, "cuDriverGetVersion"); err == nil {
		var version int32
		call(entry, uintptr(unsafe.Pointer(&version)))
		d.version = int(version)
	}
	if d.version < base.cuda {
		return nil, &DriverTooOldError{Need: base.need, Found: d.version, Want: base.cuda}
	}
	for i, s := range symbols {
		d.entry[i], err = findSymbol(library, s.name)
		if err != nil && s.of == base {
			return nil, fmt.Errorf("%w: %s lacks %s", ErrNoDriver, path, s.name)
		}
	}
	switch r := d.call(cuInit, 0); r {
	case success:
		return d, nil
	case resultNoDevice:
		return nil, fmt.Errorf("%w: the driver sees none", ErrNoDevice)
	case resultStubLibrary:
		return nil, fmt.Errorf("%w: %s is the CUDA toolkit's stub", ErrNoDriver, path)
	case resultMismatch:
		return nil, fmt.Errorf("%w: its library and its kernel module differ in version, which a restart of the machine cures", ErrNoDriver)
	default:
		return nil, fmt.Errorf("%w that works: %w", ErrNoDriver, d.error(cuInit, r))
	}
}

// require says why a feature is missing, where it is.
func (d *driver) require(f *feature) error {
	for i, s := range symbols {
		if s.of != f || d.entry[i] != 0 {
			continue
		}
		if d.version < f.cuda {
			return &DriverTooOldError{Need: f.need, Found: d.version, Want: f.cuda}
		}
		return fmt.Errorf("the NVIDIA driver lacks %s", s.name)
	}
	return nil
}

// call calls an entry point that require has found. Pointers are converted in the argument list itself, which
// keeps what they point to on the heap and alive until the return.
//
//go:uintptrescapes
func (d *driver) call(s symbol, args ...uintptr) result { return call(d.entry[s], args...) }

//go:uintptrescapes
func call(entry uintptr, args ...uintptr) result {
	r, _, _ := purego.SyscallN(entry, args...)
	return result(r)
}

// error puts a result into the driver's words; nil for success.
func (d *driver) error(s symbol, r result) error {
	if r == success {
		return nil
	}
	var text *byte
	e := &DriverError{Call: symbols[s].name, Code: int(r), Text: "unknown error"}
	if d.call(cuGetErrorString, uintptr(r), uintptr(unsafe.Pointer(&text))) == success && text != nil {
		e.Text = cString(text)
	}
	return e
}

// cString copies a C string.
func cString(s *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(s), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(s, n))
}
