package cli

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// windowLibraries are what the window asks a Linux system for, and the packages that have them.
var windowLibraries = []struct{ file, debian, fedora, arch, suse string }{
	{"libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd", "libglvnd"},
	{"libX11.so.6", "libx11-6", "libX11", "libx11", "libX11-6"},
	{"libXcursor.so.1", "libxcursor1", "libXcursor", "libxcursor", "libXcursor1"},
	{"libXrandr.so.2", "libxrandr2", "libXrandr", "libxrandr", "libXrandr2"},
	{"libXinerama.so.1", "libxinerama1", "libXinerama", "libxinerama", "libXinerama1"},
	{"libXi.so.6", "libxi6", "libXi", "libxi", "libXi6"},
	{"libXxf86vm.so.1", "libxxf86vm1", "libXxf86vm", "libxxf86vm", "libXxf86vm1"},
}

// libraryFolders are searched beside those that the system's configuration names.
var libraryFolders = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib"}

// WindowState says whether a Linux system has what a window needs, and what to do where it lacks something: for doctor,
// and for the window that does not open.
func WindowState() (state string, ready bool) { return windowAdvice(rootFS(), os.Getenv) }

func windowAdvice(root fs.FS, env func(string) string) (state string, ready bool) {
	const without = "; kleinbild generate makes pictures without a window"
	state = windowState(root, env)
	display := env("DISPLAY")
	socket := xSocket(display)
	switch {
	case strings.HasPrefix(state, "lacks"):
		return state, false
	case display == "" && env("WAYLAND_DISPLAY") != "":
		return state + ": the window needs X11 or XWayland, so install the package xwayland and log in again" + without, false
	case display == "":
		return state + ": the window needs X11 or XWayland, so start it in a desktop session" + without, false
	case socket != "":
		if _, err := fs.Stat(root, socket); err != nil {
			return state + ", but no X server answers at DISPLAY=" + display + ": start Kleinbild in a desktop session" + without, false
		}
	}
	return state, true
}

// xSocket returns where the X server of a display on this machine listens, "" for a display elsewhere.
func xSocket(display string) string {
	number, local := strings.CutPrefix(strings.TrimPrefix(display, "unix"), ":")
	number, _, _ = strings.Cut(number, ".")
	if _, err := strconv.ParseUint(number, 10, 16); !local || err != nil {
		return ""
	}
	return "tmp/.X11-unix/X" + number
}

// windowState says whether a Linux system has what a window needs, and the command that installs what it lacks. root is
// the file system.
func windowState(root fs.FS, env func(string) string) string {
	folders := append(slices.Clone(libraryFolders), configuredFolders(root)...)
	for dir := range strings.SplitSeq(env("LD_LIBRARY_PATH"), ":") {
		folders = append(folders, strings.Trim(filepath.ToSlash(dir), "/"))
	}
	manager, column := packageManager(root)
	var missing, packages []string
	for _, l := range windowLibraries {
		found := slices.ContainsFunc(folders, func(dir string) bool {
			_, err := fs.Stat(root, path.Join(dir, l.file))
			return dir != "" && err == nil
		})
		if !found {
			missing = append(missing, l.file)
			packages = append(packages, []string{l.debian, l.fedora, l.arch, l.suse}[column])
		}
	}
	switch {
	case len(missing) > 0:
		return "lacks " + strings.Join(missing, ", ") + "; to get them: " + manager + " " + strings.Join(packages, " ")
	case env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "":
		return "its libraries are there, but there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set"
	case env("DISPLAY") == "":
		return "its libraries are there, but Wayland has no X server (Xwayland) beside it: DISPLAY is not set"
	}
	return "its libraries are there"
}

// configuredFolders reads /etc/ld.so.conf.d.
func configuredFolders(root fs.FS) (folders []string) {
	files, _ := fs.Glob(root, "etc/ld.so.conf.d/*.conf") // the pattern is sound
	for _, name := range files {
		file, err := root.Open(name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if dir := strings.TrimSpace(lines.Text()); strings.HasPrefix(dir, "/") {
				folders = append(folders, strings.Trim(dir, "/"))
			}
		}
		file.Close()
	}
	return folders
}

// packageManager returns the command that installs packages, and the column of its names; Debian's where unknown.
func packageManager(root fs.FS) (command string, column int) {
	text, _ := fs.ReadFile(root, "etc/os-release") // without it, unknown
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "ID" && key != "ID_LIKE" {
			continue
		}
		for name := range strings.FieldsSeq(strings.Trim(value, `"'`)) {
			switch {
			case name == "debian" || name == "ubuntu":
				return "sudo apt install", 0
			case name == "fedora" || name == "rhel" || name == "centos":
				return "sudo dnf install", 1
			case name == "arch":
				return "sudo pacman -S", 2
			case strings.HasPrefix(name, "opensuse") || name == "suse":
				return "sudo zypper install", 3
			}
		}
	}
	return "install the packages that Debian calls", 0
}

// rootFS is this system's files.
func rootFS() fs.FS { return os.DirFS("/") }
