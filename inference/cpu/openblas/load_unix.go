//go:build linux || darwin

package openblas

import (
	"errors"
	"fmt"

	"github.com/ebitengine/purego"
)

// names are the file names of the library on Linux and macOS.
var names = []string{"libopenblas.so.0", "libopenblas.so", "libopenblas.dylib"}

// Load loads the library and sets its number of threads. It returns an error if the library is not installed.
func Load(threads int) (*Library, error) {
	var errs []error
	for _, name := range names {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, symbol := range []string{"cblas_sgemm", "openblas_set_num_threads", "openblas_get_config"} {
			if _, err := purego.Dlsym(handle, symbol); err != nil {
				return nil, fmt.Errorf("openblas: %s: %w", name, err)
			}
		}
		l := new(Library)
		var setThreads func(int32)
		var config func() string
		purego.RegisterLibFunc(&l.sgemm, handle, "cblas_sgemm")
		purego.RegisterLibFunc(&setThreads, handle, "openblas_set_num_threads")
		purego.RegisterLibFunc(&config, handle, "openblas_get_config")
		setThreads(int32(threads))
		l.Config = config()
		return l, nil
	}
	return nil, fmt.Errorf("openblas: %w", errors.Join(errs...))
}
