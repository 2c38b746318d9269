//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The flags that make a first build of the window fast depend on a name inside cgo. This test fails when a new Go has
// another name: builds then still work, but take twice as long, until tools/window/cflags.sh has the new name.
func TestFastCFlags(t *testing.T) {
	for _, program := range []string{"go", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	const script, fast = "../window/cflags.sh", "-D__cgo_undefined__2=q"
	flags, err := scriptOutput(append(os.Environ(), "CC=gcc"), script)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(flags, fast) {
		t.Errorf("%s prints %q, want %s: cgo no longer calls the name __cgo_undefined__2", script, flags, fast)
	}

	// A Go whose cgo has another name, and a compiler that knows no such flag.
	tools := t.TempDir()
	for name, text := range map[string]string{"other-go": "#!/bin/sh\necho " + tools, "other-cc": "#!/bin/sh\nexit 1"} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, env string }{
		{"another Go", "GO=" + filepath.Join(tools, "other-go")},
		{"another compiler", "CC=" + filepath.Join(tools, "other-cc")},
	} {
		got, err := scriptOutput(append(os.Environ(), "CC=gcc", c.env), script)
		if want := "-g -O2"; err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, want)
		}
	}
}
