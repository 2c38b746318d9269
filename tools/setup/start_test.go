//go:build linux

package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGo checks which Go is chosen, what setup.sh does so that it is new enough, and what the others are told.
func TestGo(t *testing.T) {
	want := wanted(t)
	module := "golang.org/toolchain@v0.0.1-go" + want + ".linux-amd64"
	const modules = "go mod download -modfile=go.mod GOPROXY=off GOTOOLCHAIN="
	for _, row := range []struct {
		name    string
		version string // of the go on $PATH, "" if there is none
		env     map[string]string
		before  string // what tools/setup/go says before the set-up, "" if it works
		says    string // what setup.sh says
		logs    string // what is in the log
		code    int
	}{
		{name: "new enough", version: want, logs: modules + "\n"},
		{name: "newer", version: "1.99", logs: modules + "\n"},
		{name: "next major version", version: "2.0", logs: modules + "\n"},
		{name: "fetches", version: "1.24.4", says: "Go 1.24.4 fetches Go " + want + " by itself, once: about 75 MB.",
			logs: modules + "\n"},
		{name: "the first that fetches", version: "1.21.0", says: "Go 1.21.0 fetches Go " + want, logs: modules + "\n"},
		{name: "kept from fetching by the distribution", version: "1.24.4", env: map[string]string{"DISTRIBUTION": "local"},
			says: "Go 1.24.4 fetches Go " + want, logs: modules + "auto\n"},
		{name: "kept from fetching by the user", version: "1.24.4", env: map[string]string{"GOTOOLCHAIN": "local"},
			before: "GOTOOLCHAIN=local keeps it from fetching that", says: "unset GOTOOLCHAIN or install Go " + want, code: 1},
		{name: "old", version: "1.19.8", before: "Go 1.19.8 is older than 1.21, so that it cannot build this",
			says: "Go 1.19.8 is older than 1.21, the first that fetches its successors by itself. It is told to fetch Go " +
				want,
			logs: "go mod download " + module},
		{name: "old, without a network", version: "1.19.8", env: map[string]string{"OFFLINE": "1"},
			before: "cannot build this", says: "Go " + want + " could not be fetched: is there a network?", code: 1},
		{name: "ancient", version: "1.15.15", before: "Go 1.15.15 is older",
			says: "Missing here: a newer Go (this one is 1.15.15).", logs: "install -y --no-install-recommends golang-go\n"},
		{name: "none", before: "there is no Go on this machine: make run installs it", says: "Missing here: Go.",
			logs: "install -y --no-install-recommends golang-go\n"},
		{name: "gccgo", version: want, env: map[string]string{"GCCGO": " gccgo (Debian 12.2.0-14) 12.2.0"},
			before: "there is no Go", says: "Still missing after the installation: Go.", code: 1},
		{name: "none, and apt has an old one", env: map[string]string{"APT_POLICY": "golang-go:\n  Candidate: 2:1.19~1"},
			before: "there is no Go", says: "Missing here: Go.", logs: "install -y --no-install-recommends golang-go\n"},
		{name: "none, and apt has a newer one beside it", env: map[string]string{
			"APT_POLICY": "golang-go:\n  Installed: (none)\n  Candidate: 2:1.18~0ubuntu2",
			"APT_SEARCH": "golang-1.9-go - Go\ngolang-1.23-go - Go\ngolang-1.21-go - Go\ngolang-1.18-go - Go"},
			before: "there is no Go", says: "Missing here: Go.", logs: "install -y --no-install-recommends golang-1.23-go\n"},
		{name: "none, and apt has a new one", env: map[string]string{
			"APT_POLICY": "golang-go:\n  Candidate: 2:1.24~2", "APT_SEARCH": "golang-1.25-go - Go"},
			before: "there is no Go", says: "Missing here: Go.", logs: "install -y --no-install-recommends golang-go\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t, "make", "apt-get", "apt-cache")
			m.env["FAKE_UID"] = "0"
			for name, value := range row.env {
				m.env[name] = value
			}
			if row.version != "" {
				m.write(t, "bin/go", "#!/bin/sh\n"+fakes["go"]+"\n")
				m.write(t, "bin/go.version", row.version)
			}
			before := m.run(t, "go", "tool", "nm")
			if (before.code == 0) != (row.before == "") || !strings.Contains(before.err, row.before) {
				t.Errorf("before: exit code %d: %s\nwant %q", before.code, before.err, row.before)
			}
			got := m.run(t, "setup.sh", "go")
			if got.code != row.code || !strings.Contains(got.err, row.says) || !strings.Contains(got.log, row.logs) {
				t.Errorf("exit code %d: %s%s\nwant %d, %q, %q", got.code, got.err, got.log, row.code, row.says, row.logs)
			}
			if row.code != 0 {
				return
			}
			if after := m.run(t, "go", "tool", "nm"); after.code != 0 || !strings.HasSuffix(after.log, "go tool nm\n") {
				t.Errorf("after: exit code %d: %s%s", after.code, after.err, after.log)
			}
			if row.version == "1.19.8" {
				compile := filepath.Join(m.env["MACHINE"], "mod", module, "pkg/tool/linux_amd64/compile")
				if info, err := os.Stat(compile); err != nil || info.Mode()&0o111 == 0 {
					t.Errorf("the compiler that was fetched: %v, %v, want an executable file", info, err)
				}
			}
		})
	}
}

