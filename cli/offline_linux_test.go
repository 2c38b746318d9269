package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offlineVariable is an environment variable that makes the test binary, run as the program, end with SIGSYS when it
// uses the network: "sockets" for any socket but a local one, "connections" for any outgoing connection.
const offlineVariable = "KLEINBILD_TEST_OFFLINE"

func init() {
	if mode := os.Getenv(offlineVariable); mode != "" && os.Getenv(asProgram) != "" {
		if err := cutOff(mode == "connections"); err != nil {
			os.Stderr.WriteString("no filter: " + err.Error() + "\n")
			os.Exit(exitNoFilter)
		}
	}
}

// exitNoFilter is the exit code if the kernel does not support the filter.
const exitNoFilter = 99

// cutOff makes the kernel kill the process at system calls that use the network. It applies to all threads, until the
// end of the process.
func cutOff(listening bool) error {
	const (
		number, firstArgument = 0, 16 // offsets in struct seccomp_data
		setModeFilter         = 1
		allThreads            = 1
		kill, allow           = 0x80000000, 0x7fff0000
	)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{
		load(number), equal(unix.SYS_SOCKET, 0, 3), load(firstArgument), equal(unix.AF_UNIX, 1, 0), end(kill), end(allow),
	}
	if listening {
		filter = []unix.SockFilter{load(number), equal(unix.SYS_CONNECT, 0, 1), end(kill), end(allow)}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, allThreads,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

// killed says whether the kernel ended the program because it used the network. It skips the test if there is no
// filter.
func killed(t *testing.T, err error) bool {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	if exit.ExitCode() == exitNoFilter {
		t.Skip("this kernel takes no seccomp filter")
	}
	status := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGSYS
}

// TestNoNetwork runs the program in a process that dies when it makes a socket.
func TestNoNetwork(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".local", "share", "kleinbild", "models", "flux2-klein-4b")
	if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(home, "x.png")
	network, err := filepath.Abs(upscaler)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args    string
		code    int
		network bool // this row uses the network, to show that the filter works
	}{
		{"models get --base-url http://127.0.0.1:9", 0, true},
		{"generate -p fox --size 64x64 --steps 1 --precision float32 -o " + picture, exitOK, false},
		{"generate -p winter -i " + picture + " -a match --steps 1 -o " + picture + ".png", exitOK, false},
		{"upscale -m " + network + " " + picture, exitOK, false},
		{"upscale " + picture, exitFailure, false}, // there is no upscaler, and none is downloaded
		{"info " + picture, exitOK, false},
		{"tokens -p fox", exitOK, false},
		{"doctor", exitOK, false},
		{"models list", exitOK, false},
		{"models path", exitOK, false},
		{"models verify", exitFailure, false}, // the model has no digests
		{"version", exitOK, false},
		{"--help", exitOK, false},
		{"models rm flux2-klein-4b", exitOK, false},
		{"generate -p fox -o x.png", exitOK, false}, // uses the demo model and downloads nothing
		{"doctor", exitOK, false},
	} {
		t.Run(row.args, func(t *testing.T) {
			name := home
			if row.network {
				name = t.TempDir() // a home without the model
			}
			cmd := inHome(program(t, strings.Fields(row.args)...), name, offlineVariable+"=sockets")
			cmd.Dir = home
			out, err := cmd.CombinedOutput()
			if dead := killed(t, err); dead != row.network {
				t.Errorf("killed for using the network: %v, want %v: %v\n%s", dead, row.network, err, out)
			}
			if have := cmd.ProcessState.ExitCode(); !row.network && have != row.code {
				t.Errorf("exit code %d, want %d:\n%s", have, row.code, out)
			}
		})
	}
}

// TestServeConnectsNowhere checks that a server makes no outgoing connections. It must listen, so that sockets are
// allowed.
func TestServeConnectsNowhere(t *testing.T) {
	out, err := inHome(program(t, "models", "get", "--base-url", "http://127.0.0.1:9"), t.TempDir(),
		offlineVariable+"=connections").CombinedOutput()
	if !killed(t, err) {
		t.Fatalf("the filter lets a download through: %v %s", err, out)
	}
	t.Setenv(offlineVariable, "connections")
	s := serve(t, t.TempDir(), "-m", model(t, "distilled"), "--token", "mine")
	status, body := s.fetch(t, "POST", "/v1/images/generations", "mine",
		bytes.NewReader([]byte(`{"prompt": "x", "size": "64x64", "steps": 1}`)))
	if status != 200 {
		t.Errorf("%d %.200s", status, body)
	}
	if code, said := s.end(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, said)
	}
}
