//go:build linux

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a folder that stands for a computer: a copy of the scripts, and a folder of programs that is all of $PATH.
// The programs that matter are fakes, which write what they are asked to do to a log.
type machine struct {
	root, bin, log string
	env            map[string]string
}

// The real programs that the scripts use. Every Debian, Fedora, Arch and openSUSE has them.
var basics = strings.Fields("sh awk cat chmod cp date dirname env grep kill mkdir mktemp rm sed sleep sort tail touch")

// The fakes. $MACHINE is the machine's folder, /store in it what a package manager can install.
var fakes = map[string]string{
	"id": `echo "${FAKE_UID:-1000}"`,
	"sudo": `echo "sudo $*" >>"$MACHINE/log"
[ -z "${SUDO_FAILS:-}" ] || { echo "artist is not in the sudoers file" >&2; exit 1; }
exec "$@"`,
	"apt-cache":  `case $1 in policy) echo "$APT_POLICY" ;; search) echo "$APT_SEARCH" ;; esac`,
	"cc":         `exec cat >/dev/null`, // every header is found
	"make":       `[ -z "${MADE:-}" ] || { echo "make $*" >>"$MACHINE/log"; cp "$MACHINE/made" "$MADE"; }`,
	"pkg-config": `exit 0`,
	"go": `case "$1 ${2:-}" in
"version ") echo "go version go$(cat "$0.version")${GCCGO:-} linux/amd64" ;;
"env GOTOOLCHAIN") echo "${GOTOOLCHAIN:-${DISTRIBUTION:-auto}}" ;;
"env GOENV") echo "$MACHINE/goenv" ;;
"env GOMODCACHE") echo "$MACHINE/mod" ;;
"env GOROOT") echo "$MACHINE/goroot" ;;
"env GOHOSTOS") echo linux ;;
"env GOHOSTARCH") echo amd64 ;;
"mod download")
  echo "go $* GOPROXY=${GOPROXY:-} GOTOOLCHAIN=${GOTOOLCHAIN:-}" >>"$MACHINE/log"
  [ -n "${MODULES_HERE:-}" ] || [ "${GOPROXY:-}${OFFLINE:-}" = "" ] || { echo "go: no route" >&2; exit 1; }
  case $3 in golang.org/toolchain@*)
    folder=$MACHINE/mod/$3
    mkdir -p "$folder/bin" "$folder/pkg/tool/linux_amd64"
    cp "$0" "$folder/bin/go" && touch "$folder/bin/gofmt" "$folder/pkg/tool/linux_amd64/compile"
    cat "$MACHINE/wanted" >"$folder/bin/go.version"
    chmod a-wx "$folder/bin" "$folder/bin"/* 2>/dev/null
    chmod u+x "$folder/bin" ;;
  esac ;;
"list -deps") cat "$MACHINE/list" ;;
"build -v") cat "$MACHINE/build" >&2; exit "${BUILD_FAILS:-0}" ;;
*) echo "go $*" >>"$MACHINE/log" ;;
esac`,
}

// manager is the fake of every package manager: an installation copies all of the store.
const manager = `echo "${0##*/} $*" >>"$MACHINE/log"
[ -z "${INSTALL_FAILS:-}" ] || { echo "cannot install" >&2; exit 100; }
case "$*" in *install*|-S*) cp "$MACHINE/store"/* "$MACHINE/bin" ;; esac`

// newMachine returns a machine on which only the named fakes are installed. The others are in the store.
func newMachine(t *testing.T, installed ...string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{root: filepath.Join(dir, "checkout"), bin: filepath.Join(dir, "bin"), log: filepath.Join(dir, "log")}
	m.env = map[string]string{
		"MACHINE": dir, "PATH": m.bin, "HOME": dir, "TMPDIR": dir, "GO_FOLDERS": "", "SSL_CERT_FILE": "here",
		"OS_RELEASE": filepath.Join(dir, "os-release"),
	}
	for _, name := range basics {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, "bin/", "")
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"../../go.mod", "../lint.mod", "packages.txt", "find_go.sh", "go", "setup.sh", "run.sh",
		"build.sh"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, filepath.Join("checkout/tools/setup", path), string(text))
	}
	m.write(t, "wanted", wanted(t))
	m.write(t, "store/go.version", wanted(t))
	for name, script := range fakes {
		folder := "store"
		if slices.Contains(installed, name) || name == "id" {
			folder = "bin"
		}
		m.write(t, filepath.Join(folder, name), "#!/bin/sh\n"+script+"\n")
	}
	for _, name := range []string{"apt-get", "dnf", "pacman", "zypper"} {
		if slices.Contains(installed, name) {
			m.write(t, "bin/"+name, "#!/bin/sh\n"+manager+"\n")
		}
	}
	for _, name := range []string{"sudo", "apt-cache"} { // no manager installs these
		if err := os.Remove(filepath.Join(dir, "store", name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if slices.Contains(installed, "go") {
		m.write(t, "bin/go.version", wanted(t))
	}
	return m
}

// wanted returns the version of Go that go.mod wants.
func wanted(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if version, ok := strings.CutPrefix(line, "go "); ok {
			return strings.TrimSpace(version)
		}
	}
	t.Fatal("go.mod has no go line")
	return ""
}

// write writes an executable file of the machine. A name that ends in / makes a folder.
func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(filepath.Dir(m.bin), name)
	folder := filepath.Dir(path)
	if strings.HasSuffix(name, "/") {
		folder = path
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if folder == path {
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o777); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a script did.
type outcome struct {
	code     int
	out, err string // on a terminal, err has both
	log      string // what the fakes were asked to do
}

func (m *machine) command(script string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(m.root, "tools/setup", script), args...)
	cmd.Dir = m.root
	for _, name := range slices.Sorted(maps.Keys(m.env)) {
		cmd.Env = append(cmd.Env, name+"="+m.env[name])
	}
	return cmd
}

func (m *machine) outcome(t *testing.T, err error, out, stderr string) outcome {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	got := outcome{out: out, err: stderr}
	if exit != nil {
		got.code = exit.ExitCode()
	}
	log, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	got.log = strings.ReplaceAll(string(log), "\n\n", "\n")
	return got
}

// run runs a script without a terminal.
func (m *machine) run(t *testing.T, script string, args ...string) outcome {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := m.command(script, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	return m.outcome(t, err, out.String(), stderr.String())
}

// runOnTerminal runs a script on a terminal, and types answer when it asks.
func (m *machine) runOnTerminal(t *testing.T, answer, script string, args ...string) outcome {
	t.Helper()
	terminal, program := openTerminal(t)
	cmd := m.command(script, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop()
	var said bytes.Buffer
	piece, typed := make([]byte, 4096), false
	for {
		n, err := terminal.Read(piece)
		said.Write(piece[:n])
		if err != nil { // EIO when the last program has closed the terminal
			break
		}
		if !typed && bytes.Contains(said.Bytes(), []byte("[Y/n]")) {
			typed = true
			if _, err := io.WriteString(terminal, answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := cmd.Wait()
	return m.outcome(t, err, "", strings.ReplaceAll(said.String(), "\r\n", "\n"))
}

// openTerminal returns the two ends of a pseudo-terminal.
func openTerminal(t *testing.T) (terminal, program *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { terminal.Close() })
	fd := int(terminal.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal, program
}
