package driver

import (
	"fmt"
	"sync"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Driver implements cu.Driver with a binding.
type Driver struct {
	binding Binding
	path    string

	mutex  sync.Mutex
	loaded *library
}

// New returns the driver whose library lies at path. It is loaded when it is first needed.
func New(b Binding, path string) *Driver { return &Driver{binding: b, path: path} }

// Name implements cu.Driver.
func (d *Driver) Name() string { return d.binding.Name() }

// library is the loaded library.
type library struct {
	Calls
	// version is the newest CUDA version it knows: 12080 for 12.8.
	version int
}

// installed returns the machine's driver. It does not remember failures, since a driver may still be starting.
func (d *Driver) installed() (*library, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.loaded != nil {
		return d.loaded, nil
	}
	l, err := d.open()
	if err != nil {
		return nil, err
	}
	d.loaded = l
	return l, nil
}

func (d *Driver) open() (*library, error) {
	calls, err := d.binding.Open(d.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be loaded (%v); NVIDIA's driver %s or newer is needed",
			cu.ErrNoDriver, d.path, err, cu.DriverRelease(base.cuda))
	}
	l := &library{Calls: calls, version: calls.DriverGetVersion()}
	if l.version < base.cuda {
		return nil, &cu.DriverTooOldError{Need: base.need, Found: l.version, Want: base.cuda}
	}
	for i, s := range symbols {
		if s.of == base && !l.Has(Symbol(i)) {
			return nil, fmt.Errorf("%w: %s lacks %s", cu.ErrNoDriver, d.path, s.name)
		}
	}
	switch r := l.Init(); r {
	case Success:
		return l, nil
	case resultNoDevice:
		return nil, fmt.Errorf("%w: the driver sees none", cu.ErrNoDevice)
	case resultStubLibrary:
		return nil, fmt.Errorf("%w: %s is the CUDA toolkit's stub", cu.ErrNoDriver, d.path)
	case resultMismatch:
		return nil, fmt.Errorf(
			"%w: its library and its kernel module differ in version, which a restart of the machine cures", cu.ErrNoDriver,
		)
	default:
		return nil, fmt.Errorf("%w that works: %w", cu.ErrNoDriver, l.error(CuInit, r))
	}
}

// require returns an error that says why a feature is missing, nil if it is not.
func (l *library) require(f *feature) error {
	for i, s := range symbols {
		if s.of != f || l.Has(Symbol(i)) {
			continue
		}
		if l.version < f.cuda {
			return &cu.DriverTooOldError{Need: f.need, Found: l.version, Want: f.cuda}
		}
		return fmt.Errorf("the NVIDIA driver lacks %s", s.name)
	}
	return nil
}

// error returns the driver's text for a result, nil for success.
func (l *library) error(s Symbol, r Result) error {
	if r == Success {
		return nil
	}
	e := &cu.DriverError{Call: s.Name(), Code: int(r), Text: l.GetErrorString(r)}
	if e.Text == "" {
		e.Text = "unknown error"
	}
	return e
}
