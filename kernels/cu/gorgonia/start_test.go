//go:build gorgonia && cgo

package gorgonia

import "testing"

// TestStartOpensNoDriver: the package's cuInit, made before main, has ended no process and loaded no library, whether this
// machine has a driver or not. No other test here opens one.
func TestStartOpensNoDriver(t *testing.T) {
	if has("cuInit") || has("cuMemAlloc_v2") {
		t.Error("the driver's library is open")
	}
	const notInitialized = 3
	l := &library{}
	if r := l.Init(); r != notInitialized {
		t.Errorf("the driver's own cuInit: result %d, want %d", r, notInitialized)
	}
	if _, r := l.MemAlloc(1); r != notInitialized {
		t.Errorf("an allocation: result %d, want %d", r, notInitialized)
	}
}
