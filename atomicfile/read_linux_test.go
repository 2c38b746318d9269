package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadLeased reads a file on which a file server has a lease: Read waits until the server gives the lease up.
func TestReadLeased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(server.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here:", err)
	}
	go func() {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if kind, err := unix.FcntlInt(server.Fd(), unix.F_GETLEASE, 0); err != nil || kind != unix.F_WRLCK {
				break // the system has asked for the lease
			}
		}
		server.Close()
	}()
	if text, err := Read(path, 8); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}
