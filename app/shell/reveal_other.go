//go:build !windows

package shell

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"

	"github.com/godbus/dbus/v5"
)

// Reveal opens the file manager with the file at path selected. If no file manager can do that, it opens the file's
// folder.
func Reveal(path string) error {
	address := (&url.URL{Scheme: "file", Path: path}).String()
	if conn, err := dbus.ConnectSessionBus(); err == nil {
		defer conn.Close()
		manager := conn.Object("org.freedesktop.FileManager1", "/org/freedesktop/FileManager1")
		if manager.Call("org.freedesktop.FileManager1.ShowItems", 0, []string{address}, "").Err == nil {
			return nil
		}
	}
	dir := filepath.Dir(path)
	if err := exec.Command("xdg-open", dir).Run(); err != nil {
		return fmt.Errorf("no file manager could be opened: the picture is in %s", dir)
	}
	return nil
}

// Open opens the file at path in the program that the desktop has for its kind.
func Open(path string) error {
	if err := exec.Command("xdg-open", path).Run(); err != nil {
		return fmt.Errorf("no program could be opened for %s: %w", path, err)
	}
	return nil
}
