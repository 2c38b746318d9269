package cu

import (
	"syscall"

	"github.com/ebitengine/purego"
)

// libraryName is what the driver installs.
const libraryName = "libcuda.so.1"

func openLibrary(name string) (uintptr, error) {
	return purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func findSymbol(library uintptr, name string) (uintptr, error) { return purego.Dlsym(library, name) }

// threadID tells OS threads apart; it is never 0.
func threadID() uint32 { return uint32(syscall.Gettid()) }
