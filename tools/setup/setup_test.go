//go:build linux

// Package setup has only tests: of the scripts that do what lies between a clone and a first picture. They run on
// machines that consist of fakes. tools/setup/roots.sh runs the scripts in real, empty systems.
package setup

import (
	"strings"
	"testing"
)

// What the window needs if everything is missing.
const (
	aptAll = "make golang-go gcc libc6-dev pkg-config libgl-dev libxcursor-dev libxrandr-dev libxinerama-dev libxi-dev " +
		"libxxf86vm-dev"
	dnfAll = "make golang gcc glibc-devel pkgconf-pkg-config mesa-libGL-devel libXcursor-devel libXrandr-devel " +
		"libXinerama-devel libXi-devel libXxf86vm-devel"
	pacmanAll = "make go gcc glibc pkgconf libglvnd mesa libxcursor libxrandr libxinerama libxi libxxf86vm"
	zypperAll = "make go gcc glibc-devel pkg-config Mesa-libGL-devel libXcursor-devel libXrandr-devel libXinerama-devel " +
		"libXi-devel libXxf86vm-devel"
	aptLine  = "apt-get update; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends " + aptAll
	aptCalls = "apt-get update\napt-get install -y --no-install-recommends " + aptAll + "\n"
	names    = "Missing here: make, Go, a C compiler, pkg-config, OpenGL's headers, X11's headers.\n"
)

// The go commands that fetch the modules: each is first tried without the network.
const fetching = "go mod download -modfile=go.mod GOPROXY=off GOTOOLCHAIN=\n" +
	"go mod download -modfile=go.mod GOPROXY= GOTOOLCHAIN=\n" +
	"go mod download -modfile=tools/lint.mod GOPROXY=off GOTOOLCHAIN=\n" +
	"go mod download -modfile=tools/lint.mod GOPROXY= GOTOOLCHAIN=\n"

func TestManagers(t *testing.T) {
	for _, row := range []struct {
		name, installed, system, log string
	}{
		{"apt", "apt-get", "ID=debian", aptCalls},
		{"dnf", "dnf", "ID=fedora", "dnf install -y --setopt=install_weak_deps=False " + dnfAll + "\n"},
		{"pacman", "pacman", "ID=arch", "pacman -S --needed --noconfirm " + pacmanAll + "\n"},
		{"zypper", "zypper", "ID=opensuse-leap\nID_LIKE='suse opensuse'",
			"zypper --non-interactive install --no-recommends " + zypperAll + "\n"},
		{"Fedora with apt", "apt-get dnf", "ID=nobara\nID_LIKE=fedora",
			"dnf install -y --setopt=install_weak_deps=False " + dnfAll + "\n"},
		{"Arch with apt", "apt-get pacman", "ID=manjaro\nID_LIKE=arch", "pacman -S --needed --noconfirm " + pacmanAll + "\n"},
		{"unknown system", "zypper", "",
			"zypper --non-interactive install --no-recommends " + zypperAll + "\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t, strings.Fields(row.installed)...)
			m.write(t, "os-release", row.system+"\n")
			m.env["FAKE_UID"] = "0"
			got := m.run(t, "setup.sh", "window")
			if got.code != 0 || got.log != row.log+fetching || !strings.HasPrefix(got.err, names) {
				t.Errorf("exit code %d: %s%s\nwant %s%s%s", got.code, got.err, got.log, names, row.log, fetching)
			}
		})
	}
}

func TestQuestion(t *testing.T) {
	const (
		sudoLine = "  sudo sh -c '" + aptLine + "'\n"
		suLine   = "  su -l -c '" + aptLine + "'\n"
		sudoLog  = "sudo sh -c " + aptLine + "\n"
	)
	terminal := func(answer string) func(*testing.T, *machine) outcome {
		return func(t *testing.T, m *machine) outcome { return m.runOnTerminal(t, answer, "setup.sh", "window") }
	}
	pipe := func(t *testing.T, m *machine) outcome { return m.run(t, "setup.sh", "window") }
	for _, row := range []struct {
		name, programs, env string
		run                 func(*testing.T, *machine) outcome
		code                int
		asked               bool
		log, says           string // says "" if nothing is left to be done
	}{
		{"yes", "sudo", "", terminal("y\n"), 0, true, sudoLog + aptCalls + fetching, ""},
		{"YES in capitals", "sudo", "", terminal("YES\n"), 0, true, sudoLog + aptCalls + fetching, ""},
		{"Enter", "sudo", "", terminal("\n"), 0, true, sudoLog + aptCalls + fetching, ""},
		{"no", "sudo", "", terminal("n\n"), 1, true, "", sudoLine},
		{"another word", "sudo", "", terminal("why?\n"), 1, true, "", sudoLine},
		{"end of input", "sudo", "", terminal("\x04"), 1, true, "", suLine},
		{"sudo refuses", "sudo", "SUDO_FAILS", terminal("y\n"), 1, true, sudoLog, suLine},
		{"apt fails", "sudo", "INSTALL_FAILS", terminal("y\n"), 1, true, sudoLog + aptCalls, sudoLine},
		{"without sudo", "", "", terminal("y\n"), 1, false, "", suLine},
		{"root", "sudo", "FAKE_UID=0", terminal("n\n"), 0, false, aptCalls + fetching, ""},
		{"YES=1", "sudo", "YES=1", terminal("n\n"), 0, false, sudoLog + aptCalls + fetching, ""},
		{"pipe", "sudo", "", pipe, 1, false, "", sudoLine + "or, if you are not in the list of those who may use sudo:\n" +
			suLine + "With YES=1 before the command, it is done without a question.\n"},
		{"pipe with YES=1", "sudo", "YES=1", pipe, 0, false, sudoLog + aptCalls + fetching, ""},
		{"pipe with YES=1, without sudo", "", "YES=1", pipe, 1, false, "", suLine},
		{"pipe with YES=no", "sudo", "YES=no", pipe, 1, false, "", sudoLine},
		{"pipe of root", "", "FAKE_UID=0", pipe, 0, false, aptCalls + fetching, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(t, strings.Fields("apt-get "+row.programs)...)
			if name, value, ok := strings.Cut(row.env, "="); name != "" {
				m.env[name] = value
				if !ok {
					m.env[name] = "1"
				}
			}
			got := row.run(t, m)
			if got.code != row.code || got.log != row.log || strings.Contains(got.err, "[Y/n]") != row.asked {
				t.Errorf("exit code %d, log %q: %s\nwant %d, %q, asked: %v",
					got.code, got.log, got.err, row.code, row.log, row.asked)
			}
			if !strings.HasPrefix(got.err, names) || !strings.Contains(got.err, row.says) ||
				strings.Contains(got.err, "Run this yourself") != (row.says != "") {
				t.Errorf("says %q, want %q and %q", got.err, names, row.says)
			}
		})
	}
}

