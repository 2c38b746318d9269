//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilled ends runs of the tool by signals: while it starts, and while the go command builds the program. The
// system's temporary folder stays empty. After SIGTERM the folder for packages is as it was; after SIGKILL the next run
// removes what has been left there.
func TestKilled(t *testing.T) {
	t.Chdir("../..")
	tool := filepath.Join(t.TempDir(), "tool")
	if out, err := exec.Command("go", "build", "-o", tool, "./tools/package").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	temporary, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	list := func(pattern string) (found []string) {
		found, _ = filepath.Glob(pattern)
		return found
	}
	const starts, compiles = ".work-*", ".work-*/go-build*/*"
	for _, row := range []struct {
		moment string // a pattern for what lies in the folder for packages when the signal comes
		signal syscall.Signal
	}{
		{starts, syscall.SIGTERM}, {compiles, syscall.SIGKILL}, {compiles, syscall.SIGTERM}, {starts, syscall.SIGKILL},
		{compiles, syscall.SIGINT},
	} {
		stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		run := exec.Command(tool, "-out", out)
		run.Env = append(os.Environ(), "TMPDIR="+temporary, "GOTMPDIR=")
		run.Stderr = stderr
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		before := list(filepath.Join(out, ".work-*"))
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			now := list(filepath.Join(out, row.moment))
			// A folder of the killed run before this one does not count.
			if len(now) > 0 && (len(before) == 0 || !strings.HasPrefix(now[0], before[0])) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %s after a minute", row.moment)
			}
		}
		if err := run.Process.Signal(row.signal); err != nil {
			t.Fatal(err)
		}
		err = run.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%v at %s: %v, want an exit code", row.signal, row.moment, err)
		}
		if found := list(filepath.Join(temporary, "*")); len(found) > 0 {
			t.Errorf("%v at %s: the temporary folder has %q", row.signal, row.moment, found)
		}
		said, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		found := list(filepath.Join(out, "*"))
		if row.signal == syscall.SIGKILL {
			found = slices.DeleteFunc(found, func(path string) bool { return strings.Contains(path, "/.work-") })
		} else if string(said) != "package: ended by a signal\n" {
			t.Errorf("%v at %s: it says %q", row.signal, row.moment, said)
		}
		if len(found) > 0 {
			t.Errorf("%v at %s: the folder for packages has %q", row.signal, row.moment, found)
		}
	}
}

// TestOneRun: a folder has one run at a time.
func TestOneRun(t *testing.T) {
	m := testMetadata(t)
	out := t.TempDir()
	if err := os.MkdirAll(filepath.Join(out, "go-build123", "b001"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(metadata, string) error { return nil }
	err := inWork(out, func(inside metadata, work string) error {
		if inside.Version != m.Version || os.TempDir() != work {
			t.Errorf("version %s, temporary folder %s", inside.Version, os.TempDir())
		}
		return inWork(out, nothing)
	})
	if err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("two runs: %v, want an error", err)
	}
	if err := inWork(out, nothing); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 1 || left[0].Name() != "kept" {
		t.Errorf("%v %v, want the file that was there", left, err)
	}
}
