//go:build !windows

package shell

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"

	"github.com/godbus/dbus/v5"
)

// Reveal opens the file manager with the file selected, or at least its folder.
func Reveal(path string) error {
	address := (&url.URL{Scheme: "file", Path: path}).String()
	if conn, err := dbus.ConnectSessionBus(); err == nil {
		defer conn.Close()
		manager := conn.Object("org.freedesktop.FileManager1", "/org/freedesktop/FileManager1")
		if manager.Call("org.freedesktop.FileManager1.ShowItems", 0, []string{address}, "").Err == nil {
			return nil
		}
	}
	if err := exec.Command("xdg-open", filepath.Dir(path)).Run(); err != nil {
		return fmt.Errorf("no file manager answers: the picture lies in %s", filepath.Dir(path))
	}
	return nil
}