// TestGoOutsidePath checks that a Go that is new enough is found in another folder, in place of an old one on $PATH.
func TestGoOutsidePath(t *testing.T) {
	m := newMachine(t, "make")
	for folder, version := range map[string]string{"bin": "1.19.8", "lib/go-1.23/bin": "1.23.1", "local/bin": wanted(t)} {
		m.write(t, folder+"/go", "#!/bin/sh\n"+fakes["go"]+"\n")
		m.write(t, folder+"/go.version", version)
	}
	dir := m.env["MACHINE"]
	for _, row := range []struct{ folders, want string }{
		{dir + "/lib/go-1.*/bin", "1.23.1"},
		{dir + "/lib/go-1.*/bin " + dir + "/local/bin", wanted(t)},
	} {
		m.env["GO_FOLDERS"] = row.folders
		if got := m.run(t, "go", "version"); got.code != 0 || got.out != "go version go"+row.want+" linux/amd64\n" {
			t.Errorf("%s: exit code %d: %s%s, want %s", row.folders, got.code, got.out, got.err, row.want)
		}
	}
	m.env["GO"] = filepath.Join(dir, "bin/go") // the user's choice
	if got := m.run(t, "go", "version"); got.code != 1 || !strings.Contains(got.err, "Go 1.19.8 is older than 1.21") {
		t.Errorf("$GO: exit code %d: %s, want only that one to be looked at", got.code, got.err)
	}
	m.env["GO"] = "go" // without its folder: that of $PATH, and not a file of that name in the working directory
	m.env["PATH"] = filepath.Join(dir, "local/bin") + ":" + m.bin
	m.write(t, "checkout/go", "#!/bin/sh\necho another program\n")
	if got := m.run(t, "go", "version"); got.code != 0 || got.out != "go version go"+wanted(t)+" linux/amd64\n" {
		t.Errorf("$GO without a folder: exit code %d: %s%s", got.code, got.out, got.err)
	}
}

// TestRun checks what make run does with and without a screen, on a machine with nothing but apt-get.
func TestRun(t *testing.T) {
	const program = `#!/bin/sh
echo "program $*" >>"$MACHINE/log"
case ${1:-} in generate) echo kleinbild-1.png ;; esac
`
	for _, row := range []struct {
		name, screen, builds, log, says string
	}{
		{"X11", "DISPLAY", "kleinbild", "make --no-print-directory build\nprogram \n", ""},
		{"Wayland", "WAYLAND_DISPLAY", "kleinbild", "make --no-print-directory build\nprogram \n", ""},
		{"no screen", "", "kleinbild-cli", "make --no-print-directory cli\nprogram generate -m demo " +
			"-p a red house under a yellow sun -a square -s 1\n", "/kleinbild-1.png\n"},
	} {
		m := newMachine(t, "apt-get")
		m.env["FAKE_UID"], m.env["MADE"] = "0", row.builds
		m.write(t, "made", program)
		if row.screen != "" {
			m.env[row.screen] = ":0"
		}
		got := m.run(t, "run.sh")
		if got.code != 0 || !strings.HasSuffix(got.log, row.log) || !strings.Contains(got.out, row.says) {
			t.Errorf("%s: exit code %d: %s%s%s\nwant %s%s", row.name, got.code, got.out, got.err, got.log, row.log, row.says)
		}
		// Without a screen the compiler and the headers are not installed, but named.
		headers := strings.TrimPrefix(aptAll, "make golang-go ")
		if !strings.Contains(got.log, headers) == (row.screen != "") {
			t.Errorf("%s: %s, want the headers only for a window", row.name, got.log)
		}
		if row.screen == "" && !strings.Contains(got.out, "The window was not built") {
			t.Errorf("%s: %s, want what is missing for the window", row.name, got.out)
		}
	}

	m := newMachine(t, "apt-get", "sudo") // a pipe, and nobody to ask
	if got := m.run(t, "run.sh"); got.code != 1 || got.log != "" || !strings.Contains(got.err, "With YES=1") {
		t.Errorf("pipe: exit code %d: %s%s, want a refusal", got.code, got.err, got.log)
	}
}

