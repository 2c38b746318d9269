//go:build gorgonia && cgo

package gorgonia

import "testing"

// TestStartOpensNoDriver: gorgonia.org/cu calls cuInit before main. That call has neither ended the process nor loaded
// the driver's library, whether this machine has a driver or not. No other test of this package opens the library.
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