func TestNothingMissing(t *testing.T) {
	m := newMachine(t, "make", "go", "cc", "pkg-config", "apt-get", "sudo")
	m.env["MODULES_HERE"] = "1"
	m.env["OFFLINE"] = "1"
	if got := m.runOnTerminal(t, "", "setup.sh", "window"); got.code != 0 || got.err != "" ||
		strings.Contains(got.log, "apt") || strings.Contains(got.log, "GOPROXY= ") {
		t.Errorf("exit code %d: %q, log %q; want silence and no network", got.code, got.err, got.log)
	}
	if got := m.run(t, "setup.sh", "--list", "window"); got.code != 0 || got.out != "\n" {
		t.Errorf("--list: exit code %d: %q, want nothing", got.code, got.out)
	}
}

func TestPartsMissing(t *testing.T) {
	for _, row := range []struct{ name, installed, goal, list string }{
		{"make", "go cc pkg-config", "window", "make"},
		{"compiler", "make go", "window", strings.TrimPrefix(aptAll, "make golang-go ")},
		{"command line", "make", "go", "golang-go"},
		{"screen", "go make", "screen", "xvfb xauth xdotool imagemagick xclip dbus"},
	} {
		m := newMachine(t, strings.Fields("apt-get "+row.installed)...)
		got := m.run(t, "setup.sh", "--list", row.goal)
		// Whether Python has Xlib is a fact about the machine that runs the test.
		if list := strings.TrimSuffix(strings.TrimSpace(got.out), " python3-xlib"); got.code != 0 || list != row.list {
			t.Errorf("%s: exit code %d: %q, want %q", row.name, got.code, list, row.list)
		}
	}
}

// TestCompilerOfTheUser checks that $CC is understood as Go does it: with arguments, or behind a program like ccache.
func TestCompilerOfTheUser(t *testing.T) {
	m := newMachine(t, "make", "go", "pkg-config", "apt-get")
	m.write(t, "bin/ccache", "#!/bin/sh\nexec \"$@\"\n")
	m.write(t, "bin/gcc-14", "#!/bin/sh\n"+fakes["cc"]+"\n")
	for cc, want := range map[string]string{
		"gcc-14": "", "ccache gcc-14": "", "gcc-14 -m64": "", "gcc-99": "gcc libc6-dev", "ccache gcc-99": "gcc libc6-dev",
	} {
		m.env["CC"] = cc
		got := m.run(t, "setup.sh", "--list", "window")
		if got.code != 0 || !strings.HasPrefix(got.out, want) || want == "" && got.out != "\n" {
			t.Errorf("CC=%q: exit code %d: %q %s, want %q", cc, got.code, got.out, got.err, want)
		}
	}
}

func TestSetupFails(t *testing.T) {
	for _, row := range []struct {
		name  string
		goal  string
		do    func(*testing.T, *machine)
		wants string
	}{
		{"no manager", "window", nil, "There is no apt-get, dnf, pacman or zypper here: install these with this " +
			"system's own means. Debian's packages are called " + aptAll + "."},
		{"unknown goal", "everything", nil, "setup: goal everything, want go, window, gtk, screen or windows"},
		{"a package that does not help", "go", func(t *testing.T, m *machine) {
			m.write(t, "bin/apt-get", "#!/bin/sh\nexit 0\n")
		}, "Still missing after the installation: make, Go."},
		{"no network", "go", func(t *testing.T, m *machine) {
			m.write(t, "bin/apt-get", "#!/bin/sh\n"+manager+"\n")
			m.env["OFFLINE"] = "1"
		}, "The Go modules could not be fetched: is there a network?"},
	} {
		m := newMachine(t)
		m.env["FAKE_UID"] = "0"
		if row.do != nil {
			row.do(t, m)
		}
		if got := m.run(t, "setup.sh", row.goal); got.code != 1 || !strings.Contains(got.err, row.wants) {
			t.Errorf("%s: exit code %d: %s\nwant 1 and %s", row.name, got.code, got.err, row.wants)
		}
	}
}
