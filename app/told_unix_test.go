//go:build unix

package app

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestEndWhenTold: a window whose loop hangs ends with one signal, and at once with a second one.
func TestEndWhenTold(t *testing.T) {
	const asWindow = "KLEINBILD_TEST_AS_WINDOW"
	const hangs = 500 * time.Millisecond
	if os.Getenv(asWindow) != "" {
		endWhenTold(hangs, func() {})
		os.Stdout.WriteString("open\n")
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	for _, row := range []struct {
		name    string
		signals []os.Signal
		code    int // -1: ended by the signal itself
		within  time.Duration
	}{
		{"once", []os.Signal{syscall.SIGTERM}, exitTold, hangs + 2*time.Second},
		{"a closed terminal", []os.Signal{syscall.SIGHUP}, exitTold, hangs + 2*time.Second},
		{"twice", []os.Signal{os.Interrupt, os.Interrupt}, -1, hangs + 2*time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestEndWhenTold$")
			cmd.Env = append(os.Environ(), asWindow+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			for i, s := range row.signals {
				if i > 0 {
					time.Sleep(100 * time.Millisecond) // the first one is heard
				}
				_ = cmd.Process.Signal(s)
			}
			_ = cmd.Wait()
			if code, took := cmd.ProcessState.ExitCode(), time.Since(begin); code != row.code || took > row.within {
				t.Errorf("%v after %v", cmd.ProcessState, took)
			}
		})
	}
}