// TestProgress checks what is said before, while and after the program is built.
func TestProgress(t *testing.T) {
	var many strings.Builder
	for range 400 {
		many.WriteString("example.com/a build ID mismatch\n")
	}
	many.WriteString("github.com/go-gl/gl/v2.1/gl stale dependency\n")
	const mine = "kleinbild not installed but available in build cache\n"
	for _, row := range []struct {
		name, list, build, fails, says, silent string
		code                                   int
	}{
		{name: "first build", list: many.String() + mine, build: "github.com/go-gl/gl/v2.1/gl\nkleinbild\n",
			says: "First build: about ", silent: "go-gl"},
		{name: "nothing to do", list: mine, build: "kleinbild\n", silent: "\n"},
		{name: "nothing at all", silent: "\n"},
		{name: "a mistake", list: "example.com/a stale\n" + mine, build: "example.com/a\n# kleinbild/cli\ncli/x.go:1: no\n",
			fails: "1", says: "# kleinbild/cli\ncli/x.go:1: no\n", silent: "example.com", code: 1},
		{name: "a warning", list: "example.com/a stale\n" + mine, build: "# example.com/a\nwarning: odd\nexample.com/a\n",
			says: "# example.com/a\nwarning: odd\n", silent: "First"},
	} {
		m := newMachine(t, "go")
		m.env["GO"] = "tools/setup/go"
		m.env["BUILD_FAILS"] = row.fails
		m.write(t, "list", row.list)
		m.write(t, "build", row.build)
		got := m.run(t, "build.sh", "kleinbild", "-trimpath")
		if got.code != row.code || !strings.Contains(got.err, row.says) ||
			row.silent != "" && strings.Contains(got.err, row.silent) && got.err != row.says {
			t.Errorf("%s: exit code %d: %q\nwant %d, %q and not %q", row.name, got.code, got.err, row.code, row.says, row.silent)
		}
		left, err := filepath.Glob(filepath.Join(m.env["TMPDIR"], "tmp.*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v, want no temporary files", row.name, left, err)
		}
	}

	m := newMachine(t, "go")
	m.env["GO"] = "tools/setup/go"
	m.write(t, "list", "example.com/a stale\nexample.com/b stale\n")
	m.write(t, "build", "example.com/a\n")
	slow := strings.Replace(fakes["go"], `exit "${BUILD_FAILS`, `sleep 1.5; exit "${BUILD_FAILS`, 1)
	m.write(t, "bin/go", "#!/bin/sh\n"+slow+"\n")
	got := m.runOnTerminal(t, "", "build.sh", "kleinbild")
	if want := "kleinbild: package 1 of 2, 0:0"; got.code != 0 || !strings.Contains(got.err, want) {
		t.Errorf("on a terminal: exit code %d: %q, want %q", got.code, got.err, want)
	}
}

// TestLintNeedsGofmt checks that make lint fails if the formatting cannot be checked.
func TestLintNeedsGofmt(t *testing.T) {
	path, err := exec.LookPath("make")
	if err != nil {
		t.Skip(err)
	}
	m := newMachine(t, "go", "make")
	m.env["MODULES_HERE"], m.env["GO"] = "1", filepath.Join(m.bin, "go")
	cmd := m.command("go")
	cmd.Path, cmd.Args = path, []string{"make", "--no-print-directory", "lint"}
	if cmd.Dir, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "gofmt could not check the formatting") {
		t.Errorf("make lint without gofmt: %v: %s, want an error", err, out)
	}
	m.write(t, "goroot/bin/gofmt", "#!/bin/sh\necho odd.go\n")
	cmd = m.command("go")
	cmd.Path, cmd.Args, cmd.Dir = path, []string{"make", "--no-print-directory", "lint"}, "../.."
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "not gofmt-ed:\nodd.go\n") {
		t.Errorf("make lint with a file that is not formatted: %v: %s, want an error", err, out)
	}
}
