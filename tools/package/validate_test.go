//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckHardened builds a small program with and without each of the flags that harden it.
func TestCheckHardened(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"all flags", append([]string{"-ldflags=-bindnow"}, compilerFlags...), ""},
		{"no -bindnow", compilerFlags, "want a PIE"},
		{"no PIE", []string{"-ldflags=-bindnow"}, "want a PIE"},
	} {
		program := filepath.Join(t.TempDir(), "program")
		build := exec.Command("go", append(append([]string{"build"}, row.args...), "-o", program, "cmd/buildid")...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		err := checkHardened(program)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	if checkHardened("validate_test.go") == nil {
		t.Error("a text: no error, want one")
	}
}

// TestMakefileFlags: make build compiles with the flags that packages are compiled with.
func TestMakefileFlags(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	for _, target := range []string{"build", "cli"} {
		dry := exec.Command("make", "-n", target)
		dry.Dir = "../.."
		out, err := dry.Output()
		if want := strings.Join(compilerFlags, " "); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("make %s: %v: %s, want %s in it", target, err, out, want)
		}
	}
}
