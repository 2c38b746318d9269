//go:build !windows && !(gtk && cgo && linux)

package dialog

import (
	"errors"
	"testing"
)

func TestNoPortal(t *testing.T) {
	startBus(t)
	if _, err := File().Load(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a bus without a portal: %v, want ErrUnavailable", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	if _, err := Directory().Browse(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no bus: %v, want ErrUnavailable", err)
	}
}
