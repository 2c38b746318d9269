//go:build !linux && !windows

package purego

import (
	"errors"
	"runtime"
)

func openLibrary(string) (uintptr, error) {
	return 0, errors.New("there is none for " + runtime.GOOS)
}

func findSymbol(uintptr, string) (uintptr, error) { return 0, errors.ErrUnsupported }
