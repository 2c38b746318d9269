package cu_test

import (
	"syscall"

	"github.com/ebitengine/purego"
)

func openFake(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func findFake(library uintptr, name string) (uintptr, error) { return purego.Dlsym(library, name) }

func threadID() int { return syscall.Gettid() }
