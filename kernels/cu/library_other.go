//go:build !linux && !windows

package cu

import (
	"errors"
	"runtime"
)

const libraryName = "NVIDIA's driver library"

func openLibrary(string) (uintptr, error) {
	return 0, errors.New("there is none for " + runtime.GOOS)
}

func findSymbol(uintptr, string) (uintptr, error) { return 0, errors.ErrUnsupported }

func threadID() uint32 { return 1 }
