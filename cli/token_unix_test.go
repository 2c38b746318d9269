//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOddTokenFiles puts other things than small files in the place of the token and of the settings. Reading them must
// fail at once.
func TestOddTokenFiles(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"a pipe", func(path string) error { return unix.Mkfifo(path, 0o600) }, "found a pipe, want a file"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, "found a folder, want a file"},
		{"a link to a device", func(path string) error { return os.Symlink("/dev/zero", path) },
			"found a device, want a file"},
		{"a circle of links", func(path string) error { return os.Symlink(path, path) }, "lead in a circle"},
		{"a gigabyte", func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<30)
		}, "found 1073741824 bytes, want at most"},
	} {
		ownConfig(t)
		if err := os.MkdirAll(filepath.Dir(tokenFile()), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{tokenFile(), settingsFile()} {
			if err := row.make(path); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 3)
		go func() {
			_, _, err := askToken(t, serveCommand{}, "")
			done <- err
			_, _, err = askToken(t, serveCommand{TokenFile: tokenFile()}, "")
			done <- err
			_, err = ModelSetting()
			done <- err
		}()
		for range 3 {
			select {
			case err := <-done:
				if err == nil || !strings.Contains(oneLine(err), row.want) {
					t.Errorf("%s: %v, want %s", row.name, err, row.want)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: it waits", row.name)
			}
		}
	}
}

// TestTokenOfOthers checks that it is an error if others can read the program's own token, and a note if they can read
// a file that the user named.
func TestTokenOfOthers(t *testing.T) {
	ownConfig(t)
	if err := os.MkdirAll(filepath.Dir(tokenFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tokenFile(), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o622: true} {
		if err := os.Chmod(tokenFile(), mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := askToken(t, serveCommand{}, ""); (err != nil) != refused {
			t.Errorf("mode %o: %v", mode, err)
		}
		token, said, err := askToken(t, serveCommand{TokenFile: tokenFile()}, "")
		if err != nil || token != "mine" || strings.Contains(said, "may be able to read "+tokenFile()) != refused {
			t.Errorf("mode %o, named: %q, %q, %v", mode, token, said, err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can change the owner of a file
	}
	if err := os.Chmod(tokenFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chown(tokenFile(), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if token, said, err := askToken(t, serveCommand{}, ""); err != nil || token != "mine" ||
		!strings.Contains(said, "belongs to another user") {
		t.Errorf("%q, %q, %v", token, said, err)
	}
}
