//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
)

// untilSignal ends when a signal asks the tool to end. main sets it.
var untilSignal = context.Background()

// newCommand returns a command that is killed, together with all that it has started, when untilSignal ends. If the
// tool is killed itself, the system kills the command.
func newCommand(name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(untilSignal, name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c
}

// workFolder matches what runs leave in the folder for packages if they are killed: their own folders, and those of
// the go command that has built this tool.
var workFolder = regexp.MustCompile(`^(\.work-|go-build)\d+$`)

// inWork makes the folder out and calls do with a folder in it, an absolute path, which it removes afterwards. All
// temporary files of do and of the programs that it runs are made there, and not in the system's temporary folder.
// First it removes what killed runs have left.
func inWork(out string, do func(m metadata, work string) error) (err error) {
	m, err := readMetadata()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	// The system releases the lock when the process ends, however it ends.
	folder, err := os.Open(out)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another run is at work there: %w", out, err)
	}
	left, err := folder.Readdirnames(0)
	if err != nil {
		return err
	}
	for _, name := range left {
		if workFolder.MatchString(name) {
			if err := os.RemoveAll(filepath.Join(out, name)); err != nil {
				return err
			}
		}
	}
	work, err := os.MkdirTemp(out, ".work-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for _, name := range []string{"TMPDIR", "GOTMPDIR"} {
		before, set := os.LookupEnv(name)
		if err := os.Setenv(name, work); err != nil {
			return err
		}
		defer func() {
			if err = errors.Join(err, os.Setenv(name, before)); !set {
				err = errors.Join(err, os.Unsetenv(name))
			}
		}()
	}
	err = do(m, work)
	if untilSignal.Err() != nil {
		return errors.New("ended by a signal")
	}
	return err
}
